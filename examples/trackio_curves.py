"""Track a tabular learner with trackio: ``on_step`` is told figures, and logs them.

pip install trackio
python examples/trackio_curves.py --episodes 20000
trackio show --project glitch-gym
"""

from __future__ import annotations

import argparse

import gymnasium as gym
import trackio

import glitch_gym  # noqa: F401  (importing it registers GlitchGrid-v0)
from glitch_agents import QLearning, Schedule


def main() -> None:
    """Train, and log the figures of every hundredth of the training."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--episodes", type=int, default=20_000, help="training episodes")
    parser.add_argument("--seed", type=int, default=0, help="seed of the run")
    parser.add_argument("--project", default="glitch-gym", help="project that the run belongs to")
    options = parser.parse_args()

    env = gym.make("GlitchGrid-v0", objective="linger")
    learner = QLearning(alpha=1.0, epsilon=Schedule(1.0, 0.05))
    name = f"q_learning-{options.seed}"
    trackio.init(project=options.project, name=name, config={"learner": repr(learner)})

    def on_step(figures: dict[str, float]) -> None:
        trackio.log(dict(figures), step=int(figures["episodes"]))

    every = max(1, options.episodes // 100)
    learner.learn(env, episodes=options.episodes, seed=options.seed, on_step=on_step, every=every)
    trackio.finish()
    print(f"trackio show --project {options.project}")


if __name__ == "__main__":
    main()
