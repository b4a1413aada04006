from __future__ import annotations

import gymnasium as gym
import numpy as np
import pytest
from gymnasium.utils.env_checker import check_env
from gymnasium.vector import AutoresetMode, SyncVectorEnv
from hypothesis import given, settings
from hypothesis import strategies as st

import glitch_gym
from glitch_agents import ExactPlanner, ModelBased, QLearning, optimality
from glitch_gym import (
    GlitchClipEnv,
    GlitchClipVectorEnv,
    GlitchError,
    GlitchGridEnv,
    GlitchPicturesEnv,
    GlitchPicturesVectorEnv,
    draw_clip,
    draw_picture,
    stack_worlds,
)
from glitch_render import RecordEpisode

KINDS = ["cell", "coordinates", "masked", "patch", "pixels"]
SMALL = {"pictures": 5, "grid": (6, 9)}
SHORT = {"frames": 5, "grid": (6, 9), "slip": 0.25}


def clip_of(frames=6, size=(24, 36)):
    return np.stack([one.frame for one in draw_clip(1, frames, size=size)])


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("made", ["GlitchPictures-v0", "GlitchClip-v0"])
def test_gymnasium_finds_nothing_wrong(made, kind):
    own = SMALL if "Pictures" in made else SHORT
    env = gym.make(made, observation=kind, render_mode="rgb_array", **own)
    check_env(env.unwrapped)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("mode", [AutoresetMode.NEXT_STEP, AutoresetMode.SAME_STEP])
@pytest.mark.parametrize(
    ("scalar", "vector", "own"),
    [
        (GlitchPicturesEnv, GlitchPicturesVectorEnv, SMALL),
        (GlitchClipEnv, GlitchClipVectorEnv, SHORT),
    ],
)
def test_the_vector_environment_steps_like_scalar_ones(scalar, vector, own, mode, kind):
    own = {**own, "observation": kind}
    ours = vector(4, 7, autoreset_mode=mode, masks=True, **own)
    theirs = SyncVectorEnv(
        [lambda: gym.wrappers.TimeLimit(scalar(**own), 7)] * 4, autoreset_mode=mode
    )
    rng = np.random.default_rng(0)
    told, want = ours.reset(seed=3), theirs.reset(seed=3)
    for _ in range(40):
        for mine, other in zip(told, want, strict=True):
            assert gym.utils.env_checker.data_equivalence(mine, other) or same(mine, other)
        actions = rng.integers(ours.single_action_space.n, size=4)
        told, want = ours.step(actions), theirs.step(actions)


def same(mine, other):
    if isinstance(other, dict):
        return all(same(mine[name], other[name]) for name in other)
    if isinstance(other, np.ndarray) and other.dtype == object:
        return all(
            (one is None and two is None) or same(one, two)
            for one, two in zip(mine, other, strict=True)
        )
    return np.array_equal(mine, other)


@settings(max_examples=15, deadline=None)
@given(seed=st.integers(0, 2**32), actions=st.lists(st.integers(0, 19), min_size=1, max_size=12))
def test_every_step_is_that_of_the_picture_alone(seed, actions):
    env = GlitchPicturesEnv(**SMALL, observation="patch")
    observation, info = env.reset(seed=seed)
    alone = GlitchGridEnv.from_world(
        env.worlds[info["picture"]],
        env.frames[info["picture"]],
        observation="patch",
        reward_bounds=(float(env.observation_space.low[0]), float(env.observation_space.high[0])),
    )
    seen, _ = alone.reset(options={"cell": tuple(info["cell"])})
    assert np.array_equal(observation, seen)
    for action in actions:
        observation, reward, terminated, _, here = env.step(action)
        seen, gained, ended, _, there = alone.step(action)
        assert np.array_equal(observation, seen)
        assert (reward, terminated) == (gained, ended)
        assert here["picture"] == info["picture"]
        assert np.array_equal(here["cell"], there["cell"])
        if terminated:
            break


def test_each_step_in_a_clip_leads_into_the_next_frame():
    env = GlitchClipEnv(frames=5, grid=(6, 9), observation="cell")
    _, info = env.reset(seed=1, options={"picture": 3, "cell": (2, 4)})
    frames, rewards = [info["picture"]], []
    for _ in range(3):
        _, reward, _, _, info = env.step(env.actions.encode("same", "right"))
        frames.append(info["picture"])
        rewards.append(reward)
    assert frames == [3, 4, 0, 1]
    entered = [env.worlds[frame].reward_field[2, col, 3] for frame, col in ((4, 5), (0, 6), (1, 7))]
    assert rewards == entered


def test_a_clip_is_an_array_a_folder_or_a_pattern(tmp_path):
    from PIL import Image

    frames = clip_of()
    for number, frame in enumerate(frames):
        Image.fromarray(frame).save(tmp_path / f"{number:03}.png")
    (tmp_path / "notes.txt").write_text("not a picture")
    own = {"grid": (4, 6), "observation": "cell"}
    made = [
        GlitchClipEnv(clip, **own)
        for clip in (frames, str(tmp_path), str(tmp_path / "*.png"), sorted(tmp_path.glob("*.png")))
    ]
    assert {env.world.digest for env in made} == {made[0].world.digest}
    assert len(made[0].worlds) == 6


def test_train_test_and_sample_pictures_are_different_sets():
    train, test = (GlitchPicturesEnv(split=split, **SMALL) for split in ("train", "test"))
    seen = {frame.tobytes() for frame in train.frames}
    assert len(seen) == 5
    assert not seen & {frame.tobytes() for frame in test.frames}
    assert np.array_equal(train.frames[2], draw_picture(2).frame)
    pytest.importorskip("skimage", reason="the sample photographs come with scikit-image")
    held_out = GlitchPicturesEnv("samples", grid=(6, 9))
    assert len(held_out.frames) == 5
    assert held_out.observation_space == train.observation_space


def test_the_active_cells_are_those_of_the_subject():
    env = GlitchPicturesEnv(pictures=3, observation="cell")
    for index, world in enumerate(env.worlds):
        mask = draw_picture(index).mask
        means = [
            [block.mean() for block in np.array_split(band, 15, axis=1)]
            for band in np.array_split(mask, 10, axis=0)
        ]
        assert np.corrcoef(np.ravel(means), world.activation.ravel())[0, 1] > 0.8


def test_planners_and_learners_take_a_stack_as_any_world():
    env = GlitchPicturesEnv(pictures=3, grid=(5, 7), observation="cell", objective="linger")
    best = ExactPlanner().learn(env)
    alone = np.concatenate([ExactPlanner().learn(world).values for world in env.worlds])
    assert np.allclose(best.values, alone, atol=1e-5)
    assert optimality(env, best) > 0.9999
    assert optimality(env, ModelBased().learn(env, episodes=3000)) > 0.98
    clip = GlitchClipEnv(frames=4, grid=(5, 7), observation="cell", objective="linger")
    learned = QLearning(alpha=1.0, epsilon=1.0).learn(clip, episodes=40_000)
    assert optimality(clip, learned) > 0.97


def test_a_policy_that_ignores_the_moment_is_worse_in_a_clip():
    clip = GlitchClipEnv(frames=8, grid=(6, 9), observation="cell", objective="linger")
    shape = (8, 6, 9, clip.actions.n)
    values = ExactPlanner().learn(clip).values.reshape(shape)
    frozen = np.broadcast_to(values.mean(axis=0), shape).reshape(clip.world.reward_field.shape)
    reached = optimality(clip, glitch_gym_table(frozen))
    assert 0 < reached < 0.97


def glitch_gym_table(values):
    from glitch_agents import QTable

    return QTable(np.ascontiguousarray(values, np.float32))


def test_each_agent_of_a_vector_is_drawn_on_its_own_picture():
    envs = gym.make_vec("GlitchPictures-v0", 3, render_mode="rgb_array", **SMALL)
    envs.reset(seed=0)
    envs.step(np.array([0, 5, 9]))
    drawn = envs.render()
    assert len(drawn) == 3
    assert all(frame.shape == (64, 96, 3) for frame in drawn)
    with pytest.raises(GlitchError, match="different pictures"):
        envs.unwrapped.render_all()


def test_worlds_that_differ_are_not_stacked():
    small = GlitchPicturesEnv(pictures=1, grid=(3, 4)).worlds
    large = GlitchPicturesEnv(pictures=1, grid=(4, 4)).worlds
    padded = GlitchGridEnv(grid=(20, 10)).world
    for wrong in ([], [*small, *large], [padded]):
        with pytest.raises(GlitchError):
            stack_worlds(wrong)
    once = stack_worlds(small)
    assert np.array_equal(once.next_state, small[0].next_state)
    assert np.array_equal(once.rewards, small[0].rewards)


@pytest.mark.parametrize(
    "wrong",
    [
        {"images": "photographs"},
        {"images": []},
        {"images": [3]},
        {"images": 3},
        {"images": ["missing.png"]},
        {"pictures": 0},
        {"pictures": 2.5},
        {"split": "validation"},
        {"grid": (100, 15)},
        {"observation": "pixels", "pixel_size": 8},
        {"seed": -1},
    ],
)
def test_bad_pictures_are_refused_in_words(wrong):
    with pytest.raises(GlitchError):
        GlitchPicturesEnv(**wrong)


@pytest.mark.parametrize(
    "wrong",
    [
        {"clip": "nowhere/*.png"},
        {"clip": []},
        {"clip": 3},
        {"clip": np.zeros((4, 4, 3), np.uint8)},
        {"clip": np.zeros((2, 20, 20, 3))},
        {"clip": ["sample:balloon", "sample:chelsea"]},
        {"frames": 0},
        {"index": -1},
    ],
)
def test_bad_clips_are_refused_in_words(wrong):
    pytest.importorskip("skimage", reason="the sample photographs come with scikit-image")
    with pytest.raises(GlitchError):
        GlitchClipEnv(**wrong)


@pytest.mark.parametrize(
    "options",
    [{"cell": (0, 0)}, {"picture": 0}, {"picture": 5, "cell": (0, 0)}, {"picture": 0, "cell": 3},
     {"picture": 0, "cell": (6, 0)}, {"place": 1}, 3],
)  # fmt: skip
def test_bad_reset_options_are_refused_in_words(options):
    with pytest.raises(GlitchError):
        GlitchPicturesEnv(**SMALL).reset(options=options)


def test_episodes_on_many_pictures_are_not_recorded_as_if_on_one():
    with pytest.raises(GlitchError, match="one picture"):
        RecordEpisode(gym.make("GlitchPictures-v0", **SMALL))


def test_rendering_shows_the_agent_on_its_picture():
    env = GlitchPicturesEnv(**SMALL, render_mode="rgb_array")
    _, info = env.reset(seed=2)
    before = env.render()
    clean = env.frames[info["picture"]]
    changed = (before != clean).any(axis=2)
    assert 0 < changed.mean() < 0.2
    text = GlitchPicturesEnv(**SMALL, render_mode="ansi")
    text.reset(seed=2)
    assert text.render().count("@") == 1
    assert glitch_gym.GlitchPicturesEnv is GlitchPicturesEnv
