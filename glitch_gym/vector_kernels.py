"""Compiled loops over many agents: stepping them, and rolling out whole episodes."""

from __future__ import annotations

from collections import namedtuple

import numpy as np
from numpy.typing import NDArray

from glitch_gym.compilation import borrowing, compiled, inlined
from glitch_gym.dynamics import EXIT
from glitch_gym.randomness import below, draw, pick, slipped, stream

__all__ = [
    "DISABLED",
    "NEXT_STEP",
    "SAME_STEP",
    "Agents",
    "Choice",
    "Record",
    "WorldTables",
    "begin_episodes",
    "roll_out",
    "slip_actions",
    "step_agents",
]


NEXT_STEP, SAME_STEP, DISABLED = 0, 1, 2


WorldTables = namedtuple("WorldTables", ["successors", "rewards", "starts", "slip"])


WorldTables.__doc__ = """What compiled code knows of a world.

Args:
    successors: int32 (n_cells, n_moves), the cell that each move leads to, or ``EXIT``.
    rewards: float32 (n_cells, n_actions).
    starts: int32 (n_starts,), cells that episodes start in.
    slip: float, probability that another move takes the place of an action's own.
"""


Agents = namedtuple("Agents", ["cells", "steps", "done", "keys", "episodes"])


Agents.__doc__ = """The state of all agents.

Args:
    cells: int64 (num_envs,), the cell of each agent.
    steps: int32 (num_envs,), steps of its present episode.
    done: bool (num_envs,), whether that episode is over and waits for a reset.
    keys: uint64 (num_envs,), key of its draws.
    episodes: int64 (num_envs,), number of its next episode.
"""


Choice = namedtuple("Choice", ["actions", "cumulative"])


Choice.__doc__ = """How a rollout chooses actions: uniformly at random if both arrays are empty.

Args:
    actions: int64 (n_cells,), the action in each cell; or empty.
    cumulative: float64 (n_cells, n_actions), cumulative probabilities of the actions; or empty.
"""


Record = namedtuple("Record", ["observations", "actions", "rewards", "terminations", "truncations"])
"""The arrays of a ``VectorRollout``."""


@inlined
def _start(starts: NDArray[np.int32], key: np.uint64, episode: int) -> int:
    return int(starts[below(draw(key, episode), starts.shape[0])])


@borrowing
def begin_episodes(
    starts: NDArray[np.int32],
    chosen: NDArray[np.bool_],
    cells: NDArray[np.int64],
    keys: NDArray[np.uint64],
    episodes: NDArray[np.int64],
) -> None:
    """Place the chosen agents on the cells that their next episodes start in."""
    for i in range(cells.shape[0]):
        if chosen[i]:
            cells[i] = _start(starts, keys[i], episodes[i])
            episodes[i] += 1


@borrowing
def slip_actions(
    actions: NDArray[np.int64],
    n_moves: int,
    slip: float,
    steps: NDArray[np.int32],
    keys: NDArray[np.uint64],
    episodes: NDArray[np.int64],
    taken: NDArray[np.int64],
) -> None:
    """Write the action that each agent carries out into ``taken``; invalid ones stay as they are.

    Args:
        actions: int64 (num_envs,), the actions that the agents have chosen.
        n_moves: number of moves.
        slip: probability that another move takes the place of an action's own, above 0.
        steps: int32 (num_envs,), steps of each agent's present episode.
        keys: uint64 (num_envs,), key of its draws.
        episodes: int64 (num_envs,), number of its next episode.
        taken: int64 (num_envs,), written.
    """
    for i in range(actions.shape[0]):
        taken[i] = actions[i]
        if actions[i] >= 0:
            taken[i] = slipped(actions[i], n_moves, slip, stream(keys[i], episodes[i]), steps[i])


@compiled
def step_agents(
    successors: NDArray[np.int32],
    table: NDArray[np.float32],
    starts: NDArray[np.int32],
    actions: NDArray[np.int64],
    lifetime: int,
    mode: int,
    cells: NDArray[np.int64],
    steps: NDArray[np.int32],
    done: NDArray[np.bool_],
    keys: NDArray[np.uint64],
    episodes: NDArray[np.int64],
    rewards: NDArray[np.float64],
    terminated: NDArray[np.bool_],
    truncated: NDArray[np.bool_],
    final: NDArray[np.int64],
) -> int:
    """Step every agent by the world's tables, and reset by the mode.

    Return the number of episodes that ended, or −1, with no state changed, if any action is
    invalid.

    All agents step first, including those that wait for a reset, in several short loops without a
    branch: look-ups then overlap, the rest is vectorised, and no mispredicted branch discards work
    in flight. Ends and resets come after.

    The arguments are not bundled: of a call for few agents, unpacking bundles would be the larger
    part.
    """
    n_actions = np.uint64(table.shape[1])
    last_move = np.uint64(successors.shape[1] - 1)
    wrong = np.uint64(0)
    for i in range(actions.shape[0]):
        # Seen as unsigned, a negative number is a very large one: one comparison finds both
        wrong |= np.uint64(np.uint64(actions[i]) >= n_actions)
    if wrong != np.uint64(0):
        return -1
    for i in range(actions.shape[0]):
        rewards[i] = table[np.uint64(cells[i]), np.uint64(actions[i])]
    for i in range(actions.shape[0]):
        # The number of moves is 4 or 8: the lower bits of an action are its move
        successor = successors[np.uint64(cells[i]), np.uint64(actions[i]) & last_move]
        leaves = successor == EXIT
        terminated[i] = leaves
        cells[i] = cells[i] if leaves else successor
    for i in range(actions.shape[0]):
        lived = steps[i] + 1
        steps[i] = lived
        truncated[i] = lived >= lifetime
    ended = 0
    for i in range(actions.shape[0]):
        if done[i]:
            cells[i] = _start(starts, keys[i], episodes[i])
            episodes[i] += 1
            steps[i] = 0
            done[i] = False
            rewards[i] = 0.0
            terminated[i] = False
            truncated[i] = False
        elif terminated[i] | truncated[i]:
            ended += 1
            if mode == SAME_STEP:
                final[i] = cells[i]
                cells[i] = _start(starts, keys[i], episodes[i])
                episodes[i] += 1
                steps[i] = 0
            else:
                done[i] = True
    return ended


@borrowing
def roll_out(
    world: WorldTables,
    choice: Choice,
    lifetime: int,
    agents: Agents,
    first: int,
    last: int,
    record: Record,
) -> None:
    """Walk the agents [first, last); the arrays of the record are (steps, agents)."""
    successors, rewards, starts, slip = world
    cells, steps, keys, episodes = agents.cells, agents.steps, agents.keys, agents.episodes
    n_actions = rewards.shape[1]
    n_steps = record.actions.shape[0]
    for t in range(n_steps):
        for i in range(first, last):
            cell = cells[i]
            record.observations[t, i] = cell
            if choice.actions.shape[0] > 0:
                action = choice.actions[cell]
            else:
                # The draws of a running episode are keyed by the one that placed its agent
                bits = draw(stream(keys[i], episodes[i]), steps[i])
                if choice.cumulative.shape[0] == 0:
                    action = below(bits, n_actions)
                else:
                    action = pick(choice.cumulative, cell, 0, n_actions, bits)
            record.actions[t, i] = action
            if slip > 0.0:
                episode = stream(keys[i], episodes[i])
                action = slipped(action, successors.shape[1], slip, episode, steps[i])
            successor = successors[cell, action & (successors.shape[1] - 1)]
            lived = steps[i] + 1
            leaves = successor == EXIT
            late = lived >= lifetime
            record.rewards[t, i] = rewards[cell, action]
            record.terminations[t, i] = leaves
            record.truncations[t, i] = late
            if leaves or late:
                cells[i] = _start(starts, keys[i], episodes[i])
                episodes[i] += 1
                steps[i] = 0
            else:
                cells[i] = successor
                steps[i] = lived
    for i in range(first, last):
        record.observations[n_steps, i] = cells[i]
