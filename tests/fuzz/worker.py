"""A process that runs cases: it loads everything once, then forks for as long as children die.

Numbers of cases come in on standard input, results go out on standard output, one JSON a line. A
child that crashes or is killed is followed by another in milliseconds.
"""

from __future__ import annotations

import dataclasses
import faulthandler
import json
import os
import sys
from pathlib import Path

__all__ = ["main"]


def main(seeds: Path, scratch: Path, log: Path) -> None:
    """Serve cases until standard input ends.

    Args:
        seeds: made by ``make_seeds``.
        scratch: a folder for folders of cases.
        log: takes what libraries print by themselves.
    """
    answers = os.dup(1)
    prints = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    os.dup2(prints, 1)
    os.dup2(prints, 2)
    faulthandler.enable()
    import torch  # noqa: F401

    from tests.fuzz.trial import run_case

    scratch.mkdir(parents=True, exist_ok=True)
    # Compiled code is loaded here, once for all children; case 0 is a picture
    run_case(0, seeds, scratch)
    while True:
        child = os.fork()
        if child == 0:
            _serve(answers, seeds, scratch)
            os._exit(0)
        _, status = os.waitpid(child, 0)
        if os.waitstatus_to_exitcode(status) == 0:
            return


def _serve(answers: int, seeds: Path, scratch: Path) -> None:
    from tests.fuzz.trial import run_case

    def tell(about: dict[str, object]) -> None:
        os.write(answers, (json.dumps(about) + "\n").encode())

    tell({"ready": os.getpid()})
    while line := _line():
        tell(dataclasses.asdict(run_case(int(line), seeds, scratch)))


def _line() -> bytes:
    """Read a line, and nothing of the next, which another child may have to read."""
    line = b""
    while not line.endswith(b"\n"):
        byte = os.read(0, 1)
        if not byte:
            return b""
        line += byte
    return line


if __name__ == "__main__":
    main(*map(Path, sys.argv[1:4]))
