"""Activation maps without a network: classical saliency with NumPy and SciPy."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from PIL import Image

__all__ = ["edges", "spectral_residual", "to_unit_range"]

_SPECTRUM_SIDE = 64
_EDGE_SIDE = 256


# Transforms and convolutions differ in their last bits between processors; rounding the map keeps
# those bits from deciding which action an agent prefers.
_LEVELS = 1024


def to_unit_range(values: NDArray[np.floating]) -> NDArray[np.float32]:
    """Shift and scale values to [0, 1], in steps of 1/1024; a constant map becomes ½ everywhere."""
    low, high = float(values.min()), float(values.max())
    if high - low < 1e-12:
        return np.full(values.shape, 0.5, np.float32)
    scaled = (values.astype(np.float64) - low) / (high - low)
    return (np.round(scaled * _LEVELS) / _LEVELS).astype(np.float32)


def _thumbnail(frame: NDArray[np.uint8], longest: int) -> NDArray[np.float64]:
    height, width = frame.shape[:2]
    scale = min(1.0, longest / max(height, width))
    size = (max(1, round(width * scale)), max(1, round(height * scale)))
    small = Image.fromarray(frame).resize(size, Image.Resampling.BILINEAR)
    return np.asarray(small, np.float64)


def spectral_residual(frame: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Saliency as what the log spectrum has beyond its own local average, summed over R, G and B.

    The picture is mirrored at its borders first: its plain spectrum also holds the jump from one
    border to the opposite one, and corners would light up.

    Args:
        frame: uint8 (height, width, 3), RGB.

    Returns:
        float32 (h, w) in [0, 1], longest side at most 64.

    Source: Hou and Zhang, *Saliency Detection: A Spectral Residual Approach*, CVPR 2007.
    """
    # Imported here: what finds its rewards in the store starts faster without
    from scipy import ndimage

    small = _thumbnail(frame, _SPECTRUM_SIDE)
    rows, cols = small.shape[:2]
    if np.ptp(small, axis=(0, 1)).max() == 0:
        return to_unit_range(np.zeros((rows, cols)))
    mirrored = np.pad(small, ((0, rows), (0, cols), (0, 0)), "symmetric")
    spectrum = np.fft.fft2(mirrored, axes=(0, 1))
    # The floor keeps empty frequencies of drawn pictures from drowning all the others.
    magnitude = np.abs(spectrum)
    log_magnitude = np.log(np.maximum(magnitude, 1e-3 * magnitude.mean() + 1e-12))
    residual = log_magnitude - ndimage.uniform_filter(log_magnitude, (3, 3, 1), mode="wrap")
    back = np.fft.ifft2(np.exp(residual + 1j * np.angle(spectrum)), axes=(0, 1))
    salient = (np.abs(back) ** 2).sum(axis=2)[:rows, :cols]
    return to_unit_range(ndimage.gaussian_filter(salient, max(rows, cols) / 12))


def edges(frame: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Saliency as the density of edges: Sobel magnitude, blurred.

    Args:
        frame: uint8 (height, width, 3), RGB.

    Returns:
        float32 (h, w) in [0, 1], longest side at most 256.
    """
    from scipy import ndimage

    grey = _thumbnail(frame, _EDGE_SIDE) @ np.array([0.299, 0.587, 0.114])
    magnitude = np.hypot(ndimage.sobel(grey, 0), ndimage.sobel(grey, 1))
    return to_unit_range(ndimage.gaussian_filter(magnitude, max(grey.shape) / 40))
