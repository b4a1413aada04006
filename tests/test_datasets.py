from __future__ import annotations

import gymnasium as gym
import numpy as np
import pytest

import glitch_gym  # noqa: F401
from glitch_agents import ExactPlanner
from glitch_agents.datasets import collect_episodes, mdp_arrays, minari_dataset
from glitch_gym import GlitchError, MissingExtraError

ABOUT = {
    "algorithm_name": "random",
    "author": "tests",
    "author_email": "tests@example.org",
    "code_permalink": "none",
    "description": "a test",
}
KINDS = ["cell", "coordinates", "masked", "patch", "pixels"]


def environment(kind, **settings):
    settings = {"grid": (8, 5), "pixel_size": 16, "objective": "linger", **settings}
    return gym.make("GlitchGrid-v0", observation=kind, **settings)


def is_equal(one, other):
    if isinstance(one, dict):
        return all(np.array_equal(one[name], other[name]) for name in one)
    return np.array_equal(one, other)


def at(observations, step):
    if isinstance(observations, dict):
        return {name: values[step] for name, values in observations.items()}
    return observations[step]


@pytest.mark.parametrize("kind", KINDS)
def test_taking_the_actions_again_gives_the_same_episode(kind):
    env = environment(kind, objective="escape")
    for one in collect_episodes(env, None, 12, seed=3):
        seen, _ = env.reset(seed=one.seed)
        assert is_equal(seen, at(one.observations, 0))
        for step, action in enumerate(one.actions):
            seen, reward, terminated, truncated, _ = env.step(action)
            assert is_equal(seen, at(one.observations, step + 1))
            assert reward == one.rewards[step]
            assert (terminated, truncated) == (one.terminations[step], one.truncations[step])
        assert terminated or truncated


def test_a_policy_collects_what_it_earns():
    env = environment("cell")
    best = ExactPlanner().learn(env)
    planned = collect_episodes(env, best, 50)
    by_chance = collect_episodes(env, None, 50)
    mean = [np.mean([one.rewards.sum() for one in many]) for many in (planned, by_chance)]
    assert mean[0] > mean[1] + 5


def test_datasets_of_pictures_and_clips_are_collected_too():
    for name, few in (("GlitchPictures-v0", {"pictures": 3}), ("GlitchClip-v0", {"frames": 3})):
        env = gym.make(name, grid=(5, 7), **few)
        one = collect_episodes(env, None, 4, seed=1)[2]
        seen, _ = env.reset(seed=one.seed)
        total = sum(float(env.step(action)[1]) for action in one.actions)
        assert np.array_equal(seen, one.observations[0])
        assert total == one.rewards.sum()


@pytest.mark.parametrize("kind", ["cell", "coordinates", "patch", "pixels"])
def test_arrays_lie_end_to_end_as_an_mdp_dataset_takes_them(kind):
    episodes = collect_episodes(environment(kind), None, 9)
    arrays = mdp_arrays(episodes)
    n = sum(len(one.actions) for one in episodes)
    assert {len(values) for values in arrays.values()} == {n}
    assert arrays["observations"].ndim == (4 if kind == "pixels" else 2)
    assert (arrays["terminals"] + arrays["timeouts"]).sum() == 9
    assert arrays["rewards"].sum() == pytest.approx(sum(one.rewards.sum() for one in episodes))


def test_d3rlpy_finds_the_same_episodes_in_them():
    d3rlpy = pytest.importorskip("d3rlpy", reason="d3rlpy pins an older Gymnasium")
    episodes = collect_episodes(environment("coordinates"), None, 9)
    dataset = d3rlpy.dataset.MDPDataset(**mdp_arrays(episodes))
    assert len(dataset.episodes) == 9
    for found, one in zip(dataset.episodes, episodes, strict=True):
        assert np.allclose(found.rewards[:, 0], one.rewards)
        assert np.array_equal(found.observations, one.observations[:-1])
        assert found.terminated == one.terminations[-1]


@pytest.mark.parametrize("kind", KINDS)
def test_minari_gives_the_same_episodes_back(kind, tmp_path, monkeypatch):
    pytest.importorskip("minari", reason="Minari comes with the extra datasets")
    pytest.importorskip("h5py", reason="Minari comes with the extra datasets")
    monkeypatch.setenv("MINARI_DATASETS_PATH", str(tmp_path))
    env = environment(kind)
    made = minari_dataset("glitch/test-v0", env, None, 6, seed=2, **ABOUT)
    import minari

    again = minari.load_dataset("glitch/test-v0")
    assert again.total_episodes == made.total_episodes == 6
    assert again.observation_space == env.observation_space
    for found, one in zip(again, collect_episodes(env, None, 6, seed=2), strict=True):
        assert np.array_equal(found.rewards, one.rewards)
        assert np.array_equal(found.actions, one.actions)
        assert np.array_equal(found.terminations, one.terminations)
        assert is_equal(one.observations, found.observations)
    assert again.recover_environment().observation_space == env.observation_space


# Minari leaves its temporary folder to the garbage collector
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_minaris_own_collector_records_the_environment(tmp_path, monkeypatch):
    minari = pytest.importorskip("minari", reason="Minari comes with the extra datasets")
    pytest.importorskip("jax", reason="Minari's DataCollector needs JAX: minari[create]")
    monkeypatch.setenv("MINARI_DATASETS_PATH", str(tmp_path))
    env = minari.DataCollector(environment("coordinates"))
    env.reset(seed=1)
    returned, over = 0.0, False
    while not over:
        _, reward, terminated, truncated, _ = env.step(env.action_space.sample())
        returned, over = returned + float(reward), terminated or truncated
    dataset = env.create_dataset(
        "glitch/collected-v0", eval_env=environment("coordinates"), **ABOUT
    )
    assert next(iter(dataset)).rewards.sum() == pytest.approx(returned)
    env.close()


def test_what_is_no_dataset_is_refused_in_words(monkeypatch):
    env = environment("masked")
    with pytest.raises(GlitchError):
        collect_episodes(gym.make("FrozenLake-v1"), None, 3)
    with pytest.raises(GlitchError):
        collect_episodes(env, None, 0)
    with pytest.raises(GlitchError, match="masked"):
        mdp_arrays(collect_episodes(env, None, 3))
    with pytest.raises(GlitchError):
        mdp_arrays([])
    monkeypatch.setitem(__import__("sys").modules, "minari", None)
    with pytest.raises(MissingExtraError, match="datasets"):
        minari_dataset("glitch/none-v0", env, None, 1)
