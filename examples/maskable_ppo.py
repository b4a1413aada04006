"""Train sb3-contrib's MaskablePPO, which never walks into prohibited cells.

pip install 'glitch-gym[rl]'
python examples/maskable_ppo.py --steps 30000
"""

from __future__ import annotations

import argparse

import gymnasium as gym
from sb3_contrib import MaskablePPO

import glitch_gym  # noqa: F401


def main() -> None:
    """Train with masks, then walk and count the steps into walls, which should be 0."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--steps", type=int, default=30_000, help="environment steps in total")
    options = parser.parse_args()
    # Padding prohibits the lower rows of this grid, so that masks matter
    env = gym.make("GlitchGrid-v0", observation="coordinates", grid=(20, 10), objective="linger")
    model = MaskablePPO("MlpPolicy", env, n_steps=512, batch_size=128, seed=0, device="cpu")
    model.learn(options.steps)
    refused = steps = 0
    total = 0.0
    for episode in range(100):
        observation, _ = env.reset(seed=episode)
        while True:
            mask = env.unwrapped.action_masks()
            action, _ = model.predict(observation, action_masks=mask, deterministic=True)
            refused += not mask[action]
            observation, reward, terminated, truncated, _ = env.step(action)
            total += reward
            steps += 1
            if terminated or truncated:
                break
    print(f"mean return {total / 100:.2f}; {refused} of {steps} steps walked into a wall")


if __name__ == "__main__":
    main()
