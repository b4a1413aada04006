from __future__ import annotations

import hashlib

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from glitch_gym import SettingError
from glitch_gym.procedural import SPLITS, SUBJECTS, draw_clip, draw_picture


def digest(pictures):
    made = hashlib.sha256()
    for picture in pictures:
        made.update(picture.frame.tobytes() + picture.mask.tobytes() + picture.subject.encode())
    return made.hexdigest()


def test_pictures_are_the_same_bytes_everywhere():
    drawn = [draw_picture(index, split=split, seed=5) for split in SPLITS for index in range(24)]
    clip = draw_clip(3, 6, size=(40, 56))
    assert digest(drawn) == "e3fe3d8564b76f53e9e5e3935e03b7b87464fe1f291e9f67285ae3c5f9bd1eb5"
    assert digest(clip) == "af59bb0c9d02dad8b48f53a3b9b8887a3210bf64445036d539fcc31fe0e6f8b3"


@settings(max_examples=40, deadline=None)
@given(
    index=st.integers(0, 2**32 - 1),
    split=st.sampled_from(SPLITS),
    seed=st.integers(0, 2**70),
    size=st.tuples(st.integers(4, 90), st.integers(4, 90)),
)
def test_any_number_draws_a_picture_with_its_subject(index, split, seed, size):
    picture = draw_picture(index, split=split, seed=seed, size=size)
    assert picture.frame.shape == (*size, 3)
    assert picture.frame.dtype == np.uint8
    assert picture.mask.shape == size
    assert picture.mask.dtype == np.float32
    assert 0 <= picture.mask.min() <= picture.mask.max() <= 1
    assert picture.subject in SUBJECTS


def test_the_subject_stands_out_from_what_is_behind_it():
    for index in range(60):
        picture = draw_picture(index)
        inside, outside = picture.frame[picture.mask == 1], picture.frame[picture.mask == 0]
        assert 0.02 < picture.mask.mean() < 0.35
        # Channel by channel: a subject of another hue may be as bright as the sky behind it
        apart = abs(np.median(inside, axis=0) - np.median(outside, axis=0)).max()
        assert apart > 40, (index, apart)


def test_the_family_is_varied_and_its_splits_have_nothing_in_common():
    train = [draw_picture(index, split="train") for index in range(150)]
    test = [draw_picture(index, split="test") for index in range(150)]
    assert {picture.subject for picture in train} == set(SUBJECTS)
    assert len({picture.frame.tobytes() for picture in train + test}) == 300
    assert digest(train[:3]) != digest([draw_picture(index, seed=1) for index in range(3)])


def test_a_clip_moves_and_closes_its_circle():
    clip = draw_clip(2, 16)
    assert np.array_equal(clip[0].frame, draw_picture(2).frame)
    changes = [
        int((one.frame != other.frame).any(axis=2).sum())
        for one, other in zip(clip, clip[1:] + clip[:1], strict=True)
    ]
    assert min(changes) > 30
    assert max(changes) < 64 * 96 // 2


@pytest.mark.parametrize(
    "wrong",
    [
        {"split": "validation"},
        {"index": -1},
        {"index": 2**32},
        {"index": 1.5},
        {"seed": -1},
        {"size": (3, 10)},
        {"size": 64},
        {"size": (10**6, 10)},
    ],
)
def test_what_is_no_number_of_a_picture_is_refused(wrong):
    with pytest.raises(SettingError):
        draw_picture(**{"index": 0, **wrong})
