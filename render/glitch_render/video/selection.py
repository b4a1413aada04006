"""Which frames of a source are rendered, and how large."""

from __future__ import annotations

import re
from dataclasses import dataclass
from fractions import Fraction

from glitch_gym.errors import SettingError

__all__ = ["Selection", "parse_rate", "parse_scale", "parse_seconds"]


_MAX_SIDE = 16_384


_LATEST = 1_000_000


_SLOWEST, _FASTEST = Fraction(1, 100), Fraction(1000)


_LONGEST_STILL = 86_400


# No number that somebody means has more characters, and Python reads none of thousands of digits
_LONGEST_NUMBER = 32


@dataclass(frozen=True)
class Selection:
    """Which frames of a source are rendered, and how large.

    Args:
        start: seconds of the source at which to begin.
        end: seconds of the source at which to end.
        rate: frames a second; by default the source's own frames at their own times.
        scale: a size as ``parse_scale`` takes it.
        duration: seconds that a still is shown.
    """

    start: Fraction | None = None
    end: Fraction | None = None
    rate: Fraction | None = None
    scale: str | None = None
    duration: float | None = None

    def __post_init__(self) -> None:
        for name, value in (("start", self.start), ("end", self.end)):
            if value is not None and not 0 <= value <= _LATEST:
                where = "before 0" if value < 0 else f"after {_LATEST:,} s"
                raise SettingError(f"{name} must not be {where}, not {_rounded(value)} s")
        if self.end is not None and self.end <= (self.start or 0):
            raise SettingError(
                f"the end ({float(self.end):g} s) must come after the start "
                f"({float(self.start or 0):g} s)"
            )
        if self.rate is not None and not _SLOWEST <= self.rate <= _FASTEST:
            raise SettingError(
                f"fps must lie in {float(_SLOWEST):g}…{_FASTEST}, not {_rounded(self.rate)}"
            )
        if self.duration is not None and not 0 < self.duration <= _LONGEST_STILL:
            raise SettingError(
                f"duration must be above 0 s and at most {_LONGEST_STILL:,} s, "
                f"not {self.duration:g}"
            )


def _rounded(number: Fraction) -> str:
    try:
        return f"{float(number):g}"
    except OverflowError:
        return "a number of hundreds of digits"


def _quoted(text: str) -> str:
    return repr(text if len(text) <= _LONGEST_NUMBER else f"{text[:_LONGEST_NUMBER]}…")


def parse_rate(text: str) -> Fraction:
    """Read a number of frames a second, such as ``25``, ``29.97`` or ``30000/1001``.

    Raises:
        SettingError: something else.
    """
    # An exponent could stand for a number that fills the memory
    if len(text) > _LONGEST_NUMBER or not re.fullmatch(r"[-+\d./\s]+", text):
        raise SettingError(f"fps must be a number such as 25 or 30000/1001, not {_quoted(text)}")
    try:
        return Fraction(text).limit_denominator(1_000_000)
    except (ValueError, ZeroDivisionError):
        raise SettingError(f"fps must be a number such as 25 or 30000/1001, not {text!r}") from None


def parse_seconds(text: str) -> Fraction:
    """Read a time: seconds, ``M:S`` or ``H:M:S``, with decimals.

    Raises:
        SettingError: something else.
    """
    if len(text) > _LONGEST_NUMBER or not re.fullmatch(
        r"(\d+:)?(\d+:)?\d+(\.\d*)?|\.\d+", text.strip()
    ):
        raise SettingError(
            f"{_quoted(text)} is not a time: write seconds, M:S or H:M:S, such as 1:02.5"
        )
    seconds = Fraction(0)
    for part in text.strip().split(":"):
        seconds = 60 * seconds + Fraction(part)
    return seconds


def parse_scale(text: str | None, width: int, height: int) -> tuple[int, int]:
    """Read a size: a factor (``0.5``, ``50%``), a height (``720p``) or ``1280x720``.

    Args:
        text: ``None`` keeps the size.
        width: of the source, in pixels.
        height: likewise.

    Returns:
        (width, height).

    Raises:
        SettingError: something else, or a size of nothing or too much.
    """
    if text is None:
        return width, height
    given = text.strip().lower() if len(text) <= _LONGEST_NUMBER else ""
    if match := re.fullmatch(r"(\d+)[x×](\d+)", given):
        size = (int(match[1]), int(match[2]))
    elif match := re.fullmatch(r"(\d+)p", given):
        size = (round(width * int(match[1]) / height), int(match[1]))
    elif match := re.fullmatch(r"(\d+(?:\.\d*)?|\.\d+)(%?)", given):
        factor = float(match[1]) / (100 if match[2] else 1)
        size = (round(width * factor), round(height * factor))
    else:
        raise SettingError(f"{_quoted(text)} is not a size: write 0.5, 50%, 720p or 1280x720")
    if not all(1 <= side <= _MAX_SIDE for side in size):
        raise SettingError(f"the size {size[0]}×{size[1]} must lie within 1…{_MAX_SIDE} pixels")
    return size
