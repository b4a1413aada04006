from __future__ import annotations

import dataclasses
import io

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from PIL import Image, ImageOps
from pydantic import Field, ValidationError

from glitch_gym.errors import SettingError
from glitch_render.effects import (
    EffectParameters,
    NoParameters,
    Op,
    Source,
    Stamp,
    Trait,
    effect,
    effects,
    get_effect,
    mean_colour,
    override,
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
        ("clash", Clash, "Do.", "reserve the parameter name 'mean'"),
        ("mute", NoParameters, None, "docstring"),
    ],
)
def test_bad_declarations_are_refused(name, model, docstring, message):
    def function(stamp, parameters):
        return stamp.cell

    function.__doc__ = docstring
    with pytest.raises(SettingError, match=message):
        effect(name, model)(function)


def test_traits_are_for_effects_that_the_engine_knows():
    def function(stamp, parameters):
        """Do."""
        return stamp.cell

    with pytest.raises(SettingError, match="a plain function cannot have traits"):
        effect("promising", NoParameters, traits=Trait.PER_PIXEL)(function)


def done(found, stamp, own):
    """Return the cell's new pixels, by the effect's plain function."""
    made = found.function(stamp, own)
    made = made[0] if isinstance(made, tuple) else made
    return np.broadcast_to(made, stamp.cell.shape)


MOVE = st.sampled_from([(0, 1), (0, -1), (1, 0), (-1, 0), (1, 1), (-1, 1)])
FAST = [found for found in effects().values() if found.op not in (Op.CALL, Op.PLANE)]


@pytest.mark.parametrize("found", FAST, ids=lambda found: found.name)
@given(PIXELS, PIXELS, MOVE, MOVE, st.tuples(st.integers(0, 9), st.integers(0, 9)))
def test_the_traits_that_an_effect_declares_are_true(found, cell, left, move, other_move, place):
    own, traits = found.parameters(), found.traits
    stamp = Stamp(cell, left, cell, move, 5, place, (16, 16))
    made = done(found, stamp, own)
    if Trait.PER_PIXEL in traits:
        alone = [
            done(found, dataclasses.replace(stamp, cell=cell[y : y + 1, x : x + 1]), own)[0, 0]
            for y, x in np.ndindex(cell.shape[:2])
        ]
        np.testing.assert_array_equal(made.reshape(-1, 3), alone)
    if Trait.KEEPS_FLAT in traits:
        flat = np.broadcast_to(cell[0, 0], cell.shape)
        np.testing.assert_array_equal(done(found, dataclasses.replace(stamp, cell=flat), own), flat)
    if traits & (Trait.IDEMPOTENT | Trait.IDEMPOTENT_BY_MOVE):
        again = move if Trait.IDEMPOTENT_BY_MOVE in traits else other_move
        np.testing.assert_array_equal(
            done(found, dataclasses.replace(stamp, cell=made, move=again), own), made
        )
    if Trait.READS_OTHER in traits:
        np.testing.assert_array_equal(done(found, dataclasses.replace(stamp, left=cell), own), cell)
    elif found.op is not Op.SAME:
        np.testing.assert_array_equal(done(found, dataclasses.replace(stamp, left=cell), own), made)
    if not traits & (Trait.PER_CELL | Trait.SYMBOLIC):
        pair = dataclasses.replace(stamp, cell=np.concatenate([cell, cell[:, ::-1]], axis=1))
        begin = (place[0], place[1] + cell.shape[1])
        second = dataclasses.replace(stamp, cell=cell[:, ::-1], place=begin)
        np.testing.assert_array_equal(
            done(found, pair, own), np.concatenate([made, done(found, second, own)], axis=1)
        )


def test_an_effect_is_changed_for_a_while_alone():
    declared = get_effect("echo")
    with override("echo", summary="Other") as changed:
        assert get_effect("echo") is changed
        assert changed.summary == "Other"
    assert get_effect("echo") is declared
    with pytest.raises(SettingError, match="echoo"), override("echoo", summary="Other"):
        pass


def test_unknown_effects_are_refused_with_the_nearest():
    with pytest.raises(SettingError, match="did you mean 'pixelate'"):
        get_effect("pixellate")


@given(PIXELS, st.integers(1, 7), st.integers(0, 255))
def test_posterize_and_solarize_are_pillows(cell, bits, threshold):
    image, found = Image.fromarray(cell), get_effect("posterize")
    done = found.function(stamp_of(cell), found.parameters(bits=bits))
    np.testing.assert_array_equal(done, np.asarray(ImageOps.posterize(image, bits)))
    found = get_effect("solarize")
    done = found.function(stamp_of(cell), found.parameters(threshold=threshold))
    np.testing.assert_array_equal(done, np.asarray(ImageOps.solarize(image, threshold)))


@given(PIXELS, st.floats(-360, 360))
def test_hue_rotation_keeps_greys_and_turns_back(cell, degrees):
    found = get_effect("hue_rotate")
    turned = found.function(stamp_of(cell), found.parameters(degrees=degrees))
    angle = np.radians(degrees)
    exact = cell @ (
        np.array([[0.213, 0.715, 0.072]] * 3)
        + np.cos(angle) * np.array(
            [[0.787, -0.715, -0.072], [-0.213, 0.285, -0.072], [-0.213, -0.715, 0.928]]
        )
        + np.sin(angle) * np.array(
            [[-0.213, -0.715, 0.928], [0.143, 0.140, -0.283], [-0.787, 0.715, 0.072]]
        )
    ).T  # fmt: skip
    assert np.abs(turned - np.clip(exact, 0, 255)).max() <= 1
    grey = np.repeat(cell[:, :, :1], 3, axis=2)
    np.testing.assert_array_equal(
        found.function(stamp_of(grey), found.parameters(degrees=degrees)), grey
    )
    np.testing.assert_array_equal(
        found.function(stamp_of(cell), found.parameters(degrees=360)), cell
    )


@given(PIXELS, st.sampled_from([2, 4, 6, 16]))
def test_dithered_pixels_are_of_few_values_around_their_own_and_stay(cell, levels):
    found = get_effect("dither")
    own = found.parameters(levels=levels, dots=8)
    printed = found.function(stamp_of(cell), own)
    step = 255 // (levels - 1)
    assert (printed % step == 0).all()
    assert np.abs(printed.astype(int) - cell).max() < step
    np.testing.assert_array_equal(found.function(stamp_of(printed), own), printed)


def test_dither_keeps_the_mean_of_a_ramp():
    found = get_effect("dither")
    for level in (20, 100, 200):
        grey = np.full((8, 8, 3), level, np.uint8)
        stamp = dataclasses.replace(stamp_of(grey), size=(8, 8))
        printed = found.function(stamp, found.parameters(levels=2, dots=8))
        assert abs(printed.mean() - level) < 4


@pytest.mark.parametrize("move", [(0, 1), (0, -1), (1, 0), (-1, 0)])
def test_sorted_pixels_are_the_same_pixels_rising_along_the_move(small, move):
    cell = small[30:60, 40:80]
    found = get_effect("pixel_sort")
    stamp = dataclasses.replace(stamp_of(cell), move=move)
    done = found.function(stamp, found.parameters(low=0, high=255))
    luma = (done.astype(int) @ np.array([30, 59, 11]) + 50) // 100
    axis = 0 if move[0] else 1
    assert (np.diff(luma, axis=axis) * sum(move) >= 0).all()
    pixels = [sorted(map(tuple, one.reshape(-1, 3).tolist())) for one in (cell, done)]
    assert pixels[0] == pixels[1]
    high = found.function(stamp, found.parameters(low=100, high=255))
    dark = (cell.astype(int) @ np.array([30, 59, 11]) + 50) // 100 < 100
    assert dark.any()
    np.testing.assert_array_equal(high[dark], cell[dark])


@given(PIXELS, st.floats(0, 1), st.sampled_from([(0, 1), (0, -1), (1, 0), (-1, 0), (1, 1)]))
def test_shifted_channels_are_the_same_values_and_green_stays(cell, distance, move):
    found = get_effect("channel_shift")
    stamp = dataclasses.replace(stamp_of(cell), move=move)
    done = found.function(stamp, found.parameters(distance=distance))
    np.testing.assert_array_equal(done[:, :, 1], cell[:, :, 1])
    for channel in (0, 2):
        assert sorted(done[:, :, channel].ravel()) == sorted(cell[:, :, channel].ravel())


@given(PIXELS, PIXELS)
def test_blocks_are_displaced_smeared_and_swapped(cell, left):
    stamp = stamp_of(cell, left)
    moved = apply("displace", stamp)
    smear = get_effect("smear")
    np.testing.assert_array_equal(smear.function(stamp, smear.parameters(decay=0)), moved)
    np.testing.assert_array_equal(smear.function(stamp, smear.parameters(decay=1)), cell)
    both = get_effect("swap").function(stamp, NoParameters())
    np.testing.assert_array_equal(both[0], moved)
    assert both[1].shape == left.shape
    height, width = (min(a, b) for a, b in zip(cell.shape[:2], left.shape[:2], strict=True))
    np.testing.assert_array_equal(moved[:height, :width], left[:height, :width])


def test_scanlines_lie_along_the_move_and_take_their_share_of_light():
    white = np.full((24, 24, 3), 200, np.uint8)
    found = get_effect("scanlines")
    own = found.parameters(lines=6, darkness=0.5)
    across = found.function(dataclasses.replace(stamp_of(white), size=(24, 24)), own)
    assert across[:, 0, 0].tolist() == [200, 200, 100, 100] * 6
    down = found.function(dataclasses.replace(stamp_of(white), size=(24, 24), move=(1, 0)), own)
    np.testing.assert_array_equal(down, across.transpose(1, 0, 2))


def test_an_echo_is_the_frame_of_so_many_frames_ago(small):
    found = get_effect("echo")
    past = tuple(np.full_like(small, shade) for shade in (10, 20, 30))
    assert found.frames_back(found.parameters(frames=3)) == 3
    assert (found.plane(Source(small, past), found.parameters(frames=3)) == 30).all()
    np.testing.assert_array_equal(found.plane(Source(small), found.parameters()), small)


def test_what_moves_melts_along_its_motion_and_what_rests_stays(small):
    wide = np.tile(small, (1, 2, 1))
    before, now = wide[:, 20:220], wide[:, 16:216]
    found = get_effect("melt")
    own = found.parameters(pull=1, blocks=8)
    # Everything has moved 4 pixels right: once more its motion is where it is now
    plane = found.plane(Source(now, (before,)), own)
    assert np.median(np.abs(plane[20:100, 40:160].astype(int) - now[20:100, 40:160])) <= 1
    np.testing.assert_array_equal(found.plane(Source(now, (now,)), own), now)
    slumped = found.plane(Source(now, (), key=5), found.parameters())
    assert (slumped != now).any(axis=2).mean() > 0.3
    assert (slumped != found.plane(Source(now, (), key=6), found.parameters())).any()


def test_damaged_jpegs_are_damaged_by_their_key_and_always_decode(small):
    found = get_effect("jpeg_bytes")
    planes = [found.plane(Source(small, (), key), found.parameters()) for key in (1, 1, 2)]
    np.testing.assert_array_equal(planes[0], planes[1])
    assert (planes[0] != planes[2]).any()
    for key in range(40):
        own = found.parameters(damage=2000, restart=key % 3)
        assert found.plane(Source(small, (), key), own).shape == small.shape


def test_requantised_cosines_lose_detail_with_the_step(small):
    found = get_effect("dct")
    losses = [
        np.abs(found.plane(Source(small), found.parameters(step=step)).astype(int) - small).mean()
        for step in (1, 100, 800)
    ]
    assert losses[0] < 0.5 < losses[1] < losses[2]
