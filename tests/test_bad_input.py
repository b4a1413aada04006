"""Whatever is handed to the environments is refused in words, or does what it says."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
from PIL import Image

from glitch_gym import GlitchError, GlitchGridEnv, GlitchGridVectorEnv
from glitch_render import RecordEpisode

NAN, INFINITE = float("nan"), float("inf")
NO_NUMBERS = [
    NAN, INFINITE, "a", [1], (1, 2), {}, set(), object(), 1e300, True, np.True_, b"x", 10**400, 1j,
    np.array([1, 2]), np.array([[1]]),
]  # fmt: skip
NO_WHOLE_NUMBERS = [*NO_NUMBERS, 2.5, -1, np.float64(3), np.array(3.0)]
NO_COUNTS = [*NO_WHOLE_NUMBERS, 0, 2**40]
NO_NAMES = [None, 3, True, [], {}, object(), b"x", "nothing"]

SETTINGS: dict[str, list[Any]] = {
    "image": [
        None, 3, True, "", "nowhere.png", "a\0b", "sample:nothing", "sample:", b"x", [], [[1]],
        [[1], [1, 2]], {}, object(), Path("nowhere.png"), Path(), np.zeros((0, 0, 3), np.uint8),
        np.zeros((3, 3, 4), np.uint8), np.zeros((3, 3, 3)),
    ],
    "grid": [
        20, None, "ab", "12", {}, object(), (NAN, 3), (2.5, 3), (0, 1), (-1, 3), (1,), (1, 2, 3),
        (True, 3), ("3", 4), (10**30, 1), (10**400, 1), (2**14, 2**14), np.array([[2, 3]]),
        np.array([2.0, 3.0]), [[1, 2], [3, 4]],
    ],
    "effects": [
        None, 3, True, "same", np.array(3), object(), [], {}, [3], [None], [["same"]], [b"same"],
        ["same", "same"], ("same", "invert", "same"), {3: (0, 1)}, {None: None}, {"sane": (0, 1)},
        {"same": NAN}, {"same": None}, {"same": object()}, {"same": (0,)}, {"same": (0, 1, 2)},
        {"same": (0, -1)}, {"same": (0, NAN)}, {"same": "ab"}, {"same": ("a", "b")},
        {"same": {1: 2}}, {"same": (1e300, 0)}, {"same": {"mean": 0, "deviation": 1}},
        {"same": {"mean": "x"}}, {"same": [[0], [1]]}, {"same": (True, 0.1)},
        {"same": (3e38, 3e38)},
    ],
    "activation": [
        *NO_NAMES[:3], {}, object(), b"x", "nothing", "", "a\0b", Path("nowhere.png"), [],
        [[1], [1, 2]], [[NAN]], np.full((2, 2), 2.0), np.full((2, 2), -1.0), np.full((2, 2), 1j),
        np.zeros((2, 2, 3)), np.zeros((0, 3)), np.array(["a"]),
    ],
    "weights": [3, True, b"x", object(), "w.pth", Path("w.pth")],
    "objective": [*NO_NAMES, ["escape"], b"escape"],
    "reward_range": [
        3, True, "ab", {}, object(), (1,), (1, 2, 3), (NAN, 1), (INFINITE, 0), ("a", "b"),
        (1e300, 1), (10**400, 1), (None, None), ((1,), (2,)), (True, 2),
    ],
    "exit_reward": NO_NUMBERS,
    "prohibited_reward": [None, *NO_NUMBERS],
    "invert": [None, "yes", 2, 0.5, NAN, [], object(), np.array([1, 2])],
    "median": [None, *NO_COUNTS, 2, 1001],
    "slip": [None, *NO_NUMBERS, -0.1, 1.1],
    "fit": [*NO_NAMES, ["pad"]],
    "orient": [*NO_NAMES, ["auto"]],
    "moves": [None, *NO_COUNTS, 5, 6, "4", [4]],
    "observation": [*NO_NAMES, ["cell"], b"cell"],
    "patch_size": [None, *NO_COUNTS, 4, 257, "5"],
    "pixel_size": [None, *NO_COUNTS, 3, 513, "5"],
    "lifetime": NO_COUNTS,
    "seed": [None, *NO_WHOLE_NUMBERS[:12], *NO_WHOLE_NUMBERS[13:]],
}  # fmt: skip
MAKERS = {
    "class": lambda settings: GlitchGridEnv(**settings),
    "make": lambda settings: gym.make("GlitchGrid-v0", **settings),
    "make_vec": lambda settings: gym.make_vec("GlitchGrid-v0", 2, **settings),
}
VECTOR_SETTINGS: dict[str, list[Any]] = {
    "num_envs": [None, *NO_COUNTS],
    "max_episode_steps": [0, -2, 2.5, NAN, "a", True, [1], {}, object(), 10**400],
    "autoreset_mode": [None, *NO_NAMES, "Never"],
    "masks": [None, "yes", 3, [], {}, np.array([1, 2])],
    "env": [3, "env", [], object()],
    "grids": [(3, 3)],
}
CELLS = [
    None, 3, "ab", b"ab", (), (1,), (1, 2, 3), (1.7, 2.2), (NAN, 1), (True, 1), ("1", "2"),
    (None, None), (-1, 0), (100, 0), (10**30, 0), [[1], [2]], {}, {1, 2}, object(),
    np.array([1.5, 2.0]), np.array([[1, 2]]),
]  # fmt: skip
OPTIONS = [
    3, True, "cell", [], [("cell", (1, 2))], object(), {"cel": (1, 1)}, {3: 4}, {None: 1}, {"": 1},
]  # fmt: skip
SEEDS = [
    "a", b"a", NAN, 2.5, 1e10, -1, -(10**400), True, np.float64(2), {}, object(), np.array([1, 2]),
    [1], (),
]  # fmt: skip
SEEDS_OF_THREE = [
    [1, 2], [1, 2, 3, 4], [1, 2, "a"], [1, 2, -3], [1, 2, 2.5], [1, 2, True], [NAN] * 3, "abc",
    [[1], [2], [3]], np.ones(3), np.array([[1, 2, 3]]), np.array([1, 2, -1]),
]  # fmt: skip
RESET_MASKS = [
    None, True, "x", [True] * 3, np.zeros(3, bool), np.ones(2, bool), np.ones(3, int),
    np.ones((3, 1), bool),
]  # fmt: skip
ACTIONS = [
    None, -1, 20, 2**70, -(10**400), 0.5, 1.0, NAN, INFINITE, True, np.True_, np.float64(1), 1j,
    "a", "1", b"a", [], [1], (1,), {}, object(), np.array([1, 2]), np.array([[1]]), np.array(["a"]),
    np.uint64(2**64 - 1),
]  # fmt: skip
ACTIONS_OF_THREE = [
    None, -1, 3, "abc", [], [0, 1], [0, 1, 2, 3], [0, 1, 20], [0, 1, -1], (0, 1, 99), [0, 1, 2**70],
    [[0], [1], [2]], [[0], [1, 2], 3], ["a", "b", "c"], [None] * 3, {}, set(), object(),
    np.zeros(3), np.array([0, 1, NAN]), np.zeros((3, 1), int), np.zeros((1, 3), int),
    np.array([0, 1, 2], object), np.array([0, 1, 2], complex), np.array([True, False, True]),
    np.array([2**63, 0, 1], np.uint64),
]  # fmt: skip
POLICIES = [
    3, "a", [], object(), np.zeros(3, int), np.zeros(200), np.full(200, 20), np.full(200, -1),
    np.zeros((200, 1), int),
]  # fmt: skip


def is_refused(call):
    """Call it; return whether it raised an error of ours, and let another one pass."""
    try:
        call()
    except GlitchError as error:
        return len(str(error).splitlines()) == 1
    return False


@pytest.mark.parametrize("maker", MAKERS)
@pytest.mark.parametrize("name", SETTINGS)
def test_no_setting_is_accepted_wrongly_or_fails_in_python(name, maker):
    kinds = {"patch_size": "patch", "pixel_size": "pixels"}
    others = {"observation": kinds[name]} if name in kinds else {}
    for value in SETTINGS[name]:
        refused = is_refused(lambda value=value: MAKERS[maker]({name: value, **others}))
        assert refused, value


@pytest.mark.parametrize("name", VECTOR_SETTINGS)
def test_no_setting_of_the_vector_env_is_accepted_wrongly(name):
    for value in VECTOR_SETTINGS[name]:
        if (name, value) not in (("max_episode_steps", None), ("env", None)):
            given = {"num_envs": 2} | {name: value}
            assert is_refused(lambda given=given: GlitchGridVectorEnv(**given)), value
    # Libraries that offer settings, such as TorchRL its frameskip, go by these words of Python's
    with pytest.raises(TypeError, match="got an unexpected keyword argument 'frameskip'") as caught:
        gym.make("GlitchGrid-v0", frameskip=1)
    assert isinstance(caught.value, GlitchError)
    with pytest.raises(GlitchError, match="did you mean 'grid'"):
        gym.make("GlitchGrid-v0", grids=(3, 3))
    assert is_refused(lambda: gym.make("GlitchGrid-v0", max_episode_steps=0))


def test_no_reset_is_accepted_wrongly():
    env, vector = GlitchGridEnv(), GlitchGridVectorEnv(3)
    for cell in CELLS:
        for one in (env, vector):
            assert is_refused(lambda one=one, c=cell: one.reset(options={"cell": c})), cell
    for options in OPTIONS:
        for one in (env, vector):
            assert is_refused(lambda one=one, o=options: one.reset(options=o)), options
    for seed in SEEDS:
        for one in (env, vector):
            assert is_refused(lambda one=one, seed=seed: one.reset(seed=seed)), seed
    for seeds in SEEDS_OF_THREE:
        assert is_refused(lambda seeds=seeds: vector.reset(seed=seeds)), seeds
    for mask in RESET_MASKS:
        given = {"reset_mask": mask}
        assert is_refused(lambda given=given: vector.reset(options=given)), mask


def test_no_action_is_accepted_wrongly():
    env, vector = GlitchGridEnv(), GlitchGridVectorEnv(3)
    before, _ = env.reset(seed=0)
    cells, _ = vector.reset(seed=0)
    for action in ACTIONS:
        assert is_refused(lambda action=action: env.step(action)), action
    for actions in ACTIONS_OF_THREE:
        assert is_refused(lambda actions=actions: vector.step(actions)), actions
    # Nothing has moved
    assert env.observe_cells(np.array([before]))[0] == before
    assert env.walk == ()
    np.testing.assert_array_equal(vector.cells, cells)


def test_no_rollout_is_accepted_wrongly():
    vector = GlitchGridVectorEnv(3)
    vector.reset(seed=0)
    for value in NO_COUNTS:
        assert is_refused(lambda value=value: vector.rollout(None, value)), value
        assert is_refused(lambda value=value: vector.rollout(None, 1, threads=value)), value
    for policy in POLICIES:
        assert is_refused(lambda policy=policy: vector.rollout(policy, 1)), policy


def test_no_world_or_wrapper_is_made_of_anything():
    made = GlitchGridEnv()
    for frame in (None, 3, "a", object(), np.zeros((3, 3)), [[1], [1, 2]]):
        assert is_refused(lambda frame=frame: GlitchGridEnv.from_world(made.world, frame)), frame
    for world in (None, 3, "a", object()):
        assert is_refused(lambda world=world: GlitchGridEnv.from_world(world, made.frame)), world
    for bounds in (3, "ab", (1,), (1, 0), (NAN, 1), (1, 2, 3), ("a", "b"), object()):
        given = {"observation": "patch", "reward_bounds": bounds}
        refused = is_refused(
            lambda given=given: GlitchGridEnv.from_world(made.world, made.frame, **given)
        )
        assert refused, bounds
    assert is_refused(lambda: RecordEpisode(gym.make("CartPole-v1")))
    assert is_refused(lambda: RecordEpisode(made, "walk.txt"))


def test_what_means_the_same_is_accepted(tmp_path, small):
    path = tmp_path / "cat.png"
    Image.fromarray(small).save(path)
    written = gym.make("GlitchGrid-v0", image=str(path), grid=(8, 6), effects=["same", "invert"])
    meant = gym.make(
        "GlitchGrid-v0", image=path, grid=np.array([8, 6]), effects=(n for n in ("same", "invert")),
        moves=np.int64(4), lifetime=np.int32(20), median=np.uint8(3), exit_reward=np.float32(1),
        invert=np.False_, seed=np.int64(0), prohibited_reward=-1,
    )  # fmt: skip
    worlds = [env.get_wrapper_attr("world") for env in (written, meant)]
    assert worlds[0].digest == worlds[1].digest
    seen, info = written.reset(seed=3)
    assert meant.reset(seed=np.int64(3))[0] == seen
    assert meant.reset(options={"cell": info["cell"]})[0] == seen
    for action in (np.int64(1), np.uint8(1), np.array(1)):
        assert written.step(1)[:2] == meant.step(action)[:2]
    mask = tmp_path / "mask.png"
    Image.fromarray(small[:, :, 0]).save(mask)
    by_path, by_text = (GlitchGridEnv(path, (8, 6), activation=one) for one in (mask, str(mask)))
    assert by_path.world.digest == by_text.world.digest
    vector = gym.make_vec("GlitchGrid-v0", num_envs=np.int64(3), masks=np.True_)
    np.testing.assert_array_equal(
        vector.reset(seed=np.int64(5))[0], vector.reset(seed=(5, 6, np.int32(7)))[0]
    )
