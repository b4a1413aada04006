"""Scripts: episodes written by hand, in TOML or in Python.

::

    grid = [20, 30]
    effects = { pixel_sort = { low = 60 } }

    [[agents]]
    start = [3, 4]
    do = "same_right*12 (pixelate_down invert_down)*3"

    [[agents]]
    start = [10, 29]
    at = 6
    loop = 2
    do = "smear_left*10 move_up wait*2"

Each word is an action, such as ``same_right``; ``move_right`` moves without changing the picture,
and ``wait`` stays in place for one step. ``*N`` repeats a word or a group in brackets.
"""

from __future__ import annotations

import difflib
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

import numpy as np
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from glitch_agents.rollout import check_steps
from glitch_gym.actions import MOVES, ActionSet
from glitch_gym.errors import GlitchError, ScriptError
from glitch_gym.grid import Grid, fit_grid
from glitch_gym.input import read_text
from glitch_gym.trajectories import Trajectories
from glitch_render.effects import EffectParameters, effects, get_effect
from glitch_render.engine.overlay import Blend, Overlay
from glitch_render.episodes.episode import Episode, EpisodeLayer
from glitch_render.recipe.toml import read_toml

__all__ = ["Script", "ScriptLayer", "Walker", "parse_script", "read_script", "script_episode"]

_MAX_STEPS = 100_000
_MAX_TOGETHER = 1_000_000
_MOST_PROBLEMS = 20
_OFFSETS = {name: (row, col) for name, row, col in MOVES}
_WAIT = "wait"
_WALK = "move_"


class Walker(BaseModel):
    """An agent of a script.

    ``start`` is its (row, col), ``do`` its actions, ``at`` the step at which it starts, and
    ``loop`` how many times it repeats ``do``.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    start: tuple[int, int] = Field(strict=False)
    do: str
    at: int = Field(0, ge=0, le=_MAX_STEPS)
    loop: int = Field(1, ge=1, le=_MAX_STEPS)


class ScriptLayer(BaseModel):
    """A grid of a script with its agents; settings as in a recipe's layer."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    grid: tuple[Annotated[int, Field(ge=1, le=4096)], Annotated[int, Field(ge=1, le=4096)]] = Field(
        strict=False
    )
    fit: Literal["pad", "stretch"] = "stretch"
    orient: Literal["auto", "fixed"] = "fixed"
    effects: dict[str, dict[str, Any]] = Field(default_factory=dict)
    opacity: Annotated[float, Field(ge=0, le=1)] = 1.0
    blend: Blend = "normal"
    agents: tuple[Walker, ...] = Field(strict=False, min_length=1)


class Script(BaseModel):
    """Layers of walks written by hand."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    seed: Annotated[int, Field(ge=0, lt=2**63)] = 0
    layers: tuple[ScriptLayer, ...] = Field(strict=False, min_length=1, max_length=64)


# Comments and strings, which are skipped, and keys with the quote that opens their value
_TOML = re.compile(
    r"""
    \#[^\n]* | \"{3}(?:\\.|[^\\])*?\"{3} | '{3}.*?'{3} | "(?:\\.|[^"\\\n])*" | '[^'\n]*'
    | (?<![\w-])(?P<key>[\w-]++)\s*=\s*(?=(?P<quote>\"{3}\n?|'{3}\n?|["'])?)
    """,
    re.VERBOSE | re.DOTALL,
)


@dataclass(frozen=True)
class _Source:
    """Text of a script, to locate errors in."""

    text: str = ""
    origin: str = "script"

    def place(self, key: str, number: int, offset: int, value: str) -> str:
        """Return the position of a character in the value of a key's ``number``-th occurrence."""
        if not self.text:
            return f"{self.origin}: "
        found = [
            match.end() + len(match["quote"] or "")
            for match in _TOML.finditer(self.text)
            if match["key"] == key
        ]
        if number >= len(found):
            return f"{self.origin}: "
        begin = found[number]
        # The offset holds only if the text has no escapes, and so equals the value
        if value and not self.text.startswith(value, begin):
            offset = 0
        line = self.text.count("\n", 0, begin + offset) + 1
        column = begin + offset - self.text.rfind("\n", 0, begin + offset)
        return f"{self.origin}: line {line}, column {column}: "


@dataclass(frozen=True)
class _Word:
    """A word of ``do`` with its offset."""

    name: str
    offset: int


_TOKEN = re.compile(r"\s+|,|#[^\n]*|(?P<name>\w+)|(?P<mark>[()])|\*\s*(?P<times>\d{1,9})(?!\d)")


class _PlaceError(Exception):
    def __init__(self, offset: int, message: str) -> None:
        super().__init__(message)
        self.offset = offset


def _words(text: str) -> list[_Word]:
    """Return the words of ``do``, with groups and repeats expanded.

    Raises:
        _PlaceError: the text cannot be parsed, with the place.
    """
    groups: list[list[_Word]] = [[]]
    opened: list[int] = []
    latest: list[_Word] | None = None
    place = 0
    while place < len(text):
        match = _TOKEN.match(text, place)
        if match is None:
            raise _PlaceError(
                place, f"unexpected {text[place]!r}: expected an action, a bracket or *N"
            )
        if match["name"]:
            latest = [_Word(match["name"], place)]
            groups[-1] += latest
        elif match["mark"] == "(":
            groups.append([])
            opened.append(place)
            latest = None
        elif match["mark"] == ")":
            if not opened:
                raise _PlaceError(place, "unmatched closing bracket")
            opened.pop()
            latest = groups.pop()
            groups[-1] += latest
        elif match["times"]:
            times = int(match["times"])
            if latest is None:
                raise _PlaceError(place, "*N must follow an action or a group")
            if not times >= 1 or len(groups[-1]) + len(latest) * times > _MAX_STEPS:
                raise _PlaceError(
                    place,
                    f"repeat count must be at least 1 and expand to at most {_MAX_STEPS:,} steps, "
                    f"not *{times}",
                )
            groups[-1] += latest * (times - 1)
            latest = None
        place = match.end()
    if opened:
        raise _PlaceError(opened[-1], "unclosed bracket")
    if not groups[0]:
        raise _PlaceError(0, "no actions")
    return groups[0]


def _split(word: _Word) -> tuple[str | None, str | None]:
    """Return a word's effect and move; no effect for ``move_…``, and neither for ``wait``."""
    if word.name == _WAIT:
        return None, None
    # Longest first, since "up_left" also ends in "left"
    for move in sorted(_OFFSETS, key=len, reverse=True):
        if word.name.endswith(f"_{move}"):
            effect = word.name[: -len(move) - 1]
            if word.name == _WALK + move:
                return None, move
            if effect in effects():
                return effect, move
    known = [f"{effect}_{move}" for effect in (*effects(), "move") for move in _OFFSETS]
    close = difflib.get_close_matches(word.name, [*known, _WAIT], n=1, cutoff=0.5)
    hint = f"did you mean {close[0]!r}?" if close else "write one such as same_right or move_up"
    raise _PlaceError(word.offset, f"unknown action {word.name!r}: {hint}")


def read_script(path: str | Path) -> tuple[Script, str]:
    """Read a script from a file.

    Returns:
        the script, and its text, so that later errors can give line and column.

    Raises:
        ScriptError: the file is missing, is not text, or is not a valid script.
    """
    text = read_text(path, "script", error=ScriptError)
    return parse_script(text, str(path)), text


def parse_script(text: str, origin: str = "script") -> Script:
    """Parse a script from TOML.

    Args:
        text: text of the script.
        origin: the script's file, for messages.

    Raises:
        ScriptError: there is a syntax error, given with line and column, or there are invalid
            settings; the message lists them all.
    """
    try:
        data = read_toml(text, origin)
    except GlitchError as error:
        raise ScriptError(str(error)) from error
    if "layers" not in data:
        # One layer needs no list of layers
        data = {
            **({"seed": data.pop("seed")} if "seed" in data else {}),
            "layers": [data],
        }
    try:
        return Script.model_validate_json(json.dumps(data, default=str))
    except ValidationError as error:
        lines = []
        for one in error.errors(include_url=False)[:_MOST_PROBLEMS]:
            path = ".".join(
                str(part + 1) if isinstance(part, int) else part for part in one["loc"]
            ).removeprefix("layers.1.")
            message = one["msg"].removeprefix("Input ").removeprefix("Value error, ")
            plainly = {"missing": "is missing", "extra_forbidden": "is not a known setting"}
            lines.append(f"{path} {plainly.get(one['type'], message)}")
        if error.error_count() > len(lines):
            lines.append(f"and {error.error_count() - len(lines):,} more")
        raise ScriptError(f"{origin}: " + "\n  ".join(lines)) from error


def script_episode(
    script: Script, height: int, width: int, *, text: str = "", origin: str = "script"
) -> Episode:
    """Walk a script over a picture.

    Args:
        script: the script.
        height: height of the picture in pixels.
        width: width of the picture in pixels.
        text: text of the script, so that errors can give line and column.
        origin: the script's file, for messages.

    Raises:
        ScriptError: an action is unknown, an agent starts off the picture, or a step leads off the
            picture or into a prohibited cell; the message gives the agent, the step and the place
            in the file.
        GridError: the grid is finer than the picture.

    Example:
        >>> walker = Walker(start=(0, 0), do="same_right*3 invert_down")
        >>> script = Script(layers=[ScriptLayer(grid=(4, 5), agents=[walker])])
        >>> episode = script_episode(script, height=40, width=50)
        >>> episode.layers[0].trajectories.cells.tolist()
        [[1, 2, 3, 8]]
    """
    source = _Source(text, origin)
    layers = []
    before = taken = 0
    for layer in script.layers:
        grid = fit_grid(layer.grid, height, width, fit=layer.fit, orient=layer.orient)
        walks = []
        for number, walker in enumerate(layer.agents):
            walks.append(_walk(walker, number, before, grid, source))
            taken += len(walks[-1])
            if taken > _MAX_TOGETHER:
                raise ScriptError(
                    f"{origin}: more than {_MAX_TOGETHER:,} steps of all agents together, exceeded "
                    f"by agent {number + 1}"
                )
        check_steps(len(walks), max(len(steps) for steps in walks))
        before += len(layer.agents)
        layers.append(_as_layer(layer, grid, walks, source))
    return Episode(tuple(layers), script.seed)


_Step = tuple[int, str | None, str | None]
"""Flat cell that is entered, effect and move; −1, ``None`` and ``None`` without a stamp."""


def _walk(walker: Walker, number: int, before: int, grid: Grid, source: _Source) -> list[_Step]:
    """Return the steps of an agent."""
    agent = f"agent {number + 1}"
    row, col = walker.start
    if not (0 <= row < grid.picture_rows and 0 <= col < grid.picture_cols):
        raise ScriptError(
            f"{source.place('start', before + number, 0, '')}{agent} starts at ({row}, {col}), "
            f"outside the picture's {grid.picture_rows}×{grid.picture_cols} cells"
        )
    steps: list[_Step] = [(-1, None, None)] * walker.at
    word = None
    try:
        words = _words(walker.do)
        split = {one.name: _split(one) for one in words}
        if walker.at + len(words) * walker.loop > _MAX_STEPS:
            raise _PlaceError(0, f"more than {_MAX_STEPS:,} steps")
        for word in words * walker.loop:
            effect, move = split[word.name]
            if move is None:
                steps.append((-1, None, None))
                continue
            to_row, to_col = row + _OFFSETS[move][0], col + _OFFSETS[move][1]
            off = not (0 <= to_row < grid.rows and 0 <= to_col < grid.cols)
            if off or not (to_row < grid.picture_rows and to_col < grid.picture_cols):
                where = "off the picture" if off else "into a prohibited cell"
                raise _PlaceError(
                    word.offset,
                    f"step {len(steps) - walker.at + 1} ({word.name}) walks {where}, from "
                    f"({row}, {col}) of {grid.picture_rows}×{grid.picture_cols} cells",
                )
            row, col = to_row, to_col
            cell = row * grid.cols + col
            steps.append((cell if effect else -1, effect, move if effect else None))
    except _PlaceError as error:
        place = source.place("do", before + number, error.offset, walker.do)
        raise ScriptError(f"{place}{agent}: {error}") from error
    return steps


def _as_layer(
    layer: ScriptLayer, grid: Grid, walks: Sequence[list[_Step]], source: _Source
) -> EpisodeLayer:
    """Return the layer of an episode from the steps of its agents."""
    taken = [(effect, move) for steps in walks for _, effect, move in steps if effect and move]
    names = tuple(dict.fromkeys(effect for effect, _ in taken)) or ("same",)
    n_moves = 8 if any(list(_OFFSETS).index(move) > 3 for _, move in taken) else 4
    actions = ActionSet(names, n_moves)
    index = {name: number for number, name in enumerate(actions.names)}
    lengths = np.array([len(steps) for steps in walks], np.int32)
    cells = np.full((len(walks), int(lengths.max())), -1, np.int32)
    chosen = np.full_like(cells, -1)
    for agent, steps in enumerate(walks):
        for step, (cell, effect, move) in enumerate(steps):
            cells[agent, step] = cell
            if effect:
                chosen[agent, step] = index[f"{effect}_{move}"]
    return EpisodeLayer(
        grid,
        actions,
        Trajectories(cells, chosen, lengths),
        _parameters(layer.effects, source),
        Overlay(layer.opacity, layer.blend),
    )


def _parameters(
    given: Mapping[str, Mapping[str, Any]], source: _Source
) -> dict[str, EffectParameters]:
    found = {}
    for name, settings in given.items():
        try:
            model = get_effect(name).parameters
            found[name] = model.model_validate_json(json.dumps(settings))
        except GlitchError as error:
            raise ScriptError(f"{source.origin}: effects: {error}") from error
        except ValidationError as error:
            one = error.errors()[0]
            path = ".".join(map(str, ("effects", name, *one["loc"])))
            raise ScriptError(f"{source.origin}: {path}: {one['msg']}") from error
    return found
