"""Exact planning in any finite process, against plain solutions and other people's planners."""

from __future__ import annotations

import decimal
import itertools
from decimal import Decimal
from functools import cache
from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
from gymnasium import wrappers
from hypothesis import given, settings
from hypothesis import strategies as st
from support.processes import Process, iterated, matrices, random_process, solved
from support.worlds import photograph_world, small_world

from glitch_agents import (
    ExactPlanner,
    QLearning,
    Schedule,
    finite_horizon_values,
    optimal_return,
    optimality,
    policy_values,
    state_values,
)
from glitch_gym.dynamics import grid_world
from glitch_gym.errors import SettingError

TAXI = "Taxi-v4" if "Taxi-v4" in gym.registry else "Taxi-v3"
SEEDS = st.integers(0, 2**32 - 1)


@cache
def toy(name):
    return gym.make(name)


@pytest.mark.parametrize("name", ["FrozenLake-v1", "FrozenLake8x8-v1", "CliffWalking-v1", TAXI])
@pytest.mark.parametrize("gamma", [0.9, 0.999, 1.0])
def test_toy_text_is_planned_as_value_iteration_solves_it(name, gamma):
    env = toy(name)
    expected = iterated(env.unwrapped.P, gamma)
    np.testing.assert_allclose(state_values(env, gamma), expected, atol=1e-6)
    table = ExactPlanner(gamma=gamma).learn(env)
    np.testing.assert_allclose(table.by_state.max(axis=1), expected, atol=1e-4)
    assert optimality(env, table, gamma) == pytest.approx(1, abs=1e-6)


@settings(max_examples=40, deadline=None)
@given(SEEDS, st.sampled_from([0.0, 0.5, 0.95, 0.999, 1.0]))
def test_any_process_is_planned_as_value_iteration_solves_it(seed, gamma):
    env = random_process(seed, ending=0.4)
    # So that every policy's episodes end
    for state, action in itertools.product(range(6), range(3)):
        prob, successor, reward, _ = env.P[state][action][0]
        env.P[state][action][0] = (prob, successor, reward, True)
    expected = iterated(env.P, gamma)
    np.testing.assert_allclose(state_values(env, gamma), expected, atol=1e-8)
    assert optimality(env, ExactPlanner(gamma=gamma).learn(env), gamma) == pytest.approx(1)


@settings(max_examples=40, deadline=None)
@given(SEEDS, st.sampled_from([0.0, 0.5, 0.95, 0.999, 1 - 1e-7]))
def test_any_policys_values_solve_its_equations(seed, gamma):
    env = random_process(seed)
    rng = np.random.default_rng(seed)
    probs = rng.dirichlet(np.ones(3), size=6)
    np.testing.assert_allclose(
        policy_values(env, probs, gamma), solved(env.P, probs, gamma), rtol=1e-6, atol=1e-9
    )
    actions = rng.integers(3, size=6)
    np.testing.assert_allclose(
        policy_values(env, actions, gamma), solved(env.P, np.eye(3)[actions], gamma),
        rtol=1e-6, atol=1e-9,
    )  # fmt: skip


@settings(max_examples=30, deadline=None)
@given(SEEDS, st.integers(1, 4))
def test_the_finite_horizon_optimum_is_the_best_of_all_plans(seed, steps):
    """Every plan, an action for each state and number of steps left, is tried: backward by hand."""
    env = random_process(seed, n_states=3, n_actions=2)
    moves, rewards = matrices(env.P)
    plans = [np.array(choice) for choice in itertools.product(range(2), repeat=3)]
    best = np.full(3, -np.inf)
    states = np.arange(3)
    for plan in itertools.product(plans, repeat=steps):
        values = np.zeros(3)
        for chosen in reversed(plan):
            values = rewards[states, chosen] + moves[states, chosen] @ values
        best = np.maximum(best, values)
    np.testing.assert_allclose(finite_horizon_values(env, steps), best, atol=1e-9)
    expected = env.initial_state_distrib @ best
    assert optimal_return(env, steps) == pytest.approx(expected)


@pytest.mark.parametrize("moves", [4, 8])
def test_the_best_return_in_a_grid_is_that_of_the_best_walk(moves):
    """Every walk of three steps is tried from every cell."""
    world = small_world(moves=moves)
    best = np.zeros(world.grid.n_cells)

    def walk(cell, left):
        if cell < 0 or left == 0:
            return 0.0
        return max(
            float(world.rewards[cell, action]) + walk(int(world.next_state[cell, action]), left - 1)
            for action in range(world.actions.n)
        )

    for cell in world.picture_cells:
        best[cell] = walk(int(cell), 3)
    np.testing.assert_allclose(finite_horizon_values(world, 3), best, atol=1e-6)
    assert optimal_return(world, 3) == pytest.approx(best[world.picture_cells].mean())


def test_the_default_task_has_a_best_return_that_no_policy_passes_and_a_plan_comes_near():
    env: Any = gym.make("GlitchGrid-v0")
    best = optimal_return(env)
    assert best == optimal_return(env.unwrapped.world) == optimal_return(env, 20)
    envs = gym.make_vec("GlitchGrid-v0", num_envs=1)
    assert optimal_return(envs) == best
    longer = gym.make("GlitchGrid-v0", max_episode_steps=30)
    assert optimal_return(longer) == optimal_return(env, 30)
    table = ExactPlanner(gamma=0.99).learn(env)
    model = env.unwrapped.world
    total, cells = np.zeros(model.grid.n_cells), np.arange(model.grid.n_cells)
    states, alive = cells.copy(), np.ones(len(cells), bool)
    for _ in range(20):
        chosen = table.by_state[states].argmax(axis=1)
        total += alive * model.rewards[states, chosen]
        after = model.next_state[states, chosen]
        alive &= after >= 0
        states = np.where(after >= 0, after, 0)
    reached = total[model.picture_cells].mean()
    assert best - 0.01 < reached <= best + 1e-6


def test_the_best_returns_that_the_docs_name_are_those_of_the_default_task():
    text = (Path(__file__).parent.parent / "docs" / "learners.md").read_text(encoding="utf-8")
    escape, linger = (
        optimal_return(gym.make("GlitchGrid-v0", objective=objective))
        for objective in ("escape", "linger")
    )
    assert f"is −{-escape:.4f}, and" in text
    assert f"\n{linger:.4f}, in 20 steps" in text


def test_episodes_that_never_end_have_no_value_without_discount():
    stay = {0: {0: [(1.0, 0, 1.0, False)], 1: [(1.0, 0, 0.0, True)]}}
    for reward in (1.0, -1.0):
        stay[0][0] = [(1.0, 0, reward, False)]
        env = Process(stay, [1.0])
        with pytest.raises(SettingError, match="value of state 0 has no bound"):
            policy_values(env, np.zeros(1, int), 1.0)
        assert policy_values(env, np.ones(1, int), 1.0) == 0
    assert state_values(env, 1.0) == 0
    stay[0][0] = [(1.0, 0, 1.0, False)]
    with pytest.raises(SettingError, match="has no bound"):
        state_values(Process(stay, [1.0]), 1.0)


def test_staying_for_free_is_better_than_paying_to_leave():
    """Policy iteration from a policy that leaves would stop there: both seem equally good."""
    transitions = {0: {0: [(1.0, 0, 0.0, False)], 1: [(1.0, 0, -1.0, True)]}}
    assert state_values(Process(transitions, [1.0]), 1.0) == 0


def test_a_grid_is_planned_without_discount_where_walks_must_end():
    for world in (small_world(), photograph_world(grid=(12, 8))):
        # A price on every step makes every circle a loss
        dear = grid_world(
            world.grid, world.actions, world.reward_field - 10, exit_reward=-3.0,
            prohibited_reward=-9.0,
        )  # fmt: skip
        cells = dear.picture_cells
        expected = np.zeros(dear.grid.n_cells)
        for _ in range(200):
            ahead = np.where(dear.next_state >= 0, expected[dear.next_state], 0)
            expected = (dear.rewards.astype(float) + ahead).max(axis=1)
        values = state_values(dear, 1.0)
        np.testing.assert_allclose(values[cells], expected[cells], atol=1e-5)
        table = ExactPlanner(gamma=1.0).learn(dear)
        assert optimality(dear, table, 1.0) == pytest.approx(1, abs=1e-6)


def to_sixty_digits(world, policy, gamma):
    """The value of a policy as decimals, by doubling the steps that are known."""
    decimal.getcontext().prec = 60
    n = len(policy)
    after = np.append(world.next_state[np.arange(n), policy], n)
    after = np.where(after < 0, n, after)
    values = np.array([Decimal(float(r)) for r in world.rewards[np.arange(n), policy]] + [0])
    factor = Decimal(gamma)
    for _ in range(45):
        values = values + factor * values[after]
        after, factor = after[after], factor * factor
    return values[:n]


@pytest.mark.parametrize("objective", ["escape", "linger"])
@pytest.mark.parametrize("gap", [1e-4, 1e-7, 1e-9])
def test_near_a_discount_of_1_the_planner_keeps_its_bound_and_the_best_policy(objective, gap):
    """From 1 − 1e-7 on it stopped early: rounding hid that a policy could be improved."""
    world = photograph_world(objective=objective, grid=(12, 8))
    gamma = 1 - gap
    table = ExactPlanner(gamma=gamma, ties="first").learn(world)
    policy = table.by_state.argmax(axis=1)
    cells = world.picture_cells
    with decimal.localcontext():
        values = to_sixty_digits(world, policy, gamma)
        ahead = np.where(world.next_state >= 0, values[world.next_state], Decimal(0))
        rewards = np.array([Decimal(float(r)) for r in world.rewards.ravel()])
        best = (rewards.reshape(ahead.shape) + Decimal(gamma) * ahead).max(axis=1)
        better = max(best[cells] - values[cells])
        found = np.array([Decimal(float(v)) for v in state_values(world, gamma, 1e-6)])
        error = max(abs(found - values)[cells])
    # No action is better, so the policy's values are the optimum's
    assert float(better) / gap < 1e-6
    assert float(error) < 2e-6 + 4 * np.spacing(float(max(abs(values))))


def test_learners_are_measured_in_environments_of_others():
    env = toy("FrozenLake-v1")
    learned = QLearning(alpha=Schedule(0.5, 0.01), epsilon=0.3).learn(env, episodes=20_000)
    random = np.full((16, 4), 0.25)
    assert optimality(env, random) == pytest.approx(0, abs=1e-9)
    assert 0.9 < optimality(env, learned.greedy()) <= 1.000001

    class Acts:
        def act(self, states):
            return states % 4

    assert optimality(env, Acts()) == optimality(env, np.arange(16) % 4)


def test_planners_take_worlds_and_all_environments_that_have_one():
    env: Any = gym.make("GlitchGrid-v0")
    world = env.unwrapped.world
    envs = gym.make_vec("GlitchGrid-v0", num_envs=2)
    table = ExactPlanner().learn(world)
    for given_ in (env, env.unwrapped, envs):
        np.testing.assert_array_equal(state_values(given_), state_values(world))
        np.testing.assert_array_equal(ExactPlanner().learn(given_).values, table.values)
        assert optimality(given_, table) == optimality(world, table)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: gym.make("CartPole-v1"), "environment with P"),
        (lambda: gym.make(TAXI, fickle_passenger=True), "environment with P"),
        (lambda: wrappers.ClipReward(gym.make("FrozenLake-v1"), 0, 1), "wrapper ClipReward"),
        (lambda: wrappers.ClipReward(gym.make("GlitchGrid-v0"), 0, 1), "wrapper ClipReward"),
        (lambda: None, "Gymnasium environment"),
    ],
)
def test_what_cannot_be_planned_in_is_refused(make, message):
    for call in (state_values, ExactPlanner().learn, optimal_return):
        with pytest.raises(SettingError, match=message):
            call(make())


def test_a_mean_over_starts_needs_to_know_them():
    env = random_process(1)
    env.initial_state_distrib = None
    assert state_values(env).shape == (6,)
    with pytest.raises(SettingError, match="initial_state_distrib"):
        optimality(env, np.zeros(6, int))


@pytest.mark.slow
@pytest.mark.parametrize("name", ["FrozenLake-v1", "CliffWalking-v1", TAXI, "random"])
@pytest.mark.parametrize("gamma", [0.9, 0.99])
def test_quantecon_finds_the_same_values(name, gamma):
    markov = pytest.importorskip("quantecon.markov", reason="pip install quantecon")
    env = random_process(7, 40, 5) if name == "random" else toy(name)
    moves, rewards = ended(env.unwrapped.P)
    solution = markov.DiscreteDP(rewards, moves, gamma).solve(method="policy_iteration")
    np.testing.assert_allclose(state_values(env, gamma), solution.v[:-1], atol=1e-8)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["FrozenLake-v1", "CliffWalking-v1", TAXI, "random"])
def test_mdptoolbox_finds_the_same_values(name):
    toolbox = pytest.importorskip("mdptoolbox.mdp", reason="pip install pymdptoolbox")
    env = random_process(7, 40, 5) if name == "random" else toy(name)
    moves, rewards = ended(env.unwrapped.P)
    solver = toolbox.PolicyIteration(moves.transpose(1, 0, 2), rewards, 0.95)
    solver.run()
    np.testing.assert_allclose(state_values(env, 0.95), solver.V[:-1], atol=1e-8)


def ended(transitions):
    """The matrices with one more state, which stands for the end of an episode."""
    moves, rewards = matrices(transitions)
    n, k = rewards.shape
    whole = np.zeros((n + 1, k, n + 1))
    whole[:n, :, :n] = moves
    whole[:, :, n] = np.maximum(0, 1 - whole[:, :, :n].sum(axis=2))
    return whole, np.vstack([rewards, np.zeros((1, k))])
