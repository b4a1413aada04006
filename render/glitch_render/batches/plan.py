"""The files of a batch: which are read, under which name each is written, and with which seed."""

from __future__ import annotations

import glob
import os
import string
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from glitch_gym.errors import OutputError, PictureError, SettingError
from glitch_gym.input import is_folder, is_regular
from glitch_gym.randomness import derive_key
from glitch_render.media.formats import ANIMATIONS, CLIPS, SUFFIXES
from glitch_render.media.sources import PICTURES, is_footage

__all__ = ["FIELDS", "BatchFile", "plan_batch"]

FIELDS = ("stem", "suffix", "recipe", "seed")
"""What a template of names can hold, in braces."""

_READ = (*PICTURES, *CLIPS, ".avi", ".ts", ".mts", ".m2ts", ".mpg", ".mpeg", ".wmv", ".flv", ".3gp",
         ".ogv")  # fmt: skip
"""Suffixes of the files that are taken from a folder."""

_MOST_FILES = 1_000_000


@dataclass(frozen=True)
class BatchFile:
    """A file of a batch.

    Args:
        source: path of the file.
        name: path of the file below the folder that it was found in, with ``/``.
        output: path that it is written to.
        seed: seed of its recipe.
        size: size of the source in bytes.
    """

    source: str
    name: str
    output: Path
    seed: int
    size: int


def plan_batch(
    sources: Sequence[str],
    folder: Path,
    *,
    seed: int,
    same_seed: bool = False,
    template: str = "{stem}{suffix}",
    recipe: str = "recipe",
) -> list[BatchFile]:
    """Return the files of a batch in the order of their names.

    Args:
        sources: files, folders (read with all that is below them) and patterns such as
            ``photos/**/*.jpg``.
        folder: folder of the outputs; those of a folder or pattern lie in it as the sources lie
            below theirs.
        seed: seed of the recipe. Each file has one of its own, made from this and from the file's
            name, so that neither order nor company changes it.
        same_seed: give every file the recipe's own seed.
        template: name of an output, with the fields of ``FIELDS`` in braces.
        recipe: name of the recipe, for the template.

    Raises:
        PictureError: a source is missing, or there is nothing to read.
        SettingError: the template is wrong.
        OutputError: two sources would be written to one file, or one over a source.
    """
    _check_template(template)
    inside = folder.resolve()
    found: dict[str, str] = {}
    for source in sources:
        for path, name in _expanded(source):
            # Outputs of an earlier run that lie in a source's folder are no sources
            if path == source or inside not in Path(path).resolve().parents:
                found.setdefault(path, name)
            if len(found) > _MOST_FILES:
                raise PictureError(f"more than {_MOST_FILES:,} files: take them in several runs")
    if not found:
        raise PictureError(f"nothing to read in {', '.join(sources)}")
    files = []
    for path, name in found.items():
        own = seed if same_seed else int(derive_key(seed, "batch", name)) % 2**31
        output = folder / _output_name(path, name, template, recipe, own)
        files.append(BatchFile(path, name, output, own, Path(path).stat().st_size))
    _check_outputs(files)
    return sorted(files, key=lambda one: (one.name, one.source))


def _check_template(template: str) -> None:
    try:
        parts = list(string.Formatter().parse(template))
    except ValueError as error:
        raise SettingError(f"the template of names {template!r} is wrong: {error}") from None
    for text, name, form, conversion in parts:
        if name is not None and (name not in FIELDS or form or conversion):
            fields = ", ".join(f"{{{one}}}" for one in FIELDS)
            raise SettingError(f"the template of names {template!r} can hold {fields}")
        if "/" in text or "\\" in text:
            raise SettingError(f"the template {template!r} is of names, without folders")


def _expanded(source: str) -> Iterator[tuple[str, str]]:
    """Yield the paths that a source stands for, each with its name below the source."""
    if is_folder(source):
        yield from _below(Path(source), Path(source).rglob("*"), every=False)
    elif is_regular(source):
        yield source, Path(source).name
    elif glob.has_magic(source):
        # What comes before the first wildcard is not mirrored
        parts = Path(source).parts
        fixed = next(at for at, part in enumerate(parts) if glob.has_magic(part))
        root = Path(*parts[:fixed]) if fixed else Path()
        paths = root.glob(str(Path(*parts[fixed:])))
        yield from _below(root, paths, every=True)
    else:
        raise PictureError(f"no such file, folder or pattern: {source}", path=source)


def _below(root: Path, paths: Iterable[Path], *, every: bool) -> Iterator[tuple[str, str]]:
    for path in sorted(paths):
        name = path.relative_to(root)
        hidden = any(part.startswith(".") for part in name.parts)
        wanted = every or path.suffix.lower() in _READ
        if wanted and not hidden and is_regular(str(path)):
            yield str(path), name.as_posix()


def _output_name(path: str, name: str, template: str, recipe: str, seed: int) -> Path:
    relative = Path(name)
    suffix = relative.suffix.lower()
    if suffix not in (*SUFFIXES, *CLIPS, *ANIMATIONS):
        suffix = ".mp4" if is_footage(path) else ".png"
    elif suffix == ".png" and is_footage(path):
        suffix = ".apng"
    written = template.format(
        stem=relative.stem, suffix=suffix, recipe=Path(recipe).stem, seed=seed
    )
    return relative.parent / written


def _check_outputs(files: Sequence[BatchFile]) -> None:
    by_output: dict[str, BatchFile] = {}
    sources = {os.path.realpath(one.source) for one in files}
    for one in files:
        # Letters of either case are one name on many disks
        place = os.path.normcase(os.path.realpath(one.output)).casefold()
        other = by_output.setdefault(place, one)
        if other is not one:
            raise OutputError(
                f"{other.source} and {one.source} would both become {one.output}: put more of "
                f"their names into the template, such as {{stem}}{{seed}}{{suffix}}, or take them "
                f"from one folder",
                path=str(one.output),
            )
        if os.path.realpath(one.output) in sources:
            raise OutputError(
                f"{one.output} is itself a source: write into another folder", path=str(one.output)
            )
