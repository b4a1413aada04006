"""The decision process that a tabular learner faces, as arrays.

It is a grid world's, or that of any environment with Discrete spaces.

In a stochastic process an action has several outcomes; they lie side by side in the last axis, and
a learner draws one. In a grid world each action has one outcome, and its tables are used as they
are.
"""

from __future__ import annotations

import math
import operator
from collections import namedtuple
from dataclasses import dataclass, replace
from typing import Any, SupportsFloat

import gymnasium as gym
import numpy as np
from gymnasium import spaces, wrappers
from numpy.typing import NDArray

from glitch_gym.checks import MOST_STEPS, shown
from glitch_gym.compilation import inlined
from glitch_gym.dynamics import EXIT, LIFETIME, GridWorld, refuse_slip
from glitch_gym.env import GlitchGridEnv
from glitch_gym.errors import SettingError
from glitch_gym.randomness import below, draw, pick, stream

__all__ = [
    "MDPTables",
    "TabularMDP",
    "checked_reward",
    "checked_state",
    "discrete_sizes",
    "lifetime_of",
    "outcome",
    "start_state",
    "table_shape",
    "tabular_mdp",
    "world_of",
    "world_tables",
]

_ENDLESS = 1000
_MOST_VALUES = 10**8
_LARGEST_REWARD = float(np.finfo(np.float32).max)

# Through these an environment's tables may be read: they change neither what is observed, nor what
# an action does, nor its reward. A subclass of one may, so types are compared as they are.
_HARMLESS = (
    wrappers.Autoreset,
    wrappers.HumanRendering,
    wrappers.OrderEnforcing,
    wrappers.PassiveEnvChecker,
    wrappers.RecordEpisodeStatistics,
    wrappers.RecordVideo,
    wrappers.RenderCollection,
    wrappers.TimeLimit,
)


MDPTables = namedtuple(
    "MDPTables", ["next_state", "rewards", "cumulative", "starts", "start_cumulative"]
)
MDPTables.__doc__ = """What compiled code knows of a tabular Markov decision process.

Args:
    next_state: int32 (states, actions · outcomes), −1 for the end of an episode.
    rewards: float32 (states, actions · outcomes).
    cumulative: float64 (states, actions · outcomes), cumulative probabilities of each action's
        outcomes; (0, 0) if every action has one outcome.
    starts: int32 (n_starts,), states that episodes start in.
    start_cumulative: float64 (1, n_starts), their cumulative probabilities; (0, 0) if they are
        equally likely.
"""


@dataclass(frozen=True, eq=False)
class TabularMDP:
    """A tabular Markov decision process.

    Args:
        tables: its dynamics.
        n_actions: number of actions.
        n_moves: actions that are equal modulo this number lead to the same state.
        shape: shape of the Q-table, (rows, cols, n_actions).
    """

    tables: MDPTables
    n_actions: int
    n_moves: int
    shape: tuple[int, int, int]


@inlined
def start_state(mdp: MDPTables, bits: np.uint64) -> int:
    """Draw the state that an episode starts in."""
    if mdp.start_cumulative.shape[0] == 0:
        start = below(bits, mdp.starts.shape[0])
    else:
        start = pick(mdp.start_cumulative, 0, 0, mdp.starts.shape[0], bits)
    return int(mdp.starts[start])


@inlined
def outcome(
    mdp: MDPTables, n_outcomes: int, state: int, action: int, episode: np.uint64, step: int
) -> int:
    """Draw the outcome of an action, as a column of the tables."""
    column = action
    if n_outcomes > 1:
        bits = draw(stream(episode, 1), step)
        column = pick(mdp.cumulative, state, action * n_outcomes, n_outcomes, bits)
    return column


def _changing_wrapper(env: gym.Env[Any, Any]) -> gym.Wrapper[Any, Any, Any, Any] | None:
    """Return the outermost wrapper that may change what is observed, done or rewarded."""
    while isinstance(env, gym.Wrapper):
        if type(env) not in _HARMLESS:
            return env
        env = env.env
    return None


def _world_behind(env: gym.Env[Any, Any] | GridWorld) -> GridWorld | None:
    if isinstance(env, GridWorld):
        return env
    inner = env.unwrapped
    # A subclass with steps of its own does not keep to the world's tables
    kind = type(inner)
    plain = isinstance(inner, GlitchGridEnv) and (
        (kind.step, kind.reset) == (GlitchGridEnv.step, GlitchGridEnv.reset)
    )
    return inner.world if plain and isinstance(inner, GlitchGridEnv) else None


def world_of(env: gym.Env[Any, Any] | GridWorld) -> GridWorld:
    """Return the grid world behind an environment.

    Raises:
        SettingError: the environment has none, or a wrapper may change it.
    """
    _check_env(env)
    world = _world_behind(env)
    if world is None:
        raise SettingError(f"this needs a GlitchGrid environment, not {shown(env)}")
    wrapper = None if isinstance(env, GridWorld) else _changing_wrapper(env)
    if wrapper is not None:
        raise SettingError(
            f"this reads the grid world itself, which the wrapper {type(wrapper).__name__} may "
            f"change: take the wrapper off, or a learner that steps, such as QLearning"
        )
    return world


def _check_env(env: object) -> None:
    if not isinstance(env, GridWorld | gym.Env):
        raise SettingError(f"this needs a Gymnasium environment, not {shown(env)}")


def lifetime_of(env: gym.Env[Any, Any] | GridWorld) -> int:
    """Return the steps after which an environment truncates.

    The post's 20 for a grid world, and 1000 for another environment, where there is no limit.
    """
    if isinstance(env, GridWorld):
        return LIFETIME
    limits: list[object] = [] if env.spec is None else [env.spec.max_episode_steps]
    inner: gym.Env[Any, Any] = env
    while isinstance(inner, gym.Wrapper):
        limits.append(getattr(inner, "_max_episode_steps", None))
        inner = inner.env
    ours = isinstance(inner, GlitchGridEnv)
    limits.append(getattr(inner, "lifetime", None) if ours else None)
    known = [int(limit) for limit in limits if isinstance(limit, int | np.integer) and limit > 0]
    return min([*known, MOST_STEPS] if known else [LIFETIME if ours else _ENDLESS])


def world_tables(world: GridWorld) -> MDPTables:
    """Return the tables of a grid world.

    Raises:
        SettingError: the world has slip.
    """
    refuse_slip(world)
    unused = np.empty((0, 0))
    return MDPTables(world.next_state, world.rewards, unused, world.picture_cells, unused)


def tabular_mdp(env: gym.Env[Any, Any] | GridWorld) -> TabularMDP | None:
    """Read the tables of an environment: its grid world's, or its ``P`` as toy-text has it.

    Returns:
        ``None`` for an environment that can only be stepped: it has neither, or a wrapper lies
        between that may change what they say.

    Raises:
        SettingError: the environment's spaces are not Discrete, or its tables are wrong.
    """
    _check_env(env)
    wrapped = not isinstance(env, GridWorld) and _changing_wrapper(env) is not None
    world = _world_behind(env)
    slips = world is not None and world.slip > 0 and not isinstance(env, GridWorld)
    if world is not None and not wrapped and not slips:
        return TabularMDP(
            world_tables(world),
            world.actions.n,
            world.actions.n_moves,
            (world.grid.rows, world.grid.cols, world.actions.n),
        )
    assert not isinstance(env, GridWorld)
    n_states, n_actions = discrete_sizes(env)
    inner = env.unwrapped
    transitions = getattr(inner, "P", None)
    probs = getattr(inner, "initial_state_distrib", None)
    # Taxi's fickle passengers change their minds outside P
    fickle = bool(getattr(inner, "fickle_passenger", False))
    # A subclass of ours with steps of its own does not keep to the tables that it inherits
    changed = isinstance(inner, GlitchGridEnv) and world is None
    if wrapped or fickle or changed or transitions is None or probs is None:
        return None
    mdp = _read_tables(transitions, probs, n_states, n_actions)
    return replace(mdp, shape=table_shape(env))


def _read_tables(transitions: Any, probs: Any, n_states: int, n_actions: int) -> TabularMDP:
    """Read ``P`` and ``initial_state_distrib``, and refuse what compiled code could not follow."""
    starts, start_cumulative = _read_starts(probs, n_states)
    rows = _rows_of(transitions, n_states, n_actions)
    n_outcomes = max(len(row) for row in rows)
    if n_states * n_actions * n_outcomes > _MOST_VALUES:
        raise SettingError(
            f"P has {n_outcomes} outcomes for an action of {n_states} states: too many for a table"
        )
    shape = (n_states * n_actions, n_outcomes)
    next_state = np.full(shape, EXIT, np.int32)
    rewards = np.zeros(shape, np.float32)
    probability = np.zeros(shape)
    for place, row in enumerate(rows):
        where = f"P[{place // n_actions}][{place % n_actions}]"
        for column, one in enumerate(row):
            prob, successor, reward, done = _read_outcome(where, one, n_states)
            next_state[place, column] = EXIT if done else successor
            rewards[place, column] = reward
            probability[place, column] = prob
        total = probability[place].sum()
        if not abs(total - 1) <= 1e-6:
            raise SettingError(f"the probabilities of {where} sum to {total:g}, not to 1")
    flat = (n_states, n_actions * n_outcomes)
    tables = MDPTables(
        next_state.reshape(flat),
        rewards.reshape(flat),
        np.cumsum(probability, axis=1).reshape(flat) if n_outcomes > 1 else np.empty((0, 0)),
        starts,
        start_cumulative,
    )
    return TabularMDP(tables, n_actions, n_actions, (n_states, 1, n_actions))


def _rows_of(transitions: Any, n_states: int, n_actions: int) -> list[Any]:
    """Return the outcomes of each action of each state, in one list.

    Raises:
        SettingError: ``P`` is not made of as many states and actions as the spaces say.
    """
    try:
        if len(transitions) != n_states:
            raise SettingError(
                f"P has {len(transitions)} states, and the observation space {n_states}"
            )
        rows = []
        for state in range(n_states):
            if len(transitions[state]) != n_actions:
                raise SettingError(
                    f"P[{state}] has {len(transitions[state])} actions, and the action space "
                    f"{n_actions}"
                )
            for action in range(n_actions):
                rows.append(transitions[state][action])
                if len(rows[-1]) == 0:
                    raise SettingError(f"P[{state}][{action}] is empty: an action leads somewhere")
    except (KeyError, IndexError, TypeError) as error:
        raise SettingError(
            "P must be P[state][action] = [(probability, next state, reward, terminated), …] for "
            f"{n_states} states and {n_actions} actions, numbered from 0"
        ) from error
    return rows


def _read_outcome(where: str, one: Any, n_states: int) -> tuple[float, int, float, bool]:
    """Return probability, next state, reward and termination of one outcome of ``P``."""
    try:
        prob, successor, reward, done = one
        prob, reward, done = float(prob), float(reward), bool(done)
    except (TypeError, ValueError) as error:
        raise SettingError(
            f"{where} must hold (probability, next state, reward, terminated), not {shown(one)}"
        ) from error
    if not 0 <= prob <= 1 + 1e-6:
        raise SettingError(f"{where} has the probability {prob:g}")
    successor = checked_state(successor, n_states, f"the next state of {where}")
    return prob, successor, checked_reward(reward, where), done


def _read_starts(probs: Any, n_states: int) -> tuple[NDArray[np.int32], NDArray[np.float64]]:
    """Return the states that episodes start in, and their cumulative probabilities, (1, n)."""
    try:
        shares = np.asarray(probs, np.float64)
    except (TypeError, ValueError):
        shares = np.empty(0)
    if shares.shape != (n_states,):
        raise SettingError(
            f"initial_state_distrib must hold {n_states} probabilities, not {shown(probs)}"
        )
    total = float(shares.sum())
    # NaN fails both comparisons
    if not (shares >= 0).all() or not abs(total - 1) <= 1e-6:
        raise SettingError(
            f"the probabilities of initial_state_distrib must be at least 0 and sum to 1, not to "
            f"{total:g}"
        )
    starts = np.flatnonzero(shares > 0).astype(np.int32)
    return starts, np.cumsum(shares[starts])[None]


def checked_state(given: object, n_states: int, what: str = "the observation") -> int:
    """Return an observation of a Discrete space as a number.

    Args:
        given: the observation.
        n_states: size of the space.
        what: name of the observation in an error message.

    Raises:
        SettingError: the observation is not a whole number, or lies outside the space.
    """
    try:
        state = operator.index(given)  # type: ignore[arg-type]
    except TypeError:
        state = -1
    if not 0 <= state < n_states:
        raise SettingError(
            f"{what} is {shown(given)}, outside Discrete({n_states}): mend the environment or its "
            f"space"
        )
    return state


def checked_reward(given: SupportsFloat, what: str = "a step") -> float:
    """Return a reward as a number.

    Args:
        given: the reward.
        what: name of its origin in an error message.

    Raises:
        SettingError: the reward is not a number, or does not fit single precision.
    """
    try:
        reward = float(given)
    except (TypeError, ValueError, OverflowError):
        reward = math.nan
    if not abs(reward) <= _LARGEST_REWARD:
        raise SettingError(f"the reward of {what} must be a finite number, not {shown(given)}")
    return reward


def discrete_sizes(env: gym.Env[Any, Any]) -> tuple[int, int]:
    """Return the numbers of states and actions of an environment.

    Raises:
        SettingError: its spaces are not Discrete from 0, or too large for a table.
    """
    for space in (env.observation_space, env.action_space):
        if not isinstance(space, spaces.Discrete) or space.start != 0:
            raise SettingError(
                f"a tabular learner needs Discrete spaces from 0, not {shown(space)}"
            )
    n_states, n_actions = int(env.observation_space.n), int(env.action_space.n)  # type: ignore[attr-defined]
    if n_states * n_actions > _MOST_VALUES:
        raise SettingError(
            f"a table of {n_states:,} states and {n_actions:,} actions is too large for a tabular "
            f"learner: at most {_MOST_VALUES:,} values"
        )
    return n_states, n_actions


def table_shape(env: gym.Env[Any, Any]) -> tuple[int, int, int]:
    """Return the shape of the Q-table of an environment that is stepped.

    It is the grid's where a wrapped GlitchGrid still observes cells, so that the table fits its
    world.
    """
    n_states, n_actions = discrete_sizes(env)
    world = _world_behind(env)
    if world is not None and (world.grid.n_cells, world.actions.n) == (n_states, n_actions):
        return world.grid.rows, world.grid.cols, n_actions
    return n_states, 1, n_actions
