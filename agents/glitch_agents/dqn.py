"""A small DQN, as the example of a learned function over coordinates or patches.

One network, a target network, a replay buffer, Huber loss, double-DQN targets; nothing else. Needs
torch, from the extra ``cam`` or ``rl``.

Sources: Mnih et al., *Human-level control through deep reinforcement learning*, 2015; van Hasselt,
Guez and Silver, *Deep reinforcement learning with double Q-learning*, 2016.
"""

from __future__ import annotations

import copy
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import gymnasium as gym
import numpy as np
from numpy.typing import NDArray

from glitch_agents.learner import Progress
from glitch_agents.lessons import Figures, OnStep, lessons
from glitch_agents.mdp import lifetime_of, world_of
from glitch_agents.schedule import Schedule, as_schedule
from glitch_gym.checks import whole_number
from glitch_gym.env import GlitchGridEnv
from glitch_gym.errors import MissingExtraError, SettingError
from glitch_gym.randomness import derive_key
from glitch_gym.torch_threads import one_torch_thread

if TYPE_CHECKING:
    import torch

__all__ = ["DQN", "NetworkPolicy"]


def _torch() -> Any:
    try:
        import torch
    except ImportError as error:
        raise MissingExtraError(
            "DQN needs torch; install an extra that brings it: pip install 'glitch-gym[rl]'"
        ) from error
    return torch


@dataclass(frozen=True, eq=False)
class NetworkPolicy:
    """The greedy policy of a network over what agents observe."""

    network: torch.nn.Module
    env: GlitchGridEnv
    interrupted: bool = False

    def act(self, observations: NDArray[np.integer[Any]]) -> NDArray[np.int64]:
        """Return the best action for each flat cell index of an array."""
        torch = _torch()
        cells = np.asarray(observations)
        seen = torch.from_numpy(self.env.observe_cells(cells.reshape(-1).astype(np.int64)))
        with torch.inference_mode():
            best = self.network(seen).argmax(dim=1).numpy()
        return np.asarray(best, np.int64).reshape(cells.shape)


@dataclass(frozen=True)
class DQN:
    """Deep Q-learning over ``"coordinates"`` or ``"patch"``.

    Args:
        observation: kind of observation that the network sees.
        hidden: number of units in each of its two hidden layers.
        gamma: discount in [0, 1).
        epsilon: probability of a random action, a number or a schedule over the episodes.
        learning_rate: learning rate of Adam.
        batch: number of transitions that a gradient step learns from.
        buffer: number of transitions that are kept.
        train_every: number of environment steps between gradient steps.
        target_every: number of gradient steps between copies to the target network.
    """

    observation: str = "coordinates"
    hidden: int = 128
    gamma: float = 0.95
    epsilon: float | Schedule = Schedule(1.0, 0.05, 0.7)  # noqa: RUF009
    learning_rate: float = 1e-3
    batch: int = 128
    buffer: int = 50_000
    train_every: int = 2
    target_every: int = 250

    def __post_init__(self) -> None:
        if self.observation not in ("coordinates", "patch"):
            raise SettingError(f"DQN sees 'coordinates' or 'patch', not {self.observation!r}")
        as_schedule(self.epsilon, "epsilon", 0, 1)
        if not 0 <= self.gamma < 1:
            raise SettingError(f"gamma must lie in [0, 1), not {self.gamma!r}")
        for name in ("hidden", "batch", "buffer", "train_every", "target_every"):
            whole_number(name, getattr(self, name), least=1)

    def learn(
        self,
        env: gym.Env[Any, Any],
        *,
        episodes: int,
        seed: int = 0,
        progress: Progress | None = None,
        on_step: OnStep | None = None,
        every: int | None = None,
    ) -> NetworkPolicy:
        """Learn for a number of episodes; on Ctrl-C, return what has been learned so far.

        Args:
            env: a GlitchGrid environment.
            episodes: number of episodes, at least 1.
            seed: seed of weights, episodes, exploration and batches.
            progress: called now and then with (episodes done, episodes).
            on_step: called every so many episodes, and at the end, with a dict of figures:
                ``episodes``, ``steps``, ``epsilon``, ``training_return``, ``greedy_return`` and
                ``optimality`` as for ``TabularLearner.learn``.
            every: number of episodes between two calls; by default a twentieth of all.

        Raises:
            MissingExtraError: torch is not installed.
            SettingError: there are no episodes, or the environment is of another kind.
        """
        torch = _torch()
        world_of(env)
        given = env.unwrapped
        if not isinstance(given, GlitchGridEnv):
            raise SettingError(f"this learner needs a GlitchGrid environment, not {env!r}")
        own = GlitchGridEnv.from_world(
            given.world, given.frame, observation=self.observation, lifetime=lifetime_of(env)
        )
        training = _Training(self, own, seed)
        epsilon = as_schedule(self.epsilon, "epsilon", 0, 1)

        def rate(episode: int) -> Figures:
            return {"epsilon": float(epsilon.values(episode, episode + 1, episodes)[0])}

        course = lessons(own, self.gamma, rate, episodes, seed, progress, on_step, every)
        policy = NetworkPolicy(training.network, own)
        first_seed = int(derive_key(seed, "dqn", "env")) >> 1
        interrupted = False
        try:
            for episode in range(episodes):
                # One episode at a time, so that other threads need not wait for all of them
                with one_torch_thread(torch):
                    begins_with = first_seed if episode == 0 else None
                    course.count(training.run_episode(rate(episode)["epsilon"], begins_with))
                    course.report(episode, episode + 1, lambda: policy)
                if progress is not None and (episode % 20 == 19 or episode == episodes - 1):
                    progress(episode + 1, episodes)
        except KeyboardInterrupt:
            interrupted = True
        return NetworkPolicy(training.network.eval(), own, interrupted)


class _Training:
    """A DQN in training: its networks, its optimiser and its replay buffer.

    Args:
        settings: settings of the learner.
        env: environment to learn in, which observes what the network sees.
        seed: seed of weights, exploration and batches.
    """

    def __init__(self, settings: DQN, env: GlitchGridEnv, seed: int) -> None:
        torch = _torch()
        self._settings = settings
        self._env = env
        space = env.observation_space
        assert isinstance(space, gym.spaces.Box)
        n_inputs, n_actions = int(np.prod(space.shape)), env.world.actions.n
        self._n_actions = n_actions
        self._rng = np.random.default_rng(int(derive_key(seed, "dqn")))
        # Forked: torch's global generator is the user's
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(int(derive_key(seed, "dqn", "weights")) >> 1)
            self.network = torch.nn.Sequential(
                torch.nn.Linear(n_inputs, settings.hidden),
                torch.nn.ReLU(),
                torch.nn.Linear(settings.hidden, settings.hidden),
                torch.nn.ReLU(),
                torch.nn.Linear(settings.hidden, n_actions),
            )
        self._target = copy.deepcopy(self.network)
        self._optimiser = torch.optim.Adam(self.network.parameters(), lr=settings.learning_rate)
        self._observations = np.zeros((settings.buffer, n_inputs), np.float32)
        self._next_observations = np.zeros((settings.buffer, n_inputs), np.float32)
        self._actions = np.zeros(settings.buffer, np.int64)
        self._rewards = np.zeros(settings.buffer, np.float32)
        self._done = np.zeros(settings.buffer, np.float32)
        self._steps = self._gradient_steps = 0

    def run_episode(self, epsilon: float, seed: int | None) -> Figures:
        """Run an episode, and improve the network on the way; return its steps and return."""
        observation, _ = self._env.reset(seed=seed)
        ended, total, before = False, 0.0, self._steps
        while not ended:
            action = self._choose(observation, epsilon)
            next_observation, reward, terminated, truncated, _ = self._env.step(action)
            row = self._steps % self._settings.buffer
            self._observations[row] = observation.ravel()
            self._next_observations[row] = next_observation.ravel()
            self._actions[row], self._rewards[row] = action, reward
            self._done[row] = terminated
            total += reward
            observation = next_observation
            self._steps += 1
            if (
                self._steps >= self._settings.batch
                and self._steps % self._settings.train_every == 0
            ):
                self._improve()
            ended = terminated or truncated
        return {"steps": self._steps - before, "ended": 1, "return": total}

    def _choose(self, observation: NDArray[np.float32], epsilon: float) -> int:
        if self._rng.random() < epsilon:
            return int(self._rng.integers(self._n_actions))
        torch = _torch()
        with torch.inference_mode():
            return int(self.network(torch.from_numpy(observation.ravel())).argmax())

    def _improve(self) -> None:
        """Take a gradient step on a batch from the replay buffer."""
        torch = _torch()
        filled = min(self._steps, self._settings.buffer)
        rows = self._rng.integers(filled, size=self._settings.batch)
        taken = torch.from_numpy(self._actions[rows])[:, None]
        with torch.no_grad():
            ahead = torch.from_numpy(self._next_observations[rows])
            chosen = self.network(ahead).argmax(dim=1, keepdim=True)
            value = self._target(ahead).gather(1, chosen)[:, 0]
            goal = torch.from_numpy(self._rewards[rows]) + self._settings.gamma * value * (
                1 - torch.from_numpy(self._done[rows])
            )
        predicted = self.network(torch.from_numpy(self._observations[rows]))
        loss = torch.nn.functional.huber_loss(predicted.gather(1, taken)[:, 0], goal)
        self._optimiser.zero_grad()
        loss.backward()
        self._optimiser.step()
        self._gradient_steps += 1
        if self._gradient_steps % self._settings.target_every == 0:
            self._target.load_state_dict(self.network.state_dict())
