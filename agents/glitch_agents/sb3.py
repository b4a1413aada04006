"""Stable-Baselines3: our vector environment as one of its own, and its models as our policies.

Needs the extra ``rl``.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import gymnasium as gym
import numpy as np
from gymnasium.vector import AutoresetMode
from numpy.typing import NDArray
from stable_baselines3 import PPO
from stable_baselines3.common.vec_env.base_vec_env import VecEnv

from glitch_agents.learner import Progress
from glitch_agents.mdp import lifetime_of, world_of
from glitch_gym.checks import whole_number
from glitch_gym.env import GlitchGridEnv
from glitch_gym.errors import SettingError
from glitch_gym.randomness import derive_key
from glitch_gym.vector_env import GlitchGridVectorEnv

__all__ = ["GlitchVecEnv", "ModelPolicy", "PPOLearner"]


class GlitchVecEnv(VecEnv):
    """GlitchGrid as a native VecEnv of Stable-Baselines3, all agents in one compiled loop.

    Args:
        num_envs: number of agents, at least 1.
        settings: settings of ``GlitchGridVectorEnv``; the autoreset mode is Stable-Baselines3's
            own.
    """

    def __init__(self, num_envs: int = 1, **settings: Any) -> None:
        if "autoreset_mode" in settings:
            raise SettingError(
                "Stable-Baselines3 resets in the same step; leave autoreset_mode out"
            )
        self.env = GlitchGridVectorEnv(num_envs, autoreset_mode=AutoresetMode.SAME_STEP, **settings)
        self.render_mode = self.env.render_mode
        self._taken: NDArray[Any] = np.zeros(num_envs, np.int64)
        super().__init__(num_envs, self.env.single_observation_space, self.env.single_action_space)

    def reset(self) -> Any:
        """Begin new episodes, with the seeds and options that were set before."""
        options = self._options[0] or None
        seeds = None if all(seed is None for seed in self._seeds) else self._seeds
        observations, _ = self.env.reset(seed=seeds, options=options)
        self._reset_seeds()
        self._reset_options()
        return observations

    def step_async(self, actions: NDArray[Any]) -> None:
        """Keep the actions for ``step_wait``."""
        self._taken = np.asarray(actions)

    def step_wait(self) -> Any:
        """Step, and reset those that are done; their last observation is in the infos."""
        observations, rewards, terminated, truncated, infos = self.env.step(self._taken)
        done = terminated | truncated
        listed: list[dict[str, Any]] = [{} for _ in range(self.num_envs)]
        for i in np.flatnonzero(done):
            listed[i] = {
                "terminal_observation": infos["final_obs"][i],
                "TimeLimit.truncated": bool(truncated[i] and not terminated[i]),
            }
        return observations, rewards.astype(np.float32), done, listed

    def close(self) -> None:
        """Close the environment."""
        self.env.close()

    def _places(self, indices: Any) -> list[int]:
        return [int(i) for i in self._get_indices(indices)]

    def get_attr(self, attr_name: str, indices: Any = None) -> list[Any]:
        """Return an attribute, the same for each agent."""
        return [getattr(self.env, attr_name) for _ in self._places(indices)]

    def set_attr(self, attr_name: str, value: Any, indices: Any = None) -> None:
        """Set an attribute of all agents at once.

        Raises:
            SettingError: the indices leave out an agent.
        """
        if len(self._places(indices)) != self.num_envs:
            raise SettingError("the agents share one environment: set attributes of all of them")
        setattr(self.env, attr_name, value)

    def env_method(
        self, method_name: str, *method_args: Any, indices: Any = None, **method_kwargs: Any
    ) -> list[Any]:
        """Call a method; ``action_masks`` returns each agent's own row.

        Raises:
            AttributeError: the environment has no such method.
        """
        places = self._places(indices)
        result = getattr(self.env, method_name)(*method_args, **method_kwargs)
        if method_name == "action_masks":
            return [result[i] for i in places]
        return [result for _ in places]

    def env_is_wrapped(self, wrapper_class: type[Any], indices: Any = None) -> list[bool]:
        """Return ``False`` for each agent: none has a wrapper of its own."""
        return [False for _ in self._places(indices)]

    def get_images(self) -> Sequence[NDArray[np.uint8] | None]:
        """Return the one picture that all agents paint."""
        return [self.env.render_all()]


@dataclass(frozen=True)
class PPOLearner:
    """PPO as a learner: in a recipe, ``learner = "ppo"``.

    The pattern for any other algorithm of Stable-Baselines3: train on ``GlitchVecEnv``, and hand
    the model over as a ``ModelPolicy``.

    Args:
        gamma: discount in [0, 1].
        num_envs: number of agents that learn at once.
        deterministic: whether the policy takes the likeliest action or draws.
    """

    gamma: float = 0.95
    num_envs: int = 64
    deterministic: bool = False

    def learn(
        self,
        env: gym.Env[Any, Any],
        *,
        episodes: int,
        seed: int = 0,
        progress: Progress | None = None,
    ) -> ModelPolicy:
        """Learn for as many steps as the episodes have at most, from coordinates.

        Raises:
            SettingError: there are no episodes, or the environment is of another kind.
            KeyboardInterrupt: Ctrl-C.
        """
        episodes = whole_number("episodes", episodes, least=1)
        world_of(env)
        given = env.unwrapped
        if not isinstance(given, GlitchGridEnv):
            raise SettingError(f"this learner needs a GlitchGrid environment, not {env!r}")
        lifetime = lifetime_of(env)
        own = GlitchGridEnv.from_world(
            given.world, given.frame, observation="coordinates", lifetime=lifetime
        )
        vector = GlitchVecEnv(self.num_envs, env=own, max_episode_steps=lifetime)
        # Stable-Baselines3 takes seeds of 32 bits
        short = int(derive_key(seed, "ppo")) % 2**31
        model = PPO(
            "MlpPolicy", vector, n_steps=32, batch_size=512, gamma=self.gamma, seed=short,
            device="cpu",
        )  # fmt: skip

        def report(here: dict[str, Any], _: dict[str, Any]) -> bool:
            if progress is not None:
                progress(min(here["self"].num_timesteps // lifetime, episodes), episodes)
            return True

        model.learn(episodes * lifetime, callback=report)
        if progress is not None:
            progress(episodes, episodes)
        return ModelPolicy(model, own, deterministic=self.deterministic)


class ModelPolicy:
    """A Stable-Baselines3 model as a policy over cells, so that it can drive the filter.

    Args:
        model: anything with ``predict(observations, deterministic=…)``.
        env: the environment that says what an agent observes in a cell.
        deterministic: take the likeliest action; else actions are drawn, in rollouts by their seed.
    """

    def __init__(self, model: Any, env: gym.Env[Any, Any], *, deterministic: bool = True) -> None:
        own = env.unwrapped
        if not isinstance(own, GlitchGridEnv):
            raise SettingError(f"this needs a GlitchGrid environment, not {env!r}")
        if not callable(getattr(model, "predict", None)):
            raise SettingError("this needs a model with predict(observations)")
        self.model = model
        self.env = own
        self.deterministic = deterministic

    def probabilities(self) -> NDArray[np.float64]:
        """Return the probability of each action in each cell, (n_cells, n_actions).

        Of a model that only predicts, what it predicts is certain.
        """
        everywhere = np.arange(self.env.world.grid.n_cells)
        network: Any = getattr(self.model, "policy", None)
        if self.deterministic or not hasattr(network, "get_distribution"):
            return np.eye(self.env.world.actions.n)[self.act(everywhere)]
        seen, _ = network.obs_to_tensor(self.env.observe_cells(everywhere))
        probs = network.get_distribution(seen).distribution.probs.detach().cpu().numpy()
        return np.asarray(probs, np.float64)

    def act(self, observations: NDArray[np.integer[Any]]) -> NDArray[np.int64]:
        """Return the model's action for each flat cell index of an array."""
        cells = np.asarray(observations)
        flat = cells.reshape(-1)
        # The model is asked once for each cell, however many agents stand there
        distinct, places = np.unique(flat, return_inverse=True)
        if not self.deterministic:
            distinct, places = flat, np.arange(len(flat))
        seen = self.env.observe_cells(distinct.astype(np.int64))
        actions, _ = self.model.predict(seen, deterministic=self.deterministic)
        return np.asarray(actions, np.int64)[places].reshape(cells.shape)
