from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from support.clips import frames_of, make_clip, scene
from support.program import refused, run

from glitch_agents import Trajectories, scripted
from glitch_gym.errors import ArrayFileError, GridError, OutputError, SettingError
from glitch_gym.picture import read_picture
from glitch_gym.samples import balloon
from glitch_render.episodes.episode import (
    Episode,
    EpisodeLayer,
    episode_columns,
    episode_digest,
    load_episode,
    save_episode,
)
from glitch_render.episodes.playback import EpisodeTimeline, replay_episode
from glitch_render.recipe.model import Layer, Recipe
from glitch_render.stills import corrupt, corrupt_with_episode

RECIPE = Recipe(
    layers=[
        Layer(
            grid=(12, 18), iterations=200, agents=40,
            effects={"same": {}, "random": {}, "artifact": {"quality": 12}},
        ),
        Layer(grid=(6, 4), iterations=200, agents=9, moves=8, effects=["pixelate", "invert"]),
    ],
    activation="edges",
    seed=8,
)  # fmt: skip


@pytest.fixture(scope="module")
def walked(small):
    return corrupt_with_episode(small, RECIPE)


def test_an_episode_replays_to_the_picture_that_it_came_from(small, walked, tmp_path):
    painted, episode = walked
    np.testing.assert_array_equal(painted, corrupt(small, RECIPE))
    np.testing.assert_array_equal(replay_episode(small, episode), painted)
    save_episode(tmp_path / "run.npz", episode)
    loaded = load_episode(tmp_path / "run.npz")
    np.testing.assert_array_equal(replay_episode(small, loaded), painted)
    assert (loaded.seed, loaded.recipe) == (8, RECIPE)
    assert loaded.layers[0].parameters["artifact"].quality == 12
    for one, other in zip(loaded.layers, episode.layers, strict=True):
        assert (one.grid, one.actions) == (other.grid, other.actions)
        np.testing.assert_array_equal(one.trajectories.cells, other.trajectories.cells)


def test_an_episode_replays_on_a_picture_of_another_size(walked):
    _, episode = walked
    painted = replay_episode(balloon(), episode)
    assert painted.shape == balloon().shape
    assert (painted != balloon()).any(axis=2).mean() > 0.2
    with pytest.raises(GridError, match="finer"):
        replay_episode(np.zeros((5, 5, 3), np.uint8), episode)


def test_on_a_clip_an_episode_takes_a_step_a_frame(small, walked):
    painted, episode = walked
    layers = [EpisodeTimeline(episode, number, *small.shape[:2]) for number in range(2)]

    def at(frame):
        pixels = small.copy()
        for layer in layers:
            layer.paint(frame, pixels)
        return pixels

    first, fifth, whole = at(0), at(5), at(40)
    np.testing.assert_array_equal(whole, painted)
    np.testing.assert_array_equal(at(5), fifth)
    np.testing.assert_array_equal(at(0), first)
    shares = [(one != small).any(axis=2).mean() for one in (first, fifth, whole)]
    assert 0 < shares[0] < shares[1] < shares[2]


def test_columns_hold_every_stamp(walked):
    _, episode = walked
    table = episode_columns(episode)
    assert {len(column) for column in table.values()} == {
        sum(layer.trajectories.n_stamps for layer in episode.layers)
    }
    assert set(table["effect"]) <= {"same", "random", "artifact", "pixelate", "invert"}
    layer = episode.layers[1]
    row = int(np.flatnonzero(table["layer"] == 1)[0])
    agent, step = int(table["agent"][row]), int(table["step"][row])
    cell = layer.trajectories.cells[agent, step]
    assert divmod(cell, layer.grid.cols) == (table["row"][row], table["col"][row])
    action = layer.actions.encode(table["effect"][row], table["move"][row])
    assert action == layer.trajectories.actions[agent, step]


def test_walks_by_hand_are_episodes_too(small, tmp_path):
    from glitch_gym import WorldSettings, compute_activation, make_world

    settings = WorldSettings((10, 15), ["same"])
    world = make_world(compute_activation(small, "edges"), small.shape[:2], settings)
    by_hand = scripted(world, [((2, 2), ["same_right"] * 9)])
    episode = Episode((EpisodeLayer(world.grid, world.actions, by_hand),))
    save_episode(tmp_path / "hand.npz", episode)
    loaded = load_episode(tmp_path / "hand.npz")
    assert loaded.recipe is None
    np.testing.assert_array_equal(replay_episode(small, loaded), replay_episode(small, episode))
    assert episode_columns(loaded)["col"].tolist() == list(range(3, 12))


def test_the_command_line_saves_and_replays(tmp_path, monkeypatch, small):
    monkeypatch.chdir(tmp_path)
    Image.fromarray(small).save("in.png")
    Path("r.toml").write_text(RECIPE.to_toml())
    result = run("corrupt", "in.png", "-o", "out.png", "-r", "r.toml", "--save-episode", "e.npz")
    assert result.exit_code == 0, result.output
    result = run("replay", "e.npz", "in.png", "-o", "again.png")
    assert result.exit_code == 0, result.output
    assert Path("again.png").read_bytes() == Path("out.png").read_bytes()
    assert run("replay", "e.npz", "sample:balloon", "-o", "other.png").exit_code == 0
    make_clip(tmp_path / "in.mp4", scene(30), sounds=[440])
    result = run("replay", "e.npz", "in.mp4", "-o", "out.mp4")
    assert result.exit_code == 0, result.output
    shown, _ = frames_of("out.mp4")
    assert len(shown) == 30
    assert (np.abs(shown[25].astype(int) - frames_of("in.mp4")[0][25]) > 20).mean() > 0.05
    assert "already exists" in refused(
        "corrupt", "in.png", "-o", "b.png", "-r", "r.toml", "--save-episode", "e.npz"
    )
    assert "suffix must be .npz" in refused(
        "corrupt", "in.png", "-o", "b.png", "-r", "r.toml", "--save-episode", "e.csv"
    )
    refused("corrupt", "in.mp4", "-o", "b.mp4", "--save-episode", "f.npz", code=2)
    assert "episode not found" in refused("replay", "none.npz", "in.png", "-o", "b.png")
    assert read_picture("other.png").frame.shape == balloon().shape


@pytest.mark.parametrize("harm", ["cut", "foreign", "newer", "table", "effect", "grid", "action"])
def test_damaged_and_foreign_files_are_refused(walked, tmp_path, harm):
    _, episode = walked
    path = tmp_path / "run.npz"
    save_episode(path, episode)
    with np.load(path) as content:
        arrays = dict(content)
    about = json.loads(str(arrays["about"]))
    if harm == "cut":
        path.write_bytes(path.read_bytes()[:500])
    elif harm == "foreign":
        np.savez(path, numbers=np.arange(3))
    else:
        if harm == "newer":
            about["version"] = 99
        if harm == "table":
            about["format"] = "glitch-gym Q-table"
        if harm == "effect":
            about["layers"][0]["effects"][0] = "shatter"
        if harm == "grid":
            about["layers"][1]["grid"] = [2, 2, 2, 2]
        if harm == "action":
            arrays["actions_0"][0, 0] = 400
        np.savez(path, **arrays | {"about": np.array(json.dumps(about))})
    message = {
        "cut": "or it is damaged", "foreign": "or it is damaged", "newer": "newer glitch-gym",
        "table": "not an episode", "effect": "unknown effect 'shatter'",
        "grid": r"layer 2, agent \d+, step \d+: cell \d+ .* do not fit its grid of 2×2",
        "action": "layer 1, agent 1, step 1",
    }[harm]  # fmt: skip
    with pytest.raises(SettingError, match=message):
        load_episode(path)


def test_bad_episodes_are_refused(tmp_path, walked):
    with pytest.raises(SettingError, match="at least one layer"):
        Episode(())
    with pytest.raises(OutputError, match=r"\.npz"):
        save_episode(tmp_path / "run.json", walked[1])
    with pytest.raises(OutputError, match="folder does not exist"):
        save_episode(tmp_path / "none" / "run.npz", walked[1])
    with pytest.raises(SettingError, match="cells and actions"):
        Trajectories(np.zeros(3, np.int32), np.zeros(3, np.int32), np.zeros(3, np.int32))


def test_a_damaged_episode_is_whole_or_refused(walked, tmp_path):
    _, episode = walked
    path = tmp_path / "run.npz"
    save_episode(path, episode)
    content = path.read_bytes()
    digest = episode_digest(load_episode(path))
    rng = np.random.default_rng(0)
    refused = 0
    for _ in range(1500):
        damaged = bytearray(content)
        for place in rng.integers(len(content), size=rng.integers(1, 4)):
            damaged[place] = rng.integers(256)
        path.write_bytes(damaged[: rng.integers(len(content))] if rng.random() < 0.2 else damaged)
        try:
            loaded = load_episode(path)
        except ArrayFileError:
            refused += 1
        else:
            assert episode_digest(loaded) == digest
    assert refused > 1000


@pytest.mark.parametrize(
    "change",
    [
        {"seed": -1}, {"seed": 2**63}, {"seed": "8"}, {"seed": 1.5}, {"layers": []},
        {"layers": None}, {"layers": "all"}, {"layers": [7]}, {"recipe": 7},
        {"layers.grid": [4, 6]}, {"layers.grid": [10**6] * 4}, {"layers.grid": [0, 0, 0, 0]},
        {"layers.grid": [12.5, 18, 12, 18]}, {"layers.effects": []}, {"layers.effects": [7]},
        {"layers.effects": "same"}, {"layers.moves": 5}, {"layers.moves": "4"},
        {"layers.opacity": 2}, {"layers.opacity": float("nan")}, {"layers.opacity": "1"},
        {"layers.blend": "melt"}, {"layers.blend": ["add"]}, {"layers.parameters": None},
        {"layers.parameters": {"artifact": 7}},
        {"layers.parameters": {"artifact": {"quality": -1}}},
    ],
)  # fmt: skip
def test_an_episode_that_says_what_cannot_be_is_refused(walked, tmp_path, change):
    path = tmp_path / "run.npz"
    save_episode(path, walked[1])
    with np.load(path) as content:
        arrays = dict(content)
    about = json.loads(str(arrays["about"]))
    for name, value in change.items():
        place, _, key = name.rpartition(".")
        (about[place][0] if place else about)[key] = value
    arrays["about"] = np.array(json.dumps(about))
    np.savez(path, **arrays)
    with pytest.raises(ArrayFileError, match="is not an episode of glitch-gym, or it is damaged"):
        load_episode(path)


@pytest.mark.parametrize("name", ["cells_0", "actions_0", "lengths_0"])
def test_walks_that_cannot_be_are_refused(walked, tmp_path, name):
    path = tmp_path / "run.npz"
    save_episode(path, walked[1])
    with np.load(path) as content:
        arrays = dict(content)
    right = arrays[name]
    for wrong in (
        None, right.astype(np.float32), right.astype(str), right[..., None], right[1:],
        right.astype(np.int64) + 2**40, right.astype(np.uint64) + np.uint64(2**63),
        np.full_like(right, 10**9), np.full_like(right, -5), np.zeros((0, 10**6), np.int32),
    ):  # fmt: skip
        changed = {key: value for key, value in arrays.items() if key != name}
        if wrong is not None:
            changed[name] = wrong
        np.savez(path, **changed)
        with pytest.raises(SettingError, match=r"run\.npz"):
            load_episode(path)


@pytest.mark.parametrize(
    "mask", [np.zeros((3, 3), np.float32), np.zeros(3, np.uint8), np.zeros((0, 3), np.uint8)]
)
def test_a_mask_that_cannot_be_is_refused(walked, tmp_path, mask):
    path = tmp_path / "run.npz"
    save_episode(path, walked[1])
    with np.load(path) as content:
        arrays = dict(content)
    np.savez(path, **arrays, mask_0=mask)
    with pytest.raises(SettingError, match="a mask must be uint8"):
        load_episode(path)
