from __future__ import annotations

import copy
import dataclasses
import inspect
import pickle
from fractions import Fraction

import numpy as np
import pytest

from glitch_gym.env import GlitchGridEnv
from glitch_gym.errors import SettingError
from glitch_gym.memory import Memory, content_key
from glitch_gym.settings import Noise, WorldSettings
from glitch_render.media.codecs import Encoding
from glitch_render.media.colour import Colour
from glitch_render.video.selection import Selection

BASE = WorldSettings((6, 4), ["same", "invert"])
OTHERS = {
    "grid": (4, 6),
    "effects": ["invert", "same"],
    "fit": "stretch",
    "orient": "auto",
    "moves": 8,
    "objective": "linger",
    "reward_range": (-1.0, 0.5),
    "exit_reward": 2.0,
    "prohibited_reward": -2.0,
    "invert": True,
    "median": 1,
    "slip": 0.1,
}


@pytest.mark.parametrize("name", [one.name for one in dataclasses.fields(WorldSettings)])
def test_every_setting_counts_in_the_digest(name):
    other = dataclasses.replace(BASE, **{name: OTHERS[name]})
    assert other != BASE
    assert other.digest != BASE.digest
    assert dataclasses.replace(other, **{name: getattr(BASE, name)}) == BASE


def test_the_environment_takes_every_setting():
    taken = inspect.signature(GlitchGridEnv.__init__).parameters
    for one in dataclasses.fields(WorldSettings):
        assert one.name in taken
        if one.default is not dataclasses.MISSING:
            assert taken[one.name].default == one.default


def test_settings_are_equal_however_they_were_written():
    written = WorldSettings(
        np.array([6, 4]), {"same": Noise(0, 0.2), "invert": {"mean": -0.45, "std": 0.2}},
        moves=np.int64(4), prohibited_reward=-1, invert=np.False_,
    )  # fmt: skip
    assert written == BASE
    assert hash(written) == hash(BASE)
    assert written != "settings"


def test_settings_copy_pickle_and_stay_as_they_are():
    for again in (pickle.loads(pickle.dumps(BASE)), copy.deepcopy(BASE)):
        assert again == BASE
        assert dict(again.noise) == dict(BASE.noise)
    with pytest.raises(TypeError):
        BASE.effects["same"] = Noise()
    with pytest.raises(dataclasses.FrozenInstanceError):
        BASE.median = 5


def test_the_objective_yields_to_what_is_set():
    assert (BASE.activation_rewards, BASE.leaving_reward) == ((-1, 0), 1)
    linger = dataclasses.replace(BASE, objective="linger")
    assert (linger.activation_rewards, linger.leaving_reward) == ((0, 1), 0)
    given = dataclasses.replace(linger, reward_range=(2, 3), exit_reward=-4)
    assert (given.activation_rewards, given.leaving_reward) == ((2, 3), -4)


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("grid", (0, 4), "whole numbers from 1"),
        ("grid", 7, r"\(rows, cols\)"),
        ("effects", [], "effects is empty"),
        ("effects", ["sane"], "did you mean 'same'"),
        ("effects", "same", "list of names"),
        ("fit", "crop", "'pad' or 'stretch'"),
        ("orient", "up", "'fixed' or 'auto'"),
        ("moves", 6, "4 or 8"),
        ("objective", "escap", "did you mean 'escape'"),
        ("reward_range", (0, float("inf")), "reward_range"),
        ("exit_reward", float("nan"), "exit_reward"),
        ("prohibited_reward", "low", "prohibited_reward"),
        ("median", 2, "odd"),
        ("median", 1001, "at most 999"),
    ],
)
def test_bad_settings_are_refused_at_once(name, value, message):
    with pytest.raises(SettingError, match=message):
        dataclasses.replace(BASE, **{name: value})


def test_keys_differ_with_content_type_and_order():
    parts = [
        1, 1.5, "1", True, None, [1, 2], [2, 1], {"a": 1, "b": 2}, {"b": 2, "a": 1},
        np.arange(3), np.arange(3.0), np.arange(4), Fraction(1, 2), Noise(0, 1), Noise(1, 0), BASE,
    ]  # fmt: skip
    assert len({content_key(part=part) for part in parts}) == len(parts)
    assert content_key(part=np.arange(3)) == content_key(part=np.arange(3))
    with pytest.raises(TypeError, match="object cannot be hashed"):
        content_key(part=object())


def test_memory_lets_go_of_what_was_used_longest_ago():
    memory, made = Memory(100), []

    def recall(key, size):
        return memory.recall(key, lambda: made.append(key) or np.zeros(size, np.uint8))

    first = recall("a", 40)
    recall("b", 40)
    assert recall("a", 40) is first
    recall("c", 40)
    assert recall("a", 40) is first
    assert made == ["a", "b", "c"]
    recall("b", 40)
    assert made == ["a", "b", "c", "b"]
    recall("large", 101)
    recall("large", 101)
    assert made[4:] == ["large", "large"]
    memory.clear()
    assert memory.find("a") is None


OTHER_SELECTIONS = {
    "start": Fraction(1),
    "end": Fraction(2),
    "rate": Fraction(25),
    "scale": "360p",
    "duration": 3.0,
}
OTHER_ENCODINGS = {
    "kind": "pictures",
    "suffix": ".mkv",
    "codec": "h265",
    "encoder": "libx265",
    "pixel_format": "yuv420p10le",
    "options": (("crf", "19"),),
    "width": 66,
    "height": 34,
    "rate": Fraction(25),
    "colour": Colour(matrix=1),
    "sample_aspect": Fraction(4, 3),
    "alpha": True,
}
ENCODING = Encoding(
    "packets", ".mp4", "h264", "libx264", "yuv420p", (("crf", "18"),), 64, 32, Fraction(24),
    Colour(), Fraction(1), False,
)  # fmt: skip


@pytest.mark.parametrize(
    ("value", "others", "told_only"),
    [
        (Selection(), OTHER_SELECTIONS, set()),
        (ENCODING, OTHER_ENCODINGS, {"notes"}),
        (Colour(), {"matrix": 1, "primaries": 1, "transfer": 1, "full_range": True}, set()),
    ],
)
def test_every_option_of_an_export_counts_in_a_key(value, others, told_only):
    names = {one.name for one in dataclasses.fields(value)} - told_only
    assert set(others) == names
    keys = {
        content_key(part=dataclasses.replace(value, **{name: other}))
        for name, other in others.items()
    }
    assert len(keys | {content_key(part=value)}) == len(names) + 1
    for name in told_only:
        told = dataclasses.replace(value, **{name: ("a note",)})
        assert content_key(part=told) == content_key(part=value)
