from __future__ import annotations

from fractions import Fraction
from itertools import pairwise

import numpy as np
import pytest

from glitch_agents import Trajectories, rollout
from glitch_agents.rollout import as_table
from glitch_gym.activation.base import Activation
from glitch_gym.errors import SettingError
from glitch_render.engine.replay import replay
from glitch_render.layers import layer_policy, layer_world
from glitch_render.media.timing import FramePlan
from glitch_render.recipe.keyframes import Keyframes
from glitch_render.recipe.model import Layer, Recipe
from glitch_render.recipe.presets import load_preset
from glitch_render.stills import corrupt
from glitch_render.video.scan import FootageScan
from glitch_render.video.shots import Shots
from glitch_render.video.timeline import LayerTimeline

EFFECTS = ["same", "pixelate", "desaturate", "invert", "random", "artifact"]
EVEN = {name: {"mean": 0.0, "std": 0.3} for name in EFFECTS}


@pytest.fixture(scope="module")
def maps(small):
    rng = np.random.default_rng(5)
    return rng.random((6, 4, 6)).astype(np.float32)


def stage(layer, small, maps, frames=48, cuts=(0,), seed=3, smoothing=12.0):
    """Set a layer up for a clip that shows the small picture all the time."""
    samples = np.arange(0, frames, 8)
    scan = FootageScan(
        np.arange(frames), frames, np.array(cuts), samples, maps[: len(samples)],
        maps[: len(samples)], None, True, (),
    )  # fmt: skip
    plan = FramePlan(np.arange(frames), np.arange(frames), frames, Fraction(1, 25), Fraction(25))
    recipe = Recipe(layers=[layer], seed=seed, activation="edges", cam_smoothing=smoothing)
    shots = Shots(scan, plan, recipe)
    height, width = small.shape[:2]
    made = {}

    def learned(shot, index):
        if shot not in made:
            world = layer_world(layer, index, shots.activation(shot), height, width, seed=seed)
            policy = layer_policy(layer, index, world, small, seed=seed)
            made[shot] = (world, as_table(policy, world))
        return made[shot]

    def timeline():
        return LayerTimeline(layer, 0, plan, shots, learned, height, width, seed=seed)

    return timeline, learned, shots


def painted(timeline, small, frames):
    shown = []
    for frame in frames:
        pixels = small.copy()
        timeline.paint(frame, pixels)
        shown.append(pixels)
    return shown


def layer_of(**settings):
    usual = {"grid": (12, 18), "iterations": 300, "agents": 60, "lifetime": 10, "effects": EVEN}
    return Layer(**usual | {"fit": "stretch", "objective": "linger"} | settings)


def stamped(trajectories, first, last):
    """Cut steps [first, last) out of trajectories, the others being left empty."""
    cells = np.full(trajectories.cells.shape, -1, np.int32)
    cells[:, first:last] = trajectories.cells[:, first:last]
    return Trajectories(cells, trajectories.actions, trajectories.lengths)


def test_with_preserve_a_frame_shows_every_step_so_far(small, maps):
    layer = layer_of()
    timeline, learned, _ = stage(layer, small, maps)
    world, policy = learned(0, 0)
    whole = rollout(world, policy, 60, lifetime=10, seed=3)
    shown = painted(timeline(), small, range(14))
    for frame in range(14):
        so_far = stamped(whole, 0, min(frame + 1, 10))
        expected = replay(small, world.grid, world.actions, so_far, seed=3)
        np.testing.assert_array_equal(shown[frame], expected)
    np.testing.assert_array_equal(shown[9], shown[13])


def test_without_preserve_a_frame_shows_its_own_step_alone(small, maps):
    timeline, learned, _ = stage(layer_of(preserve=False), small, maps)
    world, policy = learned(0, 0)
    whole = rollout(world, policy, 60, lifetime=10, seed=3)
    shown = painted(timeline(), small, range(12))
    for frame in range(12):
        one = stamped(whole, frame, frame + 1)
        expected = replay(small, world.grid, world.actions, one, seed=3)
        np.testing.assert_array_equal(shown[frame], expected)
    np.testing.assert_array_equal(shown[11], small)


def test_a_trail_reaches_so_many_steps_back_and_fades_at_the_end(small, maps):
    timeline, learned, _ = stage(layer_of(trail=4), small, maps)
    world, policy = learned(0, 0)
    whole = rollout(world, policy, 60, lifetime=10, seed=3)
    shown = painted(timeline(), small, range(16))
    for frame in range(16):
        some = stamped(whole, max(0, frame - 3), frame + 1)
        expected = replay(small, world.grid, world.actions, some, seed=3)
        np.testing.assert_array_equal(shown[frame], expected)
    np.testing.assert_array_equal(shown[15], small)


def test_repeat_agents_are_drawn_afresh_at_every_frame_and_for_ever(small, maps):
    timeline, learned, _ = stage(layer_of(repeat_agents=True, preserve=False), small, maps)
    world, policy = learned(0, 0)
    whole = rollout(world, policy, 60, lifetime=30, repeat=True, seed=3)
    shown = painted(timeline(), small, range(30))
    for frame in (0, 1, 17, 29):
        one = stamped(whole, frame, frame + 1)
        expected = replay(small, world.grid, world.actions, one, seed=3)
        np.testing.assert_array_equal(shown[frame], expected)


def test_hold_and_steps_per_frame_set_the_clock(small, maps):
    plain = painted(stage(layer_of(), small, maps)[0](), small, range(10))
    held = painted(stage(layer_of(hold=3), small, maps)[0](), small, range(30))
    for frame in range(30):
        np.testing.assert_array_equal(held[frame], plain[frame // 3])
    fast = painted(stage(layer_of(steps_per_frame=2), small, maps)[0](), small, range(5))
    for frame in range(5):
        np.testing.assert_array_equal(fast[frame], plain[2 * frame + 1])


def test_start_and_ramp_say_when_agents_are_born(small, maps):
    late = painted(stage(layer_of(start=5), small, maps)[0](), small, range(12))
    plain = painted(stage(layer_of(), small, maps)[0](), small, range(7))
    np.testing.assert_array_equal(late[4], small)
    for frame in range(7):
        np.testing.assert_array_equal(late[5 + frame], plain[frame])
    ramped = painted(stage(layer_of(ramp=20), small, maps)[0](), small, range(40))
    shares = [(one != small).any(axis=2).mean() for one in ramped]
    assert 0 < shares[0] < 0.3 * shares[30]
    assert shares[5] < shares[15] < shares[30] == shares[39]


def test_respawn_keeps_a_long_clip_corrupted(small, maps):
    settings = {"preserve": False, "respawn": True}
    shown = painted(stage(layer_of(**settings), small, maps)[0](), small, range(48))
    assert all((one != small).any() for one in shown)
    assert (shown[0] != shown[10]).any()


def test_agents_and_weights_can_be_keyframed(small, maps):
    keyed = Keyframes((0.0, 1.6), (0, 60))
    settings = {"agents": keyed, "repeat_agents": True, "preserve": False}
    shown = painted(stage(layer_of(**settings), small, maps)[0](), small, range(48))
    shares = [(one != small).any(axis=2).mean() for one in shown]
    assert shares[0] == 0
    assert shares[10] < shares[25] < shares[47]
    walkers = painted(stage(layer_of(agents=keyed), small, maps)[0](), small, range(48))
    shares = [(one != small).any(axis=2).mean() for one in walkers]
    assert shares[0] == 0 < shares[10] < shares[30] < shares[44]

    effects = {"pixelate": {}, "desaturate": {"weight": {"0.0": -100, "1.0": -100, "1.04": 100}}}
    settings = {"effects": effects, "repeat_agents": True, "preserve": False, "agents": 2000}
    shown = painted(stage(layer_of(**settings), small, maps)[0](), small, range(48))
    assert (np.ptp(shown[20], axis=2) > 3).mean() > 0.5
    assert np.ptp(shown[30], axis=2).max() == 0


@pytest.mark.parametrize(
    "settings",
    [
        {},
        {"preserve": False},
        {"repeat_agents": True, "preserve": False, "hold": 4},
        {"repeat_agents": True},
        {"respawn": True, "preserve": False, "ramp": 7},
        {"respawn": True, "trail": 5, "hold": 2, "steps_per_frame": 3, "ramp": 9, "start": 3},
        {"trail": 6, "start": 8},
        {"respawn": True, "explore": 0.2},
        {"respawn": True, "temperature": 0.3},
        {"respawn": True, "trail": 8, "born_above": 0.4},
        {"agents": Keyframes((0.0, 1.0), (0, 80)), "respawn": True, "trail": 4},
    ],
)
def test_any_frame_can_be_reached_without_those_before_it(settings, small, maps):
    timeline, _, _ = stage(layer_of(**settings), small, maps, cuts=(0, 19, 35))
    whole = painted(timeline(), small, range(48))
    jumping = timeline()
    for frame in (30, 3, 47, 36, 37, 19):
        np.testing.assert_array_equal(painted(jumping, small, [frame])[0], whole[frame])
    for first in (1, 25, 41):
        for frame, one in enumerate(painted(timeline(), small, range(first, 48)), first):
            np.testing.assert_array_equal(one, whole[frame])


def test_at_a_cut_agents_follow_the_new_policy(small, maps):
    timeline, learned, shots = stage(layer_of(lifetime=40), small, maps, cuts=(0, 19))
    assert [shots.shot_of(frame) for frame in (0, 18, 19, 47)] == [0, 0, 1, 1]
    with_cut = painted(timeline(), small, range(30))
    without = painted(stage(layer_of(lifetime=40), small, maps)[0](), small, range(30))
    assert (learned(0, 0)[1].values != learned(1, 0)[1].values).any()
    assert (with_cut[29] != without[29]).any()


def test_births_follow_the_activation_through_the_clip(small):
    left, right = np.zeros((4, 6), np.float32), np.zeros((4, 6), np.float32)
    left[:, :2], right[:, 4:] = 1, 1
    moving = np.stack([left] * 3 + [right] * 3)
    settings = {"born_above": 0.9, "repeat_agents": True, "preserve": False, "effects": ["invert"]}
    timeline, _, shots = stage(layer_of(**settings), small, moving, smoothing=1.0)
    assert shots.activation_at(0) == Activation(left)
    shown = painted(timeline(), small, range(48))
    third = small.shape[1] // 3
    for frame, touched in ((2, slice(0, third)), (46, slice(2 * third, None))):
        changed = (shown[frame] != small).any(axis=2)
        assert changed[:, touched].sum() == changed.sum() > 0


def test_a_layer_that_nobody_is_born_in_is_refused(small, maps):
    timeline, _, _ = stage(layer_of(born_above=0.6, born_below=0.4), small, maps)
    with pytest.raises(SettingError, match="no cell qualifies for births"):
        timeline().check_births()
    stage(layer_of(born_above=0.5), small, maps)[0]().check_births()


def test_the_end_of_a_preserved_life_is_the_still(small, maps):
    layer = layer_of()
    timeline, _, shots = stage(layer, small, maps)
    recipe = Recipe(layers=[layer], seed=3)
    still = corrupt(small, recipe, activation=shots.activation(0))
    np.testing.assert_array_equal(painted(timeline(), small, [30])[0], still)


def test_post_1_has_the_structure_of_the_post():
    """The first layer flickers over 63 % of the cells; the others' trails grow for 20 frames."""
    rng = np.random.default_rng(0)
    frame = rng.integers(256, size=(400, 800, 3), dtype=np.uint8)
    recipe = load_preset("post-1")
    maps = rng.random((6, 4, 7)).astype(np.float32)
    shares = []
    for index, layer in enumerate(recipe.layers):
        quick = layer.model_copy(update={"iterations": 3000})
        timeline, learned, _ = stage(quick, frame, maps, seed=recipe.seed)
        world, _ = learned(0, 0)
        row_edges, col_edges = world.grid.edges(*frame.shape[:2])
        counted = []
        for shown in painted(timeline(), frame, range(40)):
            changed = (shown != frame).any(axis=2)
            by_row = np.maximum.reduceat(changed, row_edges[:-1], axis=0)
            counted.append(np.maximum.reduceat(by_row, col_edges[:-1], axis=1).mean())
        shares.append(counted)
        assert (layer.repeat_agents, layer.preserve) == (index == 0, index > 0)
    assert np.mean(shares[0]) == pytest.approx(0.633, abs=0.03)
    for grown in shares[1:]:
        assert all(after >= before for before, after in pairwise(grown))
        assert grown[0] < grown[5] <= grown[19] == grown[39]
