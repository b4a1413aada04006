from __future__ import annotations

import os
import signal

import gymnasium as gym
import numpy as np
import pytest
from support import reference
from support.worlds import small_world

from glitch_agents import QLearning, Sarsa, Schedule
from glitch_agents.mdp import lifetime_of
from glitch_gym.errors import SettingError
from glitch_gym.randomness import derive_key

EPISODES = 400


@pytest.mark.parametrize("ties", ["random", "first"])
@pytest.mark.parametrize(
    "settings",
    [
        {},
        {"alpha": 1.0, "epsilon": 1.0},
        {"alpha": 1.0, "epsilon": 0.05, "gamma": 1.0},
        {"alpha": Schedule(0.9, 0.1), "epsilon": Schedule(1.0, 0.05, over=0.5)},
        {"initial": -3.0, "gamma": 0.0},
    ],
)
@pytest.mark.parametrize("quantum", [None, 0.5])
def test_learning_matches_the_plain_version_step_for_step(ties, settings, quantum):
    world = small_world(quantum=quantum)
    learner = QLearning(ties=ties, **settings)
    table = learner.learn(world, episodes=EPISODES, seed=9)

    def values(rate):
        rate = rate if isinstance(rate, Schedule) else Schedule(rate, rate)
        return rate.values(0, EPISODES, EPISODES)

    expected = reference.q_learning(
        world,
        episodes=EPISODES,
        lifetime=20,
        alphas=values(learner.alpha),
        epsilons=values(learner.epsilon),
        gamma=learner.gamma,
        initial=learner.initial,
        ties=ties,
        key=derive_key(9, "q_learning"),
    )
    np.testing.assert_array_equal(table.by_state, expected)
    assert table.episodes == EPISODES
    assert not table.interrupted


def test_eight_moves_and_full_pictures_match_too():
    world = small_world(picture=(5, 3), moves=8)
    table = QLearning().learn(world, episodes=100, seed=1)
    constant = np.full(100, 0.1)
    expected = reference.q_learning(
        world,
        episodes=100,
        lifetime=20,
        alphas=constant,
        epsilons=constant,
        gamma=0.95,
        initial=0.0,
        ties="random",
        key=derive_key(1, "q_learning"),
    )
    np.testing.assert_array_equal(table.by_state, expected)


def test_exploring_with_learning_rate_one_reaches_the_optimum():
    world = small_world(picture=(5, 3))
    q = np.zeros(world.next_state.shape)
    for _ in range(600):
        following = np.where(world.next_state < 0, 0, q.max(axis=1)[world.next_state])
        q = world.rewards + 0.95 * following
    learned = QLearning(alpha=1.0, epsilon=1.0).learn(world, episodes=20_000)
    np.testing.assert_allclose(learned.by_state, q, atol=1e-4)


def test_envs_wrapped_or_not_and_worlds_teach_the_same():
    env = gym.make("GlitchGrid-v0")
    tables = [
        QLearning().learn(given, episodes=50, seed=2).values
        for given in (env, env.unwrapped, env.unwrapped.world)
    ]
    np.testing.assert_array_equal(tables[0], tables[1])
    np.testing.assert_array_equal(tables[0], tables[2])


def test_the_lifetime_is_the_envs():
    assert lifetime_of(gym.make("GlitchGrid-v0", max_episode_steps=7)) == 7
    assert lifetime_of(gym.make("GlitchGrid-v0", lifetime=5)) == 5
    assert lifetime_of(gym.make("GlitchGrid-v0")) == 20


def test_seeds_repeat_and_differ():
    world = small_world()
    first, again, other = (
        QLearning().learn(world, episodes=50, seed=seed).values for seed in (1, 1, 2)
    )
    np.testing.assert_array_equal(first, again)
    assert (first != other).any()


def test_progress_is_reported_to_the_end():
    seen = []
    QLearning().learn(
        small_world(), episodes=1000, progress=lambda done, episodes: seen.append((done, episodes))
    )
    assert seen[-1] == (1000, 1000)
    assert sorted(seen) == seen


def test_ctrl_c_gives_what_has_been_learned(heeds_ctrl_c):
    def interrupt(done, episodes):
        if done > 1000:
            os.kill(os.getpid(), signal.SIGINT)

    world = small_world()
    table = QLearning().learn(world, episodes=10_000_000, seed=3, progress=interrupt)
    assert table.interrupted
    assert 1000 < table.episodes < 10_000_000
    # What it has is what a run of just so many episodes gives
    whole = QLearning().learn(world, episodes=table.episodes, seed=3)
    np.testing.assert_array_equal(table.values, whole.values)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: QLearning(alpha=2), "alpha"),
        (lambda: QLearning(epsilon=Schedule(2, 0)), "epsilon"),
        (lambda: QLearning(gamma=-1), "gamma"),
        (lambda: QLearning(initial=float("nan")), "initial"),
        (lambda: QLearning(ties="none"), "ties"),
        (lambda: QLearning().learn(small_world(), episodes=0), "episodes"),
        (lambda: QLearning().learn(gym.make("CartPole-v1"), episodes=1), "Discrete"),
    ],
)
def test_bad_settings_are_refused(call, message):
    with pytest.raises(SettingError, match=message):
        call()


def test_the_first_of_very_many_episodes_does_not_wait_for_the_rates_of_all():
    """Rates are made chunk by chunk: those of 10¹² episodes would fill any memory."""

    class EnoughError(Exception):
        pass

    def progress(done, episodes):
        raise EnoughError

    for learner in (QLearning(), Sarsa()):
        with pytest.raises(EnoughError):
            learner.learn(small_world(), episodes=10**12, progress=progress)
