"""The runs of a sweep, as a file in TOML describes them."""

from __future__ import annotations

import itertools
import json
import math
import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator

from glitch_gym.errors import Problem, RecipeError, SettingError
from glitch_gym.memory import content_key

__all__ = ["Run", "Sweep", "parse_sweep", "read_sweep"]

_LARGEST = 1 << 20
_MOST_RUNS = 1_000_000

Value = bool | int | float | str | list[Any]


class _Strict(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class _Learner(BaseModel):
    """A learner by name, with its settings; a list stands for each of its values in turn."""

    model_config = ConfigDict(frozen=True, extra="allow")
    name: str

    @property
    def settings(self) -> dict[str, Any]:
        return dict(self.model_extra or {})

    @property
    def varied(self) -> dict[str, list[Any]]:
        return {name: one for name, one in self.settings.items() if isinstance(one, list)}


class Sweep(_Strict):
    """A sweep: every combination of its pictures, worlds, learners, settings and seeds.

    Args:
        pictures: paths of pictures, or ``sample:NAME``.
        seeds: number of seeds from 0 on, or the seeds themselves.
        episodes: training episodes of each run.
        points: number of points of a curve, at equal distances.
        world: settings of ``GlitchGridEnv`` for all runs, such as ``grid`` and ``objective``.
        vary: lists of values by the name of a setting of the world, each value in turn.
        learners: learners with their settings.
    """

    pictures: Annotated[list[str], Field(min_length=1)]
    seeds: Annotated[int, Field(ge=1, le=100_000)] | list[Annotated[int, Field(ge=0, lt=2**63)]] = 3
    episodes: Annotated[int, Field(strict=True, ge=1, lt=2**40)]
    points: Annotated[int, Field(strict=True, ge=1, le=1000)] = 20
    world: dict[str, Value] = {}
    vary: dict[str, list[Value]] = {}
    learners: Annotated[list[_Learner], Field(min_length=1)]

    @field_validator("world", "vary")
    @classmethod
    def _without_what_is_set_otherwise(cls, value: dict[str, Any]) -> dict[str, Any]:
        for name in ("image", "seed", "render_mode", "observation", "weights"):
            if name in value:
                raise ValueError(f"{name} is no setting of a sweep's world")
        return value

    def runs(self) -> Iterator[Run]:
        """Yield every run, in the order of the file.

        Raises:
            SettingError: there are more than a million.
        """
        seeds = range(self.seeds) if isinstance(self.seeds, int) else self.seeds
        worlds = _combinations(self.vary)
        count = sum(_combinations(one.varied) for one in self.learners)
        count *= len(self.pictures) * worlds * len(seeds)
        if count > _MOST_RUNS:
            raise SettingError(f"a sweep has at most {_MOST_RUNS:,} runs, not {count:,}")
        for picture, world, learner in itertools.product(
            self.pictures, list(_combined(self.world, self.vary)), self.learners
        ):
            for settings in _combined(learner.settings, learner.varied):
                for seed in seeds:
                    yield Run(
                        picture, _json(world), learner.name, _json(settings), seed, self.episodes,
                        self.points,
                    )  # fmt: skip


def _combinations(varied: Mapping[str, list[Any]]) -> int:
    return math.prod(len(values) for values in varied.values())


def _combined(
    fixed: Mapping[str, Any], varied: Mapping[str, list[Any]]
) -> Iterator[dict[str, Any]]:
    for values in itertools.product(*varied.values()):
        yield {**fixed, **dict(zip(varied, values, strict=True))}


def _json(value: Mapping[str, Any]) -> str:
    return json.dumps(value, sort_keys=True)


@dataclass(frozen=True)
class Run:
    """One training.

    Args:
        picture: path of the picture, or ``sample:NAME``.
        world: settings of the world, as JSON.
        learner: name of the learner.
        settings: settings of the learner, as JSON.
        seed: seed of the training; the world has seed 0 in every run.
        episodes: number of training episodes.
        points: number of points of the curve.
    """

    picture: str
    world: str
    learner: str
    settings: str
    seed: int
    episodes: int
    points: int

    @property
    def key(self) -> str:
        """Name of the run, by everything that it depends on in the sweep."""
        return content_key(run=self)[:16]

    @property
    def label(self) -> str:
        """Name of the learner with its settings, as a legend shows it."""
        given = ", ".join(f"{k} {v:g}" if isinstance(v, float) else f"{k} {v}"
                          for k, v in json.loads(self.settings).items())  # fmt: skip
        return f"{self.learner} ({given})" if given else self.learner


def parse_sweep(text: str, origin: str = "the sweep") -> Sweep:
    """Read a sweep from TOML.

    Args:
        text: the sweep in TOML.
        origin: name of the sweep in messages.

    Raises:
        RecipeError: it is no TOML, or a field is wrong; every problem is named.
    """
    try:
        return Sweep.model_validate(tomllib.loads(text))
    except tomllib.TOMLDecodeError as error:
        raise RecipeError(f"{origin} is not TOML: {error}") from None
    except RecursionError:
        raise RecipeError(f"{origin} is nested too deeply") from None
    except ValidationError as error:
        problems = tuple(
            Problem(f"{'.'.join(map(str, one['loc'])) or 'sweep'}: {one['msg']}")
            for one in error.errors(include_url=False, include_input=False)
        )
        lines = "\n".join(f"  {one.message}" for one in problems)
        raise RecipeError(f"{origin} is wrong:\n{lines}") from None


def read_sweep(path: Path) -> Sweep:
    """Read a sweep from a file.

    Raises:
        RecipeError: it cannot be read, is too large, or is wrong.
    """
    from glitch_gym.input import open_file

    with open_file(path, "sweep", error=RecipeError) as file:
        content = file.read(_LARGEST + 1)
    if len(content) > _LARGEST:
        raise RecipeError(f"{path} is too large for a sweep")
    try:
        text = content.decode()
    except UnicodeDecodeError:
        raise RecipeError(f"{path} is not text in UTF-8") from None
    return parse_sweep(text, str(path))
