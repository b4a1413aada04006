"""Plug-ins: effects, learners and activations from other packages, and their containment.

A package provides them through the entry point groups ``glitch_gym.effects``,
``glitch_gym.learners`` and ``glitch_gym.activations``. The metadata of all packages is read once,
at the first request for a name that is not built in, and a plug-in's code is imported when its
name is used.

Exceptions from foreign code become a ``SettingError`` that names the plug-in, and its output goes
to standard error, so that it can neither stop the program nor corrupt its output. Code that kills
the process (``os.abort``, a crash in an extension module) or never returns cannot be contained.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import lru_cache
from importlib.metadata import Distribution, EntryPoint, distributions
from threading import Lock, RLock
from typing import Any, TextIO

from glitch_gym.errors import GlitchError, SettingError, is_interrupt

__all__ = [
    "ACTIVATION_GROUP",
    "EFFECT_GROUP",
    "GROUPS",
    "LEARNER_GROUP",
    "PlugIn",
    "contained",
    "describe",
    "find_plug_in",
    "forget_plug_ins",
    "load_plug_in",
    "plug_ins",
]

EFFECT_GROUP = "glitch_gym.effects"
LEARNER_GROUP = "glitch_gym.learners"
ACTIVATION_GROUP = "glitch_gym.activations"
GROUPS = (EFFECT_GROUP, LEARNER_GROUP, ACTIVATION_GROUP)
"""All entry point groups."""

# Elsewhere, a name with a dot, a slash or a colon means a file or a module
_NAME = re.compile(r"[A-Za-z_][\w-]{0,99}", re.ASCII)
_LONGEST = 300


@dataclass(frozen=True)
class PlugIn:
    """An effect, learner or activation that an installed package provides.

    Args:
        group: entry point group, one of ``GROUPS``.
        name: name in recipes.
        value: ``module:attribute``, from the package's metadata.
        package: name and version of the package.
        problem: why the plug-in cannot be used, as far as is known before it is loaded; empty if
            there is no problem.
    """

    group: str
    name: str
    value: str
    package: str
    problem: str = ""

    def __str__(self) -> str:
        kind = self.group.rpartition(".")[2].removesuffix("s")
        return f"the {kind} {self.name!r} of the package {self.package}"


def describe(error: BaseException) -> str:
    """Return an error's type and the first line of its message, even if its ``str`` fails."""
    kind = type(error).__name__
    try:
        lines = str(error).strip().splitlines()
    except BaseException as another:
        if is_interrupt(another):
            raise
        return kind
    if not lines:
        return kind
    first = "".join(one if one.isprintable() else " " for one in lines[0])
    return f"{kind}: {first if len(first) <= _LONGEST else first[: _LONGEST - 1] + '…'}"


_prints_lock = Lock()
_inside = 0
_usual: TextIO | None = None


@contextmanager
def _prints_apart() -> Iterator[None]:
    """Redirect standard output to standard error; the last of overlapping threads restores it.

    Standard output may be the program's result, such as a recipe that is piped into a file.
    """
    global _inside, _usual
    with _prints_lock:
        if _inside == 0:
            _usual = sys.stdout
            sys.stdout = sys.stderr
        _inside += 1
    try:
        yield
    finally:
        with _prints_lock:
            _inside -= 1
            if _inside == 0 and _usual is not None:
                sys.stdout, _usual = _usual, None


@contextmanager
def contained(who: str, *passing: type[BaseException]) -> Iterator[None]:
    """Run foreign code: turn its exceptions into ``SettingError``, and send its output to stderr.

    ``SystemExit`` is an error like any other; Ctrl-C comes from the user, and passes through.

    Args:
        who: owner of the code, as the subject of "… failed".
        passing: error classes that pass through unchanged.

    Raises:
        SettingError: the code raised an error; the message names its owner and the cause.
    """
    with _prints_apart():
        try:
            yield
        except GlitchError:
            raise
        except passing:
            raise
        except BaseException as error:
            if is_interrupt(error):
                raise
            raise SettingError(f"{who} failed: {describe(error)}") from error


@lru_cache(maxsize=1)
def _installed() -> tuple[PlugIn, ...]:
    """Read the metadata of all installed packages, skipping any that cannot be read."""
    found: dict[tuple[str, str], PlugIn] = {}
    problems: list[PlugIn] = []
    for distribution in distributions():
        try:
            points = [one for one in distribution.entry_points if one.group in GROUPS]
            # Only for packages with plug-ins, since this parses the whole description
            package = _package_name(distribution) if points else ""
        except Exception:
            continue
        for point in points:
            one = PlugIn(point.group, point.name, point.value, package)
            first = found.get((one.group, one.name))
            if not _NAME.fullmatch(one.name):
                problem = "its name is not made of letters, digits, underscores and hyphens"
                problems.append(PlugIn(one.group, repr(one.name), one.value, package, problem))
            elif first is None:
                found[one.group, one.name] = one
            elif (first.value, first.package) != (one.value, one.package):
                problem = f"the package {first.package} already provides that name"
                problems.append(PlugIn(one.group, one.name, one.value, package, problem))
    return tuple(
        sorted([*found.values(), *problems], key=lambda one: (one.group, one.name, one.package))
    )


def _package_name(distribution: Distribution) -> str:
    metadata = distribution.metadata
    name, version = metadata["Name"], metadata["Version"]
    return f"{name} {version}" if version else str(name)


def plug_ins(group: str) -> tuple[PlugIn, ...]:
    """Return the plug-ins of a group, sorted by name, without importing them.

    Args:
        group: entry point group, one of ``GROUPS``.
    """
    return tuple(one for one in _installed() if one.group == group)


def find_plug_in(group: str, name: str) -> PlugIn | None:
    """Return the plug-in of a name, or ``None``; nothing of it is imported."""
    return next((one for one in plug_ins(group) if one.name == name and not one.problem), None)


_loading = RLock()
_loaded: dict[PlugIn, Any] = {}
_under_way: set[PlugIn] = set()


def load_plug_in(plug_in: PlugIn) -> Any:
    """Import a plug-in once; an error is remembered as well.

    Raises:
        SettingError: the plug-in cannot be used; the message names its package and the cause.
    """
    with _loading:
        if plug_in not in _loaded:
            try:
                _loaded[plug_in] = _import(plug_in)
            except SettingError as error:
                _loaded[plug_in] = error
        found = _loaded[plug_in]
    if isinstance(found, SettingError):
        # A new error each time, since the traceback of one raised repeatedly would grow
        raise SettingError(str(found)) from found.__cause__
    return found


def _import(plug_in: PlugIn) -> Any:
    if plug_in.problem:
        raise SettingError(f"{plug_in} cannot be used: {plug_in.problem}")
    if plug_in in _under_way:
        raise SettingError(f"{plug_in} requests itself while it is being imported")
    _under_way.add(plug_in)
    try:
        with _prints_apart():
            return EntryPoint(plug_in.name, plug_in.value, plug_in.group).load()
    except BaseException as error:
        if is_interrupt(error):
            raise
        raise SettingError(f"cannot import {plug_in}: {describe(error)}") from error
    finally:
        _under_way.discard(plug_in)


def forget_plug_ins() -> None:
    """Forget all plug-ins, so that the metadata is read again after packages were installed."""
    with _loading:
        _installed.cache_clear()
        _loaded.clear()
