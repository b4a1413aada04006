"""Write tabular Q-learning from scratch on ``gym.make``, and compare it with the exact optimum.

python examples/q_learning_from_scratch.py --episodes 20000
"""

from __future__ import annotations

import argparse

import gymnasium as gym
import numpy as np

import glitch_gym  # noqa: F401  (importing it registers GlitchGrid-v0)
from glitch_agents import QTable, optimality


def main() -> None:
    """Train, and print from time to time how close the table is to the optimum."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--episodes", type=int, default=20_000, help="training episodes")
    parser.add_argument("--seed", type=int, default=0, help="seed of the run")
    options = parser.parse_args()

    env = gym.make("GlitchGrid-v0", grid=(20, 10))
    q = np.zeros((env.observation_space.n, env.action_space.n), np.float32)
    rng = np.random.default_rng(options.seed)
    alpha, gamma = 1.0, 0.95  # the world is deterministic, so one visit suffices

    state, info = env.reset(seed=options.seed)
    for episode in range(1, options.episodes + 1):
        epsilon = 1.0 - 0.9 * episode / options.episodes
        while True:
            if rng.random() < epsilon:
                action = int(rng.choice(np.flatnonzero(info["action_mask"])))
            else:
                action = int(q[state].argmax())
            next_state, reward, terminated, truncated, info = env.step(action)
            # Truncation does not end the task, so the next state's value still counts
            target = reward + (0.0 if terminated else gamma * q[next_state].max())
            q[state, action] += alpha * (target - q[state, action])
            state = next_state
            if terminated or truncated:
                break
        state, info = env.reset()
        if episode % max(1, options.episodes // 5) == 0:
            world = env.unwrapped.world
            table = QTable(q.reshape(world.reward_field.shape))
            print(f"{episode:>7,} episodes: optimality {optimality(world, table, gamma):.3f}")


if __name__ == "__main__":
    main()
