from __future__ import annotations

import numpy as np
import pytest
from test_q_learning import small_world

from glitch_agents import QLearning, QTable, load_table, save_table
from glitch_gym.errors import OutputError, SettingError


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
