"""Run the lane by hand: ``python -m tests.fuzz --cases 10000 --folder /tmp/lane``."""

from __future__ import annotations

import argparse
import sys
import tempfile
from pathlib import Path

from tests.fuzz.lane import run_cases, table
from tests.fuzz.targets import TARGETS
from tests.fuzz.trial import BAD, Result


def main() -> int:
    """Run cases and print the table; the exit code is 1 if any is bad."""
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz", description=__doc__)
    parser.add_argument("--cases", type=int, default=1_000, help="how many")
    parser.add_argument("--first", type=int, default=0, help="number of the first")
    parser.add_argument("--only", type=int, nargs="+", help="run these cases alone")
    parser.add_argument("--target", choices=list(TARGETS), nargs="+", help="of these targets alone")
    parser.add_argument("--workers", type=int, default=2, help="processes at once")
    parser.add_argument("--folder", type=Path, help="keeps seeds and log, so that a run can go on")
    given = parser.parse_args()
    numbers = given.only or range(given.first, given.first + given.cases)
    if given.target:
        names = list(TARGETS)
        numbers = [one for one in numbers if names[one % len(names)] in given.target]

    def told(result: Result) -> None:
        if result.outcome in BAD or given.only:
            print(
                f"{result.outcome} {result.target} case {result.number}: {result.detail}",
                flush=True,
            )

    with tempfile.TemporaryDirectory(prefix="glitch-gym-fuzz-") as temporary:
        folder = (given.folder or Path(temporary)).resolve()
        results = run_cases(numbers, folder, workers=given.workers, told=told)
    print(table(results))
    return int(any(one.outcome in BAD for one in results))


if __name__ == "__main__":
    sys.exit(main())
