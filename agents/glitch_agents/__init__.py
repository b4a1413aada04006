"""Agents: learners that make a policy from an environment, and rollouts of many agents."""

from __future__ import annotations

from glitch_agents.planning import ExactPlanner, optimality, policy_values, state_values
from glitch_agents.policy import Policy, QTable
from glitch_agents.q_learning import Learner, QLearning
from glitch_agents.rollout import Trajectories, rollout, scripted
from glitch_agents.schedule import Schedule

__all__ = [
    "ExactPlanner",
    "Learner",
    "Policy",
    "QLearning",
    "QTable",
    "Schedule",
    "Trajectories",
    "optimality",
    "policy_values",
    "rollout",
    "scripted",
    "state_values",
]
