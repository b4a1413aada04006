"""A PPO in one file, CleanRL style, by an id alone.

pip install 'glitch-gym[rl]'
python examples/ppo_single_file.py --env-id GlitchGrid-Linger-Coordinates-v0 --steps 100000
"""

from __future__ import annotations

import argparse
import time
from typing import Any

import gymnasium as gym
import numpy as np
import torch
from gymnasium.vector import AutoresetMode
from torch import nn
from torch.distributions import Categorical

import glitch_gym  # noqa: F401


class Agent(nn.Module):
    """An actor and a critic that share nothing."""

    def __init__(self, n_inputs: int, n_actions: int) -> None:
        super().__init__()

        def network(n_outputs: int, gain: float) -> nn.Sequential:
            sizes = [n_inputs, 128, 128, n_outputs]
            layers: list[nn.Module] = []
            for index in range(3):
                linear = nn.Linear(sizes[index], sizes[index + 1])
                nn.init.orthogonal_(linear.weight, 2**0.5 if index < 2 else gain)
                nn.init.zeros_(linear.bias)
                layers += [linear, nn.Tanh()]
            return nn.Sequential(*layers[:-1])

        self.actor, self.critic = network(n_actions, 0.01), network(1, 1.0)

    def act(self, observations: np.ndarray) -> np.ndarray:
        """Return the likeliest action for each observation."""
        with torch.no_grad():
            return self.actor(as_inputs(observations)).argmax(dim=1).numpy()


def as_inputs(observations: np.ndarray) -> torch.Tensor:
    """Return observations as rows of floats."""
    return torch.from_numpy(observations.reshape(len(observations), -1)).float()


def advantages_of(
    rewards: torch.Tensor, ended: torch.Tensor, values: torch.Tensor, gamma: float, decay: float
) -> torch.Tensor:
    """Return generalized advantage estimates, (steps, envs); ``values`` has one step more."""
    advantages, last = torch.zeros_like(rewards), torch.zeros(rewards.shape[1])
    for t in reversed(range(len(rewards))):
        going_on = 1 - ended[t]
        delta = rewards[t] + gamma * values[t + 1] * going_on - values[t]
        last = delta + gamma * decay * going_on * last
        advantages[t] = last
    return advantages


def update(
    agent: Agent, optimizer: torch.optim.Optimizer, batch: dict[str, torch.Tensor], epochs: int
) -> None:
    """Take the clipped policy gradient, in shuffled minibatches."""
    size = len(batch["actions"])
    for _ in range(epochs):
        for rows in torch.randperm(size).split(512):
            chosen = Categorical(logits=agent.actor(batch["seen"][rows]))
            ratio = (chosen.log_prob(batch["actions"][rows]) - batch["log_probs"][rows]).exp()
            gain = batch["advantages"][rows]
            gain = (gain - gain.mean()) / (gain.std() + 1e-8)
            policy_loss = -torch.min(gain * ratio, gain * ratio.clamp(0.8, 1.2)).mean()
            value_loss = (agent.critic(batch["seen"][rows])[:, 0] - batch["goals"][rows]) ** 2
            loss = policy_loss + 0.5 * value_loss.mean() - 0.01 * chosen.entropy().mean()
            optimizer.zero_grad()
            loss.backward()
            nn.utils.clip_grad_norm_(agent.parameters(), 0.5)
            optimizer.step()


def train(
    env_id: str,
    steps: int,
    seed: int = 0,
    *,
    num_envs: int = 64,
    num_steps: int = 32,
    learning_rate: float = 1e-3,
    gamma: float = 0.95,
    report: bool = False,
    **settings: Any,
) -> Agent:
    """Train an agent on an id with Box observations."""
    torch.manual_seed(seed)
    envs = gym.make_vec(env_id, num_envs, autoreset_mode=AutoresetMode.SAME_STEP, **settings)
    space = envs.single_observation_space
    assert isinstance(envs.single_action_space, gym.spaces.Discrete)
    agent = Agent(int(np.prod(space.shape)), int(envs.single_action_space.n))
    optimizer = torch.optim.Adam(agent.parameters(), lr=learning_rate, eps=1e-5)
    updates = max(1, steps // (num_envs * num_steps))
    shape = (num_steps, num_envs)
    observed, _ = envs.reset(seed=seed)
    returns, finished = np.zeros(num_envs), [0.0]
    began = time.perf_counter()
    for number in range(updates):
        for group in optimizer.param_groups:
            group["lr"] = learning_rate * (1 - number / updates)
        seen = torch.zeros(*shape, int(np.prod(space.shape)))
        actions, log_probs = torch.zeros(shape, dtype=torch.int64), torch.zeros(shape)
        rewards, ended = torch.zeros(shape), torch.zeros(shape)
        for t in range(num_steps):
            seen[t] = as_inputs(observed)
            with torch.no_grad():
                chosen = Categorical(logits=agent.actor(seen[t]))
                actions[t] = chosen.sample()
                log_probs[t] = chosen.log_prob(actions[t])
            observed, reward, terminated, truncated, _ = envs.step(actions[t].numpy())
            rewards[t] = torch.from_numpy(reward)
            ended[t] = torch.from_numpy(terminated | truncated)
            returns += reward
            over = terminated | truncated
            finished += returns[over].tolist()
            returns[over] = 0
        with torch.no_grad():
            values = agent.critic(torch.cat([seen, as_inputs(observed)[None]]))[:, :, 0]
        advantages = advantages_of(rewards, ended, values, gamma, 0.95)
        batch = {
            "seen": seen.flatten(0, 1),
            "actions": actions.flatten(),
            "log_probs": log_probs.flatten(),
            "advantages": advantages.flatten(),
            "goals": (advantages + values[:-1]).flatten(),
        }
        update(agent, optimizer, batch, epochs=8)
        if report and (number + 1) % 10 == 0:
            done = (number + 1) * num_envs * num_steps
            rate = done / (time.perf_counter() - began)
            print(f"{done:>8,} steps: mean return {np.mean(finished[-200:]):6.2f}, {rate:,.0f}/s")
    return agent


def main() -> None:
    """Train, and print the mean return from time to time."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--env-id", default="GlitchGrid-Linger-Coordinates-v0", help="environment")
    parser.add_argument("--steps", type=int, default=100_000, help="environment steps in total")
    parser.add_argument("--seed", type=int, default=0, help="seed of the run")
    args = parser.parse_args()
    train(args.env_id, args.steps, args.seed, report=True)


if __name__ == "__main__":
    main()
