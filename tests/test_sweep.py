"""Sweeps: the same figures on any engine, and nothing trained twice."""

from __future__ import annotations

import csv
from concurrent.futures import ThreadPoolExecutor

import pytest
from support.program import run

from glitch_gym.errors import RecipeError, SettingError
from glitch_gym.picture import read_picture
from glitch_render.sweeps.plan import parse_sweep
from glitch_render.sweeps.plot import plot_sweep
from glitch_render.sweeps.run import CURVES, sweep

PLAN = """
pictures = ["sample:balloon"]
seeds = 2
episodes = 400
points = 4

[world]
grid = [8, 8]
activation = "edges"

[vary]
objective = ["escape", "linger"]

[[learners]]
name = "q_learning"
alpha = [0.1, 1.0]

[[learners]]
name = "sarsa"
"""
FIGURES = ("learner", "settings", "world", "seed", "episodes", "steps", "optimality")


def figures(rows):
    return [tuple(row[name] for name in FIGURES) for row in rows]


def test_every_combination_is_trained_once_and_measured(tmp_path):
    rows = sweep(parse_sweep(PLAN), tmp_path / "one")
    assert len(rows) == 2 * 3 * 2
    assert len({row["key"] for row in rows}) == len(rows)
    assert all(row["status"] == "done" for row in rows)
    assert all(row["episodes"] == 400 and row["steps"] > 400 for row in rows)
    assert all(row["optimality"] <= 1 + 1e-9 for row in rows)
    with (tmp_path / "one" / CURVES).open(newline="") as file:
        curves = list(csv.DictReader(file))
    assert [float(row["episodes"]) for row in curves[:4]] == [100, 200, 300, 400]
    assert len(curves) == 4 * len(rows)


def test_figures_do_not_depend_on_the_engine(tmp_path):
    alone = sweep(parse_sweep(PLAN), tmp_path / "one")
    with ThreadPoolExecutor(3) as threads:
        shared = sweep(parse_sweep(PLAN), tmp_path / "two", executor=threads)
    assert figures(shared) == figures(alone)
    curves = [(tmp_path / name / CURVES).read_bytes() for name in ("one", "two")]
    assert curves[0] == curves[1]


def test_what_was_finished_is_not_trained_again(tmp_path):
    plan = parse_sweep(PLAN)

    def stop(done, total):
        if done == 5:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        sweep(plan, tmp_path, progress=stop)
    assert len(list((tmp_path / "runs").iterdir())) == 5
    (tmp_path / "runs" / "0123456789abcdef.json").write_text("{")
    first = []
    sweep(plan, tmp_path, progress=lambda done, total: first.append(done))
    assert first[0] == 5
    more = parse_sweep(PLAN.replace("seeds = 2", "seeds = 3"))
    counted = []
    rows = sweep(more, tmp_path, progress=lambda done, total: counted.append(done))
    assert counted[0] == 12
    assert len(rows) == 18


def test_a_run_that_fails_is_a_row_and_is_tried_again_later(tmp_path):
    plan = parse_sweep(PLAN.replace("[0.1, 1.0]", "[0.1, 7.0]"))
    rows = sweep(plan, tmp_path)
    failed = [row for row in rows if row["status"] == "failed"]
    assert len(failed) == 4
    assert all("alpha" in row["message"] for row in failed)
    counted = []
    sweep(plan, tmp_path, progress=lambda done, total: counted.append(done))
    assert counted[0] == 8


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "pictures: Field required"),
        ("pictures = [", "is not TOML"),
        (PLAN.replace("seeds = 2", "seeds = 0"), "seeds"),
        (PLAN.replace("episodes = 400", "episodes = 1e9"), "episodes"),
        (PLAN + "\nextra = 1\n[other]\n", "other: Extra inputs"),
        (PLAN.replace('activation = "edges"', 'image = "other.png"'), "image is no setting"),
        (PLAN.replace("[vary]", "[vary]\nseed = [1]"), "seed is no setting"),
        ("a = " + "[" * 3000 + "]" * 3000, "nested|TOML"),
    ],
)
def test_a_wrong_sweep_is_refused_with_every_problem(text, words):
    with pytest.raises(RecipeError, match=words):
        parse_sweep(text)


def test_a_sweep_beyond_measure_is_refused():
    with pytest.raises(SettingError, match="at most 1,000,000 runs"):
        list(
            parse_sweep(
                PLAN.replace("seeds = 2", "seeds = 100000").replace(
                    "[0.1, 1.0]", "[0.1, 0.2, 0.3, 0.4, 0.5]"
                )
            ).runs()
        )


def test_the_program_trains_and_draws(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "sweep.toml").write_text(PLAN.replace("seeds = 2", "seeds = 1"))
    result = run("sweep", "sweep.toml", "-o", "runs")
    assert result.exit_code == 0, result.output
    assert "6 runs done, 0 failed" in result.stderr
    drawn = read_picture(tmp_path / "runs" / "curves.png").frame
    assert len({tuple(pixel) for pixel in drawn.reshape(-1, 3)[::7]}) > 20
    assert plot_sweep(tmp_path / "runs").read_bytes() == plot_sweep(tmp_path / "runs").read_bytes()
    wrong = run("sweep", "nowhere.toml", "-o", "runs")
    assert wrong.exit_code == 1
    assert wrong.stderr.startswith("error: ")
