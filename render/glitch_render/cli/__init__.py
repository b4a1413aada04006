"""The command line. Whatever is heavy is imported inside the command that needs it."""

from __future__ import annotations

# Each of these modules registers its commands as it is imported
from glitch_render.cli import corrupt, manage, plot  # noqa: F401
from glitch_render.cli.app import app, main

__all__ = ["app", "main"]
