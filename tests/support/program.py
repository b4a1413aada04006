"""The program, run in this process or in one of its own."""

from __future__ import annotations

import sys
from pathlib import Path

from typer.testing import CliRunner

from glitch_render.cli import app

PROGRAM = [sys.executable, "-m", "glitch_render.cli"]
IN_OUT = ["corrupt", "in.png", "-o", "out.png"]
QUICK = ["--activation", "edges", "--preset", "weave", "--set", "layers.1.iterations=200"]
"""Arguments that take no time."""

_MUCH = 64 * 1024**2


def contents():
    """Return the content of every file below the working folder, which must be a test's own."""
    files = [path for path in Path().rglob("*") if path.is_file()]
    assert sum(path.stat().st_size for path in files) < _MUCH, "work in a folder of the test's own"
    return {path: path.read_bytes() for path in files}


def run(*arguments):
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


def refused(*arguments, code=1):
    """Run what must fail: one clear line, the exit code, and no file left or harmed."""
    before = contents()
    result = run(*arguments)
    assert result.exit_code == code, result.output
    assert result.stdout == ""
    after = contents()
    assert after == before
    if code == 1:
        assert result.exception is None or isinstance(result.exception, SystemExit)
        assert result.stderr.startswith("error: ")
        assert result.stderr.count("\n") == 1, result.stderr
    return result.stderr
