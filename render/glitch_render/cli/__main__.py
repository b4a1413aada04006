"""Run the command line as ``python -m glitch_render.cli``."""

from __future__ import annotations

from glitch_render.cli import main

main()
