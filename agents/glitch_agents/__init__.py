"""Agents: learners that make a policy from an environment, and rollouts of many agents."""

from __future__ import annotations

from glitch_agents.dqn import DQN
from glitch_agents.learner import Learner
from glitch_agents.model_based import Sweeping
from glitch_agents.planning import ExactPlanner, optimality, policy_values, state_values
from glitch_agents.policy import Policy, QTable
from glitch_agents.q_learning import QLearning
from glitch_agents.rollout import rollout, scripted
from glitch_agents.schedule import Schedule
from glitch_agents.table_files import load_table, save_table
from glitch_agents.temporal_difference import DoubleQLearning, ExpectedSarsa, QLambda, Sarsa
from glitch_gym.trajectories import Trajectories

__all__ = [
    "DQN",
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
    "Sweeping",
    "Trajectories",
    "load_table",
    "optimality",
    "policy_values",
    "rollout",
    "save_table",
    "scripted",
    "state_values",
]
