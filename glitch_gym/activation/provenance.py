"""What a network's map depends on besides the frame: the engine that runs it, and its weights.

Each network has one engine, so that what else is installed never changes a map.
"""

from __future__ import annotations

import hashlib
from importlib import metadata

from glitch_gym.activation.base import file_stamp
from glitch_gym.activation.devices import chosen_device
from glitch_gym.errors import GlitchError
from glitch_gym.input import open_file

__all__ = ["ENGINES", "LITE0_DIGEST", "engine_stamp", "provenance"]

ENGINES = {"efficientnet_lite0": "onnxruntime", "resnet18": "torch"}
"""The engine of each network, by the name of its package."""

LITE0_DIGEST = "579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db"
"""SHA-256 of the published weights of EfficientNet-Lite0."""


def engine_stamp(source: str, weights: str | None) -> str:
    """Return a stamp of engine, version, device and weights for a cache, without reading the file.

    Args:
        source: name of an activation; where it is no network, weights are an error, whose stamp
            must not be that of a healthy call.
        weights: path of a file with weights, or ``None`` for the network's own.
    """
    engine = ENGINES.get(source)
    if engine is None:
        return file_stamp(weights)
    try:
        version = metadata.version(engine)
    except metadata.PackageNotFoundError:
        version = "unknown"
    own = LITE0_DIGEST if source == "efficientnet_lite0" else "published"
    place = f" {chosen_device()}" if engine == "torch" else ""
    return f"{engine} {version}{place} {own if weights is None else file_stamp(weights)}"


def provenance(source: str, weights: str | None) -> str:
    """Return a network's engine and weights in words, or an empty text for other activations.

    The text is the same whenever the map is: it holds no path, time or version.

    Args:
        source: name of an activation.
        weights: path of a file with weights, or ``None`` for the network's own.
    """
    engine = ENGINES.get(source)
    if engine is None:
        return ""
    said = f"{source} in {engine}"
    if weights is not None:
        digest = _digest(weights)
    else:
        digest = LITE0_DIGEST if source == "efficientnet_lite0" else None
    return said if digest is None else f"{said}, weights sha256:{digest}"


def _digest(path: str) -> str | None:
    try:
        with open_file(path, "weights file") as file:
            return hashlib.sha256(file.read()).hexdigest()
    except (GlitchError, OSError):
        # An episode is replayed without the weights that it was learned by
        return None
