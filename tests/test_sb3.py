from __future__ import annotations

import gymnasium as gym
import numpy as np
import pytest
from support.lazy import Lazy

from glitch_agents import rollout
from glitch_gym.errors import SettingError
from glitch_render import Layer, Recipe, corrupt

ours = Lazy("glitch_agents.sb3")
sb3 = Lazy("stable_baselines3")
vec_env = Lazy("stable_baselines3.common.vec_env")
# Only the worker that runs these imports PyTorch
pytestmark = pytest.mark.xdist_group("torch")


def test_steps_are_the_scalar_envs_with_stable_baselines3s_endings():
    env = ours.GlitchVecEnv(3)
    env.seed(4)
    seen = env.reset()
    scalars = [gym.make("GlitchGrid-v0") for _ in range(3)]
    for i, scalar in enumerate(scalars):
        assert scalar.reset(seed=4 + i)[0] == seen[i]
    rng = np.random.default_rng(0)
    ended = {"terminated": 0, "truncated": 0}
    for _ in range(200):
        actions = rng.integers(20, size=3)
        seen, rewards, dones, infos = env.step(actions)
        assert rewards.dtype == np.float32
        for i, scalar in enumerate(scalars):
            last, reward, terminated, truncated, _ = scalar.step(int(actions[i]))
            assert rewards[i] == np.float32(reward)
            assert dones[i] == (terminated or truncated)
            if dones[i]:
                assert infos[i]["terminal_observation"] == last
                assert infos[i]["TimeLimit.truncated"] == (truncated and not terminated)
                ended["terminated" if terminated else "truncated"] += 1
                last, _ = scalar.reset()
            else:
                assert infos[i] == {}
            assert seen[i] == last
    assert min(ended.values()) > 3


def test_masks_and_attributes_are_given_by_agent():
    env = ours.GlitchVecEnv(4, observation="coordinates")
    env.seed(1)
    env.reset()
    masks = env.env_method("action_masks")
    assert len(masks) == 4
    assert masks[0].shape == (20,)
    assert masks[0].dtype == np.bool_
    np.testing.assert_array_equal(env.env_method("action_masks", indices=[2])[0], masks[2])
    assert env.get_attr("lifetime", indices=[0, 1]) == [20, 20]
    assert env.env_is_wrapped(gym.Wrapper) == [False] * 4
    with pytest.raises(SettingError, match="share one"):
        env.set_attr("lifetime", 3, indices=[0])
    env.set_attr("note", 3)
    assert env.env.note == 3


def test_ppo_learns_on_it_and_its_model_walks():
    env = vec_env.VecMonitor(
        ours.GlitchVecEnv(16, observation="coordinates", objective="linger", grid=(12, 8))
    )
    model = sb3.PPO("MlpPolicy", env, n_steps=32, batch_size=256, n_epochs=2, seed=0, device="cpu")
    model.learn(2048)
    scalar = gym.make("GlitchGrid-v0", observation="coordinates", objective="linger", grid=(12, 8))
    policy = ours.ModelPolicy(model, scalar)
    world = scalar.unwrapped.world
    cells = world.picture_cells
    expected = []
    for cell in cells:
        seen = scalar.unwrapped.observe_cells(np.array([cell]))[0]
        expected.append(int(model.predict(seen, deterministic=True)[0]))
    assert policy.act(cells).tolist() == expected
    assert policy.act(cells.reshape(2, -1)).shape == (2, len(cells) // 2)
    walked = rollout(world, policy, 50)
    assert walked.n_stamps > 10
    assert ours.ModelPolicy(model, scalar, deterministic=False).act(cells).max() < 20


def test_a_model_that_draws_says_how_likely_each_action_is():
    env = ours.GlitchVecEnv(4, observation="coordinates", grid=(4, 3))
    model = sb3.PPO("MlpPolicy", env, n_steps=8, batch_size=32, seed=0, device="cpu")
    scalar = gym.make("GlitchGrid-v0", observation="coordinates", grid=(4, 3))
    policy = ours.ModelPolicy(model, scalar, deterministic=False)
    said = policy.probabilities()
    asked = np.bincount(policy.act(np.full(4000, 5)), minlength=20) / 4000
    np.testing.assert_allclose(asked, said[5], atol=0.03)
    certain = ours.ModelPolicy(model, scalar).probabilities()
    assert (certain.argmax(axis=1) == said.argmax(axis=1)).all()
    first, again = (rollout(scalar.unwrapped.world, policy, 40, seed=2) for _ in range(2))
    np.testing.assert_array_equal(first.actions, again.actions)


def test_ppo_can_be_named_in_a_recipe(small):
    layer = Layer(
        grid=(12, 18), fit="stretch", effects=["same"], iterations=200, agents=80,
        learner="ppo",
    )  # fmt: skip
    seen = []
    painted = corrupt(
        small,
        Recipe(layers=[layer], activation="edges"),
        progress=lambda now: seen.append(now.done),
    )
    assert (painted != small).any(axis=2).mean() > 0.1
    assert seen[-1] == 200
    assert seen == sorted(seen)


def test_masked_observations_are_a_dict_of_rows():
    env = ours.GlitchVecEnv(2, observation="masked")
    seen = env.reset()
    assert seen["action_mask"].shape == (2, 20)
    for _ in range(60):
        _, _, dones, infos = env.step(np.array([1, 3]))
        for i in np.flatnonzero(dones):
            assert infos[i]["terminal_observation"]["observations"].shape == (2,)


def test_what_does_not_fit_is_refused():
    with pytest.raises(SettingError, match="autoreset"):
        ours.GlitchVecEnv(2, autoreset_mode="NextStep")
    with pytest.raises(SettingError, match="leave out"):
        ours.GlitchVecEnv(2, env=gym.make("GlitchGrid-v0").unwrapped, grid=(3, 3))
    with pytest.raises(SettingError, match="episodes"):
        ours.PPOLearner().learn(gym.make("GlitchGrid-v0"), episodes=0)
    with pytest.raises(SettingError, match="predict"):
        ours.ModelPolicy(object(), gym.make("GlitchGrid-v0"))
    with pytest.raises(SettingError, match="GlitchGrid"):
        ours.ModelPolicy(object(), gym.make("CartPole-v1"))
