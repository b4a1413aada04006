"""A frame is shrunk for a network bit for bit as torch shrinks bytes."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.lazy import torch

from glitch_gym.activation.shrinking import shrink

# Only the worker that runs these imports PyTorch
pytestmark = pytest.mark.xdist_group("torch")

sides = st.integers(1, 400)


def torchs(frame, height, width):
    pixels = torch.from_numpy(np.array(frame, order="C")).permute(2, 0, 1)[None]
    small = torch.nn.functional.interpolate(
        pixels, size=(height, width), mode="bilinear", align_corners=False, antialias=True
    )
    return small[0].permute(1, 2, 0).numpy()


@given(sides, sides, sides, sides, st.sampled_from([1, 127, 255]), st.integers(0, 2**32 - 1))
@settings(max_examples=150, deadline=None)
def test_a_shrunk_picture_is_torchs(height, width, rows, cols, step, seed):
    rng = np.random.default_rng(seed)
    frame = (rng.integers(256, size=(height, width, 3)) // step * step).astype(np.uint8)
    rows, cols = min(rows, height), min(cols, width)
    np.testing.assert_array_equal(shrink(frame, rows, cols), torchs(frame, rows, cols))


@pytest.mark.parametrize("shape", [(1080, 1920), (9000, 3), (2, 20_000)])
def test_a_large_picture_is_torchs(shape):
    frame = np.random.default_rng(1).integers(256, size=(*shape, 3), dtype=np.uint8)
    height, width = (max(1, side * 224 // max(shape)) for side in shape)
    small = shrink(frame[:, ::-1], height, width)
    np.testing.assert_array_equal(small, torchs(frame[:, ::-1], height, width))


def test_the_copy_is_never_the_picture_itself():
    frame = np.zeros((5, 4, 3), np.uint8)
    assert not np.shares_memory(shrink(frame, 5, 4), frame)
