"""The command line. Commands import heavy modules themselves, so that it starts fast."""

from __future__ import annotations

# Importing these modules registers their commands
from glitch_render.cli import batch, corrupt, manage, plot, sweep  # noqa: F401
from glitch_render.cli.app import app, main

__all__ = ["app", "main"]
