"""The report of a batch: a CSV with a row for each file, from which a stopped one goes on."""

from __future__ import annotations

import csv
import hashlib
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from types import TracebackType
from typing import IO, Literal

from glitch_gym.errors import OutputError
from glitch_gym.output import write_bytes, write_error

__all__ = ["BatchRow", "Report", "Status", "digest_of", "read_rows"]

Status = Literal["done", "failed", "kept"]


@dataclass(frozen=True)
class BatchRow:
    """What became of a file.

    Args:
        source: path of the file that was read.
        output: path of the file that was written.
        status: ``done``, ``failed``, or ``kept`` from an earlier run.
        message: why it failed, or what was converted.
        seconds: time that it took.
        seed: seed of its recipe.
        digest: digest of the bytes that were written.
        work: digest of the recipe, the options and the source's bytes.
    """

    source: str
    output: str
    status: Status
    message: str
    seconds: float
    seed: int
    digest: str
    work: str


_COLUMNS = tuple(one.name for one in fields(BatchRow))


def digest_of(path: str | Path) -> str:
    """Return a digest of a file's bytes, or those of the files in a folder."""
    digest = hashlib.blake2b(digest_size=16)
    place = Path(path)
    for file in sorted(place.iterdir()) if place.is_dir() else [place]:
        with file.open("rb") as opened:
            while block := opened.read(1 << 22):
                digest.update(block)
    return digest.hexdigest()


def read_rows(path: Path) -> Iterator[BatchRow]:
    """Yield the whole rows of a report; what a killed run left half written is passed over."""
    try:
        text = path.read_text(encoding="utf-8", errors="replace")
    except FileNotFoundError:
        return
    except OSError as error:
        raise OutputError(
            f"cannot read the report {path}: {error.strerror or error}", path=str(path)
        ) from error
    for row in csv.DictReader(text.splitlines()):
        try:
            status = row["status"]
            if status in ("done", "failed", "kept") and None not in row.values():
                yield BatchRow(
                    row["source"], row["output"], status, row["message"],  # type: ignore[arg-type]
                    float(row["seconds"]), int(row["seed"]), row["digest"], row["work"],
                )  # fmt: skip
        except (KeyError, ValueError, TypeError):
            continue


class Report:
    """Writes rows to a report as they come, and in the end all of them in the order of names.

    Args:
        path: path of the CSV.
        rows: rows of an earlier run that still hold.

    Raises:
        OutputError: the file cannot be written.
    """

    def __init__(self, path: Path, rows: Iterable[BatchRow] = ()) -> None:
        self.path = path
        self._rows = {row.source: row for row in rows}
        self._write()
        self._file: IO[str] | None = None

    def __enter__(self) -> Report:
        try:
            self._file = self.path.open("a", encoding="utf-8", newline="")
        except OSError as error:
            raise write_error(self.path, error) from error
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._file is not None:
            self._file.close()
        self._write()

    def add(self, row: BatchRow) -> None:
        """Add a row; it is on disk when this returns."""
        assert self._file is not None
        self._rows[row.source] = row
        try:
            csv.DictWriter(self._file, _COLUMNS, lineterminator="\n").writerow(asdict(row))
            self._file.flush()
        except OSError as error:
            raise write_error(self.path, error) from error

    def _write(self) -> None:
        lines = _Lines()
        writer = csv.DictWriter(lines, _COLUMNS, lineterminator="\n")
        writer.writeheader()
        for source in sorted(self._rows):
            writer.writerow(asdict(self._rows[source]))
        write_bytes(self.path, "".join(lines.written).encode(), sync=False)


class _Lines:
    """A file for ``csv`` that keeps its lines."""

    def __init__(self) -> None:
        self.written: list[str] = []

    def write(self, line: str) -> int:
        self.written.append(line)
        return len(line)
