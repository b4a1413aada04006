"""Slip: the move is another one with that probability, alike for every one who steps."""

from __future__ import annotations

import gymnasium as gym
import numpy as np
import pytest
from gymnasium.utils.env_checker import check_env, data_equivalence
from gymnasium.vector import AutoresetMode
from hypothesis import given, settings
from hypothesis import strategies as st
from support import reference

from glitch_agents import (
    ExactPlanner,
    ModelBased,
    Population,
    QLearning,
    QTable,
    optimal_return,
    optimality,
    rollout,
    state_values,
)
from glitch_gym import GlitchGridEnv, GlitchGridVectorEnv
from glitch_gym.actions import ActionSet
from glitch_gym.dynamics import EXIT, grid_world
from glitch_gym.errors import SettingError
from glitch_gym.grid import Grid
from glitch_gym.randomness import slipped, slipped_py

N = 6
FRAME = np.zeros((40, 40, 3), np.uint8)
SLIPS = st.sampled_from([1e-9, 0.1, 0.5, 1.0]) | st.floats(0, 1, exclude_min=True)


def small_world(slip, moves=4, seed=0):
    actions = ActionSet(("same", "invert"), moves)
    rewards = np.random.default_rng(seed).normal(size=(5, 4, actions.n)).astype(np.float32)
    return grid_world(Grid(5, 4, 4, 4), actions, rewards, exit_reward=3, slip=slip)


@settings(deadline=None)
@given(
    st.integers(0, 23), st.sampled_from([4, 8]), SLIPS, st.integers(0, 2**64 - 1),
    st.integers(0, 10**6),
)  # fmt: skip
def test_the_compiled_slip_is_the_plain_one(action, n_moves, slip, episode, step):
    taken = reference.slipped(action, n_moves, slip, episode, step)
    assert slipped_py(action, n_moves, slip, episode, step) == taken
    assert slipped(action, n_moves, slip, np.uint64(episode), step) == taken
    assert taken // n_moves == action // n_moves


@settings(deadline=None, max_examples=25)
@given(
    SLIPS, st.sampled_from([4, 8]), st.integers(0, 10**6), st.sampled_from(list(AutoresetMode))
)  # fmt: skip
def test_vector_and_scalar_envs_slip_alike_and_by_the_reference(slip, moves, seed, mode):
    world = small_world(slip, moves, seed)
    ours = GlitchGridVectorEnv(
        N, 9, env=GlitchGridEnv.from_world(world, FRAME), autoreset_mode=mode, masks=True
    )
    loop = gym.vector.SyncVectorEnv(
        [lambda: GlitchGridEnv.from_world(world, FRAME, lifetime=9)] * N, autoreset_mode=mode
    )
    mine, theirs = ours.reset(seed=seed), loop.reset(seed=seed)
    assert data_equivalence(mine[0], theirs[0])
    rng = np.random.default_rng(seed)
    for _ in range(30):
        before, done = ours.cells, ours._done.copy()
        actions = rng.integers(world.actions.n, size=N)
        carried_out = [
            reference.slipped(
                int(action), moves, slip, reference.draw(int(key), int(episode)), int(step)
            )
            for action, key, episode, step in zip(
                actions, ours._keys, ours._episodes, ours._steps, strict=True
            )
        ]
        mine, theirs = ours.step(actions), loop.step(actions)
        assert data_equivalence(mine[:4], theirs[:4], exact=True)
        for i in np.flatnonzero(~done):
            there, reward, _ = reference.step(world, before[i], carried_out[i])
            assert mine[1][i] == np.float32(reward)
            assert mine[2][i] == (there is None)
        ended = mine[2] | mine[3]
        if mode == AutoresetMode.DISABLED and ended.any():
            for env in (ours, loop):
                env.reset(options={"reset_mask": ended.copy()})


@settings(deadline=None, max_examples=20)
@given(SLIPS, st.sampled_from([4, 8]), st.integers(0, 100))
def test_p_is_what_the_reference_does_for_each_move(slip, moves, seed):
    world = small_world(slip, moves, seed)
    env = GlitchGridEnv.from_world(world, FRAME)
    for state in world.picture_cells.tolist():
        for action, outcomes in env.P[state].items():
            assert len(outcomes) == moves
            assert sum(share for share, *_ in outcomes) == pytest.approx(1)
            first = action - action % moves
            carried_out = [action] + [a for a in range(first, first + moves) if a != action]
            for one, (share, there, reward, terminated) in zip(carried_out, outcomes, strict=True):
                cell, gained, _ = reference.step(world, state, one)
                assert share == (1 - slip if one == action else slip / (moves - 1))
                assert (there, terminated) == (state if cell is None else cell, cell is None)
                assert reward == np.float32(gained)


def test_agents_slip_as_often_as_p_says():
    world = small_world(0.3)
    env = GlitchGridVectorEnv(40_000, env=GlitchGridEnv.from_world(world, FRAME))
    env.reset(seed=1, options={"cell": (1, 1)})
    observations, *_ = env.step(np.zeros(40_000, np.int64))
    counts = np.bincount(observations, minlength=20) / 40_000
    for share, there, *_ in env._single.P[5][0]:
        assert abs(counts[there] - share) < 0.012


def test_rollouts_in_the_kernel_slip_as_steps_do():
    world = small_world(0.2)
    env, stepped = (
        GlitchGridVectorEnv(
            N, env=GlitchGridEnv.from_world(world, FRAME), autoreset_mode="SameStep"
        )
        for _ in range(2)
    )
    env.reset(seed=2)
    seen, _ = stepped.reset(seed=2)
    rolled = env.rollout(None, 120)
    for t in range(120):
        np.testing.assert_array_equal(rolled.observations[t], seen)
        seen, rewards, terminated, truncated, _ = stepped.step(rolled.actions[t])
        np.testing.assert_array_equal(rolled.rewards[t], rewards)
        np.testing.assert_array_equal(rolled.terminations[t], terminated)
        np.testing.assert_array_equal(rolled.truncations[t], truncated)


def test_what_is_drawn_is_the_step_that_was_carried_out(small):
    given = {"image": small, "grid": (8, 12), "fit": "stretch", "slip": 0.7}
    scalar = GlitchGridEnv(render_mode="rgb_array", **given)
    vector = gym.make_vec("GlitchGrid-v0", 1, render_mode="rgb_array", **given)
    scalar.reset(seed=3, options={"cell": (4, 6)})
    vector.reset(seed=3, options={"cell": (4, 6)})
    for _ in range(3):
        before = scalar.walk
        scalar.step(0)
        vector.step(np.array([0]))
        assert len(scalar.walk) == len(before) + 1
        np.testing.assert_array_equal(vector.render()[0], scalar.render())
    assert {action for _, action in scalar.walk} != {0}


def test_gymnasiums_checker_passes():
    check_env(gym.make("GlitchGrid-v0", slip=0.2, render_mode="rgb_array").unwrapped)


def test_starts_are_shared_out_over_the_pictures_cells():
    env = GlitchGridEnv()
    shares = env.initial_state_distrib
    assert (shares.dtype, shares.shape) == (np.float64, (200,))
    assert shares.sum() == pytest.approx(1)
    assert np.flatnonzero(shares).tolist() == env.world.picture_cells.tolist()


def test_tabular_learners_learn_with_slip_as_well_as_value_iteration_plans():
    env = GlitchGridEnv.from_world(small_world(0.2), FRAME)
    table = QLearning(alpha=0.1, epsilon=0.5).learn(env, episodes=60_000, seed=0)
    assert table.values.shape == (5, 4, 8)
    best = np.zeros((20, 8))
    for _ in range(300):
        best = np.array([
            [
                sum(
                    share * (reward + 0.95 * (0 if done else best[there].max()))
                    for share, there, reward, done in outs
                )
                for outs in env.P[state].values()
            ]
            for state in range(20)
        ])  # fmt: skip
    cells = env.world.picture_cells
    got = best[cells, table.values.reshape(20, 8)[cells].argmax(axis=1)]
    assert got.mean() > 0.97 * best[cells].max(axis=1).mean()


def matrices(env):
    """Return what ``P`` says: probabilities (n_states, n_actions, n_states), and mean rewards."""
    ahead, rewards = np.zeros((20, 8, 20)), np.zeros((20, 8))
    for state in env.world.picture_cells:
        for action, outcomes in env.P[state].items():
            for share, there, reward, done in outcomes:
                rewards[state, action] += share * reward
                ahead[state, action, there] += share * (not done)
    return ahead, rewards


@pytest.mark.parametrize("gamma", [0.5, 0.95, 0.999])
def test_the_planner_is_value_iteration_over_p(gamma):
    world = small_world(0.3)
    env = GlitchGridEnv.from_world(world, FRAME)
    ahead, rewards = matrices(env)
    values = np.zeros(20)
    for _ in range(40_000):
        values = (rewards + gamma * ahead @ values).max(axis=1)
    for asked in (env, world):
        np.testing.assert_allclose(state_values(asked, gamma), values, atol=1e-6)
        table = ExactPlanner(gamma=gamma).learn(asked)
        assert table.values.shape == (5, 4, 8)
        assert optimality(asked, table, gamma) == pytest.approx(1, abs=1e-5)


def test_the_best_return_within_a_lifetime_counts_the_slips():
    world = small_world(0.3)
    ahead, rewards = matrices(GlitchGridEnv.from_world(world, FRAME))
    values = np.zeros(20)
    for _ in range(7):
        values = (rewards + ahead @ values).max(axis=1)
    expected = values[world.picture_cells].mean()
    assert optimal_return(world, lifetime=7) == pytest.approx(expected)
    assert optimal_return(small_world(0.0), lifetime=7) > expected


def test_a_bare_world_with_slip_is_learned_as_its_environment_is():
    world = small_world(0.2)
    env = GlitchGridEnv.from_world(world, FRAME)
    alone = QLearning(alpha=0.3, epsilon=0.5).learn(world, episodes=500, seed=3)
    np.testing.assert_array_equal(
        alone.values, QLearning(alpha=0.3, epsilon=0.5).learn(env, episodes=500, seed=3).values
    )


@pytest.mark.parametrize(
    "call",
    [
        lambda world: ModelBased().learn(world, episodes=5),
        lambda world: rollout(world, QTable(np.zeros((5, 4, 8), np.float32)), agents=3),
        lambda world: Population(3, lifetime=4).follow(
            world, QTable(np.zeros((5, 4, 8), np.float32))
        ),
    ],
)
def test_what_follows_the_tables_alone_refuses_slip(call):
    with pytest.raises(SettingError, match=r"slip of 0\.1: step an environment"):
        call(small_world(0.1))
    call(small_world(0.0))


def test_worlds_without_slip_are_what_they_were():
    with_zero, with_slip = small_world(0.0), small_world(0.1)
    assert with_zero.digest != with_slip.digest
    assert (with_zero.next_state == with_slip.next_state).all()
    assert EXIT in with_slip.next_state
