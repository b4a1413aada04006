from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from support.clips import frames_of, make_clip, scene
from support.program import refused, run

from glitch_gym.errors import SettingError
from glitch_render.recipe.model import Layer, Recipe
from glitch_render.stills import corrupt, corrupt_with_episode
from glitch_render.video.animate import (
    Walk,
    animate_still,
    animation_selection,
    open_animation_painter,
)
from glitch_render.video.selection import Selection

RECIPE = Recipe(
    layers=[
        Layer(grid=(8, 12), fit="stretch", effects=["same"], iterations=300, agents=20, lifetime=6),
        Layer(
            grid=(16, 24), fit="stretch", iterations=300, agents=80, lifetime=9, opacity=0.8,
            effects=["invert", "random", "jpeg_bytes"],
        ),
    ],
    activation="edges",
    seed=3,
)  # fmt: skip


@pytest.fixture
def folder(tmp_path, monkeypatch, small):
    monkeypatch.chdir(tmp_path)
    Image.fromarray(small).save("in.png")
    Path("r.toml").write_text(RECIPE.to_toml())
    return tmp_path


@pytest.mark.parametrize(("speed", "rate"), [(10, 25), (30, 10), (7, 24)])
def test_the_last_frame_is_the_corruption_and_the_first_steps_come_first(
    folder, small, speed, rate
):
    painted, episode = corrupt_with_episode(small, RECIPE)
    speed = Fraction(speed)
    selection = animation_selection(episode, Selection(rate=Fraction(rate)), speed)
    painter = open_animation_painter("in.png", episode, selection, speed=speed)
    shown = [pixels.copy() for pixels, _ in painter.frames(0, len(painter.plan))]
    np.testing.assert_array_equal(shown[-1], painted)
    # All steps of both layers, and a rest of a second and a half
    assert len(shown) == pytest.approx(rate * (15 / speed + 1.5), abs=2)
    touched = [(one != small).any(axis=2).mean() for one in shown]
    assert touched[0] < 0.3 < touched[-1]
    resting = int(rate * 1.2)
    assert all((one == painted).all() for one in shown[-resting:])
    if speed < rate:
        np.testing.assert_array_equal(shown[0], small)
    np.testing.assert_array_equal(next(painter.frames(5, 6))[0], shown[5])


def test_agents_are_shown_only_while_they_walk(folder, small):
    _, episode = corrupt_with_episode(small, RECIPE)
    selection = animation_selection(episode, Selection(), Fraction(10))
    with_and_without = [
        [
            pixels.copy()
            for pixels, _ in open_animation_painter(
                "in.png", episode, selection, speed=Fraction(10), agents=agents
            ).frames(0, 70)
        ]
        for agents in (True, False)
    ]
    unlike = [(a != b).any() for a, b in zip(*with_and_without, strict=True)]
    assert unlike[5]
    assert unlike[25]
    assert not unlike[0]
    assert not any(unlike[40:])


def test_a_small_animation_ends_as_the_large_still_made_small(folder, small):
    plain = Layer(grid=(8, 12), fit="stretch", effects=["same", "invert"], iterations=300, agents=9)
    recipe = Recipe(layers=[plain], activation="edges", seed=1)
    half = np.asarray(Image.fromarray(small).resize((120, 80), Image.Resampling.BICUBIC))
    animate_still("in.png", "walk.mkv", recipe, Selection(scale="50%"), walk=Walk(speed=50))
    last = frames_of("walk.mkv")[0][-1]
    there = (corrupt(small, recipe) != small).any(axis=2)[::2, ::2]
    assert 0.05 < there.mean() < 0.9
    assert np.abs(last.astype(int) - corrupt(small, recipe, onto=half)).mean() < 8
    assert np.abs(last.astype(int) - half)[there].mean() > 25


def test_the_program_animates(folder):
    for suffix in ("mp4", "gif", "webp"):
        result = run(
            "animate", "in.png", "-o", f"walk.{suffix}", "-r", "r.toml", "--speed", "20",
            "--fps", "10", "--agents", "--scale", "50%",
        )  # fmt: skip
        assert result.exit_code == 0, result.output
    assert frames_of("walk.mp4")[0].shape[1:] == (80, 120, 3)
    with Image.open("walk.webp") as shown:
        assert shown.n_frames > 10


def test_bad_animations_are_refused(folder):
    make_clip(folder / "in.mp4", scene(3))
    for arguments, message in (
        (("in.mp4", "-o", "o.mp4"), "moves already"), (("in.png", "-o", "o.png"), "suffix"),
        (("in.png", "-o", "o.gif", "--speed", "0"), "0.01…100,000"),
        (("no.png", "-o", "o.gif"), "no.png"),
        (("in.png", "-o", "in.png"), "suffix"),
    ):  # fmt: skip
        assert message in refused("animate", *arguments)
    assert not list(folder.glob("o.*"))
    with pytest.raises(SettingError, match="must lie in"):
        animation_selection(None, Selection(), Fraction(-1))
