"""Colour descriptions of clips, by the codes of ITU-T H.273."""

from __future__ import annotations

from dataclasses import dataclass

from av.video.reformatter import ColorRange, Colorspace, ColorTrc

__all__ = ["BT601", "BT709", "FULL_RANGE", "HDR_TRANSFERS", "RESERVED", "RGB", "Colour"]


BT601, BT709 = int(Colorspace.ITU601), int(Colorspace.ITU709)


# Codes of H.273 that PyAV has no matrix for
RGB, _UNSPECIFIED, RESERVED = 0, int(ColorTrc.UNSPECIFIED), 3


FULL_RANGE = int(ColorRange.JPEG)


HDR_TRANSFERS = {int(ColorTrc.SMPTE2084): "PQ", int(ColorTrc.ARIB_STD_B67): "HLG"}


_HD = 1280
"""Pixels of the longer side from which on players take BT.709 where no matrix is named."""


@dataclass(frozen=True)
class Colour:
    """How the numbers of a clip stand for colours.

    Args:
        matrix: code of the matrix between RGB and YUV.
        primaries: code of the primaries.
        transfer: code of the transfer function.
        full_range: whether luma goes from 0 to 255, not from 16 to 235.
    """

    matrix: int = _UNSPECIFIED
    primaries: int = _UNSPECIFIED
    transfer: int = _UNSPECIFIED
    full_range: bool = False

    def yuv_matrix(self, width: int, height: int) -> int:
        """Return the code of the matrix; where none is named, the one that players guess.

        Args:
            width: width of the frames, in pixels.
            height: height of the frames, in pixels.
        """
        if self.matrix not in (RGB, _UNSPECIFIED, RESERVED):
            return self.matrix
        return BT709 if max(width, height) >= _HD else BT601
