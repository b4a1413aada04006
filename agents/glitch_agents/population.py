"""Crowds: the agents of a layer in a clip, walked tick by tick.

A rollout gives whole lives at once; a crowd takes one step at a time, so that births can be spread,
the policy can change at a cut, and a life can follow on another. The first life of an agent that is
born at tick 0 is the one that ``rollout`` gives, draw by draw.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from glitch_agents.policy import QTable
from glitch_agents.rollout import (
    as_table,
    best_actions,
    check_agents,
    choose_action,
    exploration,
)
from glitch_gym.checks import shown, whole_number
from glitch_gym.compilation import compiled
from glitch_gym.dynamics import EXIT, GridWorld
from glitch_gym.errors import SettingError
from glitch_gym.grid import Grid
from glitch_gym.randomness import below, derive_key, draw, stream

__all__ = ["NEVER", "Population"]

NEVER = 2**62
"""Tick of birth of an agent that is not born at all."""

_NOWHERE = -1


@compiled
def _advance(
    tick: int,
    next_state: NDArray[np.int32],
    values: NDArray[np.float32],
    cumulative: NDArray[np.float64],
    best: NDArray[np.int32],
    ties: NDArray[np.int32],
    starts: NDArray[np.int32],
    active: int,
    epsilon: float,
    first_ties: bool,
    repeat: bool,
    respawn: bool,
    lifetime: int,
    born: NDArray[np.int64],
    key: np.uint64,
    states: NDArray[np.int32],
    cells: NDArray[np.int32],
    actions: NDArray[np.int32],
) -> bool:
    """Take the step of a tick; return whether it was done, for which every start must be a cell."""
    n_states = np.uint32(next_state.shape[0])
    wrong = np.uint32(0)
    for place in range(starts.shape[0]):
        # Seen as unsigned, a negative number is a very large one
        wrong |= np.uint32(np.uint32(starts[place]) >= n_states)
    if wrong != np.uint32(0):
        return False
    for agent in range(states.shape[0]):
        cells[agent] = -1
        actions[agent] = -1
        age = tick - born[agent]
        if age < 0 or (age >= lifetime and not (respawn or repeat)):
            continue
        own = stream(key, agent)
        at = 4 * age
        if repeat or age % lifetime == 0:
            states[agent] = _NOWHERE
            if agent < active and starts.shape[0] > 0:
                states[agent] = starts[below(draw(own, at), starts.shape[0])]
        state = int(states[agent])
        if state == _NOWHERE:
            continue
        action = choose_action(state, values, cumulative, best, ties, epsilon, first_ties, own, at)
        actions[agent] = action
        if repeat:
            cells[agent] = state
            continue
        there = next_state[state, action]
        if there == EXIT:
            states[agent] = _NOWHERE
        elif there != state:
            cells[agent] = there
            states[agent] = there
    return True


class Population:
    """Agents that follow a policy through time.

    Draws are keyed by (seed, layer, agent, step), and a life depends on nothing before its birth:
    so a crowd whose agents are born again can be taken up anywhere, ``lifetime`` ticks ahead.

    Args:
        agents: how many, from 1 to ``MOST_AGENTS``.
        lifetime: ticks that each lives at most.
        repeat: draw all agents afresh at every tick; each acts once, on the cell it is drawn into.
        respawn: be born again when a lifetime is over.
        born: int64 (agents,), tick of each agent's birth; by default 0 for all.
        seed: of placement, exploration and ties.
        layer: number of the layer, part of the key.

    Raises:
        SettingError: a number out of its range.
    """

    def __init__(
        self,
        agents: int,
        *,
        lifetime: int,
        repeat: bool = False,
        respawn: bool = False,
        born: NDArray[np.int64] | None = None,
        seed: int = 0,
        layer: int = 0,
    ) -> None:
        agents = whole_number("agents", agents, least=1)
        check_agents(agents)
        lifetime = whole_number("lifetime", lifetime, least=1)
        given = np.zeros(agents, np.int64) if born is None else np.asarray(born)
        if given.shape != (agents,) or given.dtype.kind != "i":
            raise SettingError(
                f"born must be whole numbers ({agents},), not {given.dtype} {given.shape}"
            )
        self.born = given.astype(np.int64, copy=False)
        self._lifetime = lifetime
        self._repeat = repeat
        self._respawn = respawn
        self._key = derive_key(seed, layer, "rollout")
        self._states = np.full(agents, _NOWHERE, np.int32)
        self._grid: Grid | None = None

    def follow(
        self,
        world: GridWorld,
        policy: QTable,
        *,
        explore: float | None = None,
        bonus: NDArray[np.float32] | None = None,
    ) -> None:
        """Follow a policy from the next tick on.

        Args:
            world: where it walks; its cells must be those of the world before.
            policy: what it does; ``as_table`` makes one of any policy.
            explore: probability of a random action, in place of the policy's epsilon.
            bonus: float32 (n_actions,), added to the value of each action.

        Raises:
            SettingError: a world on another grid, a policy that does not fit it, or a number out of
                its range.
        """
        if not isinstance(world, GridWorld):
            raise SettingError(f"a crowd walks in a GridWorld, not in {shown(world)}")
        if self._grid is not None and self._grid != world.grid:
            raise SettingError("a crowd cannot go on in a world with another grid")
        table = as_table(policy, world)
        if bonus is not None and np.shape(bonus) != (world.actions.n,):
            raise SettingError(f"bonus must be ({world.actions.n},), not {np.shape(bonus)}")
        self._grid = world.grid
        self._next_state = world.next_state
        # A copy: best actions and ties are counted now, and must stay true of it
        self._values = table.by_state.copy()
        if bonus is not None and bonus.any():
            self._values = self._values + bonus
            table = QTable(
                self._values.reshape(table.values.shape), table.ties, table.epsilon,
                table.temperature,
            )  # fmt: skip
        self._best, self._ties = best_actions(self._values)
        self._first_ties = table.ties == "first"
        self._cumulative = np.empty((0, 0))
        self._epsilon = exploration(table, explore)
        if table.temperature > 0:
            self._cumulative = np.cumsum(table.probabilities(), axis=1)

    def advance(
        self, tick: int, starts: NDArray[np.int32], active: int | None = None
    ) -> tuple[NDArray[np.int32], NDArray[np.int32]]:
        """Take the step of a tick; ticks must follow on one another.

        Args:
            tick: its number.
            starts: cells where agents can be born; where there are none, nobody is.
            active: births are for the first so many agents only; by default for all.

        Returns:
            the cell that each agent's stamp is on, or −1, and its action, or −1: int32 (agents,).

        Raises:
            SettingError: nothing is followed yet, or a start that is not a cell of the world.
        """
        if self._grid is None:
            raise SettingError("a crowd follows a policy: call follow() before advance()")
        starts = np.asarray(starts)
        if starts.ndim != 1 or starts.dtype != np.int32:
            raise SettingError(f"starts must be int32 (n,), not {starts.dtype} {starts.shape}")
        tick = whole_number("tick", tick, most=NEVER)
        agents = len(self._states)
        born_yet = agents if active is None else whole_number("active", active)
        cells, actions = np.empty(agents, np.int32), np.empty(agents, np.int32)
        done = _advance(
            tick, self._next_state, self._values, self._cumulative, self._best, self._ties,
            starts, born_yet, self._epsilon, self._first_ties,
            self._repeat, self._respawn, self._lifetime, self.born, self._key, self._states,
            cells, actions,
        )  # fmt: skip
        if not done:
            raise SettingError(f"a start is outside the world's 0…{len(self._next_state) - 1}")
        return cells, actions
