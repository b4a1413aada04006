"""Measure the RL side against its peers, each pair in this process: ``python benchmarks/rl.py``.

    pip install envpool quantecon mdplib
    python benchmarks/rl.py [vector] [scalar] [pictures] [seeding] [q_learning] [planner]
        [optimality] [stepping] [cores]

Without names all parts run. A ratio is the median over repeats of two measurements taken back to
back, with its range: machines are noisy, and what slows one side slows the other.
"""

from __future__ import annotations

import statistics
import sys
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import gymnasium as gym
import numba
import numpy as np
from gymnasium.utils.performance import benchmark_vector_step
from gymnasium.utils.seeding import np_random

import glitch_gym  # noqa: F401
from glitch_agents import (
    ExactPlanner,
    ExpectedSarsa,
    ModelBased,
    QLearning,
    optimality,
    state_values,
)
from glitch_gym import (
    GlitchGridEnv,
    GridWorld,
    WorldSettings,
    compute_activation,
    make_world,
    read_picture,
)
from glitch_gym.observation import OBSERVATIONS

EFFECTS = ["same", "pixelate", "desaturate", "invert", "random"]
HEIGHT, WIDTH = 1080, 1920
PHOTOGRAPHS = ("chelsea", "astronaut", "coffee", "rocket")
LARGE = {"image": "sample:chelsea", "grid": (200, 100), "fit": "stretch"}


def world_of_photograph(name: str, grid: tuple[int, int], objective: str = "escape") -> GridWorld:
    """Build a world from a photograph's class activation map."""
    frame = read_picture(f"sample:{name}").frame
    settings = WorldSettings(grid, EFFECTS, fit="stretch", objective=objective)
    return make_world(compute_activation(frame), (HEIGHT, WIDTH), settings)


def seconds(call: Callable[[], Any]) -> float:
    """Time one call."""
    began = time.perf_counter()
    call()
    return time.perf_counter() - began


def show(what: str, ratios: list[float], target: str) -> None:
    """Print a row of the table."""
    middle, low, high = statistics.median(ratios), min(ratios), max(ratios)
    print(f"| {what} | {middle:.2f} ({low:.2f}…{high:.2f}) | {target} |", flush=True)


@numba.njit
def bare_loop(next_state, rewards, starts, actions, lifetime, state, steps, gained, ended, seed):  # type: ignore[no-untyped-def]
    """Step and reset by the same tables, into the same arrays, with nothing around it."""
    for i in range(actions.shape[0]):
        s, a = state[i], actions[i]
        there = next_state[s, a]
        gained[i] = rewards[s, a]
        steps[i] += 1
        over = there < 0 or steps[i] >= lifetime
        ended[i] = over
        if over:
            seed[i] = seed[i] * np.uint64(6364136223846793005) + np.uint64(1442695040888963407)
            there = starts[(seed[i] >> np.uint64(33)) % np.uint64(starts.shape[0])]
            steps[i] = 0
        state[i] = there


class EnvPoolAsVector:
    """What ``benchmark_vector_step`` asks of a vector environment, for one of EnvPool."""

    def __init__(self, num_envs: int, threads: int) -> None:
        import envpool

        self.env = envpool.make_gymnasium("FrozenLake-v1", num_envs=num_envs, num_threads=threads)
        self.num_envs = num_envs
        self.action_space = gym.spaces.MultiDiscrete([4] * num_envs, dtype=np.int32)
        self.metadata = self.env.metadata

    def reset(self, seed: int | None = None, options: Any = None) -> Any:
        """Reset."""
        return self.env.reset()

    def step(self, actions: Any) -> Any:
        """Step."""
        return self.env.step(actions)


def vector() -> None:
    """Compare the vector environment with EnvPool and with a bare loop."""
    ours = gym.make_vec("GlitchGrid-v0", num_envs=4096, **LARGE)
    rate = benchmark_vector_step(ours, 2, 0)
    print(f"\nVector environment: {rate:,.0f} steps/s with sampled actions, 4096 agents\n")
    print("| what | ratio | target |\n|---|---|---|")
    peers = [(n, t) for n in (1024, 4096) for t in (1, 2)]
    pools = {key: EnvPoolAsVector(*key) for key in peers}
    best = max(peers, key=lambda key: benchmark_vector_step(pools[key], 1, 0))  # type: ignore[arg-type]
    ratios = [
        benchmark_vector_step(ours, 1, 0) / benchmark_vector_step(pools[best], 1, 0)  # type: ignore[arg-type]
        for _ in range(7)
    ]
    name = f"EnvPool FrozenLake ({best[0]} envs, {best[1]} threads)"
    show(f"vector env ÷ {name}", ratios, "≥ 100")

    world = ours.unwrapped.world  # type: ignore[attr-defined]
    rng = np.random.default_rng(0)
    actions = [rng.integers(20, size=4096) for _ in range(200)]
    state = rng.choice(world.picture_cells, 4096).astype(np.int64)
    steps, gained = np.zeros(4096, np.int32), np.zeros(4096)
    ended, seed = np.zeros(4096, np.bool_), rng.integers(2**63, size=4096).astype(np.uint64)

    def bare() -> None:
        for taken in actions:
            bare_loop(
                world.next_state, world.rewards, world.picture_cells, taken, 20, state, steps,
                gained, ended, seed,
            )  # fmt: skip

    def stepped() -> None:
        for taken in actions:
            ours.step(taken)

    bare(), stepped()
    show(
        "vector env ÷ bare fused numba loop, actions given",
        [seconds(bare) / seconds(stepped) for _ in range(41)],
        "≥ 0.6",
    )


def steps_per_second(env: gym.Env[Any, Any]) -> float:
    """Step a scalar environment by random actions, sampled beforehand."""
    env.reset(seed=0)
    actions = [env.action_space.sample() for _ in range(20_000)]

    def run() -> None:
        for action in actions:
            _, _, terminated, truncated, _ = env.step(action)
            if terminated or truncated:
                env.reset()

    return len(actions) / seconds(run)


def scalar() -> None:
    """Compare the scalar environment with Gymnasium's FrozenLake."""
    lake = gym.make("FrozenLake-v1")
    print("\nScalar environment\n\n| what | ratio | target |\n|---|---|---|")
    for kind in OBSERVATIONS:
        # The large grid has more rows than pixels have room for
        task: dict[str, Any] = {"grid": (40, 20)} if kind == "pixels" else LARGE
        ours = gym.make("GlitchGrid-v0", observation=kind, **task)
        ratios = [steps_per_second(ours) / steps_per_second(lake) for _ in range(9)]
        show(f"gym.make GlitchGrid-v0 ({kind}) ÷ FrozenLake-v1, steps/s", ratios, "≥ 1")


def pictures() -> None:
    """Compare many pictures with one, agent for agent, and count frames of pixels."""
    print("\nMany pictures, and pixels\n\n| what | ratio | target |\n|---|---|---|")
    settings: dict[str, Any] = {"observation": "cell", "grid": (10, 15)}
    one = gym.make_vec("GlitchGrid-v0", 4096, fit="stretch", **settings)
    for count in (200, 2000):
        many = gym.make_vec("GlitchPictures-v0", 4096, pictures=count, **settings)
        ratios = [
            benchmark_vector_step(many, 1, 0) / benchmark_vector_step(one, 1, 0)  # type: ignore[arg-type]
            for _ in range(7)
        ]
        show(f"vector env on {count:,} pictures ÷ on one, steps/s", ratios, "≥ 0.1")
    lake = gym.make("FrozenLake-v1")
    for name in ("GlitchGrid-Pixels64-v0", "GlitchGrid-Pixels84-v0", "GlitchPictures-Pixels84-v0"):
        ours = gym.make(name)
        rates = [(steps_per_second(ours), steps_per_second(lake)) for _ in range(9)]
        frames = statistics.median(rate for rate, _ in rates)
        show(
            f"{name} ÷ FrozenLake-v1, steps/s ({frames:,.0f} frames/s)",
            [rate / other for rate, other in rates],
            "20,000 frames/s",
        )


def seeding() -> None:
    """Compare the seeding of many agents with NumPy's generators, one made for each."""
    agents = 2**19
    env = gym.make_vec("GlitchGrid-v0", num_envs=agents, **LARGE)

    def ours() -> None:
        env.reset(seed=0)

    def numpys() -> None:
        for seed in range(agents // 64):
            np_random(seed)[0].integers(2**64 - 1, dtype=np.uint64, endpoint=True)

    ours()
    print(f"\nSeeding {agents:,} agents\n\n| what | ratio | target |\n|---|---|---|")
    ratios = [64 * seconds(numpys) / seconds(ours) for _ in range(7)]
    show("a NumPy generator each ÷ reset(seed=…), seconds", ratios, "≥ 20")
    print(f"\n{seconds(ours):.2f} s in all")


@numba.njit
def numba_q_learning(next_state, rewards, starts, q, episodes, lifetime, seed):  # type: ignore[no-untyped-def]
    """Q-learning as one writes it with Numba: argmax to choose, argmax again for the target."""
    np.random.seed(seed)  # noqa: NPY002
    taken = 0
    for _ in range(episodes):
        s = starts[np.random.randint(0, len(starts))]  # noqa: NPY002
        for _ in range(lifetime):
            if np.random.random() < 0.1:  # noqa: NPY002
                a = np.random.randint(0, q.shape[1])  # noqa: NPY002
            else:
                a = np.argmax(q[s])
            there = next_state[s, a]
            target = rewards[s, a]
            if there >= 0:
                target += 0.95 * q[there, np.argmax(q[there])]
            q[s, a] += 0.1 * (target - q[s, a])
            taken += 1
            if there < 0:
                break
            s = there
    return taken


def q_learning() -> None:
    """Compare Q-learning with Numba, mdplib and Python over env.step; same α, ε, γ and ties."""
    print("\nQ-learning, one thread, 200×100×20\n\n| what | ratio | target |\n|---|---|---|")
    for objective in ("escape", "linger"):
        world = world_of_photograph("chelsea", (200, 100), objective)
        episodes = 30_000
        learner = QLearning(ties="first")
        learner.learn(world, episodes=10)
        table = np.zeros(world.next_state.shape)
        args = (world.next_state, world.rewards, world.picture_cells)
        taken = numba_q_learning(*args, table, episodes, 20, 0)

        def plain(args: Any = args) -> None:
            numba_q_learning(*args, np.zeros(args[0].shape), 30_000, 20, 0)  # type: ignore[call-arg]

        def ours(world: GridWorld = world, learner: QLearning = learner) -> None:
            learner.learn(world, episodes=30_000)

        # Steps an episode are alike on both sides: the same policy class in the same world
        show(
            f"ours ÷ numba loop with two argmaxes ({objective}), episodes/s",
            [seconds(plain) / seconds(ours) for _ in range(15)],
            "≥ 3",
        )
        try:
            from mdp._core import _mdp_core
        except ImportError:
            print("| mdplib | not installed | ≥ 5 |")
        else:
            # It knows no end of an episode: leaving leads to a random cell here, and where nobody
            # leaves, ours too walks one episode of as many steps
            n, k = world.next_state.shape
            state, action = (grid.ravel() for grid in np.indices((n, k)))
            restart = np.random.default_rng(0).choice(world.picture_cells, (n, k))
            there = np.where(world.next_state < 0, restart, world.next_state).ravel()
            matrix = np.stack(
                [state, action, there, np.ones(n * k), world.rewards.ravel()], axis=1
            ).astype(np.float64)
            index = _mdp_core.build_transition_index(matrix)
            steps = taken
            if objective == "linger":
                steps = 600_000
                frame = np.zeros((HEIGHT, WIDTH, 3), np.uint8)
                walk: Any = GlitchGridEnv.from_world(world, frame, lifetime=steps)
            else:
                walk = world

            def peer(
                matrix: Any = matrix, index: Any = index, n: int = n, steps: int = steps
            ) -> None:
                _mdp_core.qlearning_cpp(matrix, index, n, 0.95, 0.1, 0.1, 0, steps, 0)

            def same_walk(walk: Any = walk, learner: QLearning = learner) -> None:
                learner.learn(walk, episodes=30_000 if isinstance(walk, GridWorld) else 1)

            show(
                f"ours ÷ mdplib ({objective}), steps/s",
                [seconds(peer) / seconds(same_walk) for _ in range(7)],
                "≥ 5",
            )
        env = gym.make("GlitchGrid-v0", **LARGE, objective=objective)
        rng = np.random.default_rng(0)

        def python(env: gym.Env[Any, Any] = env, rng: np.random.Generator = rng) -> int:
            q = np.zeros((20_000, 20))
            steps = 0
            for _ in range(100):
                s, _ = env.reset()
                while True:
                    a = env.action_space.sample() if rng.random() < 0.1 else int(np.argmax(q[s]))
                    there, r, terminated, truncated, _ = env.step(a)
                    q[s, a] += 0.1 * (r + 0.95 * (not terminated) * np.max(q[there]) - q[s, a])
                    s = there
                    steps += 1
                    if terminated or truncated:
                        break
            return steps

        ratios = []
        for _ in range(5):
            began = time.perf_counter()
            steps = python()
            per_step = (time.perf_counter() - began) / steps
            ratios.append(per_step / (seconds(ours) / taken))
        show(f"ours ÷ Python over env.step ({objective}), steps/s", ratios, "≥ 2000")


def planner() -> None:
    """Compare the exact planner with quantecon's fastest method, its set-up included."""
    from quantecon.markov import DiscreteDP

    world = world_of_photograph("chelsea", (200, 100))
    print("\nExact planner, 20,000 states × 20 actions, γ .95, error ≤ 1e-6\n")
    print("| what | ratio | target |\n|---|---|---|")
    n, k = world.next_state.shape

    def theirs(method: str) -> Any:
        # The state that stands for having left keeps an agent, without reward
        from scipy import sparse

        there = np.vstack([np.where(world.next_state < 0, n, world.next_state), np.full((1, k), n)])
        rewards = np.vstack([world.rewards.astype(float), np.zeros((1, k))])
        pairs = (n + 1) * k
        moves = sparse.csr_matrix(
            (np.ones(pairs), there.ravel(), np.arange(pairs + 1)), shape=(pairs, n + 1)
        )
        states, actions = np.divmod(np.arange(pairs), k)
        problem = DiscreteDP(rewards.ravel(), moves, 0.95, states, actions)
        return problem.solve(method=method, epsilon=1e-6)

    methods = ("value_iteration", "policy_iteration", "modified_policy_iteration")
    spent = {}
    for method in methods:
        theirs(method)
        spent[method] = min(seconds(lambda method=method: theirs(method)) for _ in range(3))
    fastest = min(methods, key=lambda method: spent[method])
    ExactPlanner().learn(world)
    ours = state_values(world, 0.95, 1e-6)
    exact = state_values(world, 0.95, 1e-12)
    difference = np.abs(theirs(fastest).v[:n] - ours).max()
    show(
        f"quantecon's {fastest.replace('_', ' ')} ÷ ours, seconds",
        [seconds(lambda: theirs(fastest)) / seconds(lambda: state_values(world)) for _ in range(7)],
        "≥ 10",
    )
    print(
        f"\nTrue error of ours {np.abs(ours - exact).max():.1e}; from quantecon {difference:.1e}."
    )


def optimality_table(seeds: int = 10) -> None:
    """Measure how near learners come to the optimum within the post's budgets."""
    print(f"\nOptimality (random 0, optimum 1), lifetime 20, median of {seeds} seeds (lowest)\n")
    print("| objective, grid, episodes | photograph | sweeping | vanilla | target |")
    print("|---|---|---|---|---|")
    budgets = (
        ((20, 10), 10_000, "≥ 0.999"),
        ((40, 20), 100_000, "≥ 0.999"),
        ((200, 100), 10_000, "≥ 0.95"),
        ((200, 100), 100_000, "≥ 0.999"),
    )
    for objective in ("escape", "linger"):
        for grid, episodes, target in budgets:
            for name in PHOTOGRAPHS:
                world = world_of_photograph(name, grid, objective)
                results = []
                for learner in (ModelBased(), QLearning()):
                    reached = [
                        optimality(world, learner.learn(world, episodes=episodes, seed=seed))
                        for seed in range(seeds)
                    ]
                    results.append(f"{statistics.median(reached):.4f} ({min(reached):.4f})")
                print(
                    f"| {objective}, {grid[0]}×{grid[1]}, {episodes:,} | {name} | "
                    f"{results[0]} | {results[1]} | {target} |",
                    flush=True,
                )


def cores() -> None:
    """Measure how the work spreads over two threads."""
    print("\nTwo threads\n\n| what | speed-up |\n|---|---|")
    env = gym.make_vec("GlitchGrid-v0", num_envs=4096, **LARGE).unwrapped
    env.reset(seed=0)
    env.rollout(None, 10)  # type: ignore[attr-defined]
    ratios = [
        seconds(lambda: env.rollout(None, 300, threads=1))  # type: ignore[attr-defined]
        / seconds(lambda: env.rollout(None, 300, threads=2))  # type: ignore[attr-defined]
        for _ in range(9)
    ]
    print(f"| rollout inside the kernel | {statistics.median(ratios):.2f} |")
    world = world_of_photograph("chelsea", (200, 100))
    for learner, episodes in (
        (QLearning(), 200_000),
        (ModelBased(), 10_000),
        (ExpectedSarsa(), 50_000),
    ):

        def run(seed: int, learner: Any = learner, episodes: int = episodes) -> None:
            learner.learn(world, episodes=episodes, seed=seed)

        def both(run: Any = run) -> None:
            with ThreadPoolExecutor(2) as pool:
                list(pool.map(run, (0, 1)))

        ratios = [(seconds(lambda run=run: run(0)) * 2) / seconds(both) for _ in range(5)]
        name = type(learner).__name__
        print(f"| {name}, two seeds at once | {statistics.median(ratios):.2f} |", flush=True)


def stepping() -> None:
    """Compare learning by steps in a vector environment with learning by steps alone."""
    print("\nLearning by steps, where a wrapper may change something\n")
    print("| what | ratio | target |\n|---|---|---|")

    def rate(env: Any, episodes: int) -> float:
        told: list[dict[str, float]] = []
        learner = QLearning(alpha=1.0, epsilon=1.0)
        spent = seconds(
            lambda: learner.learn(env, episodes=episodes, on_step=told.append, every=episodes)
        )
        return told[-1]["steps"] / spent

    alone = gym.wrappers.TransformReward(gym.make("GlitchGrid-v0"), float)
    for agents in (64, 1024):
        plain = gym.make_vec("GlitchGrid-v0", num_envs=agents)
        envs = gym.wrappers.vector.TransformReward(plain, lambda rewards: rewards)
        rate(alone, 100), rate(envs, 10 * agents)
        ratios = [rate(envs, 40 * agents) / rate(alone, 1000) for _ in range(9)]
        show(f"{agents} agents ÷ one environment, steps/s", ratios, "> 1")


PARTS: dict[str, Callable[[], None]] = {
    "vector": vector,
    "scalar": scalar,
    "pictures": pictures,
    "seeding": seeding,
    "q_learning": q_learning,
    "planner": planner,
    "optimality": optimality_table,
    "stepping": stepping,
    "cores": cores,
}

if __name__ == "__main__":
    for part in sys.argv[1:] or PARTS:
        PARTS[part]()
