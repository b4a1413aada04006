"""The first draws of NumPy's generators for many seeds at once, bit for bit.

Gymnasium seeds an environment with ``np.random.Generator(np.random.PCG64(SeedSequence(seed)))``. A
vector environment of half a million agents would make half a million of these, only to take one
number from each, so this computes that number in compiled code.

Sources: O'Neill, *PCG: a family of simple fast space-efficient statistically good algorithms for
random number generation*, 2014, for PCG64 (XSL-RR); NumPy's ``SeedSequence``, after O'Neill's
*Developing a seed_seq alternative*, 2015.
"""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
from gymnasium.utils import seeding
from numpy.typing import NDArray

from glitch_gym.compilation import compiled, inlined

__all__ = ["episode_key", "episode_keys"]

_ALL_64 = 2**64 - 1
# SeedSequence computes in 32 bits, which are kept in the lower half of 64 here
_LOW = np.uint64(0xFFFFFFFF)
_S16, _S32, _S58 = np.uint64(16), np.uint64(32), np.uint64(58)
_ONE, _63, _64 = np.uint64(1), np.uint64(63), np.uint64(64)
_INIT_A, _MULT_A = np.uint64(0x43B0D7E5), np.uint64(0x931E8875)
_INIT_B, _MULT_B = np.uint64(0x8B51F9DD), np.uint64(0x58F38DED)
_MIX_LEFT, _MIX_RIGHT = np.uint64(0xCA01F9DD), np.uint64(0x4973F715)
_PCG_HIGH, _PCG_LOW = np.uint64(2549297995355413924), np.uint64(4865540595714422341)


def episode_key(rng: np.random.Generator) -> int:
    """Draw the 64-bit key of an environment's starting cells from its generator."""
    return int(rng.integers(_ALL_64, dtype=np.uint64, endpoint=True))


def episode_keys(seeds: Iterable[int]) -> NDArray[np.uint64]:
    """Return the key that ``episode_key`` draws from the generator of each seed, as Gymnasium's.

    Args:
        seeds: non-negative integers of any size.

    Returns:
        uint64 (n,).
    """
    listed = list(seeds)
    if all(seed <= _ALL_64 for seed in listed):
        return first_draws(np.array(listed, np.uint64))
    return np.array([episode_key(seeding.np_random(seed)[0]) for seed in listed], np.uint64)


@inlined
def _hashed(value: np.uint64, constant: np.uint64, factor: np.uint64) -> np.uint64:
    value = ((value ^ constant) * ((constant * factor) & _LOW)) & _LOW
    return value ^ (value >> _S16)


@inlined
def _times(high: np.uint64, low: np.uint64) -> tuple[np.uint64, np.uint64]:
    """Return the product of a 128-bit number and PCG64's multiplier, modulo 2**128."""
    a, b = low >> _S32, low & _LOW
    c, d = _PCG_LOW >> _S32, _PCG_LOW & _LOW
    first = b * d
    second = a * d + (first >> _S32)
    third = b * c + (second & _LOW)
    carried = a * c + (second >> _S32) + (third >> _S32)
    return carried + high * _PCG_LOW + low * _PCG_HIGH, low * _PCG_LOW


@inlined
def _plus(
    high: np.uint64, low: np.uint64, other_high: np.uint64, other_low: np.uint64
) -> tuple[np.uint64, np.uint64]:
    """Return the sum of two 128-bit numbers, modulo 2**128."""
    total = low + other_low
    carry = _ONE if total < low else np.uint64(0)
    return high + other_high + carry, total


@compiled
def first_draws(seeds: NDArray[np.uint64]) -> NDArray[np.uint64]:
    """Return the first 64 bits that the PCG64 generator of each seed draws, uint64 (n,)."""
    draws = np.empty(seeds.shape[0], np.uint64)
    pool, words, state = np.empty(4, np.uint64), np.empty(8, np.uint64), np.empty(4, np.uint64)
    for i in range(seeds.shape[0]):
        constant = _INIT_A
        for j in range(4):
            word = np.uint64(0)
            if j < 2:
                word = (seeds[i] >> (_S32 * np.uint64(j))) & _LOW
            pool[j] = _hashed(word, constant, _MULT_A)
            constant = (constant * _MULT_A) & _LOW
        for source in range(4):
            for target in range(4):
                if source != target:
                    other = _hashed(pool[source], constant, _MULT_A)
                    constant = (constant * _MULT_A) & _LOW
                    mixed = (_MIX_LEFT * pool[target] - _MIX_RIGHT * other) & _LOW
                    pool[target] = mixed ^ (mixed >> _S16)
        constant = _INIT_B
        for j in range(8):
            words[j] = _hashed(pool[j & 3], constant, _MULT_B)
            constant = (constant * _MULT_B) & _LOW
        for j in range(4):
            state[j] = words[2 * j] | (words[2 * j + 1] << _S32)
        step_high, step_low = (state[2] << _ONE) | (state[3] >> _63), (state[3] << _ONE) | _ONE
        # Two steps seed the generator, the first of them from 0, and one more draws
        high, low = _plus(step_high, step_low, state[0], state[1])
        for _ in range(2):
            high, low = _times(high, low)
            high, low = _plus(high, low, step_high, step_low)
        turn = high >> _S58
        folded = high ^ low
        draws[i] = (folded >> turn) | (folded << ((_64 - turn) & _63))
    return draws
