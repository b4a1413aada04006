from __future__ import annotations

import numpy as np
import pytest
from support.clips import make_clip, scene

from glitch_gym.errors import GridError
from glitch_render.episodes.episode import load_episode, save_episode
from glitch_render.episodes.playback import replay_episode
from glitch_render.recipe.model import Layer, Recipe
from glitch_render.stills import corrupt, corrupt_with_episode
from glitch_render.video.painter import open_painter
from glitch_render.video.selection import Selection


def layer(**settings):
    effects = {"random": {"mean": 0.0}, "same": {"mean": -0.1}}
    usual = {"grid": (20, 30), "effects": effects, "iterations": 300, "agents": 60}
    return Layer(**(usual | settings))


def recipe(*layers):
    return Recipe(layers=layers, activation="edges", seed=4)


def test_a_muted_layer_is_left_out_and_the_others_draw_as_before(small):
    nothing = layer(agents=1, lifetime=1, mask_above=1.0, mask_below=0.0)
    with_nothing = corrupt(small, recipe(nothing, layer()))
    muted = corrupt(small, recipe(layer(mute=True, agents=500), layer()))
    np.testing.assert_array_equal(muted, with_nothing)
    assert (muted != corrupt(small, recipe(layer()))).any(), "the number is part of the draws"


def test_solo_leaves_out_what_is_not_solo_and_mute_is_stronger(small):
    layers = [layer(), layer(solo=True), layer(solo=True, mute=True), layer()]
    assert [index for index, _ in recipe(*layers).painted] == [1]
    silent = [one.model_copy(update={"mute": index != 1}) for index, one in enumerate(layers)]
    np.testing.assert_array_equal(corrupt(small, recipe(*layers)), corrupt(small, recipe(*silent)))


def test_a_recipe_with_every_layer_muted_gives_the_picture_as_a_new_array(small):
    painted = corrupt(small, recipe(layer(mute=True)))
    np.testing.assert_array_equal(painted, small)
    assert not np.shares_memory(painted, small)


def test_an_episode_remembers_which_layers_were_left_out(small, tmp_path):
    painted, episode = corrupt_with_episode(small, recipe(layer(mute=True), layer()))
    save_episode(tmp_path / "walk.npz", episode)
    np.testing.assert_array_equal(replay_episode(small, episode), painted)
    np.testing.assert_array_equal(
        replay_episode(small, load_episode(tmp_path / "walk.npz")), painted
    )


def test_clips_leave_muted_layers_out(tmp_path):
    path = str(make_clip(tmp_path / "clip.mp4", scene(6)))
    nothing = layer(agents=1, lifetime=1, mask_above=1.0, mask_below=0.0)
    pictures = []
    for first in (layer(mute=True), nothing):
        painter = open_painter(path, recipe(first, layer()), Selection())
        pictures.append([pixels.copy() for pixels, _ in painter.frames(0, 6)])
    np.testing.assert_array_equal(*pictures)
    bare = open_painter(path, recipe(layer(mute=True)), Selection())
    assert len(list(bare.frames(0, 6))) == 6


def test_a_preview_at_another_size_is_the_same_corruption_made_smaller(chelsea):
    chelsea = np.ascontiguousarray(chelsea[:, :450])
    layers = [layer(effects=["same", "invert"], grid=(30, 45), agents=300)]
    wanted = corrupt(chelsea, recipe(*layers))
    doubled = np.repeat(np.repeat(chelsea, 2, axis=0), 2, axis=1)
    np.testing.assert_array_equal(
        corrupt(chelsea, recipe(*layers), onto=doubled)[::2, ::2],
        wanted,
    )
    with pytest.raises(GridError, match="finer"):
        corrupt(chelsea, recipe(*layers), onto=chelsea[:20])
