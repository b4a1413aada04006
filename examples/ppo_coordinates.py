"""Train Stable-Baselines3's PPO on coordinates, through ``gym.make``.

pip install 'glitch-gym[rl]'
python examples/ppo_coordinates.py --steps 50000
"""

from __future__ import annotations

import argparse

import gymnasium as gym
import numpy as np
from stable_baselines3 import PPO

import glitch_gym  # noqa: F401
from glitch_agents import optimality
from glitch_agents.sb3 import ModelPolicy


def main() -> None:
    """Train, and compare with the optimum."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--steps", type=int, default=50_000, help="environment steps in total")
    options = parser.parse_args()
    env = gym.make("GlitchGrid-v0", observation="coordinates", objective="linger", grid=(20, 10))
    model = PPO("MlpPolicy", env, n_steps=512, batch_size=128, seed=0, device="cpu")
    model.learn(options.steps)
    world = env.unwrapped.world
    actions = ModelPolicy(model, env).act(np.arange(world.grid.n_cells))
    print(f"optimality {optimality(world, actions):.3f} after {options.steps:,} steps")


if __name__ == "__main__":
    main()
