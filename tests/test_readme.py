from __future__ import annotations

import os
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from support.clips import make_clip, scene

from glitch_gym.actions import BUILT_IN_EFFECTS
from glitch_gym.picture import read_picture
from glitch_render.effects import get_effect
from glitch_render.recipe.model import Layer, Recipe
from glitch_render.recipe.presets import load_preset, preset_names
from glitch_render.recipe.toml import parse_recipe

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text()
CONTRIBUTING = (ROOT / "CONTRIBUTING.md").read_text()
VIDEO = (ROOT / "docs" / "video.md").read_text()
GALLERY = (ROOT / "docs" / "gallery.md").read_text()
LEARNERS = (ROOT / "docs" / "learners.md").read_text()
SCRIPTS = (ROOT / "docs" / "scripts.md").read_text()
EFFECTS = (ROOT / "docs" / "effects.md").read_text()
RECIPES = (ROOT / "docs" / "recipes.md").read_text()


def snippets(text, language):
    return re.findall(rf"```{language}\n(.*?)```", text, re.DOTALL)


@pytest.mark.parametrize(
    "code", [one for page in (README, VIDEO, SCRIPTS, LEARNERS) for one in snippets(page, "python")]
)
def test_every_python_snippet_runs(code, tmp_path):
    result = subprocess.run(
        [sys.executable, "-W", "error", "-c", code], cwd=tmp_path, capture_output=True, text=True
    )
    assert result.returncode == 0, result.stderr
    for name in re.findall(r'write_picture\("(.+?)"', code):
        assert read_picture(tmp_path / name).frame.std() > 10


@pytest.mark.slow
def test_types_of_the_snippets_for_rl_are_right(tmp_path):
    for_rl = [one for one in snippets(README, "python") if "import gymnasium" in one]
    assert len(for_rl) == 2
    for number, code in enumerate(for_rl):
        (tmp_path / f"snippet_{number}.py").write_text(code)
    found = os.pathsep.join(str(ROOT / folder) for folder in (".", "agents", "render"))
    result = subprocess.run(
        [sys.executable, "-m", "mypy", "--strict", "--cache-dir", str(tmp_path / "mypy"), "."],
        cwd=tmp_path,
        env=os.environ | {"MYPYPATH": found},
        capture_output=True,
        text=True,
    )
    assert result.returncode == 0, result.stdout


def test_every_command_of_the_readme_runs(tmp_path):
    (commands,) = (block for block in snippets(README, "sh") if "pip install" not in block)
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    result = subprocess.run(
        ["bash", "-euc", commands],
        cwd=tmp_path,
        env=os.environ | {"PATH": path},
        capture_output=True,
        text=True,
    )
    assert result.returncode == 0, result.stderr
    outputs = re.findall(r"-o (\S+)", commands)
    assert len(outputs) == 5
    for name in outputs:
        assert read_picture(tmp_path / name).frame.std() > 10


def test_every_command_on_clips_runs(tmp_path):
    """With the network left out and small frames, that it takes no minutes."""
    make_clip(tmp_path / "clip.mp4", scene(16, 320, 240), rate=1, sounds=[440])
    make_clip(tmp_path / "clip.mov", scene(16, 320, 240), rate=1, sounds=[440])
    (commands,) = re.findall(
        r"^```\n(glitch-gym corrupt clip.*?)^```", README, re.DOTALL | re.MULTILINE
    )
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    for line in commands.strip().splitlines():
        line = line.replace("--scale 720p", "--scale 240p") + " --activation edges"
        result = subprocess.run(
            ["bash", "-euc", line],
            cwd=tmp_path,
            env=os.environ | {"PATH": path},
            capture_output=True,
            text=True,
        )
        assert result.returncode == 0, result.stderr
        assert (tmp_path / re.findall(r"-o (\S+)", line)[0]).stat().st_size > 1000


def test_the_set_up_is_two_commands_and_ci_types_the_second():
    first, second = (block for block in snippets(README, "sh") if "pip install" in block)
    assert '".[cam,samples]" && glitch-gym corrupt sample:chelsea -o glitched.png' in first
    assert second.strip().endswith('pip install -e ".[dev]" && pytest')
    assert README.index("<!-- test command -->") < README.index(second)
    assert "README.md" in (ROOT / ".ci" / "run").read_text()


def anchors(text):
    """Return the anchors that headings of Markdown have on a page."""
    headings = re.findall(r"^#+ (.+)$", text, re.MULTILINE)
    return {re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-") for heading in headings}


def test_every_picture_and_page_that_is_linked_is_there():
    for page in (ROOT / "README.md", ROOT / "CONTRIBUTING.md", *(ROOT / "docs").glob("*.md")):
        for target in re.findall(r"\]\((?!http)(.+?)\)", page.read_text()):
            path, _, anchor = target.partition("#")
            linked = page.parent / path if path else page
            assert linked.exists(), (page, target)
            assert not anchor or anchor in anchors(linked.read_text()), (page, target)
    for picture in re.findall(r"\((docs/.+?\.webp)\)", README):
        assert (ROOT / picture).stat().st_size < 400_000
        with Image.open(ROOT / picture) as image:
            assert np.asarray(image.convert("RGB")).std() > 10


def test_the_effect_that_contributing_shows_works_in_a_recipe(tmp_path):
    (code,) = snippets(CONTRIBUTING, "python")
    code += """
from glitch_gym.picture import balloon
from glitch_render import Layer, Recipe, corrupt
layer = Layer(grid=(20, 16), effects={"checker": {"shade": 7}}, agents=50, iterations=50)
painted = corrupt(balloon(), Recipe(layers=[layer], activation="edges"))
changed = (painted != balloon()).any(axis=2)
assert 0.1 < changed.mean() < 1
assert (painted[changed] == 7).all()
"""
    subprocess.run([sys.executable, "-c", code], cwd=tmp_path, check=True)


def test_the_effects_page_names_every_effect_and_parameter():
    for name in BUILT_IN_EFFECTS:
        found = get_effect(name)
        assert f"| `{name}` |" in EFFECTS, name
        for parameter in found.parameters.model_fields:
            assert f"`{parameter}`" in EFFECTS, (name, parameter)


def test_the_gallery_shows_every_preset():
    for name in preset_names():
        assert f"### {name}" in GALLERY
        assert (ROOT / "docs" / "gallery" / f"{name}.webp").is_file()
        assert load_preset(name).description in GALLERY


def test_the_recipe_page_names_every_setting():
    (text,) = snippets(RECIPES, "toml")
    assert parse_recipe(tomllib.loads(text)).layers[0].agents == 300
    for setting in (*Layer.model_fields, *Recipe.model_fields):
        assert setting == "layers" or f"`{setting}`" in RECIPES, setting
