"""Populations: the agents of a layer in a clip, walked tick by tick.

A rollout walks whole lives at once; a population takes one step at a time, so that births can be
spread, the policy can change at a cut, and one life can follow another. The first life of an agent
that is born at tick 0 is the one that ``rollout`` walks, draw by draw.
"""

from __future__ import annotations

import dataclasses
from collections import namedtuple
from typing import Any

import numpy as np
from numpy.typing import NDArray

from glitch_agents.mdp import AnyEnv, world_of
from glitch_agents.rollout import as_table, check_agents, policy_tables
from glitch_agents.rollout_kernels import PolicyTables, choose_action
from glitch_gym.checks import whole_number
from glitch_gym.compilation import borrowing
from glitch_gym.dynamics import EXIT, GridWorld
from glitch_gym.errors import SettingError
from glitch_gym.grid import Grid
from glitch_gym.policy import Policy
from glitch_gym.randomness import below, derive_key, draw, stream

__all__ = ["NEVER", "Population"]

NEVER = 2**62
"""Tick of birth of an agent that is never born."""

_NOWHERE = -1


Agents = namedtuple("Agents", ["born", "states", "key", "lifetime", "repeat", "respawn"])
Agents.__doc__ = """What compiled code knows of the agents.

Args:
    born: int64 (agents,), tick of each agent's birth.
    states: int32 (agents,), cell of each agent, or −1.
    key: key of the draws.
    lifetime: largest number of ticks that an agent lives.
    repeat: whether all agents are drawn afresh at every tick.
    respawn: whether agents are born again when a lifetime is over.
"""


@borrowing
def _advance(
    tick: int,
    next_state: NDArray[np.int32],
    policy: tuple[Any, ...],
    agents: tuple[Any, ...],
    starts: NDArray[np.int32],
    active: int,
    cells: NDArray[np.int32],
    actions: NDArray[np.int32],
) -> bool:
    """Take the step of a tick; return false, with nothing changed, if a start is not a cell.

    It is called from Python at every tick, where Numba is much quicker to take plain tuples than
    named ones: ``PolicyTables`` and ``Agents``.
    """
    tables = PolicyTables(*policy)
    born, states, key, lifetime, repeat, respawn = agents
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
        action = choose_action(tables, state, own, at)
        actions[agent] = action
        if repeat:
            cells[agent] = state
            continue
        successor = next_state[state, action]
        if successor == EXIT:
            states[agent] = _NOWHERE
        elif successor != state:
            cells[agent] = successor
            states[agent] = successor
    return True


class Population:
    """Agents that follow a policy through time.

    Draws are keyed by (seed, layer, agent, step), and a life depends on nothing before its birth.
    So a population whose agents are born again can start anywhere, ``lifetime`` ticks ahead.

    Args:
        agents: number of agents, from 1 to ``MOST_AGENTS``.
        lifetime: largest number of ticks that an agent lives.
        repeat: draw all agents afresh at every tick; each acts once, on the cell it is drawn into.
        respawn: whether agents are born again when a lifetime is over.
        born: int64 (agents,), tick of each agent's birth; by default 0 for all.
        seed: seed of placement, exploration and ties.
        layer: number of the layer, part of the key.

    Raises:
        SettingError: a number is out of range.
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
        states = np.full(agents, _NOWHERE, np.int32)
        key = derive_key(seed, layer, "rollout")
        self._agents = Agents(self.born, states, key, lifetime, bool(repeat), bool(respawn))
        self._plain_agents = tuple(self._agents)
        self._grid: Grid | None = None

    def follow(
        self,
        env: AnyEnv | GridWorld,
        policy: Policy,
        *,
        explore: float | None = None,
        bonus: NDArray[np.float32] | None = None,
    ) -> None:
        """Follow a policy from the next tick on.

        Args:
            env: the grid world to walk in, or an environment that has one; its grid must be that
                of the world before.
            policy: a ``QTable``, or any other policy, which ``as_table`` converts.
            explore: probability of a random action, in place of the policy's epsilon.
            bonus: float32 (n_actions,), added to the value of each action.

        Raises:
            SettingError: the world has another grid, the policy does not fit it, or a number is out
                of range.
        """
        world = world_of(env)
        if self._grid is not None and self._grid != world.grid:
            raise SettingError("a population cannot continue in a world with another grid")
        table = as_table(policy, world)
        if bonus is not None and np.shape(bonus) != (world.actions.n,):
            raise SettingError(f"bonus must be ({world.actions.n},), not {np.shape(bonus)}")
        self._grid = world.grid
        self._next_state = world.next_state
        # A copy: best actions and ties are counted now, and must stay true of it
        values = table.values.copy() if bonus is None else table.values + bonus
        tables = policy_tables(dataclasses.replace(table, values=values), explore)
        self._plain_policy = tuple(tables)

    def advance(
        self, tick: int, starts: NDArray[np.int32], active: int | None = None
    ) -> tuple[NDArray[np.int32], NDArray[np.int32]]:
        """Take the step of a tick; ticks must be consecutive.

        Args:
            tick: number of the tick.
            starts: int32 (n,), cells where agents can be born; without any, no agent is born.
            active: number of agents, from the first on, that can be born; by default all.

        Returns:
            the cell that each agent's stamp is on, or −1, and its action, or −1: int32 (agents,).

        Raises:
            SettingError: no policy is followed yet, or a start is not a cell of the world.
        """
        if self._grid is None:
            raise SettingError("a population needs a policy: call follow() before advance()")
        starts = np.asarray(starts)
        if starts.ndim != 1 or starts.dtype != np.int32:
            raise SettingError(f"starts must be int32 (n,), not {starts.dtype} {starts.shape}")
        tick = whole_number("tick", tick, most=NEVER)
        agents = len(self._agents.states)
        active = agents if active is None else whole_number("active", active)
        cells, actions = np.empty(agents, np.int32), np.empty(agents, np.int32)
        done = _advance(
            tick,
            self._next_state,
            self._plain_policy,
            self._plain_agents,
            starts,
            active,
            cells,
            actions,
        )
        if not done:
            raise SettingError(f"a start is outside the world's 0…{len(self._next_state) - 1}")
        return cells, actions
