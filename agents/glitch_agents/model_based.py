"""A model-based learner for grid worlds that makes the most of few episodes.

It relies on what a grid world is: the map of moves is known, and a reward depends on the cell that
is entered and on the action. It sees rewards one at a time, by stepping. It explores where there is
something to learn: actions not yet tried, with effects that could be the best somewhere. It fills
in what it never saw by a model of the rewards, and plans on the result by policy iteration.

Sources: Sutton, *Dyna*, 1991, for planning on a learned model; Brafman and Tennenholtz, *R-max*,
2002, for going where the model is not known; Moore and Atkeson, *Prioritized sweeping*, 1993.
"""

from __future__ import annotations

from collections import namedtuple
from dataclasses import dataclass
from typing import Any

import gymnasium as gym
import numpy as np
from numpy.typing import NDArray

from glitch_agents.grid_planning import check_gamma, plan
from glitch_agents.learner import Progress
from glitch_agents.lessons import Figures, OnStep, lessons
from glitch_agents.mdp import MDPTables, lifetime_of, start_state, world_of, world_tables
from glitch_agents.policy import QTable, Ties, check_ties
from glitch_gym.checks import real_number
from glitch_gym.compilation import borrowing
from glitch_gym.dynamics import EXIT, GridWorld
from glitch_gym.randomness import below, derive_key, draw, stream

__all__ = ["ModelBased"]

# How far ahead an agent looks for things to try: the discount of novelty, per step
_LOOKAHEAD = 0.9
_FITS = 24


Knowledge = namedtuple(
    "Knowledge", ["seen", "rewards", "exit_and_wall_reward", "promising", "novelty"]
)
Knowledge.__doc__ = """What has been learned, and what is worth trying.

Args:
    seen: bool (n_cells, n_actions), whether an action has entered the cell.
    rewards: float32 (n_cells, n_actions), the rewards for entering, where seen.
    exit_and_wall_reward: float64 (2,), the rewards for leaving and for being refused, NaN until
        they are known.
    promising: bool (n_effects,), effects that could be the best somewhere.
    novelty: float32 (n_cells,), how much there is to try about each cell.
"""


@borrowing
def _explore(
    mdp: MDPTables,
    knowledge: Knowledge,
    lifetime: int,
    key: np.uint64,
    first: int,
    last: int,
) -> int:
    """Run the episodes [first, last): step to what is worth trying, and keep the rewards.

    Returns:
        the number of steps.
    """
    steps = 0
    seen, rewards, exit_and_wall_reward, promising, novelty = knowledge
    n_actions = seen.shape[1]
    n_moves = n_actions // promising.shape[0]
    for index in range(first, last):
        episode = stream(key, index)
        state = start_state(mdp, draw(episode, 0))
        for step in range(lifetime):
            chosen = -1
            best = -1.0
            # Directions are tried from a random one on, so that ties prefer none
            turn = below(draw(episode, step + 1), n_actions)
            for offset in range(n_actions):
                action = (turn + offset) % n_actions
                next_state = int(mdp.next_state[state, action])
                leaves = next_state == EXIT
                refused = next_state == state
                if leaves or refused:
                    unknown = np.isnan(exit_and_wall_reward[0 if leaves else 1])
                    worth = 1000.0 if unknown else -1.0
                else:
                    worth = np.float64(novelty[next_state])
                    if not seen[next_state, action]:
                        worth += 100.0 if promising[action // n_moves] else 1e-3
                if worth > best:
                    best = worth
                    chosen = action
            if chosen < 0:
                # Walled in by exits and refusals: any action will do
                chosen = turn
            steps += 1
            next_state = int(mdp.next_state[state, chosen])
            reward = mdp.rewards[state, chosen]
            if next_state == EXIT:
                exit_and_wall_reward[0] = reward
                break
            if next_state == state:
                exit_and_wall_reward[1] = reward
                continue
            seen[next_state, chosen] = True
            rewards[next_state, chosen] = reward
            state = next_state
    return steps


@borrowing
def _spread_novelty(mdp: MDPTables, knowledge: Knowledge) -> None:
    """Run value iteration, two sweeps each way, on how much there is to try about each cell."""
    seen, promising, novelty = knowledge.seen, knowledge.promising, knowledge.novelty
    n_effects = promising.shape[0]
    n_moves = seen.shape[1] // n_effects
    cells = mdp.starts
    for sweep in range(4):
        for index in range(cells.shape[0]):
            state = int(cells[cells.shape[0] - 1 - index if sweep % 2 == 1 else index])
            top = 0.0
            for move in range(n_moves):
                next_state = int(mdp.next_state[state, move])
                leaves = next_state == EXIT
                refused = next_state == state
                if leaves or refused:
                    continue
                fresh = 0.0
                for effect in range(n_effects):
                    if promising[effect] and not seen[next_state, effect * n_moves + move]:
                        fresh = 1.0
                top = max(top, fresh + _LOOKAHEAD * np.float64(novelty[next_state]))
            novelty[state] = top


def _smoothed(
    values: NDArray[np.float64], weight: NDArray[np.float64], sigma: float, prior: float
) -> NDArray[np.float64]:
    """Average what is known around each cell, drawn to 0 by a prior's weight."""
    # Imported here: a run that finds its policy in the cache starts faster without
    from scipy import ndimage

    near = ndimage.gaussian_filter(values * weight, sigma, mode="constant")
    known = ndimage.gaussian_filter(weight, sigma, mode="constant")
    return np.asarray(near / (known + prior))


@dataclass(frozen=True)
class _Model:
    rewards: NDArray[np.float64]  # (picture_rows, picture_cols, effects, moves)
    effect_mean: NDArray[np.float64]
    residual_std: float


def _fit(
    observed: NDArray[np.float64], seen: NDArray[np.float64], subject_prior: float = 0.02
) -> _Model:
    """Fit reward = effect's mean + what the cell is worth + what is left of the action around it.

    Args:
        observed: (picture_rows, picture_cols, effects, moves), where seen.
        seen: 1 where there is an observation, else 0; same shape.
        subject_prior: weight that draws a cell's worth to 0 where little is known.
    """
    count = seen.sum(axis=(0, 1, 3))
    overall = (observed * seen).sum() / max(seen.sum(), 1.0)
    effect_mean = np.full(len(count), overall)
    worth = np.zeros(observed.shape[:2])
    # Effects and cells explain each other: alternate until both are settled
    for _ in range(6):
        without_cell = (observed - worth[:, :, None, None]) * seen
        effect_mean = (without_cell.sum(axis=(0, 1, 3)) + overall) / (count + 1.0)
        without_effect = (observed - effect_mean[:, None]) * seen
        known = seen.sum(axis=(2, 3))
        here = without_effect.sum(axis=(2, 3)) / np.maximum(known, 1.0)
        worth = _smoothed(here, known, 1.0, subject_prior)
    expected = worth[:, :, None, None] + effect_mean[:, None]
    residual = (observed - expected) * seen
    spread = float(np.sqrt((residual**2).sum() / max(seen.sum(), 1.0)))
    rewards = np.empty(observed.shape)
    for effect in range(observed.shape[2]):
        for move in range(observed.shape[3]):
            left = _smoothed(residual[:, :, effect, move], seen[:, :, effect, move], 0.7, 0.15)
            rewards[:, :, effect, move] = expected[:, :, effect, 0] + left
    return _Model(np.where(seen > 0, observed, rewards), effect_mean, spread)


@dataclass(frozen=True)
class ModelBased:
    """Directed exploration, a model of the rewards, and value sweeps over it.

    Only for grid worlds. It reads the map of moves, which is part of the task, but no reward that
    it has not received in a step.

    Args:
        gamma: discount in [0, 1).
        ties: which of equally good actions to take, a ``"random"`` one or the ``"first"``.
        prune_below: number of standard deviations of the rewards' noise; an effect whose mean lies
            further below the best effect's is not tried until nothing else is left to try.
    """

    gamma: float = 0.95
    ties: Ties = "random"
    prune_below: float = 3.0

    def __post_init__(self) -> None:
        check_gamma(self.gamma)
        check_ties(self.ties)
        real_number("prune_below", self.prune_below, 0.0)

    def learn(
        self,
        env: gym.Env[Any, Any] | GridWorld,
        *,
        episodes: int,
        seed: int = 0,
        progress: Progress | None = None,
        on_step: OnStep | None = None,
        every: int | None = None,
    ) -> QTable:
        """Learn for a number of episodes; on Ctrl-C, return what has been learned so far.

        Args:
            env: a GlitchGrid environment, wrapped or not, or its world.
            episodes: number of episodes, at least 1; each is as long as the environment's lifetime.
            seed: seed of the starting cells and of exploration.
            progress: called now and then with (episodes done, episodes).
            on_step: called every so many episodes, and at the end, with a dict of figures:
                ``episodes`` and ``steps`` so far, and ``greedy_return`` and ``optimality`` as for
                ``TabularLearner.learn``.
            every: number of episodes between two calls; by default a twentieth of all.

        Raises:
            SettingError: there are no episodes, or the environment has no grid world.
        """
        world = world_of(env)
        course = lessons(world, self.gamma, lambda _: {}, episodes, seed, progress, on_step, every)
        episodes = course.episodes
        lifetime = lifetime_of(env)
        tables = world_tables(world)
        knowledge = _no_knowledge(world)
        key = derive_key(seed, "sweeping")
        refit_every = max(1, episodes // _FITS)

        def run(first: int, last: int) -> Figures:
            steps = 0
            # Refits stand at fixed episodes: chunks must not change the result
            while first < last:
                if first % refit_every == 0 and first > 0:
                    self._look_around(world, tables, knowledge)
                until = min(last, (first // refit_every + 1) * refit_every)
                steps += _explore(tables, knowledge, lifetime, key, first, until)
                first = until
            return {"steps": steps}

        def policy() -> QTable:
            return QTable(self._planned(world, knowledge), ties=self.ties)

        done, cut = course.give(run, policy)
        return QTable(
            self._planned(world, knowledge),
            ties=self.ties,
            seed=seed,
            episodes=done,
            interrupted=cut,
        )

    def _planned(self, world: GridWorld, knowledge: Knowledge) -> NDArray[np.float32]:
        """Return the action values of the believed rewards' optimum, as a Q-table has them."""
        rewards = _believed_rewards(world, knowledge)
        values = plan(world, rewards, self.gamma, 1e-6).values
        ahead = np.where(world.next_state == EXIT, 0.0, values[world.next_state])
        q = rewards + self.gamma * ahead
        return q.astype(np.float32).reshape(world.reward_field.shape)

    def _look_around(self, world: GridWorld, tables: MDPTables, knowledge: Knowledge) -> None:
        """Find the promising effects, and how much there is to try about each cell."""
        model = _fit(_on_picture(world, knowledge.rewards), _on_picture(world, knowledge.seen))
        low = model.effect_mean.max() - self.prune_below * model.residual_std
        knowledge.promising[:] = model.effect_mean >= low
        _spread_novelty(tables, knowledge)
        if knowledge.novelty.max() == 0:
            knowledge.promising[:] = True
            _spread_novelty(tables, knowledge)


def _no_knowledge(world: GridWorld) -> Knowledge:
    n_cells, n_actions = shape = world.next_state.shape
    return Knowledge(
        seen=np.zeros(shape, np.bool_),
        rewards=np.zeros(shape, np.float32),
        exit_and_wall_reward=np.full(2, np.nan),
        promising=np.ones(n_actions // world.actions.n_moves, np.bool_),
        novelty=np.zeros(n_cells, np.float32),
    )


def _on_picture(world: GridWorld, table: NDArray[Any]) -> NDArray[np.float64]:
    """Return a table of all cells for those of the picture, by row, column, effect and move."""
    grid, n_moves = world.grid, world.actions.n_moves
    by_cell = table.reshape(grid.rows, grid.cols, -1, n_moves)
    return by_cell[: grid.picture_rows, : grid.picture_cols].astype(np.float64)


def _believed_rewards(world: GridWorld, knowledge: Knowledge) -> NDArray[np.float32]:
    """Return the rewards that the model expects, by the cell that an action starts from."""
    n_cells, n_actions = shape = world.next_state.shape
    grid, n_moves = world.grid, world.actions.n_moves
    model = _fit(_on_picture(world, knowledge.rewards), _on_picture(world, knowledge.seen))
    believed = np.zeros((grid.rows, grid.cols, n_actions // n_moves, n_moves), np.float32)
    believed[: grid.picture_rows, : grid.picture_cols] = model.rewards
    leaving = world.next_state == EXIT
    refused = world.next_state == np.arange(n_cells)[:, None]
    entered = np.where(leaving, 0, world.next_state)
    rewards = believed.reshape(shape)[entered, np.arange(n_actions)]
    exit_reward, wall_reward = np.nan_to_num(knowledge.exit_and_wall_reward)
    rewards = np.where(leaving, exit_reward, rewards)
    return np.where(refused, wall_reward, rewards).astype(np.float32)
