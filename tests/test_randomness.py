from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from support import reference

from glitch_gym.compilation import compiled
from glitch_gym.randomness import (
    below,
    below_py,
    derive_key,
    draw,
    draw_py,
    generator,
    pick,
    stream,
    unit,
)

BITS = st.integers(0, 2**64 - 1)


@settings(deadline=None)
@given(BITS, st.integers(0, 10**9))
def test_draws_are_splitmix64(key, counter):
    assert int(draw(np.uint64(key), counter)) == reference.draw(key, counter)
    assert int(stream(np.uint64(key), counter)) == reference.draw(key, counter)
    assert draw_py(key, counter) == reference.draw(key, counter)


def test_the_sequence_is_the_published_one():
    # First outputs of SplitMix64 for the seed 1234567, as Vigna's reference code prints them
    outputs = [int(draw(np.uint64(1234567), i)) for i in range(3)]
    assert outputs == [6457827717110365317, 3203168211198807973, 9817491932198370423]


@settings(deadline=None)
@given(BITS, st.integers(1, 2**32))
def test_below_and_unit_stay_in_range(bits, n):
    assert int(below(np.uint64(bits), n)) == reference.below(bits, n) < n
    assert below_py(bits, n) == reference.below(bits, n)
    assert unit(np.uint64(bits)) == reference.unit(bits)
    assert 0 <= unit(np.uint64(bits)) < 1


def test_draws_are_uniform():
    key = derive_key(7, 0, "test")
    counts = np.bincount([below(np.uint64(draw(key, i)), 10) for i in range(20_000)], minlength=10)
    assert ((counts - 2000) ** 2 / 2000).sum() < 33.7  # χ² with 9 degrees of freedom, p = 1e-4


def test_keys_differ_by_every_part_of_their_path():
    paths = [(0,), (1,), (0, 0), (0, "noise"), (0, "walk"), (1, "noise"), ("noise", 0)]
    keys = {int(derive_key(seed, *path)) for seed in (0, 1, 2**70) for path in paths}
    assert len(keys) == 3 * len(paths)
    first, again = (generator(3, 1, "noise").standard_normal(4) for _ in range(2))
    np.testing.assert_array_equal(first, again)


@compiled
def picked(cumulative, state, first, count, bits):
    return pick(cumulative, state, first, count, bits)


@settings(deadline=None)
@given(st.integers(0, 2), st.integers(0, 3), st.integers(1, 4), BITS)
def test_a_pick_is_the_first_column_whose_sum_lies_above_the_draw(state, first, count, bits):
    probs = np.random.default_rng(8).dirichlet(np.ones(count), 3)
    cumulative = np.zeros((3, first + count + 2))
    cumulative[:, first : first + count] = probs.cumsum(axis=1)
    sums = cumulative[state, first : first + count - 1]
    expected = first + int(np.searchsorted(sums, reference.unit(bits), side="right"))
    assert picked(cumulative, state, first, count, np.uint64(bits)) == expected


def test_a_pick_takes_the_last_column_where_rounding_left_the_sum_below_one():
    short = np.array([[0.25, 0.5]])
    assert picked(short, 0, 0, 2, np.uint64(2**64 - 1)) == 1
