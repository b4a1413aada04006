from __future__ import annotations

import gymnasium as gym
import numpy as np
import pytest
from support.program import run

import glitch_gym  # noqa: F401
from glitch_gym.errors import OutputError, SettingError
from glitch_render.effects import effects
from glitch_render.episodes.episode import episode_columns, load_episode
from glitch_render.episodes.playback import replay_episode
from glitch_render.episodes.record import RecordEpisode


def make(**settings):
    return gym.make("GlitchGrid-v0", image="sample:balloon", render_mode="rgb_array", **settings)


def test_a_loop_over_step_is_recorded_as_the_environment_drew_it(tmp_path):
    env = RecordEpisode(make(), tmp_path / "walk.npz")
    env.reset(seed=4, options={"cell": (8, 4)})
    for action in (3, 3, 1, 6, 2):
        env.step(action)
    found = episode_columns(env.episode)
    assert found["step"].tolist() == list(range(5))
    assert found["row"].tolist() == [8, 8, 9, 9, 9]
    assert found["col"].tolist() == [5, 6, 6, 5, 4]
    env.close()
    episode = load_episode(tmp_path / "walk.npz")
    frame = env.unwrapped.frame
    unmarked = replay_episode(frame, episode)
    drawn = env.unwrapped.render()
    # The environment frames its agent's cell, and nothing else
    assert ((unmarked != drawn).any(axis=2)).mean() < 0.03
    assert (unmarked != frame).any()


def test_episodes_are_agents_together_or_one_after_another():
    for one_after_another, first in ((False, [0, 0]), (True, [0, 3])):
        env = RecordEpisode(make(), one_after_another=one_after_another)
        for seed in (1, 2):
            env.reset(seed=seed, options={"cell": (5, 5)})
            for action in (0, 1, 0):
                env.step(action)
        found = episode_columns(env.episode)
        assert [found["step"][found["agent"] == agent].min() for agent in (0, 1)] == first


def test_what_leaves_or_is_held_back_stamps_nothing():
    env = RecordEpisode(make())
    env.reset(options={"cell": (0, 2)})
    *_, terminated, _, _ = env.step(env.unwrapped.actions.encode("same", "up"))
    assert terminated
    assert episode_columns(env.episode)["row"].size == 0
    assert env.episode.layers[0].trajectories.lengths.tolist() == [1]


def test_a_wrapper_below_that_changes_actions_is_seen_through():
    class Mirrored(gym.ActionWrapper):
        def action(self, action):
            return action ^ 1

    env = RecordEpisode(Mirrored(make()))
    env.reset(options={"cell": (8, 4)})
    env.step(0)
    assert episode_columns(env.episode)["move"].tolist() == ["down"]


@pytest.mark.xdist_group("torch")
def test_a_policy_of_stable_baselines_is_recorded():
    from stable_baselines3 import DQN

    env = make(observation="coordinates")
    model = DQN("MlpPolicy", env, learning_starts=1, buffer_size=50, seed=0)
    recorded = RecordEpisode(make(observation="coordinates"))
    observation, _ = recorded.reset(seed=0)
    for _ in range(6):
        action, _ = model.predict(observation, deterministic=True)
        observation, _, terminated, truncated, _ = recorded.step(action)
        if terminated or truncated:
            break
    assert recorded.episode.layers[0].trajectories.lengths[0] >= 1


def test_the_program_replays_what_was_recorded(tmp_path):
    with RecordEpisode(make(), tmp_path / "walk.npz") as env:
        env.reset(seed=0)
        for _ in range(8):
            env.action_space.seed(0)
            *_, terminated, truncated, _ = env.step(env.action_space.sample())
            if terminated or truncated:
                env.reset()
    result = run(
        "replay", str(tmp_path / "walk.npz"), "sample:balloon", "-o", str(tmp_path / "o.png")
    )
    assert result.exit_code == 0, result.output


def test_bad_recordings_are_refused(tmp_path):
    with pytest.raises(SettingError, match="needs a GlitchGrid"):
        RecordEpisode(gym.make("FrozenLake-v1"))
    with pytest.raises(OutputError, match="npz"):
        RecordEpisode(make(), tmp_path / "walk.mp4")
    env = RecordEpisode(make())
    with pytest.raises(SettingError, match="nothing is recorded"):
        env.save(tmp_path / "walk.npz")
    env.close()
    assert not list(tmp_path.iterdir())


def test_the_wrapper_is_written_into_the_specification(tmp_path):
    env = RecordEpisode(make(), tmp_path / "walk.npz", one_after_another=True)
    again = gym.make(gym.envs.registration.EnvSpec.from_json(env.spec.to_json()))
    assert isinstance(again, RecordEpisode)
    assert again.spec.additional_wrappers[-1].kwargs["one_after_another"] is True


# What plots is not needed to play, and Matplotlib may be bound to a back end without windows
@pytest.mark.filterwarnings("ignore:.*matplotlib is not installed:UserWarning")
def test_keys_play_the_environment():
    pytest.importorskip("pygame", exc_type=ImportError)
    import pygame
    from gymnasium.utils.play import PlayableGame

    env = make(effects=["same", "invert"])
    env.reset(seed=0, options={"cell": (8, 4)})
    game = PlayableGame(env)
    try:
        for key in "2d":
            game.process_event(pygame.event.Event(pygame.KEYDOWN, key=ord(key)))
        chosen = env.unwrapped.get_keys_to_action()[tuple(sorted(game.pressed_keys))]
        assert env.unwrapped.actions.names[chosen] == "invert_right"
    finally:
        pygame.quit()
    keys = env.unwrapped.get_keys_to_action()
    assert len(set(keys.values())) == len(keys) == 8


def test_the_world_knows_every_effect_of_ours_without_the_renderer():
    from glitch_gym.actions import BUILT_IN_EFFECTS

    assert set(BUILT_IN_EFFECTS) <= set(effects())
    ours = {
        name
        for name, one in effects().items()
        if one.function.__module__.startswith("glitch_render.")
    }
    assert ours == set(BUILT_IN_EFFECTS)


def test_frames_do_not_change(tmp_path):
    env = RecordEpisode(make())
    before = env.unwrapped.frame.copy()
    env.reset(seed=1)
    env.step(1)
    replay_episode(env.unwrapped.frame, env.episode)
    np.testing.assert_array_equal(env.unwrapped.frame, before)
