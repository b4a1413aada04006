"""Where PyTorch computes, unless a call says otherwise: one choice for the process.

It is no part of a recipe: the same network on another device makes the same map but for the last
bits of its sums.
"""

from __future__ import annotations

from glitch_gym.errors import SettingError

__all__ = ["DEVICES", "choose_device", "chosen_device"]

DEVICES = ("auto", "cpu", "cuda")
"""The devices; ``"auto"`` is the GPU if there is one."""

_chosen = "cpu"


def choose_device(name: str) -> None:
    """Choose where PyTorch computes from now on in this process.

    Args:
        name: one of ``DEVICES``.

    Raises:
        SettingError: the name is unknown.
    """
    global _chosen
    _chosen = checked_device(name)


def chosen_device(name: str | None = None) -> str:
    """Return a device by its name, or the chosen one, which is the CPU at first.

    Raises:
        SettingError: the name is unknown.
    """
    return _chosen if name is None else checked_device(name)


def checked_device(name: str) -> str:
    """Return the name of a device.

    Raises:
        SettingError: the name is unknown.
    """
    if name not in DEVICES:
        raise SettingError(f"the device is one of {', '.join(DEVICES)}, not {name!r}")
    return name
