"""Learners by name, as recipes write them: ours, or ``module:Class`` for one's own."""

from __future__ import annotations

import importlib
import inspect
from typing import Any

from glitch_agents.dqn import DQN
from glitch_agents.learning import Learner
from glitch_agents.planning import ExactPlanner
from glitch_agents.q_learning import QLearning
from glitch_agents.sweeping import Sweeping
from glitch_agents.temporal_difference import DoubleQLearning, ExpectedSarsa, QLambda, Sarsa
from glitch_gym.errors import GlitchError, SettingError, unknown_name

__all__ = ["LEARNERS", "make_learner"]

LEARNERS: dict[str, type[Any]] = {
    "q_learning": QLearning,
    "sarsa": Sarsa,
    "expected_sarsa": ExpectedSarsa,
    "double_q": DoubleQLearning,
    "q_lambda": QLambda,
    "sweeping": Sweeping,
    "planner": ExactPlanner,
    "dqn": DQN,
}
"""Our learners by the names that recipes use."""


def make_learner(name: str, **settings: Any) -> Learner:
    """Make a learner by its name, with those of the settings that its constructor takes.

    Args:
        name: a name of ``LEARNERS``; or ``module:Class`` (or a function) that can be imported from
            where the program runs, and gives something with ``learn(env, *, episodes, seed)``.
        settings: such as ``alpha`` and ``gamma``; those that the constructor does not name are
            left out.

    Raises:
        SettingError: an unknown name, or a learner of one's own that does not load.
    """
    if name in LEARNERS:
        make: Any = LEARNERS[name]
    elif ":" not in name:
        raise unknown_name("learner", name, LEARNERS)
    else:
        module, _, attribute = name.partition(":")
        try:
            make = importlib.import_module(module)
            for part in attribute.split("."):
                make = getattr(make, part)
        except Exception as error:
            raise SettingError(f"the learner {name!r} does not load: {error}") from error
    try:
        accepted = inspect.signature(make).parameters
        learner = make(**{key: value for key, value in settings.items() if key in accepted})
    except GlitchError:
        raise
    except Exception as error:
        raise SettingError(f"the learner {name!r} cannot be made: {error}") from error
    if not callable(getattr(learner, "learn", None)):
        raise SettingError(f"the learner {name!r} has no method learn(env, *, episodes, seed)")
    made: Learner = learner
    return made
