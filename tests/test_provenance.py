"""What computed an activation is told by the recipe in an output, and by the key of a cache."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest

from glitch_gym.activation.efficientnet_lite0 import bundled_weights, load_efficientnet_lite0
from glitch_gym.activation.provenance import LITE0_DIGEST, engine_stamp, provenance
from glitch_gym.errors import WeightsError
from glitch_render import Layer, Recipe, read_recipe
from glitch_render.media.pictures import write_picture
from glitch_render.recipe.files import recipe_text

LAYER = Layer(grid=(4, 6), effects=["same"])


def test_the_published_weights_are_known_by_their_digest():
    assert hashlib.sha256(Path(bundled_weights()).read_bytes()).hexdigest() == LITE0_DIGEST


def test_published_weights_that_were_changed_are_refused(tmp_path, monkeypatch):
    changed = bytearray(Path(bundled_weights()).read_bytes())
    changed[-1] ^= 1
    (tmp_path / "changed.pth").write_bytes(changed)
    name = "glitch_gym.activation.efficientnet_lite0.bundled_weights"
    monkeypatch.setattr(name, lambda: str(tmp_path / "changed.pth"))
    with pytest.raises(WeightsError, match="not the file that was published"):
        load_efficientnet_lite0()
    # As a file of the user's it is as good as any
    assert load_efficientnet_lite0(str(tmp_path / "changed.pth")).weight.shape == (1000, 1280)


@pytest.mark.parametrize("suffix", [".png", ".jpg", ".webp"])
def test_an_output_tells_engine_and_weights_and_its_recipe_stays_the_same(tmp_path, small, suffix):
    recipe = Recipe(layers=[LAYER])
    write_picture(tmp_path / f"out{suffix}", small, recipe=recipe)
    text = recipe_text(tmp_path / f"out{suffix}")
    engine = f"efficientnet_lite0 in onnxruntime, weights sha256:{LITE0_DIGEST}"
    assert f"# The activation was computed by {engine}\n" in text
    assert read_recipe(tmp_path / f"out{suffix}") == recipe


def test_what_is_told_depends_on_the_content_of_weights_alone(tmp_path):
    for folder in ("a", "b"):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "w.pth").write_bytes(b"weights")
    one, other = (provenance("resnet18", str(tmp_path / name / "w.pth")) for name in "ab")
    assert (
        one
        == other
        == f"resnet18 in torch, weights sha256:{hashlib.sha256(b'weights').hexdigest()}"
    )
    (tmp_path / "b" / "w.pth").write_bytes(b"others")
    assert provenance("resnet18", str(tmp_path / "b" / "w.pth")) != one
    assert provenance("resnet18", str(tmp_path / "gone.pth")) == "resnet18 in torch"
    assert (
        provenance("edges", None) == Recipe(layers=[LAYER], activation="edges").provenance() == ""
    )


def test_another_engine_or_other_weights_have_another_stamp(tmp_path, monkeypatch):
    weights = tmp_path / "w.pth"
    weights.write_bytes(b"weights")
    stamps = {
        engine_stamp("efficientnet_lite0", None),
        engine_stamp("efficientnet_lite0", str(weights)),
        engine_stamp("resnet18", None),
        engine_stamp("edges", None),
    }
    weights.write_bytes(b"other weights")
    stamps.add(engine_stamp("efficientnet_lite0", str(weights)))
    monkeypatch.setattr("importlib.metadata.version", lambda name: "0.0.1")
    stamps.add(engine_stamp("efficientnet_lite0", None))
    stamps.add(engine_stamp("edges", str(weights)))
    assert len(stamps) == 7
