"""The lane: hands cases to workers, watches them, keeps a log, and draws the table."""

from __future__ import annotations

import collections
import contextlib
import dataclasses
import json
import os
import queue
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterable
from pathlib import Path

from tests.fuzz.seeds import make_seeds
from tests.fuzz.targets import TARGETS
from tests.fuzz.trial import BAD, Result

__all__ = ["read_log", "run_cases", "table"]

_ROOT = Path(__file__).parents[2]
_PROCESSOR_SECONDS = 20.0
_WALL_SECONDS = 60.0
_MEMORY = 2 << 30


class _Worker:
    """A process of ``worker.py`` and the case that it runs."""

    def __init__(self, folder: Path, number: int) -> None:
        paths = [
            str(folder / name) for name in ("seeds", f"scratch-{number}", f"prints-{number}.log")
        ]
        places = [str(_ROOT), str(_ROOT / "agents"), str(_ROOT / "render")]
        home = folder / "home"
        home.mkdir(exist_ok=True)
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.fuzz.worker", *paths],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            cwd=folder,
            env={**os.environ, "PYTHONPATH": os.pathsep.join(places), "HOME": str(home)},
        )
        self._answers: queue.Queue[dict[str, object]] = queue.Queue()
        self._listener = threading.Thread(target=self._listen, daemon=True)
        self._listener.start()
        self._child = self._ready()

    def _listen(self) -> None:
        assert self._process.stdout is not None
        with self._process.stdout as answers:
            for line in answers:
                self._answers.put(json.loads(line))
        self._answers.put({"gone": self._process.wait()})

    def _ready(self) -> int:
        answer = self._answers.get(timeout=300)
        if "ready" not in answer:
            raise RuntimeError(f"a worker does not start: {answer}")
        return int(str(answer["ready"]))

    def run(self, number: int) -> Result:
        """Run a case; a child that hangs or takes too much is killed."""
        assert self._process.stdin is not None
        target = list(TARGETS)[number % len(TARGETS)]
        began, spent = time.monotonic(), _processor_seconds(self._child)
        self._process.stdin.write(f"{number}\n".encode())
        self._process.stdin.flush()
        while True:
            with contextlib.suppress(queue.Empty):
                answer = self._answers.get(timeout=0.1)
                if "ready" in answer:
                    self._child = int(str(answer["ready"]))
                    return Result(number, target, "crash", "the process died")
                if "gone" in answer:
                    raise RuntimeError("a worker is gone")
                return Result(**answer)  # type: ignore[arg-type]
            took = _processor_seconds(self._child) - spent
            used = _resident(self._child)
            if used > _MEMORY:
                return self._killed(number, target, "memory", took, used)
            if took > _PROCESSOR_SECONDS or time.monotonic() - began > _WALL_SECONDS:
                return self._killed(number, target, "hang", took, used)

    def _killed(self, number: int, target: str, outcome: str, took: float, used: int) -> Result:
        with contextlib.suppress(ProcessLookupError):
            os.kill(self._child, signal.SIGKILL)
        self._child = self._ready()
        return Result(number, target, outcome, "killed", took, used / 1e6)

    def close(self) -> None:
        """End the process."""
        assert self._process.stdin is not None
        self._process.stdin.close()
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(10)
        self._process.kill()
        self._process.wait()
        self._listener.join(10)


def _processor_seconds(process: int) -> float:
    try:
        fields = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return 0.0
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def _resident(process: int) -> int:
    try:
        return int(Path(f"/proc/{process}/statm").read_text().split()[1]) * os.sysconf(
            "SC_PAGE_SIZE"
        )
    except OSError:
        return 0


def read_log(log: Path) -> list[Result]:
    """Read the results that a log holds; a line that was cut short is left out."""
    found = []
    for line in log.read_text().splitlines() if log.exists() else []:
        with contextlib.suppress(ValueError, TypeError):
            found.append(Result(**json.loads(line)))
    return found


def run_cases(
    numbers: Iterable[int],
    folder: Path,
    *,
    workers: int = 1,
    told: Callable[[Result], None] | None = None,
) -> list[Result]:
    """Run cases; those that the folder's log has are not run again.

    Args:
        numbers: of the cases.
        folder: for seeds, scratch and the log.
        workers: processes at once.
        told: called with each new result.

    Returns:
        all results for those numbers, in order.
    """
    wanted = list(numbers)
    folder.mkdir(parents=True, exist_ok=True)
    make_seeds(folder / "seeds")
    log = folder / "log.jsonl"
    results = {one.number: one for one in read_log(log)}
    waiting: queue.SimpleQueue[int] = queue.SimpleQueue()
    missing = [number for number in wanted if number not in results]
    for number in missing:
        waiting.put(number)
    lock = threading.Lock()
    failed: list[BaseException] = []

    def work(place: int) -> None:
        try:
            worker = _Worker(folder, place)
            try:
                while True:
                    result = worker.run(waiting.get_nowait())
                    with lock, log.open("a") as file:
                        results[result.number] = result
                        file.write(json.dumps(dataclasses.asdict(result)) + "\n")
                        if told is not None:
                            told(result)
            finally:
                worker.close()
        except queue.Empty:
            pass
        except BaseException as error:
            failed.append(error)

    threads = [
        threading.Thread(target=work, args=(place,)) for place in range(min(workers, len(missing)))
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if failed:
        raise failed[0]
    return [results[number] for number in wanted]


def table(results: Iterable[Result]) -> str:
    """Draw a table: target by outcome, and every bad case below it."""
    results = list(results)
    counts = collections.Counter((one.target, one.outcome) for one in results)
    outcomes = ["ok", "refused", "usage", "heavy", *BAD]
    shown = [name for name in outcomes if any(counts[target, name] for target in TARGETS)]
    lines = ["".join(["target".ljust(10), *(name.rjust(10) for name in shown), "total".rjust(8)])]
    for target in TARGETS:
        row = [counts[target, name] for name in shown]
        lines.append("".join([target.ljust(10), *(f"{n:10}" for n in row), f"{sum(row):8}"]))
    bad = [one for one in results if one.outcome in BAD]
    slowest = max(results, key=lambda one: one.seconds, default=None)
    largest = max(results, key=lambda one: one.megabytes, default=None)
    lines.append(f"{len(results)} cases, {len(bad)} bad")
    if slowest is not None and largest is not None:
        lines.append(
            f"slowest {slowest.seconds:.1f} s (case {slowest.number}), "
            f"largest {largest.megabytes:.0f} MB (case {largest.number})"
        )
    lines += [f"  {one.outcome:<9} {one.target:<9} case {one.number}: {one.detail}" for one in bad]
    return "\n".join(lines)
