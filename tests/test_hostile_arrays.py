"""Compiled code takes every index on trust: nothing hostile may reach it.

``ENTRIES`` names each compiled function that takes arrays and is called from plain Python, with
healthy calls that run it and hostile ones that must be refused. All of it also runs in a process
with Numba's bounds checks on, where an index outside its array is an error and not a crash.
"""

from __future__ import annotations

import ast
import dataclasses
import importlib
import json
import os
import pkgutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path

import gymnasium as gym
import numpy as np
import pytest
from gymnasium import spaces

import glitch_agents
import glitch_gym
import glitch_render
from glitch_agents import (
    DoubleQLearning,
    ExactPlanner,
    ExpectedSarsa,
    ModelBased,
    QLambda,
    QLearning,
    QTable,
    Sarsa,
    Schedule,
    Trajectories,
    optimality,
    policy_values,
    rollout,
    rollout_chunks,
    scripted,
    state_values,
)
from glitch_agents.population import Population
from glitch_agents.rollout import births
from glitch_gym import Grid, GridWorld, grid_world
from glitch_gym.actions import ActionSet
from glitch_gym.activation import compute_activation
from glitch_gym.env import GlitchGridEnv
from glitch_gym.errors import GlitchError
from glitch_gym.vector_env import GlitchGridVectorEnv
from glitch_render import replay
from glitch_render.effects.motion import block_motion
from glitch_render.engine.canvas import Canvas
from glitch_render.engine.overlay import Overlay, paint_over
from glitch_render.engine.replay import replay_walk, replay_walks

NAN, INF = float("nan"), float("inf")
GRID = Grid(4, 3, 3, 3)
ACTIONS = ActionSet(("same", "melt", "pixel_sort"))
FRAME = np.random.default_rng(0).integers(256, size=(36, 30, 3), dtype=np.uint8)
Call = Callable[[], object]


@cache
def world() -> GridWorld:
    field = np.random.default_rng(1).normal(size=(4, 3, ACTIONS.n)).astype(np.float32)
    return grid_world(GRID, ACTIONS, field)


def made(**arrays) -> GridWorld:
    """A world with arrays of one's own."""
    return replace(world(), **arrays)


def changed(name: str, place, value, dtype=None) -> Call:
    def call() -> object:
        array = getattr(world(), name).astype(dtype or getattr(world(), name).dtype)
        array[place] = value
        return made(**{name: array})

    return call


WORLDS: dict[str, Call] = {
    "a next state below": changed("next_state", (0, 0), -2),
    "a next state above": changed("next_state", (0, 0), 12),
    "a next state far above": changed("next_state", (0, 0), 2**40, np.int64),
    "a next state that wraps round": changed("next_state", (0, 0), 2**32 + 1, np.int64),
    "a next state that is prohibited": changed("next_state", (8, [1, 5, 9]), 11),
    "effects of a move that part": changed("next_state", (4, 4), 0),
    "next states that are not whole": changed("next_state", (0, 0), 0.5, np.float64),
    "too few next states": lambda: made(next_state=world().next_state[:-1]),
    "next states of fewer actions": lambda: made(next_state=world().next_state[:, :4]),
    "next states that are objects": lambda: made(next_state=world().next_state.astype(object)),
    "rewards of another shape": lambda: made(rewards=world().rewards[:, :-1]),
    "a reward that is no number": changed("rewards", (0, 0), NAN),
    "a reward without end": changed("rewards", (0, 0), INF),
    "a reward that is too large": changed("rewards", (0, 0), 1e300, np.float64),
    "complex rewards": lambda: made(rewards=world().rewards * 1j),
    "a reward field of another shape": lambda: made(reward_field=world().reward_field[:-1]),
    "a field that is no number": changed("reward_field", (0, 0, 0), NAN),
    "an activation of another shape": lambda: made(activation=np.zeros((2, 2), np.float32)),
    "an activation that is no number": lambda: made(activation=np.full((3, 3), NAN)),
    "no exit reward": lambda: made(exit_reward=NAN),
    "no grid": lambda: made(grid=(4, 3, 3, 3)),
    "another grid": lambda: made(grid=Grid(5, 3, 3, 3)),
    "a grid without cells": lambda: Grid(0, 3, 0, 3),
    "a negative grid": lambda: Grid(4, 3, -1, 3),
    "half a row": lambda: Grid(4.5, 3, 3, 3),
    "a grid without end": lambda: Grid(10**6, 10**6, 3, 3),
    "a field for too many cells": lambda: grid_world(
        Grid(8000, 8000, 3, 3), ACTIONS, np.zeros((1, 1, 1), np.float32)
    ),
}


class Says:
    """A policy that has whatever probabilities it is given."""

    def __init__(self, probs) -> None:
        self.probs = probs

    def probabilities(self):
        return self.probs


class Does:
    """A policy that acts as it is told."""

    def __init__(self, act) -> None:
        self.act = act


def probs(place=None, value=None) -> np.ndarray:
    table = np.full((12, ACTIONS.n), 1 / ACTIONS.n)
    if place is not None:
        table[place] = value
    return table


def act(value, dtype=np.int64) -> np.ndarray:
    chosen = np.zeros(12, dtype)
    chosen[5] = value
    return chosen


PROBABILITIES = {
    "negative probabilities": probs((3, [0, 1]), [-0.5, 1 / ACTIONS.n * 2 + 0.5]),
    "probabilities that are no numbers": probs((3, 0), NAN),
    "infinite probabilities": probs((3, 0), INF),
    "probabilities above 1": probs(3, 1.5),
    "no probabilities": probs(3, 0.0),
    "half of the probabilities": probs(3, 0.5 / ACTIONS.n),
    "probabilities of fewer cells": probs()[:-1],
    "probabilities of more actions": np.full((12, 9), 1 / 9),
    "flat probabilities": probs().ravel(),
    "probabilities that are objects": probs().astype(object),
    "complex probabilities": probs() + 0j,
    "ragged probabilities": [[1.0], [0.5, 0.5]],
}
ANSWERS = {
    "the action −1": act(-1),
    "an action too many": act(ACTIONS.n),
    "an action far above": act(2**63, np.uint64),
    "actions that are not whole": act(0.5, np.float64),
    "an action that is no number": act(NAN, np.float64),
    "truths for actions": act(True, np.bool_),
    "objects for actions": act(0, object),
    "actions of fewer cells": act(0)[:-1],
    "actions in two columns": np.zeros((12, 2), np.int64),
    "one action": np.int64(0),
    "nothing": None,
    "ragged actions": [[1], [1, 2]],
}


def table(shape=(4, 3, ACTIONS.n), value=0.0) -> QTable:
    return QTable(np.full(shape, value, np.float32))


TABLES: dict[str, Call] = {
    "a table of another grid": lambda: rollout(world(), table((3, 4, ACTIONS.n)), 3),
    "a table of fewer actions": lambda: rollout(world(), table((4, 3, 4)), 3),
    "a flat table": lambda: table((12, ACTIONS.n)),
    "an empty table": lambda: table((0, 3, ACTIONS.n)),
    "a table that holds no numbers": lambda: table(value=NAN),
    "an infinite table": lambda: table(value=INF),
    "a table of objects": lambda: QTable(np.zeros((4, 3, 8), object)),
    "a table of words": lambda: QTable(np.full((4, 3, 8), "a")),
    "no table": lambda: QTable(None),
    "half an epsilon": lambda: replace(table(), epsilon=NAN),
    "too much epsilon": lambda: replace(table(), epsilon=1.5),
    "an epsilon in words": lambda: replace(table(), epsilon="0.5"),
    "an infinite temperature": lambda: replace(table(), temperature=INF),
    "a negative temperature": lambda: replace(table(), temperature=-1.0),
    "epsilon and temperature": lambda: replace(table(), epsilon=0.1, temperature=1.0),
    "a negative seed of a table": lambda: replace(table(), seed=-1),
    "a cell outside the table": lambda: table().act(np.array([12])),
    "half a cell": lambda: table().act(np.array([0.5])),
}


def policies(follow: Callable[[object], object]) -> dict[str, Call]:
    """Have hostile policies followed."""
    calls: dict[str, Call] = {}
    for name, given in PROBABILITIES.items():
        calls[name] = lambda given=given: follow(Says(given))
    for name, given in ANSWERS.items():
        calls[name] = lambda given=given: follow(Does(lambda cells: given))
    calls["no policy"] = lambda: follow(object())
    return calls


ROLLOUTS: dict[str, Call] = {
    **policies(lambda policy: rollout(world(), policy, 3)),
    **TABLES,
    **WORLDS,
    "no agents": lambda: rollout(world(), table(), 0),
    "agents without number": lambda: rollout(world(), table(), 10**12),
    "half an agent": lambda: rollout(world(), table(), 1.5),
    "agents that are no number": lambda: rollout(world(), table(), NAN),
    "a negative lifetime": lambda: rollout(world(), table(), 3, lifetime=-1),
    "a lifetime without end": lambda: rollout(world(), table(), 3, lifetime=10**12),
    "a negative seed": lambda: rollout(world(), table(), 3, seed=-1),
    "a negative layer": lambda: rollout(world(), table(), 3, layer=-1),
    "exploration that is no number": lambda: rollout(world(), table(), 3, explore=NAN),
    "births nowhere": lambda: rollout(world(), table(), 3, born_above=NAN),
    "births by another activation": lambda: births(world(), np.ones((2, 2), np.float32)),
    "no world": lambda: rollout(None, table(), 3),
    "a script from half a row": lambda: scripted(world(), [((0.5, 0), ["same_up"])]),
    "a script from outside": lambda: scripted(world(), [((3, 0), ["same_up"])]),
}


def population(**settings) -> Population:
    made_of = {"agents": 5, "lifetime": 4, **settings}
    one = Population(made_of.pop("agents"), **made_of)
    one.follow(world(), table())
    return one


def cells(*values, dtype=np.int32) -> np.ndarray:
    return np.array(values, dtype)


def moved_on() -> object:
    """A crowd that stands in a large world, and is told to go on in a small one."""
    one = population()
    one.advance(0, cells(8))
    small = grid_world(Grid(1, 1, 1, 1), ACTIONS, np.zeros((1, 1, ACTIONS.n), np.float32))
    one.follow(small, table((1, 1, ACTIONS.n)))
    return one.advance(1, cells(0))


CROWDS: dict[str, Call] = {
    **policies(lambda policy: population().follow(world(), policy)),
    "a start below": lambda: population().advance(0, cells(0, -1)),
    "a start above": lambda: population().advance(0, cells(0, 12)),
    "a start that wraps round": lambda: population().advance(0, cells(2**32, dtype=np.int64)),
    "half a start": lambda: population().advance(0, cells(0.5, dtype=np.float64)),
    "starts in two columns": lambda: population().advance(0, np.zeros((2, 2), np.int32)),
    "a smaller world": moved_on,
    "nobody to follow": lambda: Population(3, lifetime=2).advance(0, cells(0)),
    "half a tick": lambda: population().advance(0.5, cells(0)),
    "a negative tick": lambda: population().advance(-1, cells(0)),
    "half an active agent": lambda: population().advance(0, cells(0), 0.5),
    "births of fewer agents": lambda: population(born=np.zeros(3, np.int64)),
    "births at no time": lambda: population(born=np.full(5, NAN)),
    "agents without number": lambda: population(agents=10**12),
    "half a lifetime": lambda: population(lifetime=1.5),
    "a bonus of fewer actions": lambda: population().follow(world(), table(), bonus=np.ones(3)),
    "a bonus that is no number": lambda: population().follow(
        world(), table(), bonus=np.full(ACTIONS.n, NAN, np.float32)
    ),
    "exploration above 1": lambda: population().follow(world(), table(), explore=2.0),
}


def vector(**settings) -> GlitchGridVectorEnv:
    env = GlitchGridVectorEnv(3, 5, env=GlitchGridEnv.from_world(world(), FRAME), **settings)
    env.reset(seed=0)
    return env


def stepped(actions) -> Call:
    return lambda: vector().step(actions)


def slippery() -> GlitchGridVectorEnv:
    env = GlitchGridVectorEnv(
        3, 5, env=GlitchGridEnv.from_world(dataclasses.replace(world(), slip=0.5), FRAME)
    )
    env.reset(seed=0)
    return env


SLIPPERY_STEPS: dict[str, Call] = {
    "a slip above 1": lambda: dataclasses.replace(world(), slip=1.5),
    "a slip that is no number": lambda: dataclasses.replace(world(), slip=NAN),
    "the action −1 with slip": lambda: slippery().step(np.array([0, -1, 0])),
    "the least number with slip": lambda: slippery().step(np.array([0, 0, -(2**63)])),
    "an action too many with slip": lambda: slippery().step(np.array([0, 0, ACTIONS.n])),
    "2⁶³ − 1 with slip": lambda: slippery().step(np.array([0, 0, 2**63 - 1])),
}
STEPS: dict[str, Call] = {
    **WORLDS,
    "the action −1": stepped(np.array([0, -1, 0])),
    "an action too many": stepped(np.array([0, 0, ACTIONS.n])),
    "2⁶³": stepped(np.array([0, 0, 2**63], np.uint64)),
    "2⁶⁴ − 1": stepped(np.array([0, 0, 2**64 - 1], np.uint64)),
    "the least number": stepped(np.array([0, 0, -(2**63)])),
    "truths for actions": stepped(np.array([True, False, True])),
    "objects for actions": stepped(np.array([0, 1, 2], object)),
    "actions that are not whole": stepped(np.array([0.0, 1.0, 2.0])),
    "actions that are no numbers": stepped(np.full(3, NAN)),
    "actions in words": stepped(np.array(["0", "1", "2"])),
    "fewer actions than agents": stepped(np.array([0, 1])),
    "one action": stepped(0),
    "no actions": stepped(None),
    "ragged actions": stepped([[0], [0, 1], []]),
    "a step before the reset": lambda: GlitchGridVectorEnv(
        3, env=GlitchGridEnv.from_world(world(), FRAME)
    ).step(np.zeros(3, np.int64)),
    "half an action of one agent": lambda: scalar().step(0.5),
    "no action of one agent": lambda: scalar().step(None),
    "an action of one agent that is no number": lambda: scalar().step(NAN),
    "an infinite action of one agent": lambda: scalar().step(INF),
    "the action −1 of one agent": lambda: scalar().step(-1),
    "two actions of one agent": lambda: scalar().step(np.array([0, 1])),
}


def scalar(**settings) -> GlitchGridEnv:
    env = GlitchGridEnv.from_world(world(), FRAME, **settings)
    env.reset(seed=0)
    return env


def placed(**options) -> Call:
    return lambda: vector().reset(options=options)


RESETS: dict[str, Call] = {
    "a cell outside": placed(cell=(3, 0)),
    "a negative cell": placed(cell=(-1, 0)),
    "a cell between two": placed(cell=(1.7, 2.2)),
    "a cell that is no number": placed(cell=(NAN, 0)),
    "an infinite cell": placed(cell=(INF, 0)),
    "a cell with one side": placed(cell=3),
    "a cell far away": placed(cell=(2**70, 0)),
    "a mask of numbers": placed(reset_mask=np.array([1, 0, 1])),
    "a mask of fewer agents": placed(reset_mask=np.array([True])),
    "options in a list": lambda: vector().reset(options=[1]),
    "options of one agent in a list": lambda: scalar().reset(options=[1]),
    "a negative seed": lambda: vector().reset(seed=-1),
    "negative seeds": lambda: vector().reset(seed=[-1, 0, 1]),
    "half a seed": lambda: vector().reset(seed=0.5),
    "half seeds": lambda: vector().reset(seed=[0.5, 0, 1]),
    "fewer seeds than agents": lambda: vector().reset(seed=[1]),
    "agents without number": lambda: GlitchGridVectorEnv(10**12),
    "half an agent": lambda: GlitchGridVectorEnv(2.5),
    "no lifetime": lambda: GlitchGridVectorEnv(2, lifetime=0),
    "a lifetime that is no number": lambda: GlitchGridVectorEnv(2, lifetime=NAN),
    "a true lifetime": lambda: scalar(lifetime=True),
    "half a patch": lambda: scalar(observation="patch", patch_size=2.5),
    "a patch without end": lambda: scalar(observation="patch", patch_size=10**9 + 1),
    "another environment": lambda: GlitchGridVectorEnv(2, env=gym.make("FrozenLake-v1")),
    "an environment without a world": lambda: GlitchGridEnv.from_world(None, FRAME),
}
VECTOR_ROLLOUTS: dict[str, Call] = {
    **{
        name: (lambda given=given: vector().rollout(Says(given), 2))
        for name, given in PROBABILITIES.items()
    },
    **{
        name: (lambda given=given: vector().rollout(given, 2))
        for name, given in ANSWERS.items()
        if isinstance(given, np.ndarray)
    },
    "no policy": lambda: vector().rollout(object(), 2),
    "no steps": lambda: vector().rollout(None, 0),
    "half a step": lambda: vector().rollout(None, 1.5),
    "steps without end": lambda: vector().rollout(None, 10**12),
    "no threads": lambda: vector().rollout(None, 2, threads=0),
    "negative threads": lambda: vector().rollout(None, 2, threads=-1),
}


class Lake(gym.Env):
    """An environment whose tables and observations are whatever they are told to be."""

    def __init__(self, P=None, probs=None, n=4, m=2, seen=None, reward=0.0, start=0) -> None:  # noqa: N803
        self.observation_space = spaces.Discrete(n, start=start)
        self.action_space = spaces.Discrete(m)
        self.seen, self.reward = seen, reward
        if seen is None:
            self.P = healthy_table(n, m) if P is None else P
            self.initial_state_distrib = np.eye(n)[0] if probs is None else probs

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        return self.seen[0], {}

    def step(self, action):
        assert 0 <= action < self.action_space.n
        return self.seen[1], self.reward, False, False, {}


def healthy_table(n=4, m=2):
    return {
        state: {action: [(0.5, (state + action) % n, 1.0, False), (0.5, state, 0.0, True)]
                for action in range(m)}
        for state in range(n)
    }  # fmt: skip


def lake(outcomes, **settings) -> Lake:
    """A lake in which one action leads where it should not."""
    table = healthy_table()
    table[2][1] = outcomes
    return Lake(table, **settings)


def lakes(learn: Callable[[gym.Env], object]) -> dict[str, Call]:
    """Have a learner learn on hostile tables."""
    hostile = {
        "a next state below": lambda: lake([(1.0, -1, 0.0, False)]),
        "a next state above": lambda: lake([(1.0, 4, 0.0, False)]),
        "an end outside": lambda: lake([(1.0, 10**9, 0.0, True)]),
        "half a next state": lambda: lake([(1.0, 1.5, 0.0, False)]),
        "no next state": lambda: lake([(1.0, None, 0.0, False)]),
        "a probability that is no number": lambda: lake([(NAN, 1, 0.0, False)]),
        "a negative probability": lambda: lake([(-1.0, 1, 0.0, False), (2.0, 1, 0.0, False)]),
        "half of the probability": lambda: lake([(0.5, 1, 0.0, False)]),
        "a reward that is no number": lambda: lake([(1.0, 1, NAN, False)]),
        "a reward without end": lambda: lake([(1.0, 1, INF, False)]),
        "a reward that is too large": lambda: lake([(1.0, 1, 1e300, False)]),
        "no outcome": lambda: lake([]),
        "an outcome of three": lambda: lake([(1.0, 1, 0.0)]),
        "outcomes in words": lambda: lake("ab"),
        "no list of outcomes": lambda: lake(None),
        "a missing action": lambda: Lake({s: {0: [(1.0, s, 0.0, True)]} for s in range(4)}),
        "a missing state": lambda: Lake({s: healthy_table()[s] for s in range(3)}),
        "states from 1": lambda: Lake({s + 1: row for s, row in healthy_table().items()}),
        "more states than observations": lambda: Lake(healthy_table(n=5)),
        "more actions than may be taken": lambda: Lake(healthy_table(m=3)),
        "no table": lambda: Lake(7),
        "no start": lambda: Lake(probs=np.zeros(4)),
        "a start that is no number": lambda: Lake(probs=np.array([NAN, 0, 0, 1])),
        "a negative start": lambda: Lake(probs=np.array([-1.0, 1, 0, 1])),
        "starts of fewer states": lambda: Lake(probs=np.array([1.0])),
        "starts of more states": lambda: Lake(probs=np.full(5, 0.2)),
        "starts in words": lambda: Lake(probs="abcd"),
        "states from 3 on": lambda: Lake(start=3),
        "states without end": lambda: Lake({}, np.ones(1), n=10**12),
    }
    return {name: (lambda make=make: learn(make())) for name, make in hostile.items()}


def seas(learn: Callable[[gym.Env], object]) -> dict[str, Call]:
    """Have a learner step hostile environments."""
    seen: dict[str, dict[str, object]] = {
        "an observation below": {"seen": (0, -1)},
        "an observation above": {"seen": (0, 4)},
        "an observation far above": {"seen": (0, 2**70)},
        "a first observation above": {"seen": (4, 0)},
        "half an observation": {"seen": (0, 0.5)},
        "an observation that is no number": {"seen": (0, NAN)},
        "no observation": {"seen": (None, 0)},
        "two observations": {"seen": (0, np.array([0, 1]))},
        "a reward that is no number": {"seen": (0, 1), "reward": NAN},
        "a reward without end": {"seen": (0, 1), "reward": INF},
        "no reward": {"seen": (0, 1), "reward": None},
        "states without end": {"seen": (0, 1), "n": 10**12},
    }
    return {
        name: (lambda given=given: learn(Lake(**given)))
        for name, given in seen.items()  # type: ignore[arg-type]
    }


def set_to(learner: type, **settings) -> Call:
    return lambda: learner(**settings).learn(world(), episodes=2)


SETTINGS: dict[str, Call] = {
    "no episodes": lambda: QLearning().learn(world(), episodes=0),
    "negative episodes": lambda: Sarsa().learn(world(), episodes=-1),
    "half an episode": lambda: Sarsa().learn(world(), episodes=1.5),
    "episodes without number": lambda: Sarsa().learn(world(), episodes=10**30),
    "a negative seed": lambda: QLearning().learn(world(), episodes=2, seed=-1),
    "half a seed": lambda: QLearning().learn(world(), episodes=2, seed=0.5),
    "no environment": lambda: QLearning().learn(None, episodes=2),
    "a start of another shape": lambda: QLearning().learn(
        world(), episodes=2, start=table((3, 4, 8))
    ),
    "a start that is no table": lambda: QLearning().learn(world(), episodes=2, start=[1]),
    "alpha that is no number": set_to(QLearning, alpha=NAN),
    "alpha in words": set_to(QLearning, alpha="much"),
    "alpha above 1": set_to(Sarsa, alpha=1.5),
    "a schedule without end": lambda: Schedule(0.5, INF),
    "a schedule over nothing": lambda: Schedule(0.5, 0.5, over=NAN),
    "gamma that is no number": set_to(QLearning, gamma=NAN),
    "gamma above 1": set_to(QLearning, gamma=1.5),
    "gamma of nothing": set_to(QLearning, gamma=None),
    "a negative epsilon": set_to(QLearning, epsilon=-0.1),
    "an initial value without end": set_to(QLearning, initial=INF),
    "lambda that is no number": set_to(QLambda, lambda_=NAN),
    **WORLDS,
}
PLANS: dict[str, Call] = {
    **WORLDS,
    "gamma that is no number": lambda: state_values(world(), NAN),
    "gamma above 1": lambda: ExactPlanner(gamma=1.1),
    "gamma of 1 where rewards never end": lambda: state_values(world(), 1.0),
    "a tolerance of nothing": lambda: state_values(world(), tolerance=0.0),
    "a tolerance that is no number": lambda: ExactPlanner(tolerance=NAN),
    "no world": lambda: state_values(None),
    "an environment without a world": lambda: ExactPlanner().learn(gym.make("CartPole-v1")),
    **lakes(lambda env: ExactPlanner().learn(env)),
}
EVALUATIONS: dict[str, Call] = {
    **policies(lambda policy: policy_values(world(), policy)),
    **{
        f"an array of {name}": (lambda given=given: optimality(world(), given))
        for name, given in (PROBABILITIES | ANSWERS).items()
        if isinstance(given, np.ndarray)
    },
    "a tolerance that is no number": lambda: policy_values(world(), probs(), tolerance=NAN),
    "no world": lambda: policy_values(None, probs()),
}


def walks(cells, actions, lengths=None) -> Trajectories:
    stamped, taken = np.array(cells, np.int32), np.array(actions, np.int32)
    taken_by = np.full(len(stamped), stamped.shape[1], np.int32) if lengths is None else lengths
    return Trajectories(stamped, taken, np.asarray(taken_by))


def replayed(cells, actions, lengths=None, grid=GRID, frame=FRAME) -> Call:
    return lambda: replay(frame, grid, ACTIONS, walks(cells, actions, lengths))


def canvas() -> Canvas:
    one = Canvas(GRID, ACTIONS, 36, 30)
    one.stamp(cells([1, 2, 7], [4, 5, 8]), cells([3, 7, 11], [4, 1, 9]))
    return one


STAMPS: dict[str, Call] = {
    "a cell above": replayed([[12]], [[0]]),
    "a cell far above": replayed([[2**31 - 1]], [[0]]),
    "a prohibited cell": replayed([[9]], [[0]]),
    "an action too many": replayed([[1]], [[ACTIONS.n]]),
    "the action −1": replayed([[1]], [[-1]]),
    "a cell that wraps round": lambda: Trajectories(
        cells([2**32], dtype=np.int64), cells([0]), cells(1)
    ),
    "half a cell": lambda: Trajectories(cells([0.5], dtype=np.float64), cells([0]), cells(1)),
    "an action that is no number": lambda: Trajectories(
        cells([0]), cells([NAN], dtype=np.float64), cells(1)
    ),
    "a negative length": replayed([[1]], [[0]], [-1]),
    "a length beyond the steps": replayed([[1]], [[0]], [2]),
    "lengths of other agents": replayed([[1]], [[0]], [1, 1]),
    "a smaller grid": replayed([[8]], [[0]], grid=Grid(2, 3, 2, 3)),
    "a grid finer than the frame": replayed([[8]], [[0]], frame=FRAME[:2]),
    "a frame without colours": replayed([[8]], [[0]], frame=FRAME[:, :, 0]),
    "a frame of other numbers": replayed([[8]], [[0]], frame=FRAME.astype(np.float32)),
    "half a cell of a walk": lambda: replay_walk(FRAME, world(), [(0.5, 1)]),
    "a cell above of a walk": lambda: replay_walk(FRAME, world(), [(12, 1)]),
    "walks of different lengths": lambda: replay_walks(FRAME, world(), cells([1]), cells([1, 2])),
    "fewer actions than cells": lambda: canvas().stamp(cells([1, 2]), cells([3])),
    "fewer counters than agents": lambda: canvas().stamp(
        cells([1, 2]), cells([3, 3]), np.zeros(1, np.int64)
    ),
}
PAINTINGS: dict[str, Call] = {
    "a smaller frame": lambda: canvas().paint(FRAME[:20].copy()),
    "a larger frame": lambda: canvas().paint(np.zeros((72, 60, 3), np.uint8)),
    "a frame of other numbers": lambda: canvas().paint(FRAME.astype(np.int64)),
    "a smaller frame before": lambda: canvas().paint(FRAME.copy(), earlier=(FRAME[:20],)),
}


def learned(*learners) -> Call:
    return lambda: [one().learn(world(), episodes=20, seed=1) for one in learners]


def painted() -> object:
    one, still, moving = canvas(), FRAME.copy(), FRAME.copy()
    one.paint(still)
    one.paint(moving, earlier=(np.roll(FRAME, 3, axis=1),))
    return still, moving


def laid_over(frame=FRAME, mask=None) -> object:
    pixels = frame.copy()
    paint_over(canvas(), pixels, Overlay(0.5, "screen", mask))
    return pixels


TEXTBOOK = (Sarsa, ExpectedSarsa, DoubleQLearning, QLambda)


@dataclass(frozen=True)
class Entry:
    """A healthy call that runs a compiled function, and hostile ones that must not get there."""

    healthy: Call
    hostile: dict[str, Call]


PLANNING = Entry(
    lambda: [ExactPlanner(gamma=gamma).learn(world()) for gamma in (0.95, 1 - 1e-9)], PLANS
)
PAINTING = Entry(painted, PAINTINGS)
SWEEPING = Entry(lambda: ModelBased().learn(world(), episodes=60), WORLDS | {
    "no episodes": lambda: ModelBased().learn(world(), episodes=0),
    "half an episode": lambda: ModelBased().learn(world(), episodes=0.5),
    "hope that is no number": lambda: ModelBased(prune_below=NAN),
    "no world": lambda: ModelBased().learn(Lake(), episodes=2),
})  # fmt: skip
ASKING = Entry(
    lambda: [
        rollout(
            world(), Does(lambda cells: cells % ACTIONS.n), agents, repeat=repeat, ask_once=False
        )
        for agents, repeat in ((30, False), (30, True), (np.array([0, 8, 2]), False))
    ],
    {
        **{
            name: (lambda given=given: rollout(
                world(), Does(lambda cells: given), np.arange(9), ask_once=False
            ))
            for name, given in ANSWERS.items()
            if name != "actions of fewer cells"
        },
        "no policy": lambda: rollout(world(), object(), 3, ask_once=False),
        "exploration above 1": lambda: rollout(
            world(), Does(lambda cells: cells * 0), 3, ask_once=False, explore=1.5
        ),
        "no starting cells": lambda: rollout(world(), table(), np.array([], np.int64)),
        "a starting cell below": lambda: rollout(world(), table(), cells(0, -1)),
        "a starting cell above": lambda: rollout(world(), table(), cells(0, 12)),
        "a starting cell that is prohibited": lambda: rollout(world(), table(), cells(0, 9)),
        "a starting cell that wraps round": lambda: rollout(
            world(), table(), cells(2**32, dtype=np.int64)
        ),
        "half a starting cell": lambda: rollout(world(), table(), cells(0.5, dtype=np.float64)),
        "starting cells that are drawn afresh": lambda: rollout(
            world(), table(), cells(0), repeat=True
        ),
        "a chunk of nothing": lambda: rollout_chunks(world(), table(), 3, chunk=0),
    },
)  # fmt: skip
STEPPING = Entry(
    lambda: [one().learn(Lake(seen=(0, 1)), episodes=2) for one in (QLearning, *TEXTBOOK)],
    {
        **seas(lambda env: QLearning().learn(env, episodes=2)),
        **{f"{name} (traces)": call for name, call in
           seas(lambda env: QLambda().learn(env, episodes=2)).items()},
    },
)  # fmt: skip


class Fleet(gym.vector.VectorEnv):
    """A vector environment whose steps bring whatever they are told to bring."""

    num_envs = 2
    single_observation_space = spaces.Discrete(4)
    single_action_space = spaces.Discrete(2)

    def __init__(self, seen=(0, 1), rewards=(0.0, 0.0), over=(False, True), final=(1, 2)) -> None:
        self.metadata = {"autoreset_mode": gym.vector.AutoresetMode.SAME_STEP}
        self.bring = [np.asarray(seen), np.asarray(rewards), np.asarray(over)]
        self.final = final

    def reset(self, *, seed=None, options=None):
        return np.array([3, 0]), {}

    def step(self, actions):
        seen, rewards, over = self.bring
        return seen, rewards, np.zeros(2, bool), over, {"final_obs": self.final}


def fleet(learner=QLambda, **bring) -> Call:
    return lambda: learner().learn(Fleet(**bring), episodes=5)


FLEET = Entry(
    lambda: [fleet(one)() for one in (QLearning, *TEXTBOOK)],
    {
        "a state below": fleet(seen=(0, -1)),
        "a state above": fleet(seen=(0, 4)),
        "a state that wraps round": fleet(seen=(0, 2**32)),
        "half a state": fleet(seen=(0.5, 1.0)),
        "states of more agents": fleet(seen=(0, 1, 2)),
        "states in two columns": fleet(seen=((0, 1), (0, 1))),
        "states that are objects": fleet(seen=np.array([0, None])),
        "a last state above": fleet(final=(0, 4)),
        "a last state that is no number": fleet(final=(0, None)),
        "fewer last states": fleet(final=(0,)),
        "a reward that is no number": fleet(rewards=(NAN, 0.0)),
        "a reward without end": fleet(rewards=(INF, 0.0)),
        "rewards of fewer agents": fleet(rewards=(0.0,)),
        "ends of more agents": fleet(over=(True, True, True)),
        "ends that are numbers": fleet(over=(0, 1)),
    },
)
SHRINKING = Entry(
    lambda: [compute_activation(np.zeros(shape, np.uint8)) for shape in ((1, 700, 3), (700, 9, 3))],
    {
        "a frame of floats": lambda: compute_activation(FRAME.astype(float)),
        "a grey frame": lambda: compute_activation(FRAME[:, :, 0]),
        "a frame of no rows": lambda: compute_activation(FRAME[:0]),
    },
)

ENTRIES: dict[str, Entry] = {
    "glitch_gym.seeding.first_draws": Entry(
        lambda: [vector().reset(seed=seed) for seed in (0, 2**64 - 1, [None, 2**70, 5])], RESETS
    ),
    "glitch_gym.activation.shrinking._shrink_columns": SHRINKING,
    "glitch_gym.activation.shrinking._shrink_rows": SHRINKING,
    "glitch_gym.vector_kernels.begin_episodes": Entry(lambda: vector().reset(seed=3), RESETS),
    "glitch_gym.vector_kernels.slip_actions": Entry(
        lambda: slippery().step(np.array([0, 3, 7])), SLIPPERY_STEPS
    ),
    "glitch_gym.vector_kernels.step_agents": Entry(
        lambda: [vector().step(np.array([0, 3, 7], kind)) for kind in (np.int64, np.uint64, "i1")],
        STEPS,
    ),
    "glitch_gym.vector_kernels.roll_out": Entry(
        lambda: [
            vector().rollout(policy, 9, threads=threads)
            for policy in (None, act(1), Says(probs()), table())
            for threads in (1, 2, 10**9)
        ],
        VECTOR_ROLLOUTS,
    ),
    "glitch_agents.model_based._explore": SWEEPING,
    "glitch_agents.model_based._spread_novelty": SWEEPING,
    "glitch_agents.rollout_kernels.walk": Entry(
        lambda: [
            rollout(world(), policy, 30, repeat=repeat, explore=explore)
            for policy in (table(), Says(probs()), Does(lambda cells: cells % ACTIONS.n))
            for repeat in (False, True)
            for explore in (None, 0.5)
        ],
        ROLLOUTS,
    ),
    "glitch_agents.rollout_kernels.place": ASKING,
    "glitch_agents.rollout_kernels.take": ASKING,
    "glitch_agents.rollout_kernels.best_actions": Entry(lambda: population(), CROWDS | TABLES),
    "glitch_agents.population._advance": Entry(
        lambda: [
            population(respawn=True).advance(tick, world().picture_cells) for tick in range(6)
        ],
        CROWDS,
    ),
    "glitch_agents.q_learning._learn": Entry(
        learned(QLearning), SETTINGS | lakes(lambda env: QLearning().learn(env, episodes=2))
    ),
    "glitch_agents.td_kernels.learn_episodes": Entry(
        lambda: [learned(*TEXTBOOK)(), QLearning().learn(Lake(), episodes=9)],
        SETTINGS | lakes(lambda env: Sarsa().learn(env, episodes=2)),
    ),
    "glitch_agents.td_kernels.choose_action": STEPPING,
    "glitch_agents.td_kernels.learn_step": STEPPING,
    "glitch_agents.td_kernels.begin_episodes": FLEET,
    "glitch_agents.td_kernels.learn_tick": FLEET,
    "glitch_agents.grid_planning._best_per_move": PLANNING,
    "glitch_agents.grid_planning._sweep": PLANNING,
    "glitch_agents.grid_planning._follow_moves": PLANNING,
    "glitch_agents.grid_planning._follow_exactly": PLANNING,
    "glitch_agents.grid_planning._improve_exactly": PLANNING,
    "glitch_agents.grid_planning.evaluate_in_grid": Entry(
        lambda: [optimality(world(), policy) for policy in (table(), act(1), probs())], EVALUATIONS
    ),
    "glitch_render.engine.canvas._check_stamps": Entry(canvas, STAMPS),
    "glitch_render.engine.execute.execute": Entry(canvas, STAMPS),
    "glitch_render.engine.schedule.survey": PAINTING,
    "glitch_render.engine.painting.resolve": PAINTING,
    "glitch_render.engine.painting.paint_symbols": PAINTING,
    "glitch_render.engine.painting.run_ops": PAINTING,
    "glitch_render.engine.schedule._in_order": PAINTING,
    "glitch_render.engine.blending.lay_over": Entry(
        lambda: [laid_over(), laid_over(mask=np.full((9, 9), 99, np.uint8))],
        {"a smaller frame": lambda: laid_over(FRAME[:20])},
    ),
    "glitch_render.effects.motion._search": Entry(
        lambda: block_motion(FRAME, np.roll(FRAME, 2, axis=0), 4),
        {
            "a frame before of another size": lambda: block_motion(FRAME[:20], FRAME, 4),
            "frames without colours": lambda: block_motion(FRAME[:, :, 0], FRAME[:, :, 0], 4),
            "blocks of nothing": lambda: block_motion(FRAME, FRAME, 0),
        },
    ),
    "glitch_render.effects.motion.move_blocks": PAINTING,
}
REFUSALS = (GlitchError, gym.error.Error)


def modules() -> dict[str, ast.Module]:
    """Parse every module of the three packages."""
    parsed = {}
    for package in (glitch_gym, glitch_agents, glitch_render):
        found = pkgutil.walk_packages(package.__path__, f"{package.__name__}.")
        for name in (package.__name__, *(module.name for module in found)):
            spec = importlib.util.find_spec(name)
            if spec is not None and spec.origin is not None:
                parsed[name] = ast.parse(Path(spec.origin).read_text("utf-8"))
    return parsed


def is_compiled(node: ast.AST) -> bool:
    return isinstance(node, ast.FunctionDef) and any(
        isinstance(one, ast.Name) and one.id in ("compiled", "inlined", "borrowing")
        for one in node.decorator_list
    )


@cache
def bundles() -> tuple[str, ...]:
    """Find the bundles of arrays that kernels take: the modules' named tuples."""
    return tuple(
        node.targets[0].id
        for tree in modules().values()
        for node in tree.body
        if isinstance(node, ast.Assign)
        and isinstance(node.targets[0], ast.Name)
        and isinstance(node.value, ast.Call)
        and ast.unparse(node.value.func) == "namedtuple"
    )


def takes_arrays(node: ast.FunctionDef) -> bool:
    return any(
        bundle in ast.unparse(one.annotation)
        for one in node.args.args
        if one.annotation
        for bundle in ("NDArray", *bundles())
    )


def entries() -> set[str]:
    """Find the compiled functions that take arrays and that plain Python calls."""
    parsed = modules()
    found = {
        f"{module}.{node.name}"
        for module, tree in parsed.items()
        for node in ast.walk(tree)
        if isinstance(node, ast.FunctionDef) and is_compiled(node) and takes_arrays(node)
    }
    called = set()
    for module, tree in parsed.items():
        here = {
            name.rpartition(".")[2]: name for name in found if name.rpartition(".")[0] == module
        }
        for node in ast.walk(tree):
            if isinstance(node, ast.ImportFrom):
                for one in node.names:
                    if f"{node.module}.{one.name}" in found:
                        here[one.asname or one.name] = f"{node.module}.{one.name}"
        waiting: list[ast.AST] = [tree]
        while waiting:
            node = waiting.pop()
            if is_compiled(node):
                continue
            if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Load) and node.id in here:
                called.add(here[node.id])
            waiting.extend(ast.iter_child_nodes(node))
    return called


def test_every_compiled_function_that_python_calls_is_tried():
    assert entries() == set(ENTRIES)


def hostile_calls() -> dict[str, Call]:
    """Name the hostile calls of all entries, each once: many entries share some."""
    named = {call: f"{name.removeprefix('glitch_')}: {what}"
             for name, entry in ENTRIES.items()
             for what, call in entry.hostile.items()}  # fmt: skip
    return {name: call for call, name in named.items()}


HOSTILE = hostile_calls()


@pytest.mark.parametrize("what", HOSTILE)
def test_what_is_hostile_is_refused_in_words(what):
    with pytest.raises(REFUSALS) as refused:
        HOSTILE[what]()
    assert "\n" not in str(refused.value)
    assert 10 < len(str(refused.value)) < 300


def check_all() -> list[str]:
    """Make all calls, and list what went wrong."""
    wrong = []
    for name, entry in ENTRIES.items():
        try:
            entry.healthy()
        except Exception as error:
            wrong.append(f"{name}: {error!r}")
        module, _, function = name.rpartition(".")
        if not getattr(importlib.import_module(module), function).signatures:
            wrong.append(f"{name} is not reached by its healthy call")
    for what, call in HOSTILE.items():
        try:
            call()
        except REFUSALS:
            continue
        except Exception as error:
            wrong.append(f"{what}: {error!r}")
        else:
            wrong.append(f"{what}: taken")
    return wrong


@pytest.mark.slow
def test_with_bounds_checks_on_nothing_leaves_its_array(tmp_path):
    folders = os.pathsep.join([str(Path(__file__).parent), *sys.path])
    settings = {
        "NUMBA_BOUNDSCHECK": "1",
        "NUMBA_CACHE_DIR": str(tmp_path / "numba"),
        "PYTHONPATH": folders,
    }
    script = "import json, test_hostile_arrays as t; print(json.dumps(t.check_all()))"
    done = subprocess.run(
        [sys.executable, "-c", script],
        env=os.environ | settings,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    assert json.loads(done.stdout.splitlines()[-1]) == []
