from __future__ import annotations

import pickle
import warnings

import gymnasium as gym
import numpy as np
import pytest
from gymnasium.utils.env_checker import data_equivalence
from gymnasium.vector import AutoresetMode

import glitch_gym  # noqa: F401
from glitch_agents import QTable
from glitch_gym.errors import GlitchError, SettingError
from glitch_gym.vector_env import GlitchGridVectorEnv

KINDS = ["cell", "coordinates", "masked", "patch"]
MODES = list(AutoresetMode)
N = 7


def pair(mode, **settings):
    """Our vector env, and Gymnasium's loop over scalar ones."""
    ours = gym.make_vec("GlitchGrid-v0", num_envs=N, autoreset_mode=mode, masks=True, **settings)
    assert isinstance(ours, GlitchGridVectorEnv)
    loop = gym.make_vec(
        "GlitchGrid-v0",
        num_envs=N,
        vectorization_mode="sync",
        vector_kwargs={"autoreset_mode": mode},
        **settings,
    )
    return ours, loop


def same_infos(ours, theirs):
    assert set(ours) == set(theirs)
    for name, value in ours.items():
        assert getattr(value, "dtype", None) == getattr(theirs[name], "dtype", None), name
        if isinstance(value, dict):
            same_infos(value, theirs[name])
        elif name == "final_obs":
            for mine, other in zip(value, theirs[name], strict=True):
                assert (mine is None) == (other is None)
                if mine is not None:
                    for a, b in zip(
                        *(x.values() if isinstance(x, dict) else [x] for x in (mine, other)),
                        strict=True,
                    ):
                        np.testing.assert_array_equal(a, b)
        else:
            np.testing.assert_array_equal(value, theirs[name], err_msg=name)


@pytest.mark.parametrize("observation", KINDS)
@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("settings", [{}, {"max_episode_steps": 5, "moves": 8, "grid": (9, 4)}])
def test_no_difference_from_scalar_envs_through_thousands_of_steps(mode, observation, settings):
    ours, loop = pair(mode, observation=observation, **settings)
    assert ours.observation_space == loop.observation_space
    assert ours.action_space == loop.action_space
    rng = np.random.default_rng(0)
    for seed in (11, None, [5, None, 7, 8, None, 10, 11]):
        mine, theirs = ours.reset(seed=seed), loop.reset(seed=seed)
        assert data_equivalence(mine[0], theirs[0])
        same_infos(mine[1], theirs[1])
        for _ in range(200):
            actions = rng.integers(ours.single_action_space.n, size=N)
            mine, theirs = ours.step(actions), loop.step(actions)
            assert data_equivalence(mine[:4], theirs[:4], exact=True)
            same_infos(mine[4], theirs[4])
            done = mine[2] | mine[3]
            assert ("final_obs" in mine[4]) == (mode == AutoresetMode.SAME_STEP and done.any())
            if mode == AutoresetMode.DISABLED and done.any():
                mine = ours.reset(options={"reset_mask": done})
                theirs = loop.reset(options={"reset_mask": done.copy()})
                assert data_equivalence(mine[0], theirs[0])
                same_infos(mine[1], theirs[1])


def test_make_vec_warns_of_nothing_and_chooses_our_env():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        env = gym.make_vec("GlitchGrid-v0", num_envs=4096)
    assert isinstance(env, GlitchGridVectorEnv)
    assert env.lifetime == 20
    assert env.metadata["autoreset_mode"] is AutoresetMode.NEXT_STEP
    observations, infos = env.reset(seed=0)
    assert observations.shape == (4096,)
    assert infos == {}
    assert len(np.unique(observations)) > 100
    np.testing.assert_array_equal(env.reset(seed=0)[0], observations)


def test_results_share_no_memory_with_the_env_or_each_other():
    for observation in KINDS:
        env = gym.make_vec("GlitchGrid-v0", num_envs=N, observation=observation, masks=True)
        env.reset(seed=0)
        first = env.step(np.full(N, 5))
        kept = pickle.loads(pickle.dumps(first))
        for _ in range(30):
            second = env.step(np.full(N, 9))
        assert data_equivalence(first, kept)
        for value in second[:4]:
            for array in value.values() if isinstance(value, dict) else [value]:
                array[...] = 0
        third = env.step(np.full(N, 1))
        assert third[4]["action_mask"].any()


def test_envs_pickle_in_the_middle_of_episodes():
    env = gym.make_vec("GlitchGrid-v0", num_envs=N)
    env.reset(seed=3)
    env.step(np.zeros(N, int))
    copy = pickle.loads(pickle.dumps(env))
    for _ in range(50):
        actions = env.action_space.sample()
        assert data_equivalence(env.step(actions), copy.step(actions))


def test_rollouts_in_the_kernel_are_the_steps_one_would_take():
    table = QTable(np.random.default_rng(0).normal(size=(20, 10, 20)).astype(np.float32))
    for policy in (None, table.greedy(), table.softmax(0.5), table.by_state.argmax(axis=1)):
        env, stepped = (
            gym.make_vec("GlitchGrid-v0", num_envs=N, autoreset_mode="SameStep") for _ in range(2)
        )
        env.reset(seed=2)
        seen, _ = stepped.reset(seed=2)
        rolled = env.rollout(policy, 120)
        for t in range(120):
            np.testing.assert_array_equal(rolled.observations[t], seen)
            seen, rewards, terminated, truncated, _ = stepped.step(rolled.actions[t])
            np.testing.assert_array_equal(rolled.rewards[t], rewards)
            np.testing.assert_array_equal(rolled.terminations[t], terminated)
            np.testing.assert_array_equal(rolled.truncations[t], truncated)
        np.testing.assert_array_equal(rolled.observations[120], seen)
        np.testing.assert_array_equal(env.cells, stepped.cells)


def test_rollouts_are_the_same_for_any_number_of_threads_and_calls():
    rolled = []
    for threads, parts in ((1, [60]), (2, [60]), (5, [13, 47])):
        env = gym.make_vec("GlitchGrid-v0", num_envs=50)
        env.reset(seed=4)
        pieces = [env.rollout(None, steps, threads=threads) for steps in parts]
        rolled.append(np.concatenate([piece.actions for piece in pieces]))
    np.testing.assert_array_equal(rolled[0], rolled[1])
    np.testing.assert_array_equal(rolled[0], rolled[2])
    assert abs(np.bincount(rolled[0].ravel(), minlength=20) / 3000 - 0.05).max() < 0.02


def test_rollouts_go_on_after_steps_in_which_episodes_ended():
    env = gym.make_vec("GlitchGrid-v0", num_envs=4)
    env.reset(seed=0, options={"cell": (0, 5)})
    env.step(np.array([0, 1, 0, 1]))
    rolled = env.rollout(None, 40)
    lives = np.split(rolled.terminations | rolled.truncations, 4, axis=1)
    assert all(life[:20].any() for life in lives)
    assert rolled.observations.min() >= 0


def test_softmax_rollouts_follow_their_probabilities():
    table = QTable(np.random.default_rng(0).normal(size=(20, 10, 20)).astype(np.float32))
    env = gym.make_vec("GlitchGrid-v0", num_envs=4000)
    env.reset(seed=0, options={"cell": (4, 4)})
    first = env.rollout(table.softmax(1.0), 1).actions[0]
    said = table.softmax(1.0).probabilities()[44]
    np.testing.assert_allclose(np.bincount(first, minlength=20) / 4000, said, atol=0.03)


PICTURE = {"grid": (8, 12), "fit": "stretch", "render_mode": "rgb_array"}


def test_the_composite_picture_shows_every_agent(small):
    env = gym.make_vec("GlitchGrid-v0", num_envs=3, image=small, **PICTURE)
    env.reset(seed=1)
    untouched = env.render_all()
    assert untouched.shape == small.shape
    for _ in range(4):
        env.step(np.full(3, env.actions.encode("invert", "down")))
    assert (env.render_all() != untouched).any()
    env.reset(seed=1)
    np.testing.assert_array_equal(env.render_all(), untouched)


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("render_mode", ["rgb_array", "ansi"])
def test_each_agent_draws_what_its_scalar_env_draws(small, mode, render_mode):
    ours, loop = pair(mode, image=small, **PICTURE | {"render_mode": render_mode})
    one = gym.make_vec("GlitchGrid-v0", 1, autoreset_mode=mode, image=small, **PICTURE)
    for env in (ours, loop, one):
        env.reset(seed=6)
    rng = np.random.default_rng(1)
    for _ in range(45):
        actions = rng.integers(20, size=N)
        _, _, terminated, truncated, _ = ours.step(actions)
        loop.step(actions)
        mine, theirs = ours.render(), loop.render()
        assert type(mine) is type(theirs) is tuple
        for a, b in zip(mine, theirs, strict=True):
            np.testing.assert_array_equal(a, b)
        if mode == AutoresetMode.DISABLED:
            done = terminated | truncated
            if done.any():
                for env in (ours, loop):
                    env.reset(options={"reset_mask": done.copy()})
    np.testing.assert_array_equal(one.render()[0], one.render_all())


def test_text_shows_all_agents():
    env = gym.make_vec("GlitchGrid-v0", num_envs=3, render_mode="ansi")
    env.reset(seed=0)
    assert env.render_all().count("@") == len(set(env.cells.tolist()))


def test_gymnasium_films_all_agents(small, tmp_path):
    pytest.importorskip("moviepy")
    from gymnasium.wrappers.vector import RecordVideo

    env = RecordVideo(
        gym.make_vec("GlitchGrid-v0", 3, image=small, **PICTURE),
        str(tmp_path / "films"),
        episode_trigger=lambda episode: episode == 0,
    )
    env.reset(seed=0)
    for _ in range(30):
        env.step(env.action_space.sample())
    env.close()
    (film,) = (tmp_path / "films").glob("*.mp4")
    assert film.stat().st_size > 1000


def test_gymnasium_shows_all_agents_in_a_window(small, monkeypatch):
    pytest.importorskip("cv2")
    pytest.importorskip("pygame")
    from gymnasium.wrappers.vector import HumanRendering

    monkeypatch.setenv("SDL_VIDEODRIVER", "dummy")
    env = HumanRendering(gym.make_vec("GlitchGrid-v0", 3, image=small, **PICTURE))
    env.reset(seed=0)
    env.step(env.action_space.sample())
    assert env.window is not None
    env.close()


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: GlitchGridVectorEnv(0), "num_envs"),
        (lambda: GlitchGridVectorEnv(2, autoreset_mode="Never"), "autoreset_mode"),
        (lambda: GlitchGridVectorEnv(2, max_episode_steps=0), "max_episode_steps"),
        (lambda: GlitchGridVectorEnv(2, effects=["sane"]), "did you mean"),
        (lambda: begun().step(np.array([0, 1])), "3 integers"),
        (lambda: begun().step(np.zeros(3)), "3 integers"),
        (lambda: begun().step(np.array([0, 20, 1])), "action 20 of agent 1"),
        (lambda: begun().step(np.array([0, 1, -1])), "action -1 of agent 2"),
        (lambda: begun().reset(seed=[1, 2]), "2 seeds"),
        (lambda: begun().reset(options={"reset_mask": [True] * 3}), "reset_mask"),
        (lambda: begun().reset(options={"reset_mask": np.zeros(3, bool)}), "choose at least one"),
        (lambda: begun().reset(options={"cell": (30, 0)}), "outside"),
        (lambda: begun().reset(options={"cel": 0}), "did you mean 'cell'"),
        (lambda: begun().rollout(None, 0), "at least 1"),
        (lambda: begun().rollout(np.zeros(3, int), 1), "each of 200 cells"),
        (lambda: begun().rollout(np.full(200, 20), 1), "outside"),
        (lambda: begun().rollout(QTable(np.zeros((2, 2, 2), np.float32)), 1), "probabilities"),
    ],
)
def test_bad_input_is_refused_in_words(call, message):
    with pytest.raises(GlitchError, match=message):
        call()


def begun():
    env = GlitchGridVectorEnv(3, 20)
    env.reset(seed=0)
    return env


def test_a_million_agents_are_no_trouble():
    env = GlitchGridVectorEnv(1_000_000, 20)
    observations, _ = env.reset(options={"cell": (3, 3)})
    assert (observations == 33).all()
    assert env.step(np.zeros(1_000_000, np.int64))[0][0] == 23


def test_steps_out_of_order_are_refused():
    env = GlitchGridVectorEnv(2, 20, autoreset_mode="Disabled")
    with pytest.raises(gym.error.ResetNeeded):
        env.step(np.array([0, 0]))
    with pytest.raises(gym.error.ResetNeeded):
        env.rollout(None, 1)
    with pytest.raises(gym.error.ResetNeeded, match="all agents"):
        env.reset(options={"reset_mask": np.array([True, False])})
    env.reset(seed=0, options={"cell": (0, 0)})
    env.step(np.array([0, 1]))
    with pytest.raises(gym.error.ResetNeeded, match="agent 0 is over"):
        env.step(np.array([0, 1]))
    with pytest.raises(SettingError, match="reset_mask"):
        env.reset(options={"reset_mask": np.array([1, 0])})
