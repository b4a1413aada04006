"""Watch a tabular learner in TensorBoard: ``on_step`` is told figures, and writes them.

pip install tensorboard
python examples/tensorboard_curves.py --episodes 20000
tensorboard --logdir runs
"""

from __future__ import annotations

import argparse

import gymnasium as gym
from torch.utils.tensorboard import SummaryWriter

import glitch_gym  # noqa: F401  (importing it registers GlitchGrid-v0)
from glitch_agents import QLearning, Schedule, optimal_return


def main() -> None:
    """Train, and write the figures of every hundredth of the training."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--episodes", type=int, default=20_000, help="training episodes")
    parser.add_argument("--seed", type=int, default=0, help="seed of the run")
    parser.add_argument("--folder", default="runs/q_learning", help="folder of the curves")
    options = parser.parse_args()

    env = gym.make("GlitchGrid-v0", objective="linger")
    best = optimal_return(env)

    with SummaryWriter(options.folder) as writer:

        def on_step(figures: dict[str, float]) -> None:
            step = int(figures["steps"])
            for name, figure in figures.items():
                writer.add_scalar(name, figure, step)
            writer.add_scalar("share of the best return", figures["greedy_return"] / best, step)

        learner = QLearning(alpha=1.0, epsilon=Schedule(1.0, 0.05))
        every = max(1, options.episodes // 100)
        learner.learn(
            env, episodes=options.episodes, seed=options.seed, on_step=on_step, every=every
        )
    print(f"tensorboard --logdir {options.folder}")


if __name__ == "__main__":
    main()
