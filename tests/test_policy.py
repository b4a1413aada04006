from __future__ import annotations

import numpy as np
import pytest

from glitch_agents.policy import QTable
from glitch_agents.schedule import Schedule, as_schedule
from glitch_gym.errors import SettingError
from glitch_gym.policy import Policy

VALUES = np.array([[[0, 3, 3, 1], [2, 2, 2, 2]], [[5, 0, 0, 0], [0, 0, 0, 1]]], np.float32)


def shares(table, cell, draws=4000):
    chosen = table.act(np.full(draws, cell))
    return np.bincount(chosen, minlength=4) / draws


def test_a_table_is_a_policy():
    assert isinstance(QTable(VALUES), Policy)
    assert QTable(VALUES).act(np.array([[2, 3]])).tolist() == [[0, 3]]
    assert int(QTable(VALUES).act(np.int64(2))) == 0


def test_ties_are_broken_at_random_or_by_the_first():
    np.testing.assert_allclose(shares(QTable(VALUES), 0), [0, 0.5, 0.5, 0], atol=0.04)
    assert shares(QTable(VALUES, ties="first"), 0).tolist() == [0, 1, 0, 0]


@pytest.mark.parametrize(
    "table",
    [
        QTable(VALUES),
        QTable(VALUES, ties="first"),
        QTable(VALUES).epsilon_greedy(0.3),
        QTable(VALUES).softmax(1.5),
    ],
)
def test_actions_are_drawn_with_the_probabilities_that_are_said(table):
    said = table.probabilities()
    np.testing.assert_allclose(said.sum(axis=1), 1)
    for cell in range(4):
        np.testing.assert_allclose(shares(table, cell), said[cell], atol=0.04)


def test_softmax_is_the_textbooks():
    said = QTable(VALUES).softmax(2.0).probabilities()[2]
    expected = np.exp(np.array([5, 0, 0, 0]) / 2)
    np.testing.assert_allclose(said, expected / expected.sum())


def test_greedy_undoes_the_others():
    assert shares(QTable(VALUES).epsilon_greedy(1).greedy(), 2).tolist() == [1, 0, 0, 0]


def test_equal_seeds_act_alike():
    first, second = (QTable(VALUES, epsilon=0.5, seed=4).act(np.arange(4)) for _ in range(2))
    np.testing.assert_array_equal(first, second)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: QTable(VALUES[0]), "rows, cols"),
        (lambda: QTable(VALUES * np.float32("nan")), "finite"),
        (lambda: QTable(VALUES, ties="last"), "ties"),
        (lambda: QTable(VALUES, epsilon=2), "epsilon"),
        (lambda: QTable(VALUES, temperature=-1), "temperature"),
        (lambda: QTable(VALUES).softmax(0), "temperature"),
        (lambda: QTable(VALUES, epsilon=0.1, temperature=1.0), "not with both"),
        (lambda: QTable(VALUES).act(np.array([4])), "outside"),
        (lambda: Schedule(0, float("inf")), "finite"),
        (lambda: Schedule(0, 1, over=0), "share"),
        (lambda: Schedule(0, 1, shape="exponential"), "above 0"),
        (lambda: Schedule(0, 1, shape="cubic"), "linear"),
        (lambda: as_schedule(1.5, "alpha", 0, 1), "alpha"),
    ],
)
def test_bad_values_are_refused(call, message):
    with pytest.raises(SettingError, match=message):
        call()


def test_schedules_go_from_start_to_end_and_stay():
    values = Schedule(1.0, 0.2, over=0.5).values(0, 101, 101)
    assert values[0] == 1
    assert values[25] == pytest.approx(0.6)
    np.testing.assert_allclose(values[50:], 0.2)
    halving = Schedule(1.0, 0.25, shape="exponential").values(0, 3, 3)
    np.testing.assert_allclose(halving, [1, 0.5, 0.25])


def test_a_schedule_does_not_depend_on_its_chunks():
    schedule = Schedule(0.9, 0.1, over=0.7)
    parts = [schedule.values(a, b, 100) for a, b in ((0, 7), (7, 60), (60, 100))]
    np.testing.assert_array_equal(np.concatenate(parts), schedule.values(0, 100, 100))
