"""Plug-ins: effects, learners and activations of other packages, and how they are contained.

A package offers them through the entry point groups ``glitch_gym.effects``,
``glitch_gym.learners`` and ``glitch_gym.activations``. Its metadata is read once, when a name is
first asked for that is not one of ours, and its code is imported when that name is used.

Whatever foreign code raises becomes a ``SettingError`` that names it, and what it prints goes to
standard error, so that neither can stop the program or spoil its output. Code that kills the
process (``os.abort``, a crash in an extension module) or never returns cannot be contained.
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
"""The entry point groups that are read."""

# A name that holds a dot, a slash or a colon would stand for a file or a module elsewhere
_NAME = re.compile(r"[A-Za-z_][\w-]{0,99}", re.ASCII)
_LONGEST = 300


@dataclass(frozen=True)
class PlugIn:
    """Something that an installed package offers.

    Args:
        group: one of ``GROUPS``.
        name: what recipes call it.
        value: ``module:attribute``, as the package's metadata says.
        package: name of the package.
        problem: why it cannot be used, known before it is loaded; empty if nothing is wrong.
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
    """Return an error's type and the first line of its message, whatever its ``str`` does."""
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
    """Send what is printed to standard error; threads may overlap, and the last one puts it back.

    Standard output may be the program's product, such as a recipe that is piped into a file.
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
    """Run foreign code: what it raises becomes a ``SettingError``, what it prints goes to stderr.

    ``SystemExit`` is an error like any other; Ctrl-C is the user's, and passes.

    Args:
        who: the code's owner, as the subject of "… failed".
        passing: errors that are meant for the caller and pass as they are.

    Raises:
        SettingError: the code raised something; with its owner and the cause.
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
    """Read the metadata of all installed packages; one that cannot be read offers nothing."""
    found: dict[tuple[str, str], PlugIn] = {}
    problems: list[PlugIn] = []
    for distribution in distributions():
        try:
            points = [one for one in distribution.entry_points if one.group in GROUPS]
            # Asked only of those that offer something: it parses the package's description
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
                problem = f"the package {first.package} offers that name already"
                problems.append(PlugIn(one.group, one.name, one.value, package, problem))
    return tuple(
        sorted([*found.values(), *problems], key=lambda one: (one.group, one.name, one.package))
    )


def _package_name(distribution: Distribution) -> str:
    metadata = distribution.metadata
    name, version = metadata["Name"], metadata["Version"]
    return f"{name} {version}" if version else str(name)


def plug_ins(group: str) -> tuple[PlugIn, ...]:
    """Return what installed packages offer in a group, by name; nothing of it is imported.

    Args:
        group: one of ``GROUPS``.
    """
    return tuple(one for one in _installed() if one.group == group)


def find_plug_in(group: str, name: str) -> PlugIn | None:
    """Return the plug-in of a name, or ``None``; nothing of it is imported."""
    return next((one for one in plug_ins(group) if one.name == name and not one.problem), None)


_loading = RLock()
_loaded: dict[PlugIn, Any] = {}
_under_way: set[PlugIn] = set()


def load_plug_in(plug_in: PlugIn) -> Any:
    """Import what a plug-in stands for, once: an error is remembered as well.

    Raises:
        SettingError: it cannot be used; with its package and the cause.
    """
    with _loading:
        if plug_in not in _loaded:
            try:
                _loaded[plug_in] = _import(plug_in)
            except SettingError as error:
                _loaded[plug_in] = error
        found = _loaded[plug_in]
    if isinstance(found, SettingError):
        # A new one each time: a traceback would grow on one that is raised again
        raise SettingError(str(found)) from found.__cause__
    return found


def _import(plug_in: PlugIn) -> Any:
    if plug_in.problem:
        raise SettingError(f"{plug_in} cannot be used: {plug_in.problem}")
    if plug_in in _under_way:
        raise SettingError(f"{plug_in} asks for itself while it is imported")
    _under_way.add(plug_in)
    try:
        with _prints_apart():
            return EntryPoint(plug_in.name, plug_in.value, plug_in.group).load()
    except BaseException as error:
        if is_interrupt(error):
            raise
        raise SettingError(f"{plug_in} does not load: {describe(error)}") from error
    finally:
        _under_way.discard(plug_in)


def forget_plug_ins() -> None:
    """Read the metadata anew when a plug-in is next asked for, after packages were installed."""
    with _loading:
        _installed.cache_clear()
        _loaded.clear()
