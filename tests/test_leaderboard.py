from __future__ import annotations

import importlib
import sys
from pathlib import Path

import numpy as np
import pytest

BENCHMARKS = Path(__file__).parent.parent / "benchmarks"


@pytest.fixture(scope="module")
def board():
    sys.path.insert(0, str(BENCHMARKS))
    try:
        yield importlib.import_module("leaderboard")
    finally:
        sys.path.remove(str(BENCHMARKS))


def test_a_policy_is_evaluated_as_its_walks_would_be(board):
    env = board.environment("GlitchGrid-Linger-Coordinates-v0")
    rng = np.random.default_rng(0)
    actions = rng.integers(env.world.actions.n, size=env.world.grid.n_cells)
    returns = []
    for cell in env.world.picture_cells:
        env.reset(options={"cell": divmod(int(cell), env.world.grid.cols)})
        total, over, here = 0.0, False, int(cell)
        while not over:
            _, reward, terminated, truncated, info = env.step(int(actions[here]))
            here = int(info["cell"][0]) * env.world.grid.cols + int(info["cell"][1])
            total, over = total + reward, terminated or truncated
        returns.append(total)
    probs = np.eye(env.world.actions.n)[actions]
    assert board.evaluate(env.world, probs) == pytest.approx(np.mean(returns), abs=1e-9)


def test_random_actions_are_nothing_and_the_optimum_is_everything(board):
    for task in board.TASKS:
        chance, best = board.limits(task.env_id)
        assert chance < best
        assert board.share(task.env_id, chance) == 0
        assert board.share(task.env_id, best) == 1


def test_finished_runs_are_kept_and_a_torn_line_is_not(board, tmp_path):
    path = tmp_path / "rows.csv"
    runs = [board.run(board.TASKS[0], "Q-learning, α = ε = 1", seed, 2000) for seed in (0, 1)]
    for one in runs:
        board.append(one, path)
    with path.open("a") as file:
        file.write("escape 20×10,SARSA,0,20")
    again = board.read(path)
    assert [(one.task, one.learner, one.seed) for one in again] == [
        (one.task, one.learner, one.seed) for one in runs
    ]
    assert again[0].share == pytest.approx(runs[0].share, rel=1e-5)
    assert again[0].test_share is None
    assert 0 < runs[0].share < 1


def test_the_interquartile_mean_leaves_out_a_quarter_on_each_side(board):
    page = importlib.import_module("leaderboard_page")
    scores = [np.array([0.0, 1, 2, 3]), np.array([4.0, 5, 6, 100])]
    assert page.iqm(scores) == pytest.approx(3.5)
    low, high = page.interval(scores)
    assert low <= 3.5 <= high
    assert page.interval([np.full(5, 0.5)] * 2) == (0.5, 0.5)


def test_the_page_holds_what_was_measured_and_nothing_else(board, tmp_path):
    pytest.importorskip("matplotlib", reason="the plot needs matplotlib")
    pytest.importorskip("sb3_contrib", reason="the page names the versions of the extra rl")
    page = importlib.import_module("leaderboard_page")
    rows = [
        board.Run(task.name, learner, seed, 1000, 1.0, 0.0, 2.0, 0.5, None, None, 0.1)
        for task in board.TASKS
        for seed in range(2)
        for learner in ("SARSA", "Q(λ)")
    ]
    partly = board.Run(board.TASKS[5].name, "PPO (SB3)", 0, 1000, 1, 0, 2, 0.6, 0.4, 0.3, 9.0)
    ids = [(one.name, one.env_id) for one in board.TASKS]
    target = tmp_path / "page.md"
    page.write_page([*rows, partly], list(board.LEARNERS), ids, 1000, target)
    text = target.read_text()
    assert "| SARSA | 0.500 | 0.500…0.500 | 2 |" in text
    assert "PPO (SB3) | not run |" in text
    assert "| PPO (SB3) | 0.600 | 0.400 | +0.200 | 0.300 | 1 |" in text
    assert "double Q-learning |" not in text
    assert target.with_suffix(".png").stat().st_size > 1000


def test_the_committed_rows_are_of_tasks_and_learners_that_there_are(board):
    rows = board.read()
    assert {one.task for one in rows} <= {task.name for task in board.TASKS}
    assert {one.learner for one in rows} <= set(board.LEARNERS)
    keys = [(one.task, one.learner, one.seed, one.budget) for one in rows]
    assert len(keys) == len(set(keys))
    for one in rows:
        chance, best = board.limits(
            next(task.env_id for task in board.TASKS if task.name == one.task)
        )
        # The numbers are those of today's worlds
        assert one.random_return == pytest.approx(chance, abs=1e-3)
        assert one.optimal_return == pytest.approx(best, abs=1e-3)
