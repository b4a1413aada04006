"""Rollouts: many agents follow a policy, and where they went is data."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, TypedDict, Unpack

import numpy as np
from numpy.typing import NDArray

from glitch_agents.mdp import AnyEnv, lifetime_of, world_of
from glitch_agents.policy import QTable
from glitch_agents.rollout_kernels import Births, PolicyTables, best_actions, place, take, walk
from glitch_gym.checks import (
    checked_actions,
    checked_probabilities,
    real_number,
    shown,
    whole_number,
)
from glitch_gym.dynamics import EXIT, GridWorld, refuse_slip
from glitch_gym.errors import SettingError
from glitch_gym.policy import Policy
from glitch_gym.randomness import derive_key
from glitch_gym.trajectories import Trajectories

__all__ = [
    "MOST_AGENTS",
    "MOST_STEPS",
    "as_table",
    "births",
    "check_agents",
    "check_steps",
    "exploration",
    "no_birth_cell_error",
    "policy_tables",
    "rollout",
    "rollout_chunks",
    "scripted",
]


MOST_STEPS = 50_000_000
"""Largest number of steps, of all agents together, that are kept at once: they take 400 MB."""

MOST_AGENTS = 10_000_000
"""Largest number of agents that walk through a clip at once."""


def check_steps(agents: int, steps: int) -> None:
    """Refuse walks that would take more memory than a picture is worth.

    Args:
        agents: number of agents.
        steps: number of steps that are kept of each agent.

    Raises:
        SettingError: the steps of all agents exceed ``MOST_STEPS``.
    """
    if agents * steps > MOST_STEPS:
        raise SettingError(
            f"{agents:,} agents with {steps:,} steps each are too many: at most {MOST_STEPS:,} "
            f"steps together; take fewer agents, or a shorter lifetime"
        )


def check_agents(agents: int) -> None:
    """Refuse a population that would take more memory than a clip is worth.

    Args:
        agents: number of agents of all layers together.

    Raises:
        SettingError: there are more than ``MOST_AGENTS``.
    """
    if agents > MOST_AGENTS:
        raise SettingError(
            f"{agents:,} agents are too many for a clip: at most {MOST_AGENTS:,} of all layers "
            f"together"
        )


def policy_tables(table: QTable, explore: float | None = None) -> PolicyTables:
    """Return the tables that compiled code follows.

    Args:
        table: the policy; its values must not change while the tables are in use.
        explore: probability of a random action, in place of the policy's epsilon.

    Raises:
        SettingError: the probability is out of range.
    """
    cumulative = np.empty((0, 0))
    if table.temperature > 0:
        cumulative = np.cumsum(table.probabilities(), axis=1)
    values = table.by_state.view()
    # Numba compiles anew for arrays that can be written to, and those from a cache cannot
    values.setflags(write=False)
    best, ties = best_actions(values)
    epsilon = exploration(table, explore)
    return PolicyTables(values, cumulative, best, ties, epsilon, table.ties == "first")


def births(
    world: GridWorld,
    activation: NDArray[np.float32],
    born_above: float | None = None,
    born_below: float | None = None,
) -> NDArray[np.int32]:
    """Find the cells where the activation lets an agent be born.

    Args:
        world: the world whose picture cells are searched.
        activation: float32 (picture_rows, picture_cols).
        born_above: smallest activation at which agents are born.
        born_below: largest activation at which agents are born.

    Returns:
        int32, flat indices, ascending; it may be empty.

    Raises:
        SettingError: the activation has another shape.
    """
    if activation.shape != world.activation.shape:
        raise SettingError(
            f"the activation must be {world.activation.shape}, not {activation.shape}"
        )
    allowed = np.ones(activation.shape, np.bool_)
    if born_above is not None:
        allowed &= activation >= born_above
    if born_below is not None:
        allowed &= activation <= born_below
    found: NDArray[np.int32] = world.picture_cells[allowed.ravel()]
    return found


def no_birth_cell_error(low: float, high: float) -> SettingError:
    """Return the error for an activation, from low to high, that lets no agent be born."""
    return SettingError(
        f"no cell qualifies for births: the activation ranges from {low:.2f} to {high:.2f}; "
        f"change born_above or born_below"
    )


def as_table(policy: Policy, world: GridWorld) -> QTable:
    """Return a policy as a Q-table.

    A Q-table is returned as it is. A policy with ``probabilities`` keeps them, and its actions are
    drawn from them at every step. Any other is asked once for its action in each cell, and always
    takes that one.

    Args:
        policy: the policy.
        world: the world that it acts in.

    Raises:
        SettingError: the policy does not fit the world, or the world has slip.
    """
    refuse_slip(world)
    shape = world.reward_field.shape
    if isinstance(policy, QTable):
        if policy.values.shape != shape:
            raise SettingError(f"the Q-table is {policy.values.shape}, the world is {shape}")
        return policy
    everywhere = np.arange(world.grid.n_cells)
    says = getattr(policy, "probabilities", None)
    if callable(says):
        probs = checked_probabilities(says(), world.next_state.shape).reshape(shape)
        return QTable(np.log(np.maximum(probs, 1e-30)).astype(np.float32), temperature=1.0)
    if not callable(getattr(policy, "act", None)):
        raise SettingError(f"a policy has act(observations), which {shown(policy)} has not")
    chosen = checked_actions(policy.act(everywhere), world.grid.n_cells, world.actions.n)
    values = np.zeros((world.grid.n_cells, shape[2]), np.float32)
    values[everywhere, chosen] = 1.0
    return QTable(values.reshape(shape), ties="first")


def exploration(table: QTable, explore: float | None) -> float:
    """Return the probability of a random action: the one that is given, or the table's.

    Raises:
        SettingError: out of range.
    """
    return float(table.epsilon) if explore is None else real_number("explore", explore, 0.0, 1.0)


@dataclass(frozen=True)
class _Walks:
    """A rollout that is ready to go, for any of its agents."""

    world: GridWorld
    policy: Policy
    tables: PolicyTables | None  # of the policy; None to ask it at every step
    epsilon: float
    births: Births
    agents: int
    lifetime: int

    def of(self, first: int, last: int) -> Trajectories:
        """Walk the agents [first, last)."""
        # Stored step by step, the order of replay; the public arrays are the transposed view
        shape = (self.lifetime, last - first)
        cells, actions = np.full(shape, -1, np.int32), np.full(shape, -1, np.int32)
        lengths = np.zeros(last - first, np.int32)
        born = self.births._replace(own=self.births.own[first:last], first=first)
        if self.tables is not None:
            next_state = self.world.next_state
            walk(next_state, tuple(self.tables), tuple(born), cells, actions, lengths)
        else:
            self._ask(tuple(born), cells, actions, lengths)
        return Trajectories(cells.T, actions.T, lengths)

    def _ask(
        self,
        born: tuple[Any, ...],
        cells: NDArray[np.int32],
        actions: NDArray[np.int32],
        lengths: NDArray[np.int32],
    ) -> None:
        next_state, n_actions = self.world.next_state, self.world.actions.n
        states = np.empty(len(lengths), np.int32)
        chosen = np.zeros(len(lengths), np.int64)
        for step in range(self.lifetime):
            if step == 0 or self.births.repeat:
                place(born, step, states)
            alive = np.flatnonzero(states != EXIT)
            if alive.size == 0:
                break
            answer = self.policy.act(states[alive].astype(np.int64))
            chosen[alive] = checked_actions(answer, len(alive), n_actions)
            take(next_state, born, self.epsilon, chosen, step, states, cells, actions, lengths)


def _starting_cells(world: GridWorld, given: object) -> NDArray[np.int32]:
    """Return the cell that each agent starts in, (agents,).

    Raises:
        SettingError: the array holds something else than cells of the picture.
    """
    cells = np.asarray(given)
    if cells.ndim != 1 or cells.dtype.kind not in "iu" or cells.size == 0:
        raise SettingError(
            f"starting cells are whole numbers (agents,), not {cells.dtype} {cells.shape}"
        )
    outside = ~np.isin(cells, world.picture_cells)
    if outside.any():
        raise SettingError(
            f"the starting cell {cells[outside][0]} of agent {int(outside.argmax())} is not a cell "
            f"of the picture"
        )
    return cells.astype(np.int32)


class RolloutSettings(TypedDict, total=False):
    """The settings that ``rollout_chunks`` passes on to ``rollout``."""

    lifetime: int | None
    repeat: bool
    explore: float | None
    born_above: float | None
    born_below: float | None
    ask_once: bool
    seed: int
    layer: int


def _prepare(
    env: AnyEnv | GridWorld,
    policy: Policy,
    agents: int | NDArray[np.integer[Any]],
    settings: RolloutSettings,
) -> _Walks:
    world = world_of(env)
    refuse_slip(world)
    lifetime = settings.get("lifetime")
    lifetime = lifetime_of(env) if lifetime is None else whole_number("lifetime", lifetime, least=1)
    repeat, explore = bool(settings.get("repeat", False)), settings.get("explore")
    above, below_ = settings.get("born_above"), settings.get("born_below")
    starts, own = world.picture_cells, np.empty(0, np.int32)
    if isinstance(agents, np.ndarray | Sequence):
        own = _starting_cells(world, agents)
        agents = len(own)
        if repeat or above is not None or below_ is not None:
            raise SettingError(
                "agents that start in cells of their own cannot be drawn afresh or by activation: "
                "leave out repeat, born_above and born_below"
            )
    else:
        agents = whole_number("agents", agents, least=1)
        starts = births(world, world.activation, above, below_)
        if starts.size == 0:
            raise no_birth_cell_error(float(world.activation.min()), float(world.activation.max()))
    key = derive_key(settings.get("seed", 0), settings.get("layer", 0), "rollout")
    tables, epsilon = None, 0.0
    if settings.get("ask_once", True):
        tables = policy_tables(as_table(policy, world), explore)
    elif not callable(getattr(policy, "act", None)):
        raise SettingError(f"a policy has act(observations), which {shown(policy)} has not")
    elif explore is not None:
        epsilon = real_number("explore", explore, 0.0, 1.0)
    born = Births(starts, own, repeat, key, 0)
    return _Walks(world, policy, tables, epsilon, born, agents, lifetime)


def rollout(
    env: AnyEnv | GridWorld,
    policy: Policy,
    agents: int | NDArray[np.integer[Any]],
    *,
    lifetime: int | None = None,
    repeat: bool = False,
    explore: float | None = None,
    born_above: float | None = None,
    born_below: float | None = None,
    ask_once: bool = True,
    seed: int = 0,
    layer: int = 0,
) -> Trajectories:
    """Let agents follow a policy.

    Agents are placed uniformly, with replacement, on the cells of the picture. With ``repeat``
    all are drafted afresh at every step, and each takes its one action on the cell that it is
    drawn into, as if it had just entered it by its move: so n agents on n cells touch a share of
    1 − (1 − 1/n)ⁿ of them a step, which is what the post's videos show.

    Draws are keyed by (seed, layer, agent, step): more agents, or a longer life, leave the walks
    of the others as they were.

    Args:
        env: the grid world that they walk in, or an environment that has one.
        policy: a ``QTable``, or any other policy, which ``as_table`` converts.
        agents: number of agents, at least 1; or the cell that each starts in, integers (agents,).
        lifetime: largest number of steps that each agent takes; by default that after which the
            environment truncates, 20 for a world.
        repeat: draw all agents afresh at every step.
        explore: probability of a random action, in place of the policy's epsilon.
        born_above: smallest activation at which agents are born.
        born_below: largest activation at which agents are born.
        ask_once: ask a policy once, for all cells. With ``False`` its ``act`` is called at every
            step with the cells of all agents that still walk, int64 (n,): for policies that draw
            their actions but do not state probabilities, or that change as they are asked.
        seed: seed of placement, exploration and ties.
        layer: number of the layer, part of the key.

    Raises:
        SettingError: a number is out of range, the steps exceed ``MOST_STEPS``, no cell qualifies
            for births, a starting cell is not one of the picture, or the policy does not fit the
            world.
    """
    settings: RolloutSettings = {
        "lifetime": lifetime,
        "repeat": repeat,
        "explore": explore,
        "born_above": born_above,
        "born_below": born_below,
        "ask_once": ask_once,
        "seed": seed,
        "layer": layer,
    }
    walks = _prepare(env, policy, agents, settings)
    check_steps(walks.agents, walks.lifetime)
    return walks.of(0, walks.agents)


def rollout_chunks(
    env: AnyEnv | GridWorld,
    policy: Policy,
    agents: int | NDArray[np.integer[Any]],
    *,
    chunk: int = 100_000,
    **settings: Unpack[RolloutSettings],
) -> Iterator[Trajectories]:
    """Let agents follow a policy, so many at a time: for more than memory holds at once.

    Put together, the chunks are what ``rollout`` returns for all agents, draw by draw. The
    exception is a policy that is asked at every step and draws actions itself.

    Args:
        env: as for ``rollout``.
        policy: as for ``rollout``.
        agents: as for ``rollout``.
        chunk: number of agents at a time, at least 1.
        settings: the other arguments of ``rollout``.

    Yields:
        the trajectories of the first agents, of the next ones, and so on.

    Raises:
        SettingError: as for ``rollout``, at the call; a chunk's steps exceed ``MOST_STEPS``.
    """
    chunk = whole_number("chunk", chunk, least=1)
    walks = _prepare(env, policy, agents, settings)
    check_steps(min(chunk, walks.agents), walks.lifetime)
    edges = [*range(0, walks.agents, chunk), walks.agents]
    return (walks.of(first, last) for first, last in pairwise(edges))


def scripted(
    env: AnyEnv | GridWorld, episodes: Sequence[tuple[tuple[int, int], Sequence[str]]]
) -> Trajectories:
    """Walk by hand: each agent starts on a cell and takes the actions that are named.

    Args:
        env: the grid world that they walk in, or an environment that has one.
        episodes: start (row, col) and actions of each agent, such as
            ``((3, 4), ["same_right"] * 12 + ["pixelate_down"])``.

    Raises:
        SettingError: a start lies outside the picture, an action is unknown, or an agent has
            actions left after leaving the picture.
    """
    world = world_of(env)
    if not episodes:
        raise SettingError("no episodes: give at least one start with its actions")
    steps = max(1, *(len(names) for _, names in episodes))
    cells = np.full((steps, len(episodes)), -1, np.int32)
    actions = np.full((steps, len(episodes)), -1, np.int32)
    lengths = np.zeros(len(episodes), np.int32)
    grid = world.grid
    for agent, ((row, col), names) in enumerate(episodes):
        row, col = whole_number("a row", row), whole_number("a column", col)
        if not (0 <= row < grid.picture_rows and 0 <= col < grid.picture_cols):
            raise SettingError(
                f"episode {agent + 1} starts at ({row}, {col}), outside the picture's "
                f"{grid.picture_rows}×{grid.picture_cols} cells"
            )
        state = row * grid.cols + col
        for step, action in enumerate(world.actions.index(names)):
            if state == EXIT:
                raise SettingError(
                    f"episode {agent + 1} left the picture at step {step}, and has "
                    f"{len(names) - step} actions more"
                )
            successor = int(world.next_state[state, action])
            actions[step, agent] = action
            lengths[agent] = step + 1
            if successor not in (EXIT, state):
                cells[step, agent] = successor
            state = successor
    return Trajectories(cells.T, actions.T, lengths)
