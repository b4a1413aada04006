"""Which frames of a source are rendered, how large, and how they are written."""

from __future__ import annotations

import re
from dataclasses import dataclass
from fractions import Fraction

from glitch_gym.errors import SettingError

__all__ = ["SEGMENT", "ExportOptions", "Selection", "parse_rate", "parse_scale", "parse_seconds"]


SEGMENT = 250
"""Frames of a segment. The output depends on it, and on no number of workers."""


_MAX_SIDE = 16_384


_LATEST = 1_000_000


_SLOWEST, _FASTEST = Fraction(1, 100), Fraction(1000)


_LONGEST_STILL = 86_400


# No number that is meant has more characters, and Python reads none of thousands of digits
_LONGEST_NUMBER = 32


@dataclass(frozen=True)
class Selection:
    """Which frames of a source are rendered, and how large.

    Args:
        start: time of the source at which to begin, in seconds.
        end: time of the source at which to end, in seconds.
        rate: frames a second; by default the source's own frames at their own times.
        scale: a size as ``parse_scale`` takes it.
        duration: seconds for which a still is shown.

    Raises:
        SettingError: a value is out of its range, or the end comes before the start.
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


@dataclass(frozen=True)
class ExportOptions:
    """How an output is encoded and written.

    Args:
        codec: codec of a clip: h264, hevc, vp9, av1, prores, mpeg4 or ffv1; by default the one
            that suits the output's suffix.
        crf: quality of h264, hevc, vp9 and av1; lower is better.
        encoder_preset: speed of the encoder: ultrafast…veryslow for h264 and hevc, a number for
            av1 and vp9.
        sound: keep the source's audio tracks.
        strict: refuse a source that is damaged.
        resume: continue a stopped render of the same source, recipe and options.
        force: replace an existing output.
        segment: number of frames that are encoded together, and kept when a render is stopped.

    Raises:
        SettingError: a segment without frames.
    """

    codec: str | None = None
    crf: int | None = None
    encoder_preset: str | None = None
    sound: bool = True
    strict: bool = False
    resume: bool = False
    force: bool = False
    segment: int = SEGMENT

    def __post_init__(self) -> None:
        if self.segment < 1:
            raise SettingError(f"segment must be 1 frame or more, not {self.segment}")


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
        SettingError: the text is not a number of frames a second.
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
        SettingError: the text is not a time.
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
        text: size as it was written; ``None`` keeps the source's.
        width: width of the source, in pixels.
        height: height of the source, in pixels.

    Returns:
        (width, height).

    Raises:
        SettingError: the text is not a size, or a side is outside 1…16,384 pixels.
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
