"""Agents: learners that make a policy from an environment, and rollouts of many agents."""

from __future__ import annotations

from glitch_agents.learning import Learner
from glitch_agents.planning import ExactPlanner, optimality, policy_values, state_values
from glitch_agents.policy import Policy, QTable
from glitch_agents.q_learning import QLearning
from glitch_agents.rollout import Trajectories, rollout, scripted
from glitch_agents.schedule import Schedule
from glitch_agents.temporal_difference import DoubleQLearning, ExpectedSarsa, QLambda, Sarsa

__all__ = [
    "DoubleQLearning",
    "ExactPlanner",
    "ExpectedSarsa",
    "Learner",
    "Policy",
    "QLambda",
    "QLearning",
    "QTable",
    "Sarsa",
    "Schedule",
    "Trajectories",
    "optimality",
    "policy_values",
    "rollout",
    "scripted",
    "state_values",
]
