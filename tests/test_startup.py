from __future__ import annotations

import subprocess
import sys

import pytest
from PIL import Image

from glitch_gym.picture import read_picture


def modules_after(statement):
    code = f"import sys; {statement}; print(*sys.modules)"
    result = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    )
    return set(result.stdout.split())


def test_importing_glitch_gym_does_not_import_torch_or_the_renderer():
    modules = modules_after("import glitch_gym")
    assert "torch" not in modules
    assert "torchvision" not in modules
    assert "glitch_render" not in modules
    assert "pydantic" not in modules


def test_learners_and_the_renderer_are_there_without_torch():
    for statement in (
        "import glitch_agents",
        "import glitch_render.layers, glitch_render.media.pictures",
    ):
        modules = modules_after(statement)
        assert not modules & {"torch", "stable_baselines3", "matplotlib"}


def test_making_the_default_env_needs_no_torch():
    modules = modules_after(
        "import gymnasium; import glitch_gym; gymnasium.make('GlitchGrid-v0').reset(seed=0)"
    )
    assert "torch" not in modules


@pytest.mark.parametrize("module", ["numba", "gymnasium", "numpy", "scipy", "torch", "PIL"])
def test_help_imports_nothing_heavy(module):
    code = (
        "import sys\n"
        "from glitch_render.cli import app\n"
        "try: app(['corrupt', '--help'])\n"
        "except SystemExit: pass\n"
        f"sys.exit({module!r} in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], capture_output=True).returncode == 0


@pytest.mark.parametrize(
    ("package", "foreign"),
    [("glitch_gym", ("glitch_agents", "glitch_render")), ("glitch_agents", ("glitch_render",))],
)
def test_imports_go_up_the_stream_only(package, foreign):
    modules = modules_after(f"import {package}")
    assert not modules & set(foreign)


def test_a_still_is_corrupted_without_what_only_clips_and_terminals_need(tmp_path):
    still, out = tmp_path / "in.png", tmp_path / "out.png"
    Image.fromarray(read_picture("sample:balloon").frame).save(still)
    code = (
        "import sys\n"
        "from glitch_render.cli import app\n"
        "try: app(['corrupt', *sys.argv[1:], '--activation', 'edges'])\n"
        "except SystemExit: pass\n"
        "print(*sys.modules)"
    )
    command = [sys.executable, "-c", code, str(still), "-o", str(out)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert out.exists()
    assert not set(done.stdout.split()) & {"av", "rich", "torch", "onnxruntime"}
