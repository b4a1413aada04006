from __future__ import annotations

import contextlib
import importlib.util
import re
import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest

from glitch_gym.picture import read_picture

EXAMPLES = Path(__file__).parent.parent / "examples"


def run(name, folder, *arguments):
    result = subprocess.run(
        [sys.executable, str(EXAMPLES / name), *arguments],
        cwd=folder,
        capture_output=True,
        text=True,
    )
    assert result.returncode == 0, result.stderr
    return result.stdout


def test_q_learning_from_scratch_comes_near_the_optimum(tmp_path):
    said = run("q_learning_from_scratch.py", tmp_path, "--episodes", "4000")
    assert float(re.findall(r"optimality ([\d.]+)", said)[-1]) > 0.9


def test_learners_are_compared_in_a_plot(tmp_path):
    said = run("compare_learners.py", tmp_path, "--seeds", "2", "--points", "3")
    assert float(re.search(r"sweeping +([\d.]+)", said)[1]) > 0.99
    assert read_picture(tmp_path / "learning.png").frame.std() > 10


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "steps", "words"),
    [
        ("ppo_coordinates.py", "1024", r"optimality -?[\d.]+ after 1,024 steps"),
        ("maskable_ppo.py", "1024", r"; 0 of \d+ steps walked into a wall"),
        ("maskable_ppo_native.py", "4096", r"mean return .* steps/s"),
        ("ppo_single_file.py", "20480", r"20,480 steps: mean return"),
        ("dqn_single_file.py", "6000", r"6,000 steps: mean return|4,\d+ steps: mean return"),
    ],
)
def test_deep_examples_run(name, steps, words, tmp_path):
    assert re.search(words, run(name, tmp_path, "--steps", steps))


@pytest.mark.slow
def test_a_trained_model_drives_the_filter(tmp_path):
    run("sb3_drives_the_filter.py", tmp_path, "--steps", "4096", "-o", "out.png")
    painted = read_picture(tmp_path / "out.png").frame
    original = read_picture("sample:balloon").frame
    assert 0.05 < (painted != original).any(axis=2).mean() < 1


@pytest.mark.skipif(
    importlib.util.find_spec("tensorboard") is None, reason="pip install tensorboard"
)
def test_the_curves_of_a_learner_are_written_for_tensorboard(tmp_path):
    run("tensorboard_curves.py", tmp_path, "--episodes", "2000", "--folder", str(tmp_path))
    (written,) = tmp_path.glob("events.*")
    for name in (b"optimality", b"greedy_return", b"share of the best return"):
        assert written.read_bytes().count(name) == 100


@pytest.mark.skipif(importlib.util.find_spec("trackio") is None, reason="pip install trackio")
def test_the_curves_of_a_learner_are_tracked_on_this_machine(tmp_path, monkeypatch):
    monkeypatch.setenv("TRACKIO_DIR", str(tmp_path))
    run("trackio_curves.py", tmp_path, "--episodes", "2000")
    with contextlib.closing(sqlite3.connect(tmp_path / "glitch-gym.db")) as tracked:
        rows = tracked.execute("SELECT step, metrics FROM metrics ORDER BY step").fetchall()
    assert [step for step, _ in rows] == list(range(20, 2001, 20))
    assert "optimality" in str(rows[-1][1])


@pytest.mark.skipif(
    any(importlib.util.find_spec(name) is None for name in ("ray", "tree")),
    reason="RLlib is large: pip install 'ray[rllib]'",
)
def test_rllib_takes_the_env_by_its_name(tmp_path):
    assert "iteration 1: mean return" in run("rllib_ppo.py", tmp_path, "--iterations", "1")


def test_every_example_is_run_by_a_test():
    tested = Path(__file__).read_text()
    for path in EXAMPLES.glob("*.py"):
        assert f'"{path.name}"' in tested
