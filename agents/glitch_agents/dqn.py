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
        observation: what the network sees.
        hidden: units of each of its two layers.
        gamma: discount in [0, 1).
        epsilon: exploration, a number or a schedule over the episodes.
        learning_rate: of Adam.
        batch: transitions a gradient step learns from.
        buffer: transitions that are kept.
        train_every: environment steps between gradient steps.
        target_every: gradient steps between copies to the target network.
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
    ) -> NetworkPolicy:
        """Learn for a number of episodes; on Ctrl-C, give what has been learned so far.

        Raises:
            MissingExtraError: torch is not installed.
            SettingError: no episodes, or an environment of another kind.
        """
        torch = _torch()
        episodes = whole_number("episodes", episodes, least=1)
        world_of(env)
        given = env.unwrapped
        if not isinstance(given, GlitchGridEnv):
            raise SettingError(f"this learner needs a GlitchGrid environment, not {env!r}")
        own = GlitchGridEnv.from_world(
            given.world, given.frame, observation=self.observation, lifetime=lifetime_of(env)
        )
        space = own.observation_space
        assert isinstance(space, gym.spaces.Box)
        n_inputs, n_actions = int(np.prod(space.shape)), own.world.actions.n
        rng = np.random.default_rng(int(derive_key(seed, "dqn")))
        # Forked: torch's global generator is the user's
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(int(derive_key(seed, "dqn", "weights")) >> 1)
            network = torch.nn.Sequential(
                torch.nn.Linear(n_inputs, self.hidden),
                torch.nn.ReLU(),
                torch.nn.Linear(self.hidden, self.hidden),
                torch.nn.ReLU(),
                torch.nn.Linear(self.hidden, n_actions),
            )
        target = copy.deepcopy(network)
        optimiser = torch.optim.Adam(network.parameters(), lr=self.learning_rate)
        seen = np.zeros((self.buffer, n_inputs), np.float32)
        following = np.zeros((self.buffer, n_inputs), np.float32)
        actions = np.zeros(self.buffer, np.int64)
        rewards = np.zeros(self.buffer, np.float32)
        over = np.zeros(self.buffer, np.float32)

        def improve(filled: int) -> None:
            rows = rng.integers(filled, size=self.batch)
            x, y = torch.from_numpy(seen[rows]), torch.from_numpy(following[rows])
            taken = torch.from_numpy(actions[rows])[:, None]
            with torch.no_grad():
                chosen = network(y).argmax(dim=1, keepdim=True)
                value = target(y).gather(1, chosen)[:, 0]
                goal = torch.from_numpy(rewards[rows]) + self.gamma * value * (
                    1 - torch.from_numpy(over[rows])
                )
            loss = torch.nn.functional.huber_loss(network(x).gather(1, taken)[:, 0], goal)
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()

        epsilons = as_schedule(self.epsilon, "epsilon", 0, 1).values(0, episodes, episodes)
        first_seed = int(derive_key(seed, "dqn", "env")) >> 1
        steps = gradient_steps = 0
        interrupted = False

        def run_episode(epsilon: float, seed: int | None) -> None:
            nonlocal steps, gradient_steps
            state, _ = own.reset(seed=seed)
            while True:
                if rng.random() < epsilon:
                    action = int(rng.integers(n_actions))
                else:
                    with torch.inference_mode():
                        action = int(network(torch.from_numpy(state.ravel())).argmax())
                there, reward, terminated, truncated, _ = own.step(action)
                row = steps % self.buffer
                seen[row], following[row] = state.ravel(), there.ravel()
                actions[row], rewards[row], over[row] = action, reward, terminated
                state = there
                steps += 1
                if steps >= self.batch and steps % self.train_every == 0:
                    improve(min(steps, self.buffer))
                    gradient_steps += 1
                    if gradient_steps % self.target_every == 0:
                        target.load_state_dict(network.state_dict())
                if terminated or truncated:
                    return

        try:
            for episode in range(episodes):
                # For one episode at a time, so that nobody waits for all of them
                with one_torch_thread(torch):
                    run_episode(epsilons[episode], first_seed if episode == 0 else None)
                if progress is not None and (episode % 20 == 19 or episode == episodes - 1):
                    progress(episode + 1, episodes)
        except KeyboardInterrupt:
            interrupted = True
        return NetworkPolicy(network.eval(), own, interrupted)
