from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest
from PIL import Image

from glitch_agents import Trajectories
from glitch_gym.actions import ActionSet
from glitch_gym.activation.base import Activation
from glitch_gym.errors import PictureError, RecipeError, SettingError
from glitch_gym.grid import Grid
from glitch_render.engine.canvas import Canvas
from glitch_render.engine.mask import make_mask
from glitch_render.engine.overlay import BLENDS, Overlay, paint_over
from glitch_render.episodes.episode import load_episode, save_episode
from glitch_render.episodes.playback import replay_episode
from glitch_render.recipe.model import Layer, Recipe
from glitch_render.recipe.toml import parse_recipe
from glitch_render.stills import corrupt, corrupt_with_episode

RAMP = np.tile(np.linspace(0, 1, 24, dtype=np.float32), (16, 1))


def inverted_left_half(small, overlay):
    """Invert the cells of the left half, laid over as asked."""
    grid, actions = Grid(4, 6, 4, 6), ActionSet(("invert",))
    canvas = Canvas(grid, actions, *small.shape[:2])
    cells = np.array([[row * 6 + col for row in range(4) for col in range(3)]], np.int32)
    canvas.stamp(cells, np.zeros_like(cells))
    plain = small.copy()
    canvas.paint(plain)
    shown = small.copy()
    paint_over(canvas, shown, overlay)
    np.testing.assert_array_equal(shown[:, 120:], small[:, 120:])
    return plain[:, :120].astype(float), shown[:, :120].astype(float), small[:, :120].astype(float)


FORMULAS = {
    "normal": lambda b, p: p,
    "add": lambda b, p: np.minimum(b + p, 255),
    "screen": lambda b, p: 255 - (255 - b) * (255 - p) / 255,
    "multiply": lambda b, p: b * p / 255,
    "difference": lambda b, p: np.abs(b - p),
}


@pytest.mark.parametrize("blend", BLENDS)
@pytest.mark.parametrize("opacity", [0.0, 0.3, 1.0])
def test_blends_follow_their_formulas_where_agents_have_been(small, blend, opacity):
    painted, shown, before = inverted_left_half(small, Overlay(opacity, blend))
    exact = before + opacity * (FORMULAS[blend](before, painted) - before)
    assert np.abs(shown - exact).max() <= 1.5
    if opacity == 0:
        np.testing.assert_array_equal(shown, before)


def test_a_mask_shows_the_layer_where_it_is_white(small):
    mask = np.zeros(small.shape[:2], np.uint8)
    mask[:, 20:60], mask[:, 60:] = 255, 128
    painted, shown, before = inverted_left_half(small, Overlay(mask=mask))
    np.testing.assert_array_equal(shown[:, :20], before[:, :20])
    np.testing.assert_array_equal(shown[:, 20:60], painted[:, 20:60])
    assert np.abs(shown[:, 60:] - (before + painted)[:, 60:] / 2).max() <= 1.5


def test_masks_by_activation_and_with_soft_edges():
    hard = make_mask(RAMP, 100, 240, above=0.5)
    assert set(np.unique(hard)) == {0, 255}
    assert not hard[:, :110].any()
    assert hard[:, 130:].all()
    band = make_mask(RAMP, 100, 240, above=0.25, below=0.75)
    assert 0.4 < (band == 255).mean() < 0.6
    soft = make_mask(RAMP, 100, 240, above=0.5, soft=0.4)
    assert (np.diff(soft[50].astype(int)) >= 0).all()
    assert 25 < ((soft[50] > 12) & (soft[50] < 243)).sum() < 60
    assert make_mask(RAMP, 100, 240) is None


def test_a_mask_picture_of_another_shape_is_stretched_with_a_word(tmp_path, caplog):
    path = tmp_path / "mask.png"
    Image.fromarray(np.array([[0, 255], [0, 255]], np.uint8)).resize((60, 40)).save(path)
    half = make_mask(RAMP, 400, 600, picture=str(path))
    assert half.shape == (400, 600)
    assert half[200, 10] == 0
    assert half[200, 590] == 255
    assert not caplog.text
    make_mask(RAMP, 500, 300, picture=str(path))
    assert "mask.png is 60×40; it is stretched over 300×500" in caplog.text
    both = make_mask(RAMP, 400, 600, picture=str(path), below=0.8)
    assert both[200, 590] == 0


def layer_of(**settings):
    return Layer(
        grid=(8, 12), fit="stretch", effects=["invert"], iterations=200, agents=80,
        objective="linger", **settings,
    )  # fmt: skip


def test_a_recipes_layer_is_held_to_the_subject_or_to_the_rest(small):
    activation = Activation(RAMP, "test")
    shown = {}
    for name, settings in (
        ("all", {}), ("subject", {"mask_above": 0.5}), ("rest", {"mask_below": 0.5}),
        ("half", {"opacity": 0.5}), ("none", {"opacity": 0.0}),
    ):  # fmt: skip
        recipe = Recipe(layers=[layer_of(**settings)])
        shown[name] = corrupt(small, recipe, activation=activation)
    changed = {name: (one != small).any(axis=2) for name, one in shown.items()}
    assert changed["subject"][:, :110].sum() == 0 < changed["subject"][:, 130:].sum()
    assert changed["rest"][:, 130:].sum() == 0 < changed["rest"][:, :110].sum()
    assert not changed["none"].any()
    between = (shown["all"].astype(int) + small) / 2
    assert np.abs(shown["half"] - between).max() <= 1


def test_layers_meet_what_the_layer_before_has_made(small):
    recipe = Recipe(layers=[layer_of(), layer_of(blend="difference")])
    activation = Activation(RAMP, "test")
    first = corrupt(small, Recipe(layers=recipe.layers[:1]), activation=activation)
    both = corrupt(small, recipe, activation=activation)
    assert (both != first).any()
    assert both.mean() < first.mean()


def test_an_episode_keeps_how_its_layers_were_laid_over(small, tmp_path):
    recipe = Recipe(layers=[layer_of(opacity=0.7, blend="screen", mask_above=0.3, mask_soft=0.1)])
    painted, episode = corrupt_with_episode(small, recipe, activation=Activation(RAMP, "test"))
    save_episode(tmp_path / "run.npz", episode)
    again = load_episode(tmp_path / "run.npz")
    np.testing.assert_array_equal(replay_episode(small, again), painted)
    larger = np.asarray(Image.fromarray(small).resize((500, 300)))
    assert (replay_episode(larger, again) != larger).any()


def test_bad_overlays_are_refused(tmp_path, small):
    for wrong, message in (
        ({"opacity": 1.5}, "0…1"), ({"blend": "burn"}, "normal, add, screen"),
        ({"mask": np.zeros((2, 2))}, "uint8"), ({"mask": np.zeros((0, 2), np.uint8)}, "uint8"),
    ):  # fmt: skip
        with pytest.raises(SettingError, match=message):
            Overlay(**wrong)
    for settings in ({"blend": "burn"}, {"opacity": 2}, {"mask_above": -1}, {"mask": ""}):
        with pytest.raises(RecipeError, match=rf"layers.1.{next(iter(settings))}"):
            parse_recipe({"layers": [{"grid": [4, 4], **settings}]})
    recipe = Recipe(layers=[layer_of(mask=str(tmp_path / "gone.png"))])
    with pytest.raises(PictureError, match=r"layers.1.mask: .*gone.png"):
        corrupt(small, recipe, activation=Activation(RAMP, "test"))


def test_nothing_stamped_is_nothing_blended(small):
    canvas = Canvas(Grid(4, 6, 4, 6), ActionSet(("same",)), *small.shape[:2])
    walked = Trajectories(
        np.full((1, 3), -1, np.int32), np.zeros((1, 3), np.int32), np.zeros(1, np.int32)
    )
    canvas.stamp(walked.cells.T, walked.actions.T)
    shown = small.copy()
    paint_over(canvas, shown, Overlay(blend="add"))
    np.testing.assert_array_equal(shown, small)


def test_a_recipe_knows_its_blends_without_loading_the_compiled_engine():
    code = "import sys, glitch_render.recipe.model; print(*sys.modules)"
    result = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    )
    engine = {name for name in result.stdout.split() if name.startswith("glitch_render.engine.")}
    assert engine == {"glitch_render.engine.overlay"}
