from __future__ import annotations

import json

import numpy as np
import pytest
from support.worlds import small_world

from glitch_agents import QLearning, QTable, load_table, save_table
from glitch_gym.errors import ArrayFileError, OutputError, SettingError


def test_a_table_comes_back_as_it_was(tmp_path):
    world = small_world()
    table = QLearning(ties="first").learn(world, episodes=50, seed=4).epsilon_greedy(0.25)
    save_table(tmp_path / "q.npz", table, world)
    again = load_table(tmp_path / "q.npz", world)
    np.testing.assert_array_equal(again.values, table.values)
    for name in ("ties", "epsilon", "temperature", "seed", "episodes", "interrupted"):
        assert getattr(again, name) == getattr(table, name)
    assert [path.name for path in tmp_path.iterdir()] == ["q.npz"]
    with np.load(tmp_path / "q.npz", allow_pickle=False) as content:
        assert set(content) == {"values", "about"}


def test_a_table_that_does_not_fit_is_refused(tmp_path):
    save_table(tmp_path / "q.npz", QLearning().learn(small_world(), episodes=1), small_world())
    with pytest.raises(SettingError, match="other actions"):
        load_table(tmp_path / "q.npz", small_world(moves=8))
    with pytest.raises(SettingError, match="other grid"):
        load_table(tmp_path / "q.npz", small_world(picture=(5, 3)))
    with pytest.raises(SettingError, match="the world is"):
        save_table(tmp_path / "x.npz", QTable(np.zeros((2, 2, 2), np.float32)), small_world())


def test_foreign_and_damaged_files_are_refused(tmp_path):
    whole = tmp_path / "q.npz"
    save_table(whole, QLearning().learn(small_world(), episodes=1), small_world())
    (tmp_path / "cut.npz").write_bytes(whole.read_bytes()[:200])
    (tmp_path / "text.npz").write_text("hello")
    np.savez(tmp_path / "other.npz", values=np.zeros((1, 1, 1), np.float32))
    np.savez(tmp_path / "pickled.npz", values=np.array([{}]), about=np.array("{}"))
    about = '{"format": "glitch-gym Q-table", "version": 99}'
    np.savez(tmp_path / "newer.npz", values=np.zeros((1, 1, 1)), about=np.array(about))
    for name in ("cut", "text", "other", "pickled"):
        with pytest.raises(SettingError, match="damaged"):
            load_table(tmp_path / f"{name}.npz")
    with pytest.raises(SettingError, match="newer"):
        load_table(tmp_path / "newer.npz")
    with pytest.raises(SettingError, match="not found"):
        load_table(tmp_path / "nowhere.npz")


def test_outputs_that_cannot_be_written_are_refused(tmp_path):
    world = small_world()
    table = QLearning().learn(world, episodes=1)
    with pytest.raises(OutputError, match="npz"):
        save_table(tmp_path / "q.pkl", table, world)
    with pytest.raises(OutputError, match="folder does not exist"):
        save_table(tmp_path / "nowhere" / "q.npz", table, world)


def written(tmp_path):
    """A table's file, its arrays, and what it says of them."""
    path = tmp_path / "q.npz"
    save_table(path, QLearning().learn(small_world(), episodes=1), small_world())
    with np.load(path) as content:
        arrays = dict(content)
    return path, arrays, json.loads(str(arrays["about"]))


def test_a_damaged_table_is_whole_or_refused(tmp_path):
    path, arrays, _ = written(tmp_path)
    content = path.read_bytes()
    rng = np.random.default_rng(0)
    refused = 0
    for _ in range(500):
        damaged = bytearray(content)
        for place in rng.integers(len(content), size=rng.integers(1, 4)):
            damaged[place] = rng.integers(256)
        path.write_bytes(damaged[: rng.integers(len(content))] if rng.random() < 0.2 else damaged)
        try:
            table = load_table(path, small_world())
        except ArrayFileError:
            refused += 1
        else:
            np.testing.assert_array_equal(table.values, arrays["values"])
    assert refused > 300


@pytest.mark.parametrize(
    "change",
    [
        {"ties": "last"}, {"ties": ["first"]}, {"ties": None}, {"epsilon": "0.5"},
        {"epsilon": True}, {"epsilon": 1.5}, {"epsilon": float("nan")}, {"temperature": None},
        {"temperature": float("inf")}, {"temperature": -1}, {"temperature": 1e40},
        {"temperature": 10**400},
        {"seed": -1}, {"seed": 1.5}, {"seed": [1, 2]}, {"seed": "1"}, {"episodes": "many"},
        {"episodes": -1}, {"interrupted": "no"}, {"interrupted": 0}, {"grid": None}, {"grid": 4},
        {"grid": [4, 6]}, {"grid": [4, 6, 4, 7]}, {"grid": [True] * 4}, {"grid": ["4"] * 4},
        {"grid": [0, 0, 0, 0]}, {"actions": None}, {"actions": "same_up"}, {"actions": [1, 2]},
        {"actions": []}, {"version": "1"}, {"version": None}, {"format": 7},
    ],
)  # fmt: skip
def test_a_table_that_says_what_cannot_be_is_refused(tmp_path, change):
    path, arrays, about = written(tmp_path)
    np.savez(path, values=arrays["values"], about=np.array(json.dumps(about | change)))
    with pytest.raises(ArrayFileError, match="not a Q-table of glitch-gym"):
        load_table(path)
    without = {name: value for name, value in about.items() if name not in change}
    np.savez(path, values=arrays["values"], about=np.array(json.dumps(without)))
    with pytest.raises(ArrayFileError, match="not a Q-table of glitch-gym"):
        load_table(path)


def test_values_that_cannot_be_are_refused(tmp_path):
    path, arrays, about = written(tmp_path)
    values = arrays["values"]
    for wrong in (
        values[0], values[:, :, :-1], values.astype(np.int32), values * np.nan,
        values.astype(str), values[:0], values.astype(np.float64) + 1e300,
    ):  # fmt: skip
        np.savez(path, values=wrong, about=np.array(json.dumps(about)))
        with pytest.raises(ArrayFileError, match="or it is damaged"):
            load_table(path)
