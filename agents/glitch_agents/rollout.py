"""Rollouts: many agents follow a policy, and where they went is data."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from glitch_agents.policy import QTable
from glitch_gym.checks import (
    checked_actions,
    checked_probabilities,
    real_number,
    shown,
    whole_number,
)
from glitch_gym.compilation import compiled
from glitch_gym.dynamics import EXIT, LIFETIME, GridWorld
from glitch_gym.errors import SettingError
from glitch_gym.policy import Policy
from glitch_gym.randomness import below, derive_key, draw, stream, unit
from glitch_gym.trajectories import Trajectories

__all__ = [
    "MOST_AGENTS",
    "MOST_STEPS",
    "as_table",
    "best_actions",
    "births",
    "check_agents",
    "check_steps",
    "choose_action",
    "exploration",
    "no_birth_cell_error",
    "rollout",
    "scripted",
]


MOST_STEPS = 50_000_000
"""Steps of all agents together that are kept at once: they take 400 MB."""

MOST_AGENTS = 10_000_000
"""Agents that walk at once through a clip."""


def check_steps(agents: int, steps: int) -> None:
    """Refuse walks that would take more memory than a picture is worth.

    Args:
        agents: how many walk.
        steps: that are kept of each.

    Raises:
        SettingError: together more than ``MOST_STEPS``.
    """
    if agents * steps > MOST_STEPS:
        raise SettingError(
            f"{agents:,} agents with {steps:,} steps each are too many: at most {MOST_STEPS:,} "
            f"steps together; take fewer agents, or a shorter lifetime"
        )


def check_agents(agents: int) -> None:
    """Refuse a crowd that would take more memory than a clip is worth.

    Args:
        agents: of all layers together.

    Raises:
        SettingError: more than ``MOST_AGENTS``.
    """
    if agents > MOST_AGENTS:
        raise SettingError(
            f"{agents:,} agents are too many for a clip: at most {MOST_AGENTS:,} of all layers "
            f"together"
        )


@compiled
def best_actions(
    values: NDArray[np.float32],
) -> tuple[NDArray[np.int32], NDArray[np.int32]]:
    """Find the first of the best actions of each state, and how many are as good."""
    n_states, n_actions = values.shape
    best = np.empty(n_states, np.int32)
    ties = np.empty(n_states, np.int32)
    for state in range(n_states):
        top = 0
        count = 1
        for action in range(1, n_actions):
            if values[state, action] > values[state, top]:
                top = action
                count = 1
            elif values[state, action] == values[state, top]:
                count += 1
        best[state] = top
        ties[state] = count
    return best, ties


@compiled
def choose_action(
    state: int,
    values: NDArray[np.float32],
    cumulative: NDArray[np.float64],
    best: NDArray[np.int32],
    ties: NDArray[np.int32],
    epsilon: float,
    first_ties: bool,
    own: np.uint64,
    at: int,
) -> int:
    """Choose an agent's action.

    Of the four draws of a step, ``at`` on, the first is for its birth; the others are for
    exploration, the random action, and the choice among ties or by softmax.
    """
    n_actions = values.shape[1]
    if epsilon > 0 and unit(draw(own, at + 1)) < epsilon:
        return below(draw(own, at + 2), n_actions)
    action = int(best[state])
    if cumulative.shape[0] > 0:
        level = unit(draw(own, at + 3))
        action = 0
        while action < n_actions - 1 and cumulative[state, action] <= level:
            action += 1
    elif ties[state] > 1 and not first_ties:
        skip = below(draw(own, at + 3), ties[state])
        top = values[state, action]
        while skip > 0:
            action += 1
            if values[state, action] == top:
                skip -= 1
    return action


@compiled
def _walk(
    next_state: NDArray[np.int32],
    values: NDArray[np.float32],
    cumulative: NDArray[np.float64],
    starts: NDArray[np.int32],
    epsilon: float,
    first_ties: bool,
    repeat: bool,
    key: np.uint64,
    cells: NDArray[np.int32],
    actions: NDArray[np.int32],
    lengths: NDArray[np.int32],
) -> None:
    """Walk every agent; cells and actions are (steps, agents), in the order of replay."""
    n_steps, n_agents = cells.shape
    best, ties = best_actions(values)
    for agent in range(n_agents):
        own = stream(key, agent)
        state = starts[below(draw(own, 0), starts.shape[0])]
        for step in range(n_steps):
            at = 4 * step
            if repeat and step > 0:
                state = starts[below(draw(own, at), starts.shape[0])]
            action = choose_action(
                state, values, cumulative, best, ties, epsilon, first_ties, own, at
            )
            actions[step, agent] = action
            lengths[agent] = step + 1
            if repeat:
                cells[step, agent] = state
                continue
            there = next_state[state, action]
            if there == EXIT:
                break
            if there != state:
                cells[step, agent] = there
                state = there


def births(
    world: GridWorld,
    activation: NDArray[np.float32],
    born_above: float | None = None,
    born_below: float | None = None,
) -> NDArray[np.int32]:
    """Find the cells where the activation lets an agent be born.

    Args:
        world: whose picture cells they are.
        activation: float32 (picture_rows, picture_cols).
        born_above: only where the activation is at least this.
        born_below: only where the activation is at most this.

    Returns:
        int32, flat indices, ascending; it may be empty.

    Raises:
        SettingError: an activation of another shape.
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
        f"no cell may bear an agent: the activation reaches from {low:.2f} to {high:.2f}; "
        f"change born_above or born_below"
    )


def as_table(policy: Policy, world: GridWorld) -> QTable:
    """Write a policy down as a table: what it does, or how likely, in each cell.

    A Q-table is given as it is. Of another policy that says its ``probabilities`` they are kept,
    and drawn from at every step; any other is asked once what it does in each cell, and does that.

    Args:
        policy: to write down.
        world: where it walks.

    Raises:
        SettingError: a policy that does not fit the world.
    """
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


def rollout(
    world: GridWorld,
    policy: Policy,
    agents: int,
    *,
    lifetime: int = LIFETIME,
    repeat: bool = False,
    explore: float | None = None,
    born_above: float | None = None,
    born_below: float | None = None,
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
        world: where they walk.
        policy: a ``QTable``, or any other as ``as_table`` writes it down.
        agents: how many, at least 1.
        lifetime: steps that each lives at most.
        repeat: draw all agents afresh at every step.
        explore: probability of a random action, in place of the policy's epsilon.
        born_above: births only where the activation is at least this.
        born_below: births only where the activation is at most this.
        seed: of placement, exploration and ties.
        layer: number of the layer, part of the key.

    Raises:
        SettingError: a number out of its range, more than ``MOST_STEPS`` together, no cell for
            births, or a policy that does not fit the world.
    """
    if not isinstance(world, GridWorld):
        raise SettingError(f"a rollout needs a GridWorld, not {shown(world)}")
    agents = whole_number("agents", agents, least=1)
    lifetime = whole_number("lifetime", lifetime, least=1)
    check_steps(agents, lifetime)
    cells_of_birth = births(world, world.activation, born_above, born_below)
    if cells_of_birth.size == 0:
        raise no_birth_cell_error(float(world.activation.min()), float(world.activation.max()))
    # Stored step by step, which is the order of replay; the public arrays are the transposed view
    cells = np.full((lifetime, agents), -1, np.int32)
    actions = np.full((lifetime, agents), -1, np.int32)
    lengths = np.zeros(agents, np.int32)
    key = derive_key(seed, layer, "rollout")
    table = as_table(policy, world)
    cumulative = np.empty((0, 0))
    if table.temperature > 0:
        cumulative = np.cumsum(table.probabilities(), axis=1)
    _walk(
        world.next_state,
        table.by_state,
        cumulative,
        cells_of_birth,
        exploration(table, explore),
        table.ties == "first",
        bool(repeat),
        key,
        cells,
        actions,
        lengths,
    )
    return Trajectories(cells.T, actions.T, lengths)


def scripted(
    world: GridWorld, episodes: Sequence[tuple[tuple[int, int], Sequence[str]]]
) -> Trajectories:
    """Walk by hand: each agent starts on a cell and takes the actions that are named.

    Args:
        world: where they walk.
        episodes: for each agent its (row, col) and its actions, such as
            ``((3, 4), ["same_right"] * 12 + ["pixelate_down"])``.

    Raises:
        SettingError: a start outside the picture, an unknown action, or actions after the agent
            has left the picture.
    """
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
            there = int(world.next_state[state, action])
            actions[step, agent] = action
            lengths[agent] = step + 1
            if there not in (EXIT, state):
                cells[step, agent] = there
            state = there
    return Trajectories(cells.T, actions.T, lengths)
