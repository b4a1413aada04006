"""Train learners on the benchmark's tasks, and write docs/leaderboard.md from what was measured.

    pip install -e ".[plot,rl,samples]"
    python benchmarks/leaderboard.py --seeds 10

A run is a learner, a task, a seed and a budget of environment steps. Each becomes a row of
benchmarks/leaderboard.csv as soon as it is finished, and is skipped the next time, so that a long
benchmark can be stopped, continued, and spread over machines (``--tasks``, ``--learners``,
``--seeds 3-5``). ``--report`` writes the page from the rows that there are.

The score is exact: a policy is evaluated in every cell by dynamic programming over the lifetime,
and set between the uniformly random policy (0) and the finite-horizon optimum (1).

Source: Agarwal et al., *Deep Reinforcement Learning at the Edge of the Statistical Precipice*,
NeurIPS 2021, for the interquartile mean with stratified bootstrap intervals. Their package,
rliable, installs arch, seaborn and statsmodels; the two functions needed here take a dozen lines.
"""

from __future__ import annotations

import argparse
import csv
import os
import sys
import time
from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass, fields
from functools import cache
from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np
from leaderboard_page import write_page
from numpy.typing import NDArray

import glitch_gym  # noqa: F401
from glitch_agents import (
    DoubleQLearning,
    ExpectedSarsa,
    ModelBased,
    QLambda,
    QLearning,
    Sarsa,
    optimal_return,
)
from glitch_gym import GlitchGridEnv, GridWorld

ROOT = Path(__file__).parent.parent
ROWS = ROOT / "benchmarks" / "leaderboard.csv"
PAGE = ROOT / "docs" / "leaderboard.md"
LIFETIME = 20
BUDGET = 50_000


@dataclass(frozen=True)
class Task:
    """What is to be learned, by ids that differ in their observations at most.

    Args:
        name: name in the tables.
        env_id: id with observations that deep learners take.
        held_out: ids of held-out pictures, by the column that they fill.
    """

    name: str
    env_id: str
    held_out: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True)
class Run:
    """A finished run, as a row of the file.

    Args:
        task: name of the task.
        learner: name of the learner.
        seed: seed of the run.
        budget: environment steps that the learner may take.
        mean_return: exact mean return of the greedy policy, over all starting cells.
        random_return: that of uniformly random actions.
        optimal_return: the finite-horizon optimum.
        share: (mean − random) / (optimal − random).
        test_share: the share on procedural pictures of the test split; empty where there are none.
        samples_share: the share on the sample photographs; empty where there are none.
        seconds: training time, on one thread.
    """

    task: str
    learner: str
    seed: int
    budget: int
    mean_return: float
    random_return: float
    optimal_return: float
    share: float
    test_share: float | None
    samples_share: float | None
    seconds: float


TASKS = [
    Task("escape 20×10", "GlitchGrid-Coordinates-v0"),
    Task("linger 20×10", "GlitchGrid-Linger-Coordinates-v0"),
    Task("escape 40×20", "GlitchGrid-40x20-Coordinates-v0"),
    Task("linger 40×20", "GlitchGrid-Linger-40x20-Coordinates-v0"),
    Task("clip", "GlitchClip-Linger-v0"),
    Task(
        "pictures",
        "GlitchPictures-Linger-v0",
        (
            ("test_share", "GlitchPictures-Linger-Test-v0"),
            ("samples_share", "GlitchPictures-Linger-Samples-v0"),
        ),
    ),
]

Act = Callable[[Any], NDArray[np.integer[Any]]]


@cache
def environment(env_id: str) -> GlitchGridEnv:
    """Make an environment once; nothing that is done here changes it."""
    made = gym.make(env_id).unwrapped
    assert isinstance(made, GlitchGridEnv)
    return made


def evaluate(world: GridWorld, probs: NDArray[np.float64]) -> float:
    """Return the exact mean return of a policy within the lifetime, over all starting cells."""
    after = np.maximum(world.next_state, 0)
    alive = world.next_state >= 0
    values = np.zeros(len(probs))
    for _ in range(LIFETIME):
        values = (probs * (world.rewards + np.where(alive, values[after], 0.0))).sum(axis=1)
    return float(values[world.picture_cells].mean())


@cache
def limits(env_id: str) -> tuple[float, float]:
    """Return the returns of random actions and of the optimum."""
    world = environment(env_id).world
    uniform = np.full(world.next_state.shape, 1 / world.actions.n)
    return evaluate(world, uniform), float(optimal_return(world, LIFETIME))


def share(env_id: str, reached: float) -> float:
    """Set a return between random actions, 0, and the optimum, 1."""
    chance, best = limits(env_id)
    return (reached - chance) / (best - chance)


def evaluate_actions(env_id: str, act: Act) -> float:
    """Return the exact mean return of a policy that maps observations to actions."""
    env = environment(env_id)
    n = env.world.grid.n_cells
    parts = [np.asarray(act(env.observe_cells(cells))) for cells in
             np.array_split(np.arange(n), max(1, n // 4096))]  # fmt: skip
    return evaluate(env.world, np.eye(env.world.actions.n)[np.concatenate(parts)])


def tabular(learner: Any) -> Callable[[Task, int, int], Any]:
    """Return the training of one of our tabular learners, which knows the state of the world."""

    def train(task: Task, budget: int, seed: int) -> Any:
        world = environment(task.env_id).world
        if budget == 0:
            # Compiled code is loaded before the clock runs
            return learner.learn(world, episodes=1)
        return learner.learn(world, episodes=budget // LIFETIME, seed=seed)

    return train


def sb3(name: str, **settings: Any) -> Callable[[Task, int, int], Act]:
    """Return the training of an algorithm of Stable-Baselines3 or sb3-contrib."""

    def train(task: Task, budget: int, seed: int) -> Act:
        import sb3_contrib
        import stable_baselines3

        from glitch_agents.sb3 import GlitchVecEnv

        algorithm = getattr(stable_baselines3, name, None) or getattr(sb3_contrib, name)
        n_envs = 64 if "PPO" in name else 16
        envs = GlitchVecEnv(n_envs, env=environment(task.env_id), max_episode_steps=LIFETIME)
        own: dict[str, Any] = {"gamma": 0.95, "seed": seed, "device": "cpu", **settings}
        model = algorithm("MlpPolicy", envs, **own)
        model.learn(budget)
        return lambda seen: np.asarray(model.predict(seen, deterministic=True)[0])

    return train


def single_file(task: Task, budget: int, seed: int) -> Act:
    """Train the CleanRL-style PPO of examples/ppo_single_file.py."""
    sys.path.insert(0, str(ROOT / "examples"))
    from ppo_single_file import train

    return train(task.env_id, budget, seed).act


_PPO = {"n_steps": 32, "batch_size": 512, "learning_rate": 1e-3, "ent_coef": 0.01}
_DQN = {
    "learning_rate": 1e-3, "batch_size": 128, "train_freq": 1, "learning_starts": 1000,
    "target_update_interval": 1000, "exploration_fraction": 0.5, "buffer_size": 50_000,
}  # fmt: skip

LEARNERS: dict[str, Callable[[Task, int, int], Any]] = {
    "Q-learning, α = ε = 0.1": tabular(QLearning()),
    "Q-learning, α = ε = 1": tabular(QLearning(alpha=1.0, epsilon=1.0)),
    "SARSA": tabular(Sarsa()),
    "expected SARSA": tabular(ExpectedSarsa()),
    "double Q-learning": tabular(DoubleQLearning()),
    "Q(λ)": tabular(QLambda()),
    "model-based": tabular(ModelBased()),
    "PPO (SB3)": sb3("PPO", **_PPO),
    "DQN (SB3)": sb3("DQN", **_DQN),
    "QR-DQN (sb3-contrib)": sb3("QRDQN", policy_kwargs={"n_quantiles": 25}, **_DQN),
    "MaskablePPO (sb3-contrib)": sb3("MaskablePPO", **_PPO),
    "PPO in one file": single_file,
}
TABULAR = list(LEARNERS)[:7]


def run(task: Task, learner: str, seed: int, budget: int) -> Run:
    """Train and evaluate."""
    limits(task.env_id)
    if learner in TABULAR:
        LEARNERS[learner](task, 0, seed)
    began = time.perf_counter()
    policy = LEARNERS[learner](task, budget, seed)
    seconds = time.perf_counter() - began
    shares: dict[str, float] = {}
    if learner in TABULAR:
        reached = evaluate(environment(task.env_id).world, policy.greedy().probabilities())
    else:
        reached = evaluate_actions(task.env_id, policy)
        for column, held_out in task.held_out:
            shares[column] = share(held_out, evaluate_actions(held_out, policy))
    return Run(
        task.name, learner, seed, budget, reached, *limits(task.env_id),
        share(task.env_id, reached), shares.get("test_share"), shares.get("samples_share"), seconds,
    )  # fmt: skip


def append(finished: Run, path: Path = ROWS) -> None:
    """Append a row by a single write, so that runs side by side do not mix their lines."""
    names = [one.name for one in fields(Run)]
    values = asdict(finished)
    cells = [
        "" if values[name] is None
        else f"{values[name]:.6g}" if isinstance(values[name], float) else str(values[name])
        for name in names
    ]  # fmt: skip
    line = ",".join(f'"{cell}"' if "," in cell else cell for cell in cells) + "\n"
    if not path.exists() or path.stat().st_size == 0:
        line = ",".join(names) + "\n" + line
    with path.open("ab", buffering=0) as file:
        file.write(line.encode())
        os.fsync(file.fileno())


def read(path: Path = ROWS) -> list[Run]:
    """Read the finished runs; a line that was cut short by a crash is left out."""
    if not path.exists():
        return []
    found = []
    with path.open(encoding="utf-8", newline="") as file:
        for row in csv.DictReader(file):
            if None in row.values() or not row["seconds"]:
                continue
            numbers = {
                one.name: float(row[one.name]) if row[one.name] else None
                for one in fields(Run)
                if one.name not in ("task", "learner", "seed", "budget")
            }
            seed, budget = int(row["seed"]), int(row["budget"])
            found.append(Run(row["task"], row["learner"], seed, budget, **numbers))
    return found


def chosen_seeds(text: str) -> range:
    """Read ``10`` as the seeds 0…9, and ``3-5`` as 3, 4 and 5."""
    first, dash, last = text.partition("-")
    return range(int(first), int(last) + 1) if dash else range(int(first))


def train_all(
    tasks: Iterable[Task],
    learners: Iterable[str],
    seeds: Iterable[int],
    budget: int,
    minutes: float,
) -> None:
    """Do the runs that are not in the file yet, seed by seed, until the time is over."""
    done = {(one.task, one.learner, one.seed, one.budget) for one in read()}
    began = time.perf_counter()
    for seed in seeds:
        for task in tasks:
            for learner in learners:
                if (task.name, learner, seed, budget) in done:
                    continue
                if time.perf_counter() - began > 60 * minutes:
                    return
                finished = run(task, learner, seed, budget)
                append(finished)
                print(
                    f"{task.name:<13} {learner:<26} seed {seed}: share {finished.share:6.3f}, "
                    f"{finished.seconds:6.1f} s",
                    flush=True,
                )


def main() -> None:
    """Train, and write the page."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--tasks", nargs="*", help="names of tasks; all by default")
    parser.add_argument("--learners", nargs="*", help="names of learners; all by default")
    parser.add_argument("--seeds", default="10", help="a number of seeds, or a range such as 3-5")
    parser.add_argument("--budget", type=int, default=BUDGET, help="environment steps of a run")
    parser.add_argument("--minutes", type=float, default=1e9, help="start no run after so long")
    parser.add_argument("--report", action="store_true", help="only write the page")
    options = parser.parse_args()
    if not options.report:
        import torch

        torch.set_num_threads(1)
        tasks = [one for one in TASKS if options.tasks is None or one.name in options.tasks]
        learners = [one for one in LEARNERS if options.learners is None or one in options.learners]
        train_all(tasks, learners, chosen_seeds(options.seeds), options.budget, options.minutes)
    rows = [one for one in read() if one.budget == options.budget]
    ids = [(one.name, one.env_id) for one in TASKS]
    write_page(rows, list(LEARNERS), ids, options.budget, PAGE)


if __name__ == "__main__":
    main()
