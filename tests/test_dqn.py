from __future__ import annotations

import os
import signal

import gymnasium as gym
import numpy as np
import pytest
from support.lazy import torch

from glitch_agents import DQN, optimality
from glitch_gym.errors import SettingError

# Only the worker that runs these imports PyTorch
pytestmark = pytest.mark.xdist_group("torch")

ENV = {"grid": (6, 4), "objective": "linger", "effects": {"same": (0.0, 0.05)}}


@pytest.mark.parametrize("observation", ["coordinates", "patch"])
def test_it_learns_a_small_world(observation):
    env = gym.make("GlitchGrid-v0", **ENV)
    policy = DQN(observation=observation, hidden=64).learn(env, episodes=500, seed=1)
    world = env.unwrapped.world
    actions = policy.act(np.arange(world.grid.n_cells))
    assert optimality(world, actions) > 0.75


def test_equal_seeds_learn_the_same_and_leave_torchs_generator_alone():
    env = gym.make("GlitchGrid-v0", **ENV)
    before = torch.random.get_rng_state()
    first, again = (DQN(hidden=16).learn(env, episodes=20, seed=3) for _ in range(2))
    assert torch.equal(torch.random.get_rng_state(), before)
    for a, b in zip(first.network.parameters(), again.network.parameters(), strict=True):
        assert torch.equal(a, b)


def test_ctrl_c_gives_what_has_been_learned(heeds_ctrl_c):
    seen = []

    def interrupt(done, episodes):
        seen.append(done)
        os.kill(os.getpid(), signal.SIGINT)

    policy = DQN(hidden=8).learn(
        gym.make("GlitchGrid-v0", **ENV), episodes=100_000, progress=interrupt
    )
    assert policy.interrupted
    assert len(seen) == 1


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: DQN(observation="cell"), "coordinates"),
        (lambda: DQN(gamma=1), "gamma"),
        (lambda: DQN(epsilon=2), "epsilon"),
        (lambda: DQN(batch=0), "batch"),
        (lambda: DQN().learn(gym.make("GlitchGrid-v0"), episodes=0), "episodes"),
        (lambda: DQN().learn(gym.make("CartPole-v1"), episodes=1), "GlitchGrid"),
    ],
)
def test_bad_settings_are_refused(call, message):
    with pytest.raises(SettingError, match=message):
        call()
