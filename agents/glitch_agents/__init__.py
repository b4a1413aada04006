"""Agents: learners that make a policy from an environment, and rollouts of many agents."""

from __future__ import annotations

from glitch_agents.policy import Policy, QTable
from glitch_agents.q_learning import Learner, QLearning
from glitch_agents.rollout import Trajectories, rollout, scripted
from glitch_agents.schedule import Schedule

__all__ = [
    "Learner",
    "Policy",
    "QLearning",
    "QTable",
    "Schedule",
    "Trajectories",
    "rollout",
    "scripted",
]
