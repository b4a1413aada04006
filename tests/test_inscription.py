from __future__ import annotations

import io

import numpy as np
import pytest
from PIL import Image, ImageSequence
from support.clips import make_clip, scene

from glitch_gym.errors import OutputError, RecipeError
from glitch_render.media.formats import ANIMATIONS
from glitch_render.media.metadata import embed_recipe
from glitch_render.recipe.files import read_recipe
from glitch_render.recipe.model import Layer, Recipe
from glitch_render.video.render import corrupt_clip

RECIPE = Recipe(
    layers=[Layer(grid=(6, 10), iterations=50, agents=20, effects=["same"])],
    activation="edges",
    description="Näive café, dragged",
)


def shown(content):
    with Image.open(io.BytesIO(content)) as image:
        return [
            (np.asarray(one.convert("RGBA")), one.info.get("duration"))
            for one in ImageSequence.Iterator(image)
        ]


@pytest.mark.parametrize("suffix", ANIMATIONS)
def test_animations_carry_their_recipe_and_are_nothing_else_for_it(tmp_path, suffix):
    clip = make_clip(tmp_path / "clip.mp4", scene(6), rate=10)
    out = tmp_path / f"out{suffix}"
    corrupt_clip(str(clip), out, RECIPE)
    assert read_recipe(out) == RECIPE
    assert len(shown(out.read_bytes())) == 6
    assert sorted(path.name for path in tmp_path.iterdir()) == ["clip.mp4", out.name]


@pytest.mark.parametrize(("kind", "suffix"), [("GIF", ".gif"), ("WEBP", ".webp"), ("PNG", ".apng")])
@pytest.mark.parametrize("length", [10, 254, 255, 256, 40_001])
def test_frames_and_times_stay_whatever_the_length_of_the_text(tmp_path, kind, suffix, length):
    frames = [Image.fromarray(one) for one in scene(4)]
    path = tmp_path / f"drawn{suffix}"
    frames[0].save(path, kind, save_all=True, append_images=frames[1:], duration=80)
    before = path.read_bytes()
    with pytest.raises(RecipeError, match="carries no recipe"):
        read_recipe(path)
    text = "description = '" + "x" * length + "'\n" + RECIPE.to_toml().partition("\n")[2]
    embed_recipe(path, text)
    assert read_recipe(path).description == "x" * length
    for (was, then), (now, still) in zip(shown(before), shown(path.read_bytes()), strict=True):
        np.testing.assert_array_equal(was, now)
        assert then == still
    assert list(tmp_path.iterdir()) == [path]


def test_what_is_no_animation_is_left_alone(tmp_path):
    path = tmp_path / "note.gif"
    path.write_bytes(b"nothing of the kind")
    with pytest.raises(OutputError, match="not an animated picture"):
        embed_recipe(path, "text")
    assert path.read_bytes() == b"nothing of the kind"
