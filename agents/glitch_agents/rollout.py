"""Rollouts: many agents follow a policy, and where they went is data."""

from __future__ import annotations

from collections import namedtuple
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
from glitch_gym.compilation import borrowing, compiled, inlined
from glitch_gym.dynamics import EXIT, LIFETIME, GridWorld, refuse_slip
from glitch_gym.errors import SettingError
from glitch_gym.policy import Policy
from glitch_gym.randomness import below, derive_key, draw, pick, stream, unit
from glitch_gym.trajectories import Trajectories

__all__ = [
    "MOST_AGENTS",
    "MOST_STEPS",
    "PolicyTables",
    "as_table",
    "best_actions",
    "births",
    "check_agents",
    "check_steps",
    "choose_action",
    "exploration",
    "no_birth_cell_error",
    "policy_tables",
    "rollout",
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


PolicyTables = namedtuple(
    "PolicyTables", ["values", "cumulative", "best", "ties", "epsilon", "first_ties"]
)
PolicyTables.__doc__ = """What compiled code knows of a policy.

Args:
    values: float32 (n_states, n_actions), the action values.
    cumulative: float64 (n_states, n_actions), cumulative probabilities of the actions; (0, 0) for a
        policy that is greedy apart from its exploration.
    best: int32 (n_states,), the first of the best actions of each state.
    ties: int32 (n_states,), number of the best actions of each state.
    epsilon: probability of a random action.
    first_ties: whether the first of equally good actions is taken, and not a random one.
"""


@compiled
def best_actions(
    values: NDArray[np.float32],
) -> tuple[NDArray[np.int32], NDArray[np.int32]]:
    """Find the first of the best actions of each state, and how many are equally good."""
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
    best, ties = best_actions(table.by_state)
    epsilon = exploration(table, explore)
    return PolicyTables(table.by_state, cumulative, best, ties, epsilon, table.ties == "first")


@inlined
def choose_action(policy: PolicyTables, state: int, own: np.uint64, at: int) -> int:
    """Choose an agent's action.

    Of the four draws of a step, ``at`` on, the first is for its birth; the others are for
    exploration, the random action, and the choice among ties or by softmax.
    """
    action = int(policy.best[state])
    if policy.epsilon > 0 and unit(draw(own, at + 1)) < policy.epsilon:
        action = below(draw(own, at + 2), policy.values.shape[1])
    elif policy.cumulative.shape[0] > 0:
        action = pick(policy.cumulative, state, 0, policy.values.shape[1], draw(own, at + 3))
    elif policy.ties[state] > 1 and not policy.first_ties:
        skip = below(draw(own, at + 3), policy.ties[state])
        top = policy.values[state, action]
        while skip > 0:
            action += 1
            if policy.values[state, action] == top:
                skip -= 1
    return action


@borrowing
def _walk(
    next_state: NDArray[np.int32],
    policy: PolicyTables,
    starts: NDArray[np.int32],
    repeat: bool,
    key: np.uint64,
    cells: NDArray[np.int32],
    actions: NDArray[np.int32],
    lengths: NDArray[np.int32],
) -> None:
    """Walk every agent; cells and actions are (steps, agents), in the order of replay."""
    n_steps, n_agents = cells.shape
    for agent in range(n_agents):
        own = stream(key, agent)
        state = int(starts[below(draw(own, 0), starts.shape[0])])
        for step in range(n_steps):
            at = 4 * step
            if repeat and step > 0:
                state = int(starts[below(draw(own, at), starts.shape[0])])
            action = choose_action(policy, state, own, at)
            actions[step, agent] = action
            lengths[agent] = step + 1
            if repeat:
                cells[step, agent] = state
                continue
            successor = int(next_state[state, action])
            if successor == EXIT:
                break
            if successor != state:
                cells[step, agent] = successor
                state = successor


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
        world: the world that they walk in.
        policy: a ``QTable``, or any other policy, which ``as_table`` converts.
        agents: number of agents, at least 1.
        lifetime: largest number of steps that each agent takes.
        repeat: draw all agents afresh at every step.
        explore: probability of a random action, in place of the policy's epsilon.
        born_above: smallest activation at which agents are born.
        born_below: largest activation at which agents are born.
        seed: seed of placement, exploration and ties.
        layer: number of the layer, part of the key.

    Raises:
        SettingError: a number is out of range, the steps exceed ``MOST_STEPS``, no cell qualifies
            for births, or the policy does not fit the world.
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
    tables = policy_tables(as_table(policy, world), explore)
    _walk(world.next_state, tables, cells_of_birth, bool(repeat), key, cells, actions, lengths)
    return Trajectories(cells.T, actions.T, lengths)


def scripted(
    world: GridWorld, episodes: Sequence[tuple[tuple[int, int], Sequence[str]]]
) -> Trajectories:
    """Walk by hand: each agent starts on a cell and takes the actions that are named.

    Args:
        world: the world that they walk in.
        episodes: start (row, col) and actions of each agent, such as
            ``((3, 4), ["same_right"] * 12 + ["pixelate_down"])``.

    Raises:
        SettingError: a start lies outside the picture, an action is unknown, or an agent has
            actions left after leaving the picture.
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
            successor = int(world.next_state[state, action])
            actions[step, agent] = action
            lengths[agent] = step + 1
            if successor not in (EXIT, state):
                cells[step, agent] = successor
            state = successor
    return Trajectories(cells.T, actions.T, lengths)
