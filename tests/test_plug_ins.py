"""Effects of third parties, as real packages that pip has installed."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest
from packages import with_packages
from PIL import Image
from support.plug_ins import CHECKER

PROJECT = """
[build-system]
requires = ["hatchling"]
build-backend = "hatchling.build"

[project]
name = "{name}"
version = "1.0"

[project.entry-points."glitch_gym.effects"]
{effect} = "{name}:{effect}"
"""

RECIPE = """
activation = "edges"
[[layers]]
grid = [6, 9]
fit = "stretch"
iterations = 100
agents = 40
[layers.effects]
{effect}
"""


@pytest.fixture(scope="module")
def installed(tmp_path_factory):
    """Install plug-ins into a folder; gives a function that runs the program with it."""
    folder = tmp_path_factory.mktemp("plug-ins")
    sources = {
        "checker": CHECKER,
        "broken": "raise RuntimeError('out of paint')",
        "careless": CHECKER.replace("checker", "careless").replace(
            "rows, cols =", "return stamp.cell[:1]\n    rows, cols ="
        ),
        "raising": CHECKER.replace("checker", "raising").replace(
            "rows, cols =", "1 / 0\n    rows, cols ="
        ),
    }
    for name, text in sources.items():
        package = folder / "source" / name
        (package / f"{name}_effect").mkdir(parents=True)
        (package / f"{name}_effect" / "__init__.py").write_text(text)
        project = PROJECT.format(name=f"{name}_effect", effect=name)
        (package / "pyproject.toml").write_text(project)
    subprocess.run(
        [
            sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--no-index",
            "--no-build-isolation", "--disable-pip-version-check", "--root-user-action=ignore",
            "--target", str(folder / "site"),
            *(str(folder / "source" / name) for name in sources),
        ],
        check=True,
    )  # fmt: skip

    def run(*arguments):
        return subprocess.run(
            [sys.executable, "-m", "glitch_render.cli", *map(str, arguments)],
            capture_output=True,
            text=True,
            env=with_packages(folder / "site"),
        )

    return run


def test_an_installed_effect_is_used_from_a_recipe(installed, small, tmp_path):
    Image.fromarray(small).save(tmp_path / "in.png")
    (tmp_path / "own.toml").write_text(RECIPE.format(effect="checker = { shade = 7 }"))
    done = installed(
        "corrupt",
        tmp_path / "in.png",
        "-o",
        tmp_path / "out.png",
        "--recipe",
        tmp_path / "own.toml",
    )
    assert done.returncode == 0, done.stderr
    shown = np.asarray(Image.open(tmp_path / "out.png"))
    changed = (shown != small).any(axis=2)
    assert changed.mean() > 0.1
    assert (shown[changed] == 7).all()


def test_it_is_listed_and_its_parameters_are_checked(installed, tmp_path):
    assert "Fill every other pixel" in installed("effects").stdout
    (tmp_path / "own.toml").write_text(RECIPE.format(effect="checker = { shade = 256 }"))
    done = installed(
        "corrupt", "sample:balloon", "-o", tmp_path / "o.png", "-r", tmp_path / "own.toml"
    )
    assert done.returncode == 1
    assert "layers.1.effects.checker.shade" in done.stderr


def test_a_broken_plug_in_is_reported_and_stops_nothing(installed):
    done = installed("effects")
    assert done.returncode == 0
    assert "broken" in done.stderr
    assert "out of paint" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize(
    ("effect", "message"),
    [("careless", "it must return that shape"), ("raising", "division by zero")],
)
def test_an_effect_that_fails_is_named_and_leaves_no_output(installed, tmp_path, effect, message):
    (tmp_path / "own.toml").write_text(RECIPE.format(effect=f"{effect} = {{}}"))
    output = tmp_path / "out.png"
    done = installed("corrupt", "sample:balloon", "-o", output, "--recipe", tmp_path / "own.toml")
    assert done.returncode == 1
    assert f"effect '{effect}'" in done.stderr
    assert message in done.stderr
    assert "Traceback" not in done.stderr
    assert not output.exists()
