from __future__ import annotations

import os
import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import Field
from support import reference

from glitch_agents import Trajectories
from glitch_gym.actions import ActionSet
from glitch_gym.errors import GridError, PictureError, SettingError
from glitch_gym.grid import Grid
from glitch_gym.randomness import derive_key
from glitch_render.effects import EffectParameters, effect, get_effect, override
from glitch_render.engine.canvas import Canvas
from glitch_render.engine.replay import mark_cell, replay

SIX = ("same", "pixelate", "desaturate", "invert", "random", "artifact")
ALL = (
    *SIX, "posterize", "solarize", "hue_rotate", "scanlines", "dither", "channel_shift",
    "pixel_sort", "displace", "smear", "swap", "echo", "melt", "jpeg_bytes", "dct",
)  # fmt: skip


class Posterize(EffectParameters):
    bits: int = Field(2, ge=1, le=7, description="bits that are kept of each channel")


@effect("test_posterize", Posterize)
def posterize(stamp, parameters):
    """Keep the highest bits of the mean of both cells: a plain function, without an op."""
    shift = 8 - parameters.bits
    mixed = (stamp.cell.astype(int) + stamp.left.reshape(-1, 3).max(axis=0)) // 2
    return (mixed >> shift << shift).astype(np.uint8)


def random_trajectories(rng, grid, n_actions, agents, steps):
    cells = rng.choice(grid.picture_cells(), (agents, steps)).astype(np.int32)
    cells[rng.random((agents, steps)) < 0.1] = -1
    actions = rng.integers(n_actions, size=(agents, steps)).astype(np.int32)
    return Trajectories(cells, actions, np.full(agents, steps, np.int32))


@settings(deadline=None, max_examples=200)
@given(
    seed=st.integers(0, 2**32),
    effects=st.lists(st.sampled_from((*ALL, "test_posterize")), min_size=1, unique=True),
    moves=st.sampled_from([4, 8]),
    rows=st.integers(1, 6),
    cols=st.integers(1, 6),
    spare=st.tuples(st.integers(0, 2), st.integers(0, 2)),
    size=st.tuples(st.integers(6, 40), st.integers(6, 40)),
    agents=st.integers(1, 6),
    steps=st.integers(1, 12),
)
def test_replay_gives_the_bytes_of_one_stamp_at_a_time(
    seed, effects, moves, rows, cols, spare, size, agents, steps
):
    rng = np.random.default_rng(seed)
    frame = rng.integers(256, size=(*size, 3), dtype=np.uint8)
    grid = Grid(rows + spare[0], cols + spare[1], rows, cols)
    actions = ActionSet(tuple(effects), moves)
    trajectories = random_trajectories(rng, grid, actions.n, agents, steps)
    given_parameters = {
        name: get_effect(name).parameters(**some)
        for name, some in {
            "artifact": {"quality": 20},
            "displace": {"rows": int(rng.integers(-1, 2)), "cols": int(rng.integers(-1, 2))},
            "pixel_sort": {"axis": str(rng.choice(["move", "horizontal", "vertical"]))},
            "scanlines": {"lines": int(rng.integers(1, 30))},
            "dither": {"levels": int(rng.choice([2, 4, 6, 16])), "dots": 20},
            "hue_rotate": {"degrees": float(rng.uniform(-360, 360))},
            "channel_shift": {"distance": float(rng.random())},
            "smear": {"decay": float(rng.random())},
        }.items()
    }
    before = frame.copy()
    fast = replay(
        frame, grid, actions, trajectories, parameters=given_parameters, seed=seed, layer=1
    )
    slow = reference.replay(
        frame,
        grid,
        actions,
        trajectories,
        parameters=given_parameters,
        key=derive_key(seed, 1, "replay"),
        plane_key=derive_key(seed, 1, "planes"),
    )
    np.testing.assert_array_equal(fast, slow)
    np.testing.assert_array_equal(frame, before)


@pytest.mark.parametrize("name", ALL)
def test_each_effect_alone_gives_the_reference_bytes_on_a_photograph(name, small):
    rng = np.random.default_rng(3)
    grid, actions = Grid(9, 13, 9, 13), ActionSet((name,))
    trajectories = random_trajectories(rng, grid, actions.n, 30, 10)
    keys = {"key": derive_key(0, 0, "replay"), "plane_key": derive_key(0, 0, "planes")}
    slow = reference.replay(small, grid, actions, trajectories, **keys)
    np.testing.assert_array_equal(replay(small, grid, actions, trajectories), slow)


@pytest.mark.parametrize("name", ALL)
def test_each_effect_looks_as_it_did(name, small, golden):
    grid, actions = Grid(8, 12, 8, 12), ActionSet((name,))
    right = actions.encode(name, "right")
    cells = np.array([[row * 12 + col for col in range(3, 9)] for row in range(2, 6)], np.int32)
    trajectories = Trajectories(
        cells, np.full(cells.shape, right, np.int32), np.full(4, 6, np.int32)
    )
    golden(f"effect-{name}", replay(small, grid, actions, trajectories))


def test_same_drags_one_colour_over_the_picture(small):
    grid, actions = Grid(4, 6, 4, 6), ActionSet(("same",))
    cells = np.array([[7, 8, 9, 10]], np.int32)
    trajectories = Trajectories(cells, np.full((1, 4), 3, np.int32), np.array([4], np.int32))
    out = replay(small, grid, actions, trajectories)
    source = small[40:80, 0:40].reshape(-1, 3).mean(axis=0)
    assert np.abs(out[40:80, 40:200].reshape(-1, 3) - source).max() <= 0.5
    np.testing.assert_array_equal(out[80:], small[80:])


def test_order_is_steps_first_then_agents(small):
    grid, actions = Grid(2, 2, 2, 2), ActionSet(("invert", "desaturate"))
    invert, desaturate = 0, 4
    one = Trajectories(
        np.zeros((2, 2), np.int32),
        np.array([[invert, invert], [desaturate, desaturate]], np.int32),
        np.full(2, 2, np.int32),
    )
    flat = Trajectories(
        np.zeros((1, 4), np.int32),
        np.array([[invert, desaturate, invert, desaturate]], np.int32),
        np.array([4], np.int32),
    )
    np.testing.assert_array_equal(
        replay(small, grid, actions, one), replay(small, grid, actions, flat)
    )


def test_the_jpeg_is_made_only_if_it_is_used(small):
    grid, actions = Grid(2, 2, 2, 2), ActionSet(("same", "artifact"))
    calls = []
    with override("artifact", plane=lambda source, own: calls.append(1) or source.frame):
        for action, expected in ((0, 0), (4, 1)):
            trajectories = Trajectories(
                np.zeros((1, 1), np.int32),
                np.full((1, 1), action, np.int32),
                np.array([1], np.int32),
            )
            replay(small, grid, actions, trajectories)
            assert len(calls) == expected


def test_random_colours_depend_on_seed_and_layer(small):
    grid, actions = Grid(4, 6, 4, 6), ActionSet(("random",))
    trajectories = random_trajectories(np.random.default_rng(0), grid, 4, 20, 2)
    first = replay(small, grid, actions, trajectories, seed=1)
    np.testing.assert_array_equal(first, replay(small, grid, actions, trajectories, seed=1))
    assert (first != replay(small, grid, actions, trajectories, seed=2)).any()
    assert (first != replay(small, grid, actions, trajectories, seed=1, layer=1)).any()


def test_a_marked_cell_is_framed_within_the_picture(small):
    for cell in (0, 5, 18, 23):
        frame = small.copy()
        mark_cell(frame, Grid(4, 6, 4, 6), cell)
        assert (frame != small).any()
        row, col = divmod(cell, 6)
        middle = (slice(row * 40 + 15, row * 40 + 25), slice(col * 40 + 15, col * 40 + 25))
        np.testing.assert_array_equal(frame[middle], small[middle])


def one_stamp(cell, action):
    return Trajectories(
        np.full((1, 1), cell, np.int32), np.full((1, 1), action, np.int32), np.ones(1, np.int32)
    )


def test_bad_replays_are_refused(small):
    grid, actions = Grid(4, 6, 3, 6), ActionSet(("same",))
    for cell, action, message in ((18, 0, "another grid"), (99, 0, "another grid"), (0, 4, "0…3")):
        with pytest.raises(SettingError, match=message):
            replay(small, grid, actions, one_stamp(cell, action))
    with pytest.raises(PictureError, match="uint8"):
        replay(small.astype(float), grid, actions, one_stamp(0, 0))
    with pytest.raises(GridError, match="finer"):
        replay(small, Grid(400, 4, 400, 4), actions, one_stamp(0, 0))


def test_a_canvas_refuses_arrays_of_other_shapes(small):
    canvas = Canvas(Grid(4, 6, 4, 6), ActionSet(("same",)), *small.shape[:2])
    cells = np.zeros((2, 3), np.int32)
    for wrong in (cells[0], cells[:, :2], cells[:1]):
        with pytest.raises(SettingError, match=r"\(steps, agents\)"):
            canvas.stamp(cells, wrong)
    with pytest.raises(SettingError, match="counters"):
        canvas.stamp(cells, cells, np.zeros(2, np.int64))
    for frame in (small[:-1].copy(), small.astype(np.int16)):
        with pytest.raises(SettingError, match="as the canvas was made for"):
            canvas.paint(frame)
        with pytest.raises(SettingError, match="as the canvas was made for"):
            canvas.paint(small.copy(), earlier=[frame])


@pytest.mark.parametrize("result", [np.zeros((1, 1, 3), np.uint8), np.zeros(3, np.float32)])
def test_an_effect_that_gives_something_else_is_named(small, result):
    with (
        override("test_posterize", function=lambda stamp, parameters: result),
        pytest.raises(SettingError, match="test_posterize"),
    ):
        replay(small, Grid(4, 6, 4, 6), ActionSet(("test_posterize",)), one_stamp(3, 0))


@pytest.mark.parametrize("name", ["echo", "artifact", "dct"])
@pytest.mark.parametrize("missing", [0, 1])
def test_a_plane_that_is_shown_everywhere_is_shown_in_one_piece(small, name, missing):
    grid, actions = Grid(4, 6, 4, 6), ActionSet(("desaturate", name))
    cells = np.arange(24 - missing, dtype=np.int32)[None]
    stamps = Trajectories(
        np.concatenate([cells, cells], axis=1),
        np.concatenate([np.zeros_like(cells), np.full_like(cells, 4)], axis=1),
        np.array([2 * cells.size], np.int32),
    )
    keys = {"key": derive_key(0, 0, "replay"), "plane_key": derive_key(0, 0, "planes")}
    slow = reference.replay(small, grid, actions, stamps, **keys)
    np.testing.assert_array_equal(replay(small, grid, actions, stamps), slow)


FORKING = """
import os, sys, warnings
import numpy as np
from glitch_agents import Trajectories
from glitch_gym.actions import ActionSet
from glitch_gym.grid import Grid
from glitch_render.engine.replay import replay

warnings.simplefilter("ignore")
frame = np.random.default_rng(0).integers(256, size=(1080, 1920, 3), dtype=np.uint8)
cells = np.arange(800, dtype=np.int32)[None]
stamps = Trajectories(cells, np.zeros_like(cells), np.array([800], np.int32))

def work():
    return replay(frame, Grid(20, 40, 20, 40), ActionSet(("pixel_sort",)), stamps)

before = work()
child = os.fork()
if child == 0:
    os._exit(0 if (work() == before).all() else 1)
sys.exit(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork on this system")
def test_a_forked_child_has_cores_of_its_own():
    subprocess.run([sys.executable, "-c", FORKING], check=True, timeout=120)
