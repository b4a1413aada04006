"""Recipes as TOML: parsing, changes of single settings, and errors with line numbers."""

from __future__ import annotations

import copy
import dataclasses
import re
import tomllib
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from glitch_agents.registry import OwnLearner
from glitch_agents.schedule import Schedule
from glitch_gym.errors import Hint, Problem, RecipeError, unknown_name_error
from glitch_gym.input import LARGEST_TEXT, read_text
from glitch_render.effects import effects
from glitch_render.recipe.layer_effects import settings_model
from glitch_render.recipe.messages import MOST_PROBLEMS, UNKNOWN, error_message, shortened
from glitch_render.recipe.model import Layer, Recipe

__all__ = ["apply_settings", "line_of", "parse_recipe", "read_recipe_file", "read_toml"]


_DEEPEST = 32


# tomllib takes quadratic time for the parts of a dotted key
_LONG_KEY = re.compile(r"""(?:(?:(?<![\w-])[\w-]++|"[^"\n]*+"|'[^'\n]*+')[ \t]*+\.[ \t]*+){32}""")


def _near(error: Any) -> str:
    """Return a suggestion for an unknown setting."""
    location = error["loc"]
    *_, last = location
    if len(location) == 1:
        known = set(Recipe.model_fields)
    elif location[0] == "layers" and len(location) == 3:
        known = set(Layer.model_fields)
    elif len(location) == 4 and location[2] in ("alpha", "epsilon"):
        known = {field.name for field in dataclasses.fields(Schedule)}
    elif len(location) == 5 and location[2] == "effects" and location[3] in effects():
        known = set(settings_model(str(location[3])).model_fields)
    else:
        return ""
    hint = str(unknown_name_error("setting", str(last), known)).partition(": ")[2]
    return f"; {hint}"


_TABLE = re.compile(r"\s*(\[\[?)([^\[\]]+)\]\]?\s*(?:#.*)?$")


_KEY = re.compile(r"""\s*((?:[\w-]+|"[^"]*"|'[^']*')(?:\s*\.\s*(?:[\w-]+|"[^"]*"|'[^']*'))*)\s*=""")


def line_of(text: str, path: Sequence[int | str]) -> int:
    """Return the line of a setting in TOML, or of the innermost table around it.

    Args:
        text: text of the file.
        path: path of the setting, with list entries numbered from 0.

    Returns:
        number of the line, from 1.
    """
    wanted = tuple(str(part) for part in path)
    counted: dict[str, int] = {}
    table: tuple[str, ...] = ()
    best, deepest = 1, 0
    for number, line in enumerate(text.splitlines(), 1):
        if found := _TABLE.match(line):
            first, *others = _keys(found[2])
            if found[1] == "[[" and not others:
                counted[first] = counted.get(first, -1) + 1
            entry = (str(counted[first]),) if first in counted else ()
            here = table = (first, *entry, *others)
        elif found := _KEY.match(line):
            here = (*table, *_keys(found[1]))
        else:
            continue
        if len(here) > deepest and here == wanted[: len(here)]:
            best, deepest = number, len(here)
    return best


def _keys(dotted: str) -> list[str]:
    return [key.strip().strip("\"'") for key in dotted.split(".")]


def _path(location: tuple[int | str, ...]) -> str:
    return ".".join(
        str(part + 1) if isinstance(part, int) else shortened(part) for part in location
    )


def _explain(error: ValidationError, text: str) -> list[Problem]:
    """Return the first problems of a recipe, each with its line if there is a text."""
    problems = []
    for one in error.errors(include_url=False)[:MOST_PROBLEMS]:
        unknown = one["type"] in UNKNOWN or "not a known setting" in one["msg"]
        message = f"{_path(one['loc'])} {error_message(one)}{_near(one) if unknown else ''}"
        problems.append(Problem(message, line_of(text, one["loc"]) if text else None))
    return sorted(problems, key=lambda problem: problem.line or 0)


def parse_recipe(
    data: Mapping[str, Any],
    origin: str = "recipe",
    *,
    text: str = "",
    learners: Mapping[str, Any] | None = None,
) -> Recipe:
    """Validate a recipe read from TOML, without importing or opening anything it names.

    Args:
        data: the recipe as ``tomllib`` returns it.
        origin: the recipe's file, for messages.
        text: text of the recipe, so that errors can give line numbers.
        learners: custom learners, by their names in the recipe: objects with ``learn``, or classes
            or functions that make one.

    Raises:
        RecipeError: the recipe is invalid; the message lists every problem with its path.
        SettingError: one of ``learners`` has no usable name, or is not a learner.
    """
    own = {name: _own_learner(name, given) for name, given in (learners or {}).items()}
    try:
        return Recipe.model_validate(dict(data), context={"learners": own})
    except ValidationError as error:
        missing = all(one["type"] == "own_learner" for one in error.errors())
        hint = Hint.LEARNER if missing else None
        raise _recipe_error(_explain(error, text), origin, hint, error.error_count()) from error


def _own_learner(name: str, given: Any) -> OwnLearner:
    return OwnLearner(name, given.make if isinstance(given, OwnLearner) else given)


def _recipe_error(
    problems: list[Problem], origin: str, hint: Hint | None, count: int
) -> RecipeError:
    lines = [
        one.message if one.line is None else f"line {one.line}: {one.message}" for one in problems
    ]
    head = f"{origin}: " if count == 1 else f"{origin} has {count:,} errors:\n  "
    if count > len(lines):
        lines.append(f"and {count - len(lines):,} more")
    return RecipeError(head + "\n  ".join(lines), tuple(problems), hint=hint)


def read_toml(text: str, origin: str) -> dict[str, Any]:
    """Parse the TOML of a recipe.

    Raises:
        RecipeError: there is a syntax error, given with line and column; the text is too long; or
            values are nested too deeply.
    """
    if len(text) > LARGEST_TEXT:
        raise RecipeError(f"{origin} is too long: more than {LARGEST_TEXT:,} characters")
    try:
        return _load_toml(text)
    except tomllib.TOMLDecodeError as error:
        found = re.search(r" \(at line (\d+), column \d+\)$", str(error))
        line: int | None = int(found[1]) if found else None
        if line is None and str(error).endswith("(at end of document)"):
            line = text.count("\n") + 1
        problem = Problem(str(error)[: found.start()] if found else str(error), line)
        raise RecipeError(f"{origin}: {error}", (problem,)) from error


def _place(text: str, at: int) -> str:
    """Return the position of a character, worded as in tomllib's errors."""
    line, column = text.count("\n", 0, at) + 1, at - text.rfind("\n", 0, at)
    return f" (at line {line}, column {column})"


def _load_toml(text: str) -> dict[str, Any]:
    """Parse TOML whose numbers and nesting are of reasonable size.

    Raises:
        TOMLDecodeError: there is a syntax error, given with line and column, or a number or the
            nesting is unreasonably large.
    """
    if found := _LONG_KEY.search(text):
        raise tomllib.TOMLDecodeError(f"A key has too many parts{_place(text, found.start())}")
    try:
        data = tomllib.loads(text)
    except tomllib.TOMLDecodeError:
        raise
    except RecursionError:
        raise tomllib.TOMLDecodeError("Values are nested too deep") from None
    except ValueError as error:
        # Python refuses integers of thousands of digits
        found = re.search(r"\d[\d_]{4000,}", text)
        place = _place(text, found.start()) if found else ""
        raise tomllib.TOMLDecodeError(f"A number has too many digits{place}") from error
    level: list[Any] = [data]
    for _ in range(_DEEPEST):
        level = [
            inner
            for value in level
            for inner in (value.values() if isinstance(value, dict) else value)
            if isinstance(inner, dict | list)
        ]
        if not level:
            return data
    raise tomllib.TOMLDecodeError("Values are nested too deep")


def apply_settings(data: Mapping[str, Any], settings: Iterable[str]) -> dict[str, Any]:
    """Change a recipe's data by texts such as ``layers.1.agents=800``.

    The value is parsed as TOML, falling back to plain text. Layers are numbered from 1.

    Raises:
        RecipeError: a setting has no ``=``, names a layer that does not exist, or leads through
            something that is not a table.
    """
    changed: dict[str, Any] = copy.deepcopy(dict(data))
    for setting in settings:
        path, equals, text = setting.partition("=")
        keys = [key.strip() for key in path.split(".")]
        shown = shortened(setting)
        if not equals or not all(keys) or len(keys) > _DEEPEST:
            raise RecipeError(
                f"the setting {shown!r}: write PATH=VALUE, such as layers.1.agents=800"
            )
        try:
            value = _load_toml(f"value = {text}")["value"]
        except tomllib.TOMLDecodeError:
            value = text.strip()
        place: Any = changed
        for depth, key in enumerate(keys[:-1]):
            where = shortened(".".join(keys[: depth + 1]))
            if isinstance(place, list):
                place = _entry(place, key, shown)
            elif isinstance(place, dict):
                place = place.setdefault(key, {})
                if isinstance(place, list) and all(isinstance(one, str) for one in place) and place:
                    raise RecipeError(
                        f"the setting {shown!r}: {where} is a list of names, not a table"
                    )
            else:
                raise RecipeError(f"the setting {shown!r}: {where} is not a table")
        if isinstance(place, list):
            _entry(place, keys[-1], shown)
            place[int(keys[-1]) - 1] = value
        elif isinstance(place, dict):
            place[keys[-1]] = value
        else:
            where = shortened(".".join(keys[:-1]))
            raise RecipeError(f"the setting {shown!r}: {where} is not a table")
    return changed


def _entry(places: list[Any], key: str, shown: str) -> Any:
    # Python refuses integers of thousands of digits
    if not key.isdecimal() or len(key) > 9 or not 1 <= int(key) <= len(places):
        raise RecipeError(
            f"the setting {shown!r}: no layer {shortened(key)}; layers are numbered 1 to "
            f"{len(places)}"
        )
    return places[int(key) - 1]


def read_recipe_file(path: Path) -> str:
    """Read the text of a recipe from a TOML file.

    Raises:
        RecipeError: the file is missing or unreadable.
    """
    return read_text(path, "recipe", error=RecipeError)
