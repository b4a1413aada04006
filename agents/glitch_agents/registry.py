"""Learners by name, as recipes write them, and custom learners, which a person supplies.

A recipe names our learners, or those that installed packages offer through the entry point group
``glitch_gym.learners``. A recipe never causes an import: a custom learner is an object or a class
in Python, or ``module:Class`` on a command line, and a recipe contains only its name.
"""

from __future__ import annotations

import importlib
import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from glitch_agents.dqn import DQN
from glitch_agents.learner import Learner, Progress
from glitch_agents.model_based import ModelBased
from glitch_agents.planning import ExactPlanner
from glitch_agents.policy import QTable
from glitch_agents.q_learning import QLearning
from glitch_agents.temporal_difference import DoubleQLearning, ExpectedSarsa, QLambda, Sarsa
from glitch_gym.errors import MissingExtraError, SettingError, unknown_name_error
from glitch_gym.plugins import LEARNER_GROUP, contained, find_plug_in, load_plug_in, plug_ins
from glitch_gym.policy import Policy

__all__ = [
    "LEARNERS",
    "ForeignLearner",
    "OwnLearner",
    "can_start",
    "import_learner",
    "learner_names",
    "load_learner",
    "make_learner",
]


def _ppo(gamma: float = 0.95) -> Learner:
    """Make PPO of Stable-Baselines3, which is imported only if it is used."""
    try:
        from glitch_agents.sb3 import PPOLearner
    except ImportError as error:
        raise MissingExtraError(
            "the learner 'ppo' needs Stable-Baselines3: pip install 'glitch-gym[rl]'"
        ) from error
    return PPOLearner(gamma=gamma)


LEARNERS: dict[str, Callable[..., Learner]] = {
    "q_learning": QLearning,
    "sarsa": Sarsa,
    "expected_sarsa": ExpectedSarsa,
    "double_q": DoubleQLearning,
    "q_lambda": QLambda,
    "model_based": ModelBased,
    "sweeping": ModelBased,
    "planner": ExactPlanner,
    "dqn": DQN,
    "ppo": _ppo,
}
"""Our learners by the names that recipes use."""


@dataclass(frozen=True)
class OwnLearner:
    """A custom learner, under the name that recipes use for it.

    Args:
        name: an identifier that differs from the names of all installed learners.
        make: an object with ``learn(env, *, episodes, seed)``; or a class or function that makes
            one from those of a layer's settings that it accepts.

    Raises:
        SettingError: the name is invalid or taken, or ``make`` neither is a learner nor makes one.
    """

    name: str
    make: Any = field(hash=False)

    def __post_init__(self) -> None:
        if not self.name.isidentifier():
            raise SettingError(
                f"a learner of your own needs a name of letters, digits and underscores, not "
                f"{self.name!r}"
            )
        if self.name in LEARNERS or find_plug_in(LEARNER_GROUP, self.name) is not None:
            raise SettingError(
                f"a learner of your own cannot be called {self.name!r}: one that is installed is"
            )
        if not callable(self.make) and not callable(getattr(self.make, "learn", None)):
            raise SettingError(
                f"the learner {self.name!r} has no method learn(env, *, episodes, seed)"
            )

    def __eq__(self, other: object) -> bool:
        return isinstance(other, OwnLearner) and self.name == other.name and self.make is other.make

    @classmethod
    def of(cls, given: Any) -> OwnLearner:
        """Return a custom learner, named after its class or function.

        Raises:
            SettingError: its name cannot be used, or it is not a learner.
        """
        if isinstance(given, OwnLearner):
            return given
        return cls(str(getattr(given, "__name__", type(given).__name__)), given)


def learner_names() -> tuple[str, ...]:
    """Return the names of all learners that are installed: ours, then the plug-ins'."""
    theirs = (one.name for one in plug_ins(LEARNER_GROUP) if not one.problem)
    return (*LEARNERS, *(name for name in theirs if name not in LEARNERS))


def load_learner(name: str) -> Any:
    """Load the learner of a plug-in: an object with ``learn``, or what makes one.

    Raises:
        SettingError: the name is unknown, or the plug-in is broken.
    """
    plug_in = find_plug_in(LEARNER_GROUP, name)
    if plug_in is None:
        raise unknown_name_error("learner", name, learner_names())
    found = load_plug_in(plug_in)
    with contained(str(plug_in)):
        is_learner = callable(found) or callable(getattr(found, "learn", None))
    if not is_learner:
        raise SettingError(f"{plug_in} has no method learn(env, *, episodes, seed)")
    return found


def import_learner(written: str) -> OwnLearner:
    """Import a custom learner: for what a person has typed, never for the content of a file.

    Args:
        written: ``module:Class`` or ``module:function``; the last part names the learner.

    Raises:
        SettingError: the text has another form, or cannot be imported.
    """
    module, colon, attribute = written.partition(":")
    if not (module and colon and attribute):
        raise SettingError(
            f"{written!r} is not a learner of your own: write module:Class, such as "
            f"my_learners:Rightwards"
        )
    with contained(f"the import of the learner {written!r}"):
        found: Any = importlib.import_module(module)
        for part in attribute.split("."):
            found = getattr(found, part)
    return OwnLearner(attribute.rpartition(".")[2], found)


def make_learner(which: str | OwnLearner, **settings: Any) -> Learner:
    """Make a learner, with those of the settings that its constructor accepts.

    Args:
        which: a name from ``learner_names``, or a custom learner.
        settings: settings such as ``alpha`` and ``gamma``; those that the constructor does not name
            are omitted.

    Raises:
        SettingError: the name is unknown, or a custom learner cannot be constructed.
        MissingExtraError: the learner needs an extra that is not installed.
    """
    if isinstance(which, OwnLearner):
        return _make_foreign(which.name, f"the learner {which.name!r}", which.make, settings)
    if which in LEARNERS:
        return LEARNERS[which](**_accepted(LEARNERS[which], settings))
    make = load_learner(which)
    return _make_foreign(which, str(find_plug_in(LEARNER_GROUP, which)), make, settings)


def _accepted(make: Callable[..., Any], settings: Mapping[str, Any]) -> dict[str, Any]:
    accepted = inspect.signature(make).parameters
    return {key: value for key, value in settings.items() if key in accepted}


def _make_foreign(name: str, who: str, make: Any, settings: Mapping[str, Any]) -> ForeignLearner:
    with contained(who):
        is_ready = not isinstance(make, type) and callable(getattr(make, "learn", None))
        learner = make if is_ready else make(**_accepted(make, settings))
        if not callable(getattr(learner, "learn", None)):
            raise SettingError(f"{who} has no method learn(env, *, episodes, seed)")
        takes = frozenset(inspect.signature(learner.learn).parameters)
    return ForeignLearner(name, who, learner, takes)


@dataclass(frozen=True)
class ForeignLearner:
    """A custom learner or a plug-in's, contained: its failures become a ``SettingError``.

    Args:
        name: name that recipes use.
        who: description of the learner in error messages.
        learner: the learner that is called.
        takes: names of the parameters of its ``learn``.
    """

    name: str
    who: str
    # Its repr is foreign code as well
    learner: Any = field(hash=False, repr=False)
    takes: frozenset[str]

    def learn(
        self,
        env: Any,
        *,
        episodes: int,
        seed: int = 0,
        progress: Progress | None = None,
        **options: Any,
    ) -> Policy:
        """Learn, and return the policy: a plain Q-table, or what is contained like the learner.

        Raises:
            SettingError: the learner failed, or did not return a policy.
            KeyboardInterrupt: Ctrl-C.
        """
        # What the caller's own report raises is no fault of the learner, and must reach the caller
        raised: list[BaseException] = []

        def report(done: int, _: int) -> None:
            counted = min(max(int(done), 0), episodes)
            try:
                if progress is not None:
                    progress(counted, episodes)
            except BaseException as error:
                raised.append(error)
                raise

        if "progress" in self.takes:
            options["progress"] = report
        try:
            with contained(self.who):
                policy = self.learner.learn(env, episodes=episodes, seed=seed, **options)
                interrupted = getattr(policy, "interrupted", False) is True
                has_act = callable(getattr(policy, "act", None))
        except SettingError:
            if raised:
                raise raised[0] from None
            raise
        if raised:
            raise raised[0]
        if interrupted:
            raise KeyboardInterrupt
        if not has_act:
            raise SettingError(
                f"{self.who} gave {type(policy).__name__}, not a policy with act(observations)"
            )
        if type(policy) is QTable:
            return policy
        with contained(self.who):
            says = getattr(policy, "probabilities", None)
        if callable(says):
            shape = tuple(
                getattr(space, "n", None) for space in (env.observation_space, env.action_space)
            )
            return _ForeignProbabilities(self.who, policy, shape)
        return _ForeignPolicy(self.who, policy)


@dataclass(frozen=True, eq=False)
class _ForeignPolicy:
    """A foreign learner's policy, contained; its actions are checked where they are used."""

    who: str
    policy: Any

    def act(self, observations: NDArray[np.integer[Any]]) -> NDArray[np.integer[Any]]:
        """Return the policy's actions for a copy of the cells, as an array."""
        with contained(self.who):
            return np.array(self.policy.act(np.array(observations)))


@dataclass(frozen=True, eq=False)
class _ForeignProbabilities(_ForeignPolicy):
    """A foreign policy that has probabilities, of the shape (n_cells, n_actions)."""

    shape: tuple[Any, ...]

    def probabilities(self) -> NDArray[np.float64]:
        """Return the policy's probabilities, as an array of numbers.

        Raises:
            SettingError: they are not probabilities.
        """
        with contained(self.who):
            probs = np.array(self.policy.probabilities(), np.float64)
        if probs.shape != self.shape:
            raise SettingError(
                f"{self.who} gave probabilities of shape {probs.shape}, not {self.shape}"
            )
        # A comparison with NaN is false
        if not ((probs >= 0) & (probs <= 1 + 1e-6)).all():
            raise SettingError(f"{self.who} gave probabilities outside 0…1")
        return probs


def can_start(learner: Learner) -> bool:
    """Return whether a learner can start with a table that another has learned."""
    if isinstance(learner, ForeignLearner):
        return "start" in learner.takes
    return "start" in inspect.signature(learner.learn).parameters
