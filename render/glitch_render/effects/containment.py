"""Contain effects from plug-ins, so that their errors and output do no harm."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterable
from functools import wraps
from operator import index
from typing import TYPE_CHECKING, Any

from glitch_gym.plugins import contained, describe

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from glitch_render.effects.registry import Effect, Source, Stamp

__all__ = ["contain_effect"]

_MOST_SETTINGS = 16
_BEYOND = 1 << 31


def contain_effect(effect: Effect) -> Effect:
    """Return an effect whose functions turn all of their exceptions into ``SettingError``.

    They cannot write to pixels that are not theirs. The pixels that they return are checked by the
    canvas.

    Args:
        effect: effect as a plug-in or a program declared it.
    """
    who = f"effect {effect.name!r}"

    def whole_numbers(given: Iterable[Any]) -> tuple[int, ...]:
        numbers = tuple(index(one) for one in given)
        if len(numbers) > _MOST_SETTINGS or any(abs(one) >= _BEYOND for one in numbers):
            raise ValueError(f"it returned more than {_MOST_SETTINGS} settings, or too large ones")
        return numbers

    def offset(given: Iterable[Any]) -> tuple[int, int]:
        rows, cols = whole_numbers(given)
        return rows, cols

    def own(function: Callable[..., Any] | None, check: Callable[[Any], Any]) -> Any:
        if function is None:
            return None

        def call(*arguments: Any) -> Any:
            with contained(who):
                return check(function(*arguments))

        return call

    def plane(source: Source, parameters: Any) -> Any:
        assert effect.plane is not None
        frames = [_locked(one) for one in (source.frame, *source.earlier)]
        locked = dataclasses.replace(source, frame=frames[0], earlier=tuple(frames[1:]))
        with contained(who):
            return effect.plane(locked, parameters)

    @wraps(effect.function)
    def stamped(stamp: Stamp, parameters: Any) -> Any:
        stamp.plane.setflags(write=False)
        # Called for every stamp, where ``contained`` would cost more than most effects
        try:
            return effect.function(stamp, parameters)
        except (Exception, KeyboardInterrupt):
            # The canvas names the effect and the cell
            raise
        except BaseException as error:
            raise RuntimeError(f"it raised {describe(error)}") from error

    return dataclasses.replace(
        effect,
        function=stamped,
        plane=None if effect.plane is None else plane,
        source=own(effect.source, offset),
        frames_back=own(effect.frames_back, index),
        settings=own(effect.settings, whole_numbers),
    )


def _locked(frame: NDArray[Any]) -> NDArray[Any]:
    view = frame.view()
    view.setflags(write=False)
    return view
