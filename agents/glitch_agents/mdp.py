"""The decision process that a tabular learner faces, as arrays.

It is a grid world's, or that of any environment with Discrete spaces.

In a stochastic process an action has several outcomes; they lie side by side in the last axis, and
a learner draws one. In a grid world each action has one outcome, and its tables are used as they
are.
"""

from __future__ import annotations

from collections import namedtuple
from dataclasses import dataclass
from typing import Any, NamedTuple

import gymnasium as gym
import numpy as np
from gymnasium import spaces, wrappers
from gymnasium.vector import VectorWrapper
from gymnasium.wrappers import vector as vector_wrappers
from numpy.typing import NDArray

from glitch_agents.states import MOST_VALUES, checked_reward, checked_state, discrete_sizes
from glitch_gym.checks import MOST_STEPS, shown
from glitch_gym.compilation import inlined
from glitch_gym.dynamics import EXIT, LIFETIME, GridWorld, refuse_slip
from glitch_gym.env import GlitchGridEnv
from glitch_gym.errors import SettingError
from glitch_gym.randomness import below, draw, pick, stream
from glitch_gym.vector_env import GlitchGridVectorEnv

__all__ = [
    "AnyEnv",
    "FiniteModel",
    "MDPTables",
    "Outcomes",
    "TabularMDP",
    "lifetime_of",
    "model_of",
    "outcome",
    "start_state",
    "table_shape",
    "tabular_mdp",
    "world_of",
    "world_tables",
]

_ENDLESS = 1000

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
    vector_wrappers.RecordEpisodeStatistics,
)

AnyEnv = gym.Env[Any, Any] | gym.vector.VectorEnv[Any, Any, Any]
"""An environment of Gymnasium, for one agent or for many."""


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


class Outcomes(NamedTuple):
    """A Markov decision process, listed by the outcomes of each action of each state.

    Args:
        next_state: int32 (n_states · n_actions, n_outcomes), −1 for the end of an episode.
        rewards: float64, of the same shape.
        probs: float64, probability of each outcome.
        n_actions: number of actions.
    """

    next_state: NDArray[np.int32]
    rewards: NDArray[np.float64]
    probs: NDArray[np.float64]
    n_actions: int


class FiniteModel(NamedTuple):
    """The dynamics of an environment with ``P``, or of a grid world with slip.

    Args:
        outcomes: the outcomes of its actions.
        starts: float64 (n_states,), probability of each state to start an episode, or ``None`` if
            the environment does not say.
        shape: shape of its Q-table, (rows, cols, n_actions).
    """

    outcomes: Outcomes
    starts: NDArray[np.float64] | None
    shape: tuple[int, int, int]


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


def _changing_wrapper(env: AnyEnv) -> object | None:
    """Return the outermost wrapper that may change what is observed, done or rewarded."""
    inner: object = env
    while isinstance(inner, gym.Wrapper | VectorWrapper):
        if type(inner) not in _HARMLESS:
            return inner
        inner = inner.env
    return None


def _world_behind(env: AnyEnv | GridWorld) -> GridWorld | None:
    if isinstance(env, GridWorld):
        return env
    inner = env.unwrapped
    # A subclass with steps of its own does not keep to the world's tables
    for kind in (GlitchGridEnv, GlitchGridVectorEnv):
        if isinstance(inner, kind):
            own = type(inner)
            plain = (own.step, own.reset) == (kind.step, kind.reset)
            return inner.world if plain else None
    return None


def _tables_behind(env: AnyEnv | GridWorld) -> GridWorld | gym.Env[Any, Any] | None:
    """Return what has the tables of an environment: a grid world, or an environment with ``P``.

    Returns:
        ``None`` where there are none, or something lies between that may change what they say.

    Raises:
        SettingError: this is not an environment.
    """
    if not isinstance(env, GridWorld | gym.Env | gym.vector.VectorEnv):
        raise SettingError(f"this needs a Gymnasium environment, not {shown(env)}")
    if not isinstance(env, GridWorld) and _changing_wrapper(env) is not None:
        return None
    world = _world_behind(env)
    if world is not None or isinstance(env, GridWorld | gym.vector.VectorEnv):
        return world
    inner: gym.Env[Any, Any] = env.unwrapped
    # Taxi's fickle passengers change their minds outside P
    fickle = bool(getattr(inner, "fickle_passenger", False))
    numbered = isinstance(inner.observation_space, spaces.Discrete)
    readable = numbered and not fickle and not isinstance(inner, GlitchGridEnv)
    return inner if readable and getattr(inner, "P", None) is not None else None


def _wrapper_error(env: AnyEnv | GridWorld) -> SettingError | None:
    wrapper = None if isinstance(env, GridWorld) else _changing_wrapper(env)
    if wrapper is None:
        return None
    return SettingError(
        f"this reads the tables themselves, which the wrapper {type(wrapper).__name__} may "
        f"change: take the wrapper off, or a learner that steps, such as QLearning"
    )


def world_of(env: AnyEnv | GridWorld) -> GridWorld:
    """Return the grid world behind an environment, or a world as it is.

    Raises:
        SettingError: the environment has none, or a wrapper may change it.
    """
    found = _tables_behind(env)
    if isinstance(found, GridWorld):
        return found
    error = _wrapper_error(env) if _world_behind(env) is not None else None
    raise error or SettingError(f"this needs a GlitchGrid environment, not {shown(env)}")


def model_of(env: AnyEnv | GridWorld) -> GridWorld | FiniteModel:
    """Return what a planner plans on: a grid world, or the outcomes in an environment's ``P``.

    Raises:
        SettingError: the environment has neither, a wrapper may change them, or ``P`` is wrong.
    """
    found = _tables_behind(env)
    if isinstance(found, GridWorld):
        return _slipping_model(found) if found.slip else found
    if found is None:
        raise _wrapper_error(env) or SettingError(
            f"a planner needs a GlitchGrid environment or world, or an environment with P that "
            f"holds all of its dynamics, not {shown(env)}"
        )
    sizes = discrete_sizes(found)
    probs = getattr(found, "initial_state_distrib", None)
    return FiniteModel(
        _read_outcomes(getattr(found, "P", None), *sizes),
        None if probs is None else _read_starts(probs, sizes[0]),
        (sizes[0], 1, sizes[1]),
    )


def _slipping_model(world: GridWorld) -> FiniteModel:
    """Return the outcomes of a grid world's actions, that of each move that can come instead."""
    n_states, n_actions = world.next_state.shape
    n_moves = world.actions.n_moves
    effects, moves = np.divmod(np.arange(n_actions)[:, None], n_moves)
    # The move that was meant comes first, then the others
    columns = effects * n_moves + (moves + np.arange(n_moves)) % n_moves
    next_state = world.next_state[:, columns]
    rewards = world.rewards[:, columns].astype(np.float64)
    outside = np.ones(n_states, bool)
    outside[world.picture_cells] = False
    next_state[outside], rewards[outside] = EXIT, 0.0
    probs = np.full(n_moves, world.slip / (n_moves - 1))
    probs[0] = 1 - world.slip
    shape = (n_states * n_actions, n_moves)
    outcomes = Outcomes(
        next_state.reshape(shape), rewards.reshape(shape), np.tile(probs, (shape[0], 1)), n_actions
    )
    starts = np.where(outside, 0.0, 1 / len(world.picture_cells))
    return FiniteModel(outcomes, starts, (world.grid.rows, world.grid.cols, n_actions))


def lifetime_of(env: AnyEnv | GridWorld) -> int:
    """Return the steps after which an environment truncates.

    The post's 20 for a grid world, and 1000 for another environment, where there is no limit.
    """
    if isinstance(env, GridWorld):
        return LIFETIME
    spec = env.spec
    limits: list[object] = [] if spec is None else [spec.max_episode_steps]
    inner: object = env
    while isinstance(inner, gym.Wrapper | VectorWrapper):
        limits.append(getattr(inner, "_max_episode_steps", None))
        inner = inner.env
    ours = isinstance(inner, GlitchGridEnv | GlitchGridVectorEnv)
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


def tabular_mdp(env: AnyEnv | GridWorld) -> TabularMDP | None:
    """Read the tables of an environment: its grid world's, or its ``P`` as toy-text has it.

    Returns:
        ``None`` for an environment that can only be stepped: it has neither, or a wrapper lies
        between that may change what they say.

    Raises:
        SettingError: the environment's spaces are not Discrete, or its tables are wrong.
    """
    found = _tables_behind(env)
    if isinstance(found, GridWorld):
        if found.slip:
            return _tables_of(_slipping_model(found))
        shape = (found.grid.rows, found.grid.cols, found.actions.n)
        return TabularMDP(world_tables(found), found.actions.n, found.actions.n_moves, shape)
    probs = getattr(found, "initial_state_distrib", None)
    if found is None or probs is None:
        return None
    return _read_tables(getattr(found, "P", None), probs, *discrete_sizes(found))


def _read_tables(transitions: Any, probs: Any, n_states: int, n_actions: int) -> TabularMDP:
    """Read ``P`` and ``initial_state_distrib``, and refuse what compiled code could not follow."""
    starts = _read_starts(probs, n_states)
    outcomes = _read_outcomes(transitions, n_states, n_actions)
    return _tables_of(FiniteModel(outcomes, starts, (n_states, 1, n_actions)))


def _tables_of(model: FiniteModel) -> TabularMDP:
    """Return the tables of a model that has starts."""
    outcomes, shares, shape = model
    assert shares is not None
    starts = np.flatnonzero(shares > 0).astype(np.int32)
    n_outcomes, n_actions = outcomes.next_state.shape[1], outcomes.n_actions
    flat = (len(shares), n_actions * n_outcomes)
    tables = MDPTables(
        outcomes.next_state.reshape(flat),
        outcomes.rewards.astype(np.float32).reshape(flat),
        np.cumsum(outcomes.probs, axis=1).reshape(flat) if n_outcomes > 1 else np.empty((0, 0)),
        starts,
        np.cumsum(shares[starts])[None],
    )
    return TabularMDP(tables, n_actions, n_actions, shape)


def _read_outcomes(transitions: Any, n_states: int, n_actions: int) -> Outcomes:
    rows = _rows_of(transitions, n_states, n_actions)
    n_outcomes = max(len(row) for row in rows)
    if n_states * n_actions * n_outcomes > MOST_VALUES:
        raise SettingError(
            f"P has {n_outcomes} outcomes for an action of {n_states} states: too many for a table"
        )
    shape = (n_states * n_actions, n_outcomes)
    next_state = np.full(shape, EXIT, np.int32)
    rewards = np.zeros(shape)
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
    return Outcomes(next_state, rewards, probability, n_actions)


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


def _read_starts(probs: Any, n_states: int) -> NDArray[np.float64]:
    """Return the probability of each state to start an episode, float64 (n_states,)."""
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
    return shares


def table_shape(env: AnyEnv) -> tuple[int, int, int]:
    """Return the shape of the Q-table of an environment that is stepped.

    It is the grid's where a wrapped GlitchGrid still observes cells, so that the table fits its
    world.
    """
    n_states, n_actions = discrete_sizes(env)
    world = _world_behind(env)
    if world is not None and (world.grid.n_cells, world.actions.n) == (n_states, n_actions):
        return world.grid.rows, world.grid.cols, n_actions
    return n_states, 1, n_actions
