"""Plot the learners side by side: optimality against environment steps, with bands over seeds.

python examples/compare_learners.py -o learning.png --seeds 5
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np

from glitch_agents import (
    DoubleQLearning,
    ExpectedSarsa,
    ModelBased,
    QLambda,
    QLearning,
    Sarsa,
    optimality,
)
from glitch_gym import WorldSettings, compute_activation, make_world, read_picture

LEARNERS = {
    "sweeping": ModelBased(),
    "Q-learning, α 1, ε 1": QLearning(alpha=1.0, epsilon=1.0),
    "Q(λ)": QLambda(alpha=0.3),
    "double Q": DoubleQLearning(alpha=0.3),
    "expected SARSA": ExpectedSarsa(alpha=0.3),
    "SARSA": Sarsa(alpha=0.3),
    "Q-learning, the post's": QLearning(),
}


def main() -> None:
    """Train each learner with several seeds and episode counts, and draw the curves."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument(
        "-o", "--output", type=Path, default=Path("learning.png"), help="plot to write"
    )
    parser.add_argument("--seeds", type=int, default=5, help="runs per learner")
    parser.add_argument("--points", type=int, default=9, help="points per curve")
    parser.add_argument("--image", default="sample:balloon", help="picture, or sample:NAME")
    parser.add_argument(
        "--activation", default="spectral_residual", help="network, method or mask picture"
    )
    options = parser.parse_args()

    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    frame = read_picture(options.image).frame
    settings = WorldSettings(
        grid=(40, 20),
        effects=["same", "pixelate", "desaturate", "invert", "random"],
        fit="stretch",
    )
    world = make_world(compute_activation(frame, options.activation), frame.shape[:2], settings)
    episodes = np.unique(np.geomspace(50, 20_000, options.points).astype(int))
    figure, axes = pyplot.subplots(figsize=(8, 5), layout="constrained")
    for name, learner in LEARNERS.items():
        reached = np.empty((options.seeds, len(episodes)))
        for seed in range(options.seeds):
            for place, count in enumerate(episodes):
                table = learner.learn(world, episodes=int(count), seed=seed)
                reached[seed, place] = optimality(world, table)
        (line,) = axes.plot(20 * episodes, np.median(reached, axis=0), label=name, linewidth=2)
        low, high = reached.min(axis=0), reached.max(axis=0)
        axes.fill_between(20 * episodes, low, high, color=line.get_color(), alpha=0.18, linewidth=0)
        print(f"{name:<24} {np.median(reached[:, -1]):.4f} after {episodes[-1]:,} episodes")
    axes.set(
        xscale="log",
        xlabel="environment steps, at most (20 an episode)",
        ylabel="optimality (random 0, optimum 1)",
        title=f"40×20 cells, 20 actions: median and range of {options.seeds} seeds",
    )
    axes.axhline(1, color="0.6", linewidth=0.8)
    axes.grid(alpha=0.25)
    axes.legend(frameon=False)
    figure.savefig(options.output, dpi=110)


if __name__ == "__main__":
    main()
