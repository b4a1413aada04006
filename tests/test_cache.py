from __future__ import annotations

import logging
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from glitch_gym.errors import SettingError
from glitch_render.corrupt import corrupt
from glitch_render.recipe import Layer, Recipe
from glitch_render.store import Store, key_of, user_store

NUMBERS = {"values": np.arange(1000.0), "name": np.array("first")}


@pytest.fixture
def store(tmp_path):
    return Store(tmp_path / "cache")


def test_what_is_kept_is_found_again(store):
    key = key_of(a=1, b=[2, "three"])
    assert store.find("table", key) is None
    store.keep("table", key, NUMBERS)
    found = store.find("table", key)
    np.testing.assert_array_equal(found["values"], NUMBERS["values"])
    assert str(found["name"]) == "first"
    assert store.find("table", key_of(a=1, b=[2, "four"])) is None
    assert store.kept()["table"].entries == 1


def test_recall_computes_once(store):
    calls = []

    def make():
        calls.append(1)
        return NUMBERS

    for _ in range(3):
        np.testing.assert_array_equal(store.recall("x", "k", make)["values"], NUMBERS["values"])
    assert len(calls) == 1


@pytest.mark.parametrize("harm", ["cut", "flip", "empty", "text"])
def test_a_damaged_entry_is_told_and_computed_again(store, harm, caplog):
    store.keep("table", "k", NUMBERS)
    path = store.folder / "table" / "k.npz"
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 255
    path.write_bytes(
        {"cut": content[: len(content) // 2], "flip": content, "empty": b"", "text": b"hello"}[harm]
    )
    with caplog.at_level(logging.WARNING, "glitch_gym"):
        again = store.recall("table", "k", lambda: NUMBERS)
    assert "damaged" in caplog.text
    np.testing.assert_array_equal(again["values"], NUMBERS["values"])
    assert store.find("table", "k") is not None


def test_what_was_used_longest_ago_goes_first(tmp_path):
    store = Store(tmp_path, limit=30_000)
    for number, name in enumerate("abc"):
        store.keep("t", name, NUMBERS)
        os.utime(tmp_path / "t" / f"{name}.npz", (number, number))
    assert store.find("t", "a") is not None
    store.keep("t", "d", NUMBERS)
    assert store.find("t", "b") is None
    assert store.find("t", "a") is not None
    assert sum(one.size for one in store.kept().values()) <= 30_000


def test_a_cache_that_takes_nothing_is_told_once(tmp_path, caplog):
    (tmp_path / "file").write_text("in the way")
    store = Store(tmp_path / "file" / "cache")
    with caplog.at_level(logging.WARNING, "glitch_gym"):
        for key in "ab":
            assert store.recall("t", key, lambda: NUMBERS) is NUMBERS
    assert len(caplog.records) == 1


def test_a_full_disk_is_no_reason_to_stop(store, caplog, monkeypatch):
    def full(*arguments, **options):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("glitch_gym.output.tempfile.mkstemp", full)
    with caplog.at_level(logging.WARNING, "glitch_gym"):
        assert store.recall("t", "k", lambda: NUMBERS) is NUMBERS
    assert "disk is full" in caplog.text
    assert not list(store.folder.rglob("*.npz"))


def test_two_processes_at_once_do_no_harm(tmp_path):
    script = (
        "import sys, numpy as np; from pathlib import Path\n"
        "from glitch_render.store import Store\n"
        "store = Store(Path(sys.argv[1]), 400_000)\n"
        "for number in range(60):\n"
        "    made = {'v': np.full(5000, number % 20)}\n"
        "    found = store.recall('t', str(number % 20), lambda: made)\n"
        "    assert (found['v'] == number % 20).all()\n"
    )
    running = [subprocess.Popen([sys.executable, "-c", script, str(tmp_path)]) for _ in range(2)]
    assert [one.wait() for one in running] == [0, 0]
    assert not [one for one in tmp_path.rglob("*") if one.suffix == ".part"]


def test_the_users_cache_obeys_its_variables(tmp_path, monkeypatch):
    monkeypatch.setenv("GLITCH_GYM_CACHE", str(tmp_path / "mine"))
    for text, size in (("500M", 500 * 1024**2), ("2g", 2 * 1024**3), ("1000", 1000)):
        monkeypatch.setenv("GLITCH_GYM_CACHE_SIZE", text)
        assert user_store().limit == size
    assert user_store().folder == tmp_path / "mine"
    monkeypatch.setenv("GLITCH_GYM_CACHE_SIZE", "lots")
    with pytest.raises(SettingError, match="GLITCH_GYM_CACHE_SIZE"):
        user_store()
    monkeypatch.delenv("GLITCH_GYM_CACHE")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "xdg"))
    monkeypatch.delenv("GLITCH_GYM_CACHE_SIZE")
    if sys.platform == "linux":
        assert user_store().folder == tmp_path / "xdg" / "glitch-gym"


def test_clear_empties_it(store):
    store.keep("t", "a", NUMBERS)
    assert store.clear() > 8000
    assert store.kept() == {}
    assert not [path for path in Path(store.folder).rglob("*") if path.is_file()]


def test_editing_one_layer_learns_that_one_again(small, store):
    layers = [
        Layer(grid=(6 + 2 * n, 4), iterations=200, agents=20, effects=["same", "pixelate"])
        for n in range(3)
    ]
    learned = []

    def run(layers):
        learned.clear()
        return corrupt(
            small,
            Recipe(layers=layers, activation="edges"),
            store=store,
            progress=lambda index, done, episodes: learned.append(index),
        )

    fresh = run(layers)
    assert set(learned) == {0, 1, 2}
    np.testing.assert_array_equal(run(layers), fresh)
    assert learned == []
    changed = [*layers[:2], layers[2].model_copy(update={"iterations": 300})]
    edited = run(changed)
    assert set(learned) == {2}
    np.testing.assert_array_equal(
        edited, corrupt(small, Recipe(layers=changed, activation="edges"))
    )
    run([layers[0].model_copy(update={"agents": 30}), *layers[1:]])
    assert learned == []
