"""Random draws that are looked up by a key instead of taken from a queue.

Every draw of the project is a function of (seed, layer, purpose, agent or episode, step), so no
result depends on how the work is ordered, chunked or spread over threads. ``derive_key`` makes the
key for a purpose with NumPy's ``SeedSequence``; inside compiled code ``stream`` and ``draw`` give
random access to the SplitMix64 sequence of that key.

Source: Steele, Lea and Flood, *Fast splittable pseudorandom number generators*, OOPSLA 2014.
"""

from __future__ import annotations

import zlib

import numpy as np
from numpy.typing import NDArray

from glitch_gym.checks import whole_number
from glitch_gym.compilation import compiled, inlined

__all__ = [
    "below",
    "below_py",
    "derive_key",
    "draw",
    "draw_py",
    "generator",
    "pick",
    "slipped",
    "slipped_py",
    "stream",
    "unit",
]

_GOLDEN = np.uint64(0x9E3779B97F4A7C15)
_MIX_1 = np.uint64(0xBF58476D1CE4E5B9)
_MIX_2 = np.uint64(0x94D049BB133111EB)
_S30, _S27, _S31, _S11, _S32 = (np.uint64(n) for n in (30, 27, 31, 11, 32))
_ONE = np.uint64(1)
_UNIT = 2.0**-53
_ALL = 2**64 - 1
# Number of the stream of slips under an episode's key, whose first draws choose its actions
_SLIPS = 2**40


def _sequence(seed: int, path: tuple[int | str, ...]) -> np.random.SeedSequence:
    words = [
        zlib.crc32(part.encode()) if isinstance(part, str) else whole_number("layer", part)
        for part in path
    ]
    entropy = whole_number("seed", seed, most=None)
    return np.random.SeedSequence(entropy=entropy, spawn_key=words)


def derive_key(seed: int, *path: int | str) -> np.uint64:
    """Make the 64-bit key of a purpose, such as ``derive_key(seed, layer, "rollout")``.

    Args:
        seed: non-negative integer of any size.
        path: what the draws are for; equal paths give equal keys.

    Raises:
        SettingError: a negative seed or layer.
    """
    return np.uint64(_sequence(seed, path).generate_state(1, np.uint64)[0])


def generator(seed: int, *path: int | str) -> np.random.Generator:
    """Make a NumPy generator (Philox) for a purpose; equal paths give equal draws."""
    return np.random.Generator(np.random.Philox(_sequence(seed, path)))


@compiled
def _mix(z: np.uint64) -> np.uint64:
    z = (z ^ (z >> _S30)) * _MIX_1
    z = (z ^ (z >> _S27)) * _MIX_2
    return z ^ (z >> _S31)


@compiled
def stream(key: np.uint64, index: int) -> np.uint64:
    """Return the key of agent or episode number ``index`` under ``key`` (uint64 to uint64)."""
    return _mix(np.uint64(key) + (np.uint64(index) + _ONE) * _GOLDEN)


@compiled
def draw(key: np.uint64, counter: int) -> np.uint64:
    """Return draw number ``counter`` under ``key``: 64 uniform bits."""
    return _mix(np.uint64(key) + (np.uint64(counter) + _ONE) * _GOLDEN)


@compiled
def unit(bits: np.uint64) -> float:
    """Turn 64 uniform bits into a float64 in [0, 1)."""
    return np.float64(bits >> _S11) * _UNIT


@compiled
def below(bits: np.uint64, n: int) -> int:
    """Turn 64 uniform bits into an integer in [0, n), for n up to 2**32.

    The multiply-shift of Lemire (*Fast random integer generation in an interval*, 2019) without
    its rejection step: the bias is at most n / 2**32.
    """
    # By way of int64: an unsigned integer would turn sums with signed ones into floats
    return int(np.int64(((bits >> _S32) * np.uint64(n)) >> _S32))


@inlined
def pick(
    cumulative: NDArray[np.float64], state: int, first: int, count: int, bits: np.uint64
) -> int:
    """Pick a column of a table of cumulative probabilities with 64 uniform bits.

    Args:
        cumulative: float64 (n_states, n_columns).
        state: row of the table.
        first: first of the columns to pick from.
        count: number of columns to pick from, whose cumulative probabilities end at 1.
        bits: 64 uniform bits.
    """
    level = unit(bits)
    column = first
    # The last column needs no comparison: rounding may have left its sum below 1
    while column < first + count - 1 and cumulative[state, column] <= level:
        column += 1
    return column


def draw_py(key: int, counter: int) -> int:
    """Return what ``draw`` returns, in plain Python, for where loading compiled code costs more."""
    z = (key + (counter + 1) * int(_GOLDEN)) & _ALL
    z = (z ^ (z >> 30)) * int(_MIX_1) & _ALL
    z = (z ^ (z >> 27)) * int(_MIX_2) & _ALL
    return z ^ (z >> 31)


@inlined
def slipped(action: int, n_moves: int, slip: float, episode: np.uint64, step: int) -> int:
    """Return the action that an agent carries out, whose move may be another one.

    Args:
        action: action that the agent has chosen.
        n_moves: number of moves, 4 or 8.
        slip: probability that the move is another one, above 0.
        episode: key of the agent's episode.
        step: number of the step in its episode.
    """
    level = unit(draw(stream(episode, _SLIPS), step))
    if level >= slip:
        return action
    move = action & (n_moves - 1)
    # Below the slip the level is uniform again, and chooses among the other moves
    other = min(int(level / slip * (n_moves - 1)), n_moves - 2)
    return action - move + other + (1 if other >= move else 0)


def slipped_py(action: int, n_moves: int, slip: float, episode: int, step: int) -> int:
    """Return what ``slipped`` returns, in plain Python."""
    level = (draw_py(draw_py(episode, _SLIPS), step) >> 11) * _UNIT
    if level >= slip:
        return action
    effect, move = divmod(action, n_moves)
    other = min(int(level / slip * (n_moves - 1)), n_moves - 2)
    return effect * n_moves + other + (other >= move)


def below_py(bits: int, n: int) -> int:
    """Return what ``below`` returns, in plain Python."""
    return (bits >> 32) * n >> 32
