from __future__ import annotations

import dataclasses
import io

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from PIL import Image
from pydantic import Field, ValidationError

from glitch_gym.errors import SettingError
from glitch_render.effects import (
    EffectParameters,
    NoParameters,
    Source,
    Stamp,
    effect,
    effects,
    get_effect,
    mean_colour,
)

PIXELS = arrays(np.uint8, st.tuples(st.integers(1, 6), st.integers(1, 6), st.just(3)))


def stamp_of(cell, left=None, key=0):
    left = cell if left is None else left
    return Stamp(
        cell=cell, left=left, plane=cell, move=(0, 1), key=key, place=(0, 0), size=cell.shape[:2]
    )


def apply(name, stamp):
    found = get_effect(name)
    return np.broadcast_to(found.function(stamp, found.parameters()), stamp.cell.shape)


@given(PIXELS)
def test_the_mean_colour_is_the_rounded_mean(pixels):
    exact = pixels.reshape(-1, 3).astype(float).mean(axis=0)
    assert np.abs(mean_colour(pixels) - exact).max() <= 0.5


@given(PIXELS, PIXELS)
def test_the_posts_formulas_hold(cell, left):
    stamp = stamp_of(cell, left)
    assert (apply("same", stamp) == mean_colour(left)).all()
    assert (apply("pixelate", stamp) == mean_colour(cell)).all()
    assert (apply("invert", stamp) == np.abs(mean_colour(cell).astype(int) - 255)).all()
    grey = cell @ np.array([0.30, 0.59, 0.11])
    assert np.abs(apply("desaturate", stamp) - grey[:, :, None]).max() <= 0.5 + 1e-9


@given(st.integers(0, 2**64 - 1))
def test_random_colours_are_the_keys_low_bytes(key):
    cell = np.zeros((2, 2, 3), np.uint8)
    expected = [key & 255, key >> 8 & 255, key >> 16 & 255]
    assert apply("random", stamp_of(cell, key=key)).tolist() == [[expected] * 2] * 2


def test_artifact_shows_a_real_jpeg_of_the_frame(small):
    found = get_effect("artifact")
    for quality in (1, 30):
        buffer = io.BytesIO()
        Image.fromarray(small).save(buffer, "JPEG", quality=quality)
        plane = found.plane(Source(small), found.parameters(quality=quality))
        np.testing.assert_array_equal(plane, np.asarray(Image.open(buffer)))
    stamp = dataclasses.replace(stamp_of(small[:4, :4]), plane=plane[:4, :4])
    np.testing.assert_array_equal(found.function(stamp, found.parameters()), plane[:4, :4])


def test_every_effect_says_what_it_does_and_what_can_be_set():
    for name, found in effects().items():
        assert found.name == name
        assert found.summary
        assert not found.summary.endswith(".")
        for described in found.parameters.model_fields.values():
            assert described.description


def test_parameters_are_frozen_and_checked():
    model = get_effect("artifact").parameters
    with pytest.raises(ValidationError):
        model(quality=0)
    with pytest.raises(ValidationError):
        model(quality="5")
    with pytest.raises(ValidationError):
        model(qualty=5)
    with pytest.raises(ValidationError):
        model().quality = 3


class Clash(EffectParameters):
    mean: int = Field(1, description="taken")


@pytest.mark.parametrize(
    ("name", "model", "docstring", "message"),
    [
        ("Upper", NoParameters, "Do.", "lower-case"),
        ("two words", NoParameters, "Do.", "lower-case"),
        ("same", NoParameters, "Do.", "already"),
        ("clash", Clash, "Do.", "'mean' is taken"),
        ("mute", NoParameters, None, "docstring"),
    ],
)
def test_bad_declarations_are_refused(name, model, docstring, message):
    def function(stamp, parameters):
        return stamp.cell

    function.__doc__ = docstring
    with pytest.raises(SettingError, match=message):
        effect(name, model)(function)


def test_unknown_effects_are_refused_with_the_nearest():
    with pytest.raises(SettingError, match="did you mean 'pixelate'"):
        get_effect("pixellate")


def test_a_broken_plug_in_is_reported_and_stops_nothing(monkeypatch):
    from importlib.metadata import EntryPoint

    import glitch_render.effects as module

    broken = EntryPoint("shatter", "no_such_module:shatter", "glitch_gym.effects")
    monkeypatch.setattr(module, "entry_points", lambda group: [broken])
    module._load_plug_ins.cache_clear()
    try:
        with pytest.warns(RuntimeWarning, match="shatter"):
            assert "same" in effects()
    finally:
        module._load_plug_ins.cache_clear()
