"""Agents: learners that make a policy from an environment, and rollouts of many agents."""

from __future__ import annotations

from glitch_agents.dqn import DQN, NetworkPolicy
from glitch_agents.learner import Learner
from glitch_agents.model_based import ModelBased
from glitch_agents.planning import (
    ExactPlanner,
    expected_return,
    finite_horizon_values,
    optimal_return,
    optimality,
    policy_values,
    state_values,
)
from glitch_agents.policy import QTable
from glitch_agents.population import Population
from glitch_agents.q_learning import QLearning
from glitch_agents.registry import LEARNERS, make_learner
from glitch_agents.rollout import rollout, rollout_chunks, scripted
from glitch_agents.schedule import Schedule
from glitch_agents.states import state_index
from glitch_agents.table_files import load_table, save_table
from glitch_agents.temporal_difference import DoubleQLearning, ExpectedSarsa, QLambda, Sarsa
from glitch_gym.policy import Policy
from glitch_gym.trajectories import Trajectories

Sweeping = ModelBased
"""The former name of ``ModelBased``; recipes may say ``sweeping`` too."""

__all__ = [
    "DQN",
    "LEARNERS",
    "DoubleQLearning",
    "ExactPlanner",
    "ExpectedSarsa",
    "Learner",
    "ModelBased",
    "NetworkPolicy",
    "Policy",
    "Population",
    "QLambda",
    "QLearning",
    "QTable",
    "Sarsa",
    "Schedule",
    "Sweeping",
    "Trajectories",
    "expected_return",
    "finite_horizon_values",
    "load_table",
    "make_learner",
    "optimal_return",
    "optimality",
    "policy_values",
    "rollout",
    "rollout_chunks",
    "save_table",
    "scripted",
    "state_index",
    "state_values",
]
