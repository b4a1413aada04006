from __future__ import annotations

import dataclasses
import logging
import os
import stat
import subprocess
import sys
import tracemalloc
from pathlib import Path

import numpy as np
import pytest
from support.worlds import small_world

from glitch_agents.registry import LEARNERS
from glitch_gym.activation import compute_activation
from glitch_gym.dynamics import make_world
from glitch_gym.errors import SettingError
from glitch_gym.settings import WorldSettings
from glitch_render.cache import Cache, cache_key, user_cache
from glitch_render.layers import layer_world, table_key
from glitch_render.recipe.model import Layer, Recipe
from glitch_render.stills import corrupt

NUMBERS = {"values": np.arange(1000.0), "name": np.array("first")}
A, B, C, D = (letter * 40 for letter in "abcd")


@pytest.fixture
def cache(tmp_path):
    return Cache(tmp_path / "cache")


def as_next_run(cache):
    """The same folder, with nothing in memory yet."""
    return Cache(cache.folder, cache.limit)


def test_what_is_kept_is_found_again(cache):
    key = cache_key(a=1, b=[2, "three"])
    assert cache.find("table", key) is None
    cache.keep("table", key, NUMBERS)
    found = as_next_run(cache).find("table", key)
    np.testing.assert_array_equal(found["values"], NUMBERS["values"])
    assert str(found["name"]) == "first"
    assert cache.find("table", cache_key(a=1, b=[2, "four"])) is None
    assert cache.kept()["table"].entries == 1


def test_recall_computes_once(cache):
    calls = []

    def make():
        calls.append(1)
        return NUMBERS

    for _ in range(3):
        np.testing.assert_array_equal(cache.recall("reward", A, make)["values"], NUMBERS["values"])
    assert len(calls) == 1


def test_what_was_used_before_is_not_read_again(cache):
    cache.keep("table", A, NUMBERS)
    first = as_next_run(cache)
    found = first.find("table", A)
    (cache.folder / "table" / f"{A}.npz").unlink()
    assert first.find("table", A) is found
    assert first.find("reward", A) is None
    assert as_next_run(cache).find("table", A) is None
    first.clear()
    assert first.find("table", A) is None


def test_what_comes_out_cannot_be_changed_nor_by_who_put_it_in(cache):
    numbers = np.arange(5.0)
    cache.keep("table", A, {"values": numbers})
    numbers[0] = 7
    for one in (cache, as_next_run(cache)):
        found = one.find("table", A)["values"]
        assert found[0] == 0
        with pytest.raises(ValueError, match="read-only"):
            found[0] = 1


def damaged(content, harm):
    middle = len(content) // 2
    return {
        "cut": content[:middle],
        "flip": content[:middle] + bytes([content[middle] ^ 255]) + content[middle + 1 :],
        "empty": b"",
        "text": b"hello",
        # 10 is the method of a compression that no zip file of ours has
        "compression": content.replace(b"PK\1\2-\3-\0\0\0\0\0", b"PK\1\2-\3-\0\0\0\x0a\0"),
        "header": content.replace(b"'shape': (1000,)", b"'shape': (100\"),"),
        "giant": content.replace(b"'shape': (1000,)", b"'shape': (9**9)"),
    }[harm]


@pytest.mark.parametrize("harm", ["cut", "flip", "empty", "text", "compression", "header", "giant"])
def test_a_damaged_entry_is_told_and_computed_again(cache, harm, caplog):
    cache.keep("table", A, NUMBERS)
    path = cache.folder / "table" / f"{A}.npz"
    content = path.read_bytes()
    path.write_bytes(damaged(content, harm))
    assert path.read_bytes() != content
    with caplog.at_level(logging.WARNING, "glitch_gym"):
        again = as_next_run(cache).recall("table", A, lambda: NUMBERS)
    assert len(caplog.records) == 1
    assert "damaged" in caplog.text
    np.testing.assert_array_equal(again["values"], NUMBERS["values"])
    assert as_next_run(cache).find("table", A) is not None


def test_one_bit_anywhere_stops_no_render(cache):
    cache.keep("table", A, {"values": np.arange(9.0), "name": np.array("first")})
    path = cache.folder / "table" / f"{A}.npz"
    content = path.read_bytes()
    for place in range(len(content)):
        path.write_bytes(
            content[:place] + bytes([content[place] ^ 1 << place % 8]) + content[place + 1 :]
        )
        found = as_next_run(cache).recall("table", A, lambda: {"values": np.arange(9.0)})
        assert found["values"].tolist() == list(range(9)), place


def test_an_entry_that_claims_too_much_takes_no_memory(cache):
    cache.keep("table", A, NUMBERS)
    path = cache.folder / "table" / f"{A}.npz"
    header = b"'shape': (1000,), }"
    content = path.read_bytes()
    path.write_bytes(content.replace(header + b" " * 12, b"'shape': (1000000000000,), }   "))
    assert len(path.read_bytes()) == len(content)
    assert path.read_bytes() != content
    reopened = as_next_run(cache)
    tracemalloc.start()
    assert reopened.find("table", A) is None
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 1_000_000


def test_what_was_used_longest_ago_goes_first(tmp_path):
    cache = Cache(tmp_path, limit=30_000)
    for number, key in enumerate((A, B, C)):
        cache.keep("table", key, NUMBERS)
        os.utime(tmp_path / "table" / f"{key}.npz", (number, number))
    assert as_next_run(cache).find("table", A) is not None
    cache.keep("table", D, NUMBERS)
    assert as_next_run(cache).find("table", B) is None
    assert as_next_run(cache).find("table", A) is not None
    assert sum(one.size for one in cache.kept().values()) <= 30_000


def test_a_cache_that_takes_nothing_is_told_once(tmp_path, caplog):
    (tmp_path / "file").write_text("in the way")
    cache = Cache(tmp_path / "file" / "cache")
    with caplog.at_level(logging.WARNING, "glitch_gym"):
        for key in (A, B):
            assert cache.recall("table", key, lambda: NUMBERS) is NUMBERS
    assert len(caplog.records) == 1


def test_a_full_disk_is_no_reason_to_stop(cache, caplog, monkeypatch):
    def full(*arguments, **options):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("glitch_gym.output.tempfile.mkstemp", full)
    with caplog.at_level(logging.WARNING, "glitch_gym"):
        assert cache.recall("table", A, lambda: NUMBERS) is NUMBERS
    assert "disk is full" in caplog.text
    assert not list(cache.folder.rglob("*.npz"))


def test_two_processes_at_once_do_no_harm(tmp_path):
    script = (
        "import sys, numpy as np; from pathlib import Path\n"
        "from glitch_render.cache import Cache\n"
        "store = Cache(Path(sys.argv[1]), 400_000)\n"
        "for number in range(60):\n"
        "    made = {'v': np.full(5000, number % 20)}\n"
        "    found = store.recall('table', f'{number % 20:040}', lambda: made)\n"
        "    assert (found['v'] == number % 20).all()\n"
    )
    running = [subprocess.Popen([sys.executable, "-c", script, str(tmp_path)]) for _ in range(2)]
    assert [one.wait() for one in running] == [0, 0]
    assert not [one for one in tmp_path.rglob("*") if one.suffix == ".part"]


def test_the_users_cache_obeys_its_variables(tmp_path, monkeypatch):
    monkeypatch.setenv("GLITCH_GYM_CACHE", str(tmp_path / "mine"))
    for text, size in (("500M", 500 * 1024**2), ("2g", 2 * 1024**3), ("1000", 1000)):
        monkeypatch.setenv("GLITCH_GYM_CACHE_SIZE", text)
        assert user_cache().limit == size
    assert user_cache().folder == tmp_path / "mine"
    monkeypatch.setenv("GLITCH_GYM_CACHE_SIZE", "lots")
    with pytest.raises(SettingError, match="GLITCH_GYM_CACHE_SIZE"):
        user_cache()
    monkeypatch.delenv("GLITCH_GYM_CACHE")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "xdg"))
    monkeypatch.delenv("GLITCH_GYM_CACHE_SIZE")
    if sys.platform == "linux":
        assert user_cache().folder == tmp_path / "xdg" / "glitch-gym"


def test_clear_empties_it(cache):
    cache.keep("table", A, NUMBERS)
    half = cache.folder / "table" / f".{B}-x1y2z3_4.part"
    half.write_bytes((cache.folder / "table" / f"{A}.npz").read_bytes()[:4000])
    assert cache.clear() > 12_000
    assert cache.kept() == {}
    assert [path.name for path in cache.folder.rglob("*") if path.is_file()] == ["CACHEDIR.TAG"]


def everything_in(folder):
    """What is in a folder, with kinds and contents: equal before and after, nothing was touched."""
    found = {}
    for path in sorted(folder.rglob("*")):
        mode = path.lstat().st_mode
        content = path.read_bytes() if stat.S_ISREG(mode) else None
        found[path.relative_to(folder)] = (stat.S_IFMT(mode), content)
    return found


@pytest.fixture
def videos(tmp_path):
    """A folder of somebody's files, some with names like those of the cache."""
    folder = tmp_path / "home"
    for name in ("Videos/film.mp4", "Videos/old.npz", f"table/{A}.npz", "reward/notes.txt"):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(b"mine" * 5000)
    return folder


@pytest.mark.parametrize("tag", [None, "Signature: 8a477f597d28d172789f06886806bc55\n# other\n"])
def test_a_folder_of_somebodys_files_is_left_as_it_is(videos, tag):
    if tag is not None:
        (videos / "CACHEDIR.TAG").write_text(tag)
    before = everything_in(videos)
    cache = Cache(videos, limit=100)
    assert cache.folder == videos / "glitch-gym"
    for key in (A, B, C):
        assert cache.recall("table", key, lambda: NUMBERS) is NUMBERS
    Cache(videos, limit=100).clear()
    after = everything_in(videos)
    assert {path: after[path] for path in before} == before
    assert {path.parts[0] for path in set(after) - set(before)} == {"glitch-gym"}
    Cache(videos).keep("table", D, NUMBERS)
    assert Cache(videos).find("table", D) is not None


def test_a_folder_in_the_place_of_ours_is_left_as_it_is(videos, caplog):
    (videos / "glitch-gym").mkdir()
    (videos / "glitch-gym" / "mine.txt").write_text("mine")
    before = everything_in(videos)
    cache = Cache(videos)
    with caplog.at_level(logging.WARNING, "glitch_gym"):
        cache.recall("table", A, lambda: NUMBERS)
        cache.recall("table", B, lambda: NUMBERS)
    assert (cache.kept(), cache.clear()) == ({}, 0)
    assert everything_in(videos) == before
    assert len(caplog.records) == 1
    assert "not a cache of glitch-gym" in caplog.text


@pytest.mark.parametrize("how", ["kind", "entry", "pipe", "folder", "foreign", "named"])
def test_what_is_in_the_way_of_an_entry_is_left_as_it_is(cache, tmp_path, how, caplog):
    cache.keep("table", B, NUMBERS)
    cache.keep("reward", B, NUMBERS)
    theirs = tmp_path / "theirs"
    theirs.mkdir()
    (theirs / f"{A}.npz").write_bytes(b"mine" * 5000)
    entry = cache.folder / "table" / f"{A}.npz"
    if how == "kind":
        (cache.folder / "look").symlink_to(theirs)
    elif how == "entry":
        entry.symlink_to(theirs / f"{A}.npz")
    elif how == "pipe":
        os.mkfifo(entry)
    elif how == "folder":
        entry.mkdir()
        (entry / "mine.txt").write_text("mine")
    elif how == "foreign":
        (cache.folder / "table" / f"{C}.npz").write_bytes(b"mine" * 5000)
    elif how == "named":
        (cache.folder / "table" / "film.npz").write_bytes(b"mine" * 5000)
    before = everything_in(tmp_path)
    if how != "foreign" and how != "named":
        kind = "look" if how == "kind" else "table"
        with caplog.at_level(logging.WARNING, "glitch_gym"):
            assert cache.recall(kind, A, lambda: NUMBERS) is NUMBERS
        assert len(caplog.records) == 1
    assert everything_in(tmp_path) == before
    assert {kind: one.entries for kind, one in cache.kept().items()} == {"table": 1, "reward": 1}
    Cache(cache.folder, limit=10).keep("reward", D, NUMBERS)
    assert cache.clear() == 0
    after = everything_in(tmp_path)
    gone = {path for path in before if path not in after}
    assert gone == {Path(f"cache/{kind}/{B}.npz") for kind in ("table", "reward")}
    assert {path: after[path] for path in set(before) - gone} == {
        path: before[path] for path in set(before) - gone
    }


def test_an_entry_that_may_not_be_read_is_computed_again(cache, caplog, monkeypatch):
    cache.keep("table", A, NUMBERS)
    (cache.folder / "table" / f"{A}.npz").chmod(0)
    opened = os.open

    def refusing(path, *arguments, **options):
        if Path(path).exists() and Path(path).stat().st_mode & 0o777 == 0:
            raise PermissionError(13, "Permission denied")
        return opened(path, *arguments, **options)

    # The superuser, as whom these tests may run, is allowed to read everything
    monkeypatch.setattr("glitch_gym.input.os.open", refusing)
    with caplog.at_level(logging.WARNING, "glitch_gym"):
        assert as_next_run(cache).recall("table", A, lambda: NUMBERS) is NUMBERS
    assert "no permission" in caplog.text
    assert as_next_run(cache).find("table", A) is not None


def test_nobody_else_reads_the_cache(cache):
    before = os.umask(0)
    try:
        cache.keep("table", A, NUMBERS)
    finally:
        os.umask(before)
    modes = {
        path.name: stat.S_IMODE(path.stat().st_mode)
        for path in (cache.folder, *cache.folder.rglob("*"))
        if path.name != "CACHEDIR.TAG"
    }
    assert modes == {"cache": 0o700, "table": 0o700, f"{A}.npz": 0o600}


@pytest.mark.skipif(os.geteuid() != 0, reason="needs to give a folder away")
def test_the_cache_of_another_account_is_not_used(cache, caplog):
    cache.keep("table", A, NUMBERS)
    reopened = as_next_run(cache)
    os.chown(cache.folder, 12345, 12345)
    with caplog.at_level(logging.WARNING, "glitch_gym"):
        assert reopened.recall("table", A, lambda: NUMBERS) is NUMBERS
    assert "for this account" in caplog.text
    assert cache.clear() == 0


def test_the_command_line_clears_its_own_alone(videos):
    before = everything_in(videos)
    environment = os.environ | {"GLITCH_GYM_CACHE": str(videos), "GLITCH_GYM_CACHE_SIZE": "1000"}
    for command in ("info", "clear"):
        done = subprocess.run(
            [sys.executable, "-m", "glitch_render.cli", "cache", command],
            env=environment, capture_output=True, text=True,
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
        assert f"{videos / 'glitch-gym'}" in done.stdout
    assert everything_in(videos) == before


OTHER_SETTINGS = {
    "grid": (6, 5),
    "effects": ["same", "pixelate"],
    "fit": "stretch",
    "orient": "fixed",
    "moves": 8,
    "objective": "linger",
    "reward_range": (-2.0, 0.5),
    "exit_reward": 3.0,
    "prohibited_reward": -0.5,
    "invert": True,
    "median": 5,
}
"""A value of every world setting that differs from that of the layer below."""


# A recipe's worlds have no slip
@pytest.mark.parametrize(
    "name", [one.name for one in dataclasses.fields(WorldSettings) if one.name != "slip"]
)
def test_worlds_that_differ_in_any_setting_share_no_entry(small, cache, name):
    activation = compute_activation(small, "edges")
    entries = []
    base = {"grid": (6, 4), "effects": ["same", "invert"]}
    for given in (base, {**base, name: OTHER_SETTINGS[name]}, base):
        layer = Layer(**given)
        assert layer.world_settings() == WorldSettings(
            **{"orient": "auto", **given, "effects": layer.world_settings().noise}
        )
        world = layer_world(layer, 0, activation, *small.shape[:2], seed=1, cache=cache)
        made = make_world(activation, small.shape[:2], layer.world_settings(), seed=1)
        assert world.digest == made.digest
        entries.append(cache.kept()["reward"].entries)
    assert entries == [1, 2, 2]


def test_seeds_and_places_in_the_recipe_share_no_entry(small, cache):
    layer = Layer(grid=(6, 4))
    activation = compute_activation(small, "edges")
    for index, seed in ((0, 0), (0, 1), (1, 0)):
        layer_world(layer, index, activation, *small.shape[:2], seed=seed, cache=cache)
    assert cache.kept()["reward"].entries == 3


@pytest.mark.parametrize("learner", sorted(set(LEARNERS) - {"ppo"}))
def test_learners_that_differ_in_any_setting_share_no_table(learner):
    layer, world = Layer(grid=(5, 3), learner=learner), small_world()
    changes = [
        {"iterations": 77},
        {"lifetime": 7},
        *(
            {name: value}
            for name, value in (("alpha", 0.3), ("gamma", 0.5), ("epsilon", 0.4), ("initial", 1.0))
            if name in {one.name for one in dataclasses.fields(layer.make_learner())}
        ),
    ]
    layers = [layer, *(layer.model_copy(update=change) for change in changes)]
    keys = {table_key(one, 0, world, seed=0) for one in layers}
    keys |= {table_key(layer, 1, world, seed=0), table_key(layer, 0, world, seed=1)}
    keys.add(table_key(layer, 0, small_world(moves=8), seed=0))
    assert len(keys) == len(layers) + 3
    assert table_key(layer, 0, small_world(), seed=0) in keys


def test_a_warm_start_counts_for_learners_that_take_one():
    warm, cold = Layer(grid=(5, 3)), Layer(grid=(5, 3), learner="planner")
    world = small_world()
    assert table_key(warm, 0, world, seed=0, start=A) != table_key(warm, 0, world, seed=0)
    assert table_key(warm, 0, world, seed=0, start=A) != table_key(warm, 0, world, seed=0, start=B)
    assert table_key(cold, 0, world, seed=0, start=A) == table_key(cold, 0, world, seed=0)


def test_editing_one_layer_learns_that_one_again(small, cache):
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
            cache=cache,
            progress=lambda now: learned.append(now.layer),
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
