"""Modules that are imported when something of them is first asked for.

Every worker of the tests imports every test module, but PyTorch takes a third of a gigabyte: so the
tests that need it are one group, and only the worker that runs them imports it.
"""

from __future__ import annotations

import importlib
from typing import Any

__all__ = ["Lazy", "torch"]


class Lazy:
    """A module that is not imported yet.

    Args:
        name: its full name.
    """

    def __init__(self, name: str) -> None:
        self._name = name

    def __getattr__(self, attribute: str) -> Any:
        # pytest looks for attributes of its own at whatever a test module holds
        if attribute.startswith(("_", "pytest")):
            raise AttributeError(attribute)
        return getattr(importlib.import_module(self._name), attribute)


torch = Lazy("torch")
