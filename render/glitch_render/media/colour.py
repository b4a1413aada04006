"""Colour descriptions of clips, by the codes of ITU-T H.273."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["BT601", "BT709", "FULL_RANGE", "HDR_TRANSFERS", "UNSPECIFIED", "Colour"]


UNSPECIFIED = 2


FULL_RANGE = 2


BT601, BT709 = 5, 1


HDR_TRANSFERS = {16: "PQ", 18: "HLG"}


@dataclass(frozen=True)
class Colour:
    """How the numbers of a clip stand for colours: codes of ITU-T H.273, 2 being unspecified."""

    matrix: int = UNSPECIFIED
    primaries: int = UNSPECIFIED
    transfer: int = UNSPECIFIED
    full_range: bool = False
