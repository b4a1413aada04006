"""Train RLlib's PPO, with the environment given by name.

pip install 'ray[rllib]' torch
python examples/rllib_ppo.py --iterations 3
"""

from __future__ import annotations

import argparse
import os

os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")


def main() -> None:
    """Train for some iterations, and print the mean return of each."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--iterations", type=int, default=3, help="training iterations")
    options = parser.parse_args()

    from ray.rllib.algorithms.ppo import PPOConfig

    config = (
        PPOConfig()
        # Every worker imports the module before the colon, which registers the environment
        .environment(
            "glitch_gym:GlitchGrid-v0",
            env_config={"observation": "coordinates", "objective": "linger"},
        )
        .env_runners(num_env_runners=0)
        .training(train_batch_size=2000, minibatch_size=256, num_epochs=5)
    )
    algorithm = config.build_algo()
    for iteration in range(options.iterations):
        result = algorithm.train()
        mean = result["env_runners"]["episode_return_mean"]
        print(f"iteration {iteration + 1}: mean return {mean:.2f}")
    algorithm.stop()


if __name__ == "__main__":
    main()
