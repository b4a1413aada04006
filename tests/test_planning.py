from __future__ import annotations

import numpy as np
import pytest
from scipy import sparse
from scipy.sparse.linalg import spsolve
from support.worlds import photograph_world, small_world

from glitch_agents import ExactPlanner, QLearning, QTable, optimality, policy_values, state_values
from glitch_gym.errors import SettingError


def plain_values(world, gamma):
    """Jacobi value iteration over all actions until nothing changes."""
    values = np.zeros(world.grid.n_cells)
    for _ in range(3000):
        following = np.where(world.next_state >= 0, values[world.next_state], 0)
        values = (world.rewards.astype(float) + gamma * following).max(axis=1)
    return values


@pytest.mark.parametrize("world", [small_world(), small_world(moves=8), photograph_world()])
@pytest.mark.parametrize("tolerance", [1e-2, 1e-6, 1e-10])
def test_values_are_within_the_bound_that_is_promised(world, tolerance):
    exact = plain_values(world, 0.95)
    cells = world.picture_cells
    error = np.abs(state_values(world, 0.95, tolerance) - exact)[cells].max()
    assert error <= tolerance


def solved(world, probs, gamma):
    """The value of a policy by solving its linear equations."""
    n, k = probs.shape
    state, _ = np.indices((n, k))
    stays = world.next_state >= 0
    moves = sparse.csr_matrix((probs[stays], (state[stays], world.next_state[stays])), shape=(n, n))
    return spsolve(sparse.eye(n) - gamma * moves, (probs * world.rewards).sum(axis=1))


@pytest.mark.parametrize("world", [small_world(), photograph_world(objective="linger", moves=8)])
def test_a_policys_value_solves_its_equations(world):
    values = np.random.default_rng(1).normal(size=world.reward_field.shape).astype(np.float32)
    cells = world.picture_cells
    for table in (QTable(values), QTable(values).softmax(0.4), QTable(values * 0)):
        expected = solved(world, table.probabilities(), 0.9)
        np.testing.assert_allclose(
            policy_values(world, table, 0.9)[cells], expected[cells], atol=1e-7
        )


def test_random_is_0_the_optimum_is_1_and_learners_lie_between():
    world = photograph_world()
    assert optimality(world, QTable(world.reward_field * 0)) == pytest.approx(0, abs=1e-9)
    planned = ExactPlanner().learn(world)
    assert optimality(world, planned) == pytest.approx(1, abs=1e-6)
    assert optimality(world, planned.by_state.argmax(axis=1)) == pytest.approx(1, abs=1e-6)
    little = optimality(world, QLearning(alpha=1.0, epsilon=1.0).learn(world, episodes=500))
    much = optimality(world, QLearning(alpha=1.0, epsilon=1.0).learn(world, episodes=50_000))
    assert 0 < little < much < 1.000001
    assert much > 0.99


def test_a_policy_that_only_acts_is_measured_as_what_it_does():
    world = small_world()

    class Acts:
        def act(self, cells):
            return cells % world.actions.n

    cells = np.arange(world.grid.n_cells)
    assert optimality(world, Acts()) == optimality(world, cells % world.actions.n)


def test_the_planner_is_a_learner():
    world = small_world()
    seen = []
    table = ExactPlanner(ties="first").learn(
        world, episodes=5, progress=lambda done, episodes: seen.append((done, episodes))
    )
    assert seen == [(5, 5)]
    assert table.ties == "first"
    cells = world.picture_cells
    np.testing.assert_allclose(
        table.by_state.max(axis=1)[cells], plain_values(world, 0.95)[cells], atol=1e-5
    )


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda w: state_values(w, 1.0), "gamma"),
        (lambda w: state_values(w, 0.9, 0), "tolerance"),
        (lambda w: ExactPlanner(gamma=-1), "gamma"),
        (lambda w: ExactPlanner(tolerance=-1), "tolerance"),
        (lambda w: ExactPlanner(ties="last"), "ties"),
        (lambda w: policy_values(w, np.zeros((2, 2))), "probabilities are"),
        (lambda w: policy_values(w, np.zeros(w.next_state.shape)), "sum to 1"),
        (lambda w: optimality(photograph_world(reward_range=(0, 0), exit_reward=0,
                                               grid=(1, 1)), np.full((1, 12), 1 / 12)),
         "random actions are optimal"),
    ],
)  # fmt: skip
def test_bad_input_is_refused(call, message):
    with pytest.raises(SettingError, match=message):
        call(small_world())
