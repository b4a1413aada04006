"""What a shell offers at the Tab key, asked as the scripts of ``--show-completion`` ask it."""

from __future__ import annotations

import pytest
from typer.testing import CliRunner

from glitch_render.cli import app
from glitch_render.recipe.presets import preset_names


def offered(typed):
    words = {"COMP_WORDS": typed, "COMP_CWORD": str(len(typed.split(" ")) - 1)}
    result = CliRunner().invoke(
        app, [], env=words | {"_GLITCH_GYM_COMPLETE": "complete_bash"}, prog_name="glitch-gym"
    )
    assert result.exit_code == 0, result.output
    return result.stdout.split()


def test_commands_and_options_are_completed():
    assert offered("glitch-gym cor") == ["corrupt"]
    assert offered("glitch-gym corrupt cat.png --trust") == ["--trust-paths"]


@pytest.mark.parametrize("command", ["corrupt cat.png -p", "batch cats -p", "presets show"])
def test_presets_are_completed(command):
    assert offered(f"glitch-gym {command} post-") == [
        name for name in preset_names() if name.startswith("post-")
    ]
