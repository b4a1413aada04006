from __future__ import annotations

import importlib.util
import math
import re
from pathlib import Path

import gymnasium as gym
import numpy as np
import pytest
from gymnasium.envs.registration import EnvSpec

from glitch_agents import optimal_return
from glitch_gym.ids import _OPTIMA, ENVIRONMENTS

EXTRA = {"GlitchPictures": {"pictures": 3}, "GlitchClip": {"frames": 3}}
LARGE = [name for name in ENVIRONMENTS if "200x100" in name]
SMALL = [name for name in ENVIRONMENTS if name not in LARGE and "Samples" not in name]


def few(name):
    """Return settings that make an environment of many pictures quick to build."""
    return EXTRA.get(name.split("-")[0], {})


@pytest.mark.parametrize("name", SMALL)
def test_an_id_alone_makes_the_environment_scalar_and_vector(name):
    env = gym.make(name, **few(name))
    envs = gym.make_vec(name, 2, **few(name))
    assert envs.single_observation_space == env.observation_space
    seen, _ = env.reset(seed=0)
    assert env.observation_space.contains(seen)
    observed, _ = envs.reset(seed=0)
    assert envs.observation_space.contains(observed)
    envs.step(envs.action_space.sample())
    steps, ended = 0, False
    while not ended:
        _, _, terminated, truncated, _ = env.step(env.action_space.sample())
        steps, ended = steps + 1, terminated or truncated
    assert steps <= 20


@pytest.mark.parametrize("name", ENVIRONMENTS)
def test_a_spec_survives_json_with_all_that_the_id_stands_for(name):
    spec = gym.spec(name)
    again = EnvSpec.from_json(spec.to_json())
    stored = {key: tuple(value) if isinstance(value, list) else value
              for key, value in again.kwargs.items()}  # fmt: skip
    assert stored == ENVIRONMENTS[name].settings
    assert again.entry_point == spec.entry_point
    assert again.reward_threshold == spec.reward_threshold
    if name in SMALL:
        assert gym.make(again, **few(name)).observation_space is not None


SLOW = ("200x100", "Pictures")
OPTIMA = [
    pytest.param(task, marks=[pytest.mark.slow] if any(word in task for word in SLOW) else [])
    for task in _OPTIMA
]


@pytest.mark.parametrize("task", OPTIMA)
def test_the_threshold_is_the_optimum_of_the_return(task):
    best = optimal_return(gym.make(f"{task}-v0"))
    kin = [name for name, one in ENVIRONMENTS.items() if one.reward_threshold is not None
           and name.startswith(f"{task}-") and same_task(name, task)]  # fmt: skip
    assert len(kin) >= 3
    for name in kin:
        assert gym.spec(name).reward_threshold == math.floor(best * 1000) / 1000


def same_task(name, task):
    """Return whether an id differs from a task in its observation alone."""
    kinds = {"", "-Coordinates", "-Masked", "-Patch", "-Pixels64", "-Pixels84"}
    return name.removeprefix(task).removesuffix("-v0") in kinds


@pytest.mark.parametrize("make", [gym.make, lambda name, **own: gym.make_vec(name, 2, **own)])
def test_no_threshold_is_named_that_belongs_to_another_task(make):
    for same in ({}, {"observation": "patch", "patch_size": 3}, {"render_mode": "ansi"}):
        assert make("GlitchGrid-Linger-v0", **same).spec.reward_threshold == 14.955
    for other in ({"grid": (8, 8)}, {"objective": "escape"}, {"slip": 0.1}, {"seed": 1},
                  {"lifetime": 50}, {"max_episode_steps": 10}):  # fmt: skip
        assert make("GlitchGrid-Linger-v0", **other).spec.reward_threshold is None
    assert gym.spec("GlitchGrid-Linger-v0").reward_threshold == 14.955
    assert make("GlitchClip-v0", frames=3).spec.reward_threshold is None
    assert make("GlitchClip-v0", max_episode_steps=30).spec.reward_threshold is None
    # A scalar one does not know of the limit that gym.make lays around it, and names none
    envs = gym.make_vec("GlitchClip-v0", 2)
    assert (envs.spec.reward_threshold, envs.spec.max_episode_steps) == (-0.234, 20)
    assert gym.make_vec("GlitchClip-v0", 2, max_episode_steps=30).spec.max_episode_steps == 30


@pytest.mark.slow
@pytest.mark.parametrize("name", LARGE)
def test_the_largest_grids_are_made_by_their_ids_too(name):
    env = gym.make(name)
    assert env.unwrapped.world.grid.rows == 200
    seen, _ = env.reset(seed=0)
    assert env.observation_space.contains(seen)


@pytest.mark.parametrize("side", [64, 84])
def test_pixels_show_the_picture_with_the_agent_on_it(side):
    env = gym.make(f"GlitchGrid-Pixels{side}-v0").unwrapped
    seen, info = env.reset(seed=4)
    assert seen.shape == (side, side, 3)
    agent = (seen == (255, 0, 255)).all(axis=2)
    rows, cols = np.nonzero(agent)
    row, col = info["cell"]
    assert (rows.min(), rows.max()) == (row * side // 20, (row + 1) * side // 20 - 1)
    assert (cols.min(), cols.max()) == (col * side // 10, (col + 1) * side // 10 - 1)
    # The balloon is narrower than the grid: what lies beside it is black
    grid = env.world.grid
    assert not seen[grid.picture_rows * side // 20 :].any()
    assert seen[: grid.picture_rows * side // 20].std() > 10
    everywhere = env.observe_cells(env.world.picture_cells.astype(np.int64))
    alone = [env._observer.of_cell(int(cell)) for cell in env.world.picture_cells]
    assert np.array_equal(everywhere, np.stack(alone))


def test_the_hyper_parameters_for_rl_zoo3_are_of_ids_that_there_are():
    folder = Path(__file__).parent.parent / "examples" / "rl_zoo3"
    files = sorted(folder.glob("*.yml"))
    assert len(files) == 2
    for file in files:
        named = re.findall(r"^(Glitch[\w-]+):", file.read_text(encoding="utf-8"), re.MULTILINE)
        assert len(named) >= 10
        assert set(named) <= set(ENVIRONMENTS)


def test_the_pages_name_every_id():
    folder = Path(__file__).parent.parent / "docs" / "environments"
    named: set[str] = set()
    for page in folder.glob("*.md"):
        named |= set(re.findall(r"Glitch[\w-]+-v0", page.read_text(encoding="utf-8")))
    assert set(ENVIRONMENTS) <= named


def test_the_pages_are_those_of_the_docstrings():
    path = Path(__file__).parent.parent / "scripts" / "make_environment_pages.py"
    found = importlib.util.spec_from_file_location("make_environment_pages", path)
    pages = importlib.util.module_from_spec(found)
    found.loader.exec_module(pages)
    for kind, (_, stem, _) in pages.KINDS.items():
        written = (pages.FOLDER / f"{stem}.md").read_text(encoding="utf-8")
        assert pages.page(kind) == written, "run scripts/make_environment_pages.py"
