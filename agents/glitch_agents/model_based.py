"""A model-based learner for grid worlds that gets everything out of few episodes.

It takes for granted what a grid world is: moves lead where they lead, and a reward hangs on
the cell that is entered and on the action. Rewards it sees one at a time, by stepping. It explores
where there is something to learn: actions not yet tried, with effects that could be the best
somewhere; fills in what it never saw by a model of the rewards; and plans on the result by value
iteration.

Sources: Sutton, *Dyna*, 1991, for planning on a learned model; Brafman and Tennenholtz, *R-max*,
2002, for going where the model is not known; Moore and Atkeson, *Prioritized sweeping*, 1993.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import gymnasium as gym
import numpy as np
from numpy.typing import NDArray

from glitch_agents.learner import Progress, in_chunks
from glitch_agents.mdp import lifetime_of, world_of
from glitch_agents.planning import check_gamma, plan
from glitch_agents.policy import QTable, Ties, check_ties
from glitch_gym.checks import real_number, whole_number
from glitch_gym.compilation import compiled
from glitch_gym.dynamics import EXIT, GridWorld
from glitch_gym.randomness import below, derive_key, draw, stream

__all__ = ["ModelBased"]

# How far ahead an agent looks for things to try: the discount of novelty, per step
_LOOKAHEAD = 0.9
_FITS = 24


@compiled
def _explore(
    next_state: NDArray[np.int32],
    rewards: NDArray[np.float32],
    starts: NDArray[np.int32],
    n_moves: int,
    promising: NDArray[np.bool_],
    novelty: NDArray[np.float32],
    seen: NDArray[np.bool_],
    observed: NDArray[np.float32],
    special: NDArray[np.float64],
    lifetime: int,
    key: np.uint64,
    first: int,
    last: int,
) -> None:
    """Run the episodes [first, last): step to what is worth trying, and note the rewards.

    ``seen`` and ``observed`` are (n_cells, n_actions), by the cell that is entered; ``special``
    holds the rewards for leaving and for being refused, NaN until they are known.
    """
    n_effects = promising.shape[0]
    for index in range(first, last):
        episode = stream(key, index)
        state = int(starts[below(draw(episode, 0), starts.shape[0])])
        for step in range(lifetime):
            bits = draw(episode, step + 1)
            chosen = -1
            best = -1.0
            # Directions are looked at from a random one on, so that ties do not prefer any
            turn = below(bits, n_moves * n_effects)
            for offset in range(n_moves * n_effects):
                action = (turn + offset) % (n_moves * n_effects)
                there = int(next_state[state, action])
                leaves = there == EXIT
                refused = there == state
                if leaves or refused:
                    worth = 1000.0 if np.isnan(special[0 if leaves else 1]) else -1.0
                else:
                    worth = np.float64(novelty[there])
                    if not seen[there, action]:
                        worth += 100.0 if promising[action // n_moves] else 1e-3
                if worth > best:
                    best = worth
                    chosen = action
            if chosen < 0:
                # Walled in by exits and refusals: whatever comes first
                chosen = turn
            there = int(next_state[state, chosen])
            reward = rewards[state, chosen]
            if there == EXIT:
                special[0] = reward
                break
            if there == state:
                special[1] = reward
                continue
            seen[there, chosen] = True
            observed[there, chosen] = reward
            state = there


@compiled
def _spread_novelty(
    next_state: NDArray[np.int32],
    cells: NDArray[np.int32],
    n_moves: int,
    promising: NDArray[np.bool_],
    seen: NDArray[np.bool_],
    novelty: NDArray[np.float32],
) -> None:
    """Value iteration, two sweeps each way, on how much there is to try about each cell."""
    n_effects = promising.shape[0]
    for sweep in range(4):
        for index in range(cells.shape[0]):
            state = int(cells[cells.shape[0] - 1 - index if sweep % 2 == 1 else index])
            top = 0.0
            for move in range(n_moves):
                there = int(next_state[state, move])
                leaves = there == EXIT
                refused = there == state
                if leaves or refused:
                    continue
                fresh = 0.0
                for effect in range(n_effects):
                    if promising[effect] and not seen[there, effect * n_moves + move]:
                        fresh = 1.0
                top = max(top, fresh + _LOOKAHEAD * np.float64(novelty[there]))
            novelty[state] = top


def _smoothed(
    values: NDArray[np.float64], weight: NDArray[np.float64], sigma: float, prior: float
) -> NDArray[np.float64]:
    """Average what is known around each cell, drawn to 0 by a prior's weight."""
    # Imported here: what finds its rewards in the store starts faster without
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
        subject_prior: weight that draws a cell's worth to 0 where nothing is known.
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

    Only for grid worlds. It reads the map of where moves lead, which is part of the task, and no
    reward that it has not stepped on.

    Args:
        gamma: discount in [0, 1).
        ties: among equal best actions take one at ``"random"`` or the ``"first"``.
        hopeless: an effect is not tried where its mean lies so many standard deviations of the
            rewards' noise below the best effect's, until nothing else is left to try.
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
    ) -> QTable:
        """Learn for a number of episodes; on Ctrl-C, give what has been learned so far.

        Args:
            env: a GlitchGrid environment, wrapped or not, or its world.
            episodes: at least 1; each is as long as the environment's lifetime.
            seed: of starting cells and exploration.
            progress: called now and then with (episodes done, episodes).

        Raises:
            SettingError: no episodes, or an environment without a grid world.
        """
        world = world_of(env)
        episodes = whole_number("episodes", episodes, least=1, most=2**62)
        lifetime = lifetime_of(env)
        shape = world.next_state.shape
        n_moves = world.actions.n_moves
        n_effects = shape[1] // n_moves
        seen = np.zeros(shape, np.bool_)
        observed = np.zeros(shape, np.float32)
        special = np.full(2, np.nan)
        promising = np.ones(n_effects, np.bool_)
        novelty = np.zeros(shape[0], np.float32)
        key = derive_key(seed, "sweeping")
        refit_every = max(1, episodes // _FITS)
        grid = world.grid
        picture = (slice(grid.picture_rows), slice(grid.picture_cols))

        def on_picture(table: NDArray[Any]) -> NDArray[np.float64]:
            by_cell = table.reshape(grid.rows, grid.cols, n_effects, n_moves)
            return by_cell[picture].astype(np.float64)

        def look_around() -> None:
            _spread_novelty(
                world.next_state, world.picture_cells, n_moves, promising, seen, novelty
            )

        def run(first: int, last: int) -> None:
            # Refits stand at fixed episodes: chunks must not change the result
            while first < last:
                if first % refit_every == 0 and first > 0:
                    model = _fit(on_picture(observed), on_picture(seen))
                    low = model.effect_mean.max() - self.prune_below * model.residual_std
                    promising[:] = model.effect_mean >= low
                    look_around()
                    if novelty.max() == 0:
                        promising[:] = True
                        look_around()
                until = min(last, (first // refit_every + 1) * refit_every)
                _explore(
                    world.next_state,
                    world.rewards,
                    world.picture_cells,
                    n_moves,
                    promising,
                    novelty,
                    seen,
                    observed,
                    special,
                    lifetime,
                    key,
                    first,
                    until,
                )
                first = until

        done, cut = in_chunks(run, episodes, progress)
        model = _fit(on_picture(observed), on_picture(seen))
        believed = np.zeros((grid.rows, grid.cols, n_effects, n_moves), np.float32)
        believed[picture] = model.rewards
        there = world.next_state
        leaving, refused = there == EXIT, there == np.arange(shape[0])[:, None]
        entering = believed.reshape(shape)[np.where(leaving, 0, there), np.arange(shape[1])]
        rewards = np.where(leaving, np.nan_to_num(special[0]), entering)
        rewards = np.where(refused, np.nan_to_num(special[1]), rewards).astype(np.float32)
        values = plan(world, rewards, self.gamma, 1e-6)
        q = rewards + self.gamma * np.where(leaving, 0.0, values[there])
        return QTable(
            q.astype(np.float32).reshape(world.reward_field.shape),
            ties=self.ties,
            seed=seed,
            episodes=done,
            interrupted=cut,
        )
