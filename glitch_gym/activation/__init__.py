"""Activation maps: how much each place of a frame belongs to its subject.

One interface, several sources: the class activation map of a CNN (``efficientnet_lite0``,
``resnet18``), classical saliency without a CNN (``spectral_residual``, ``edges``), or a mask that
the user brings, as an array or as a picture file. Packages offer more through the entry point
group ``glitch_gym.activations``: a function of a frame, uint8 (height, width, 3), that returns a
map (h, w) of any size with values in [0, 1].
"""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from glitch_gym.activation.base import Activation, file_stamp
from glitch_gym.activation.saliency import edges, spectral_residual
from glitch_gym.checks import shown
from glitch_gym.errors import SettingError, unknown_name_error
from glitch_gym.memory import MEMORY, content_digest, content_key
from glitch_gym.picture import check_frame, read_picture
from glitch_gym.plugins import ACTIVATION_GROUP, contained, find_plug_in, load_plug_in, plug_ins

__all__ = [
    "ACTIVATIONS",
    "BACKBONES",
    "ActivationFunction",
    "activation_names",
    "compute_activation",
    "is_activation_name",
    "load_activation",
    "recall_activation",
    "release_networks",
]

BACKBONES = ("efficientnet_lite0", "resnet18")
"""Networks whose class activation map has a name; they need the extra ``cam``."""

ACTIVATIONS = (*BACKBONES, "spectral_residual", "edges")
"""Our activations by name; a text that names no installed one is the path of a mask picture."""


class ActivationFunction(Protocol):
    """An activation of a plug-in."""

    def __call__(self, frame: NDArray[np.uint8], /) -> NDArray[np.float32]:
        """Return the map of a frame: (h, w) of any size, values in [0, 1]."""
        ...


def activation_names() -> tuple[str, ...]:
    """Return the names of all activations that are installed: ours, then the plug-ins'."""
    theirs = (one.name for one in plug_ins(ACTIVATION_GROUP) if not one.problem)
    return (*ACTIVATIONS, *(name for name in theirs if name not in ACTIVATIONS))


def is_activation_name(source: str) -> bool:
    """Return whether a text names an installed activation, rather than a mask picture's path."""
    return source in ACTIVATIONS or find_plug_in(ACTIVATION_GROUP, source) is not None


def load_activation(name: str) -> ActivationFunction:
    """Load the activation of a plug-in.

    Raises:
        SettingError: the name is unknown, or the plug-in is broken.
    """
    plug_in = find_plug_in(ACTIVATION_GROUP, name)
    if plug_in is None:
        raise unknown_name_error("activation", name, activation_names())
    function: ActivationFunction = load_plug_in(plug_in)
    if not callable(function):
        raise SettingError(f"{plug_in} is not a function of a frame")
    return function


def _from_plug_in(frame: NDArray[np.uint8], name: str) -> Activation:
    function = load_activation(name)
    who = str(find_plug_in(ACTIVATION_GROUP, name))
    with contained(who):
        # A copy each way: the frame is painted on, and the map is kept
        made = np.array(function(frame.copy()), np.float32)
    try:
        return Activation(made, name)
    except SettingError as error:
        raise SettingError(f"{who}: {error}") from error


def _from_mask_file(path: str) -> Activation:
    if not os.path.lexists(path) and not Path(path).suffix:
        raise unknown_name_error("activation", path, activation_names())
    frame = read_picture(path).frame.astype(np.float32)
    grey = frame @ np.array([0.299, 0.587, 0.114], np.float32) / np.float32(255)
    return Activation(np.clip(grey, 0, 1), source="mask")


def _compute(frame: NDArray[np.uint8], source: str, weights: str | None) -> Activation:
    if source == "spectral_residual":
        return Activation(spectral_residual(frame), source)
    if source == "edges":
        return Activation(edges(frame), source)
    if source not in BACKBONES:
        return _from_plug_in(frame, source)
    # Imported here: glitch_gym must not import torch before a network is needed.
    from glitch_gym.activation.cam import class_activation_map

    return class_activation_map(frame, source, weights=weights)


def compute_activation(
    frame: NDArray[np.uint8],
    source: str | NDArray[Any] | Activation = "efficientnet_lite0",
    *,
    weights: str | None = None,
) -> Activation:
    """Return the activation map of a frame, computed or as the caller brings it.

    Args:
        frame: uint8 (height, width, 3), RGB.
        source: name in ``activation_names``; path of a mask picture (white is active); array
            (h, w) with values in [0, 1]; or an ``Activation``, which is returned as it is.
        weights: file with weights for the named network, in place of its own.

    Raises:
        SettingError: an unknown name, a bad array, a plug-in that fails, or weights for a source
            that takes none.
        PictureError: the mask picture cannot be read.
        MissingExtraError: the source is a network, and torch or torchvision is not installed.
        WeightsError: the weights cannot be loaded, or do not fit the network.
    """
    if isinstance(source, Activation):
        return source
    if not isinstance(source, str):
        try:
            return Activation(np.asarray(source))
        except SettingError:
            raise
        except ValueError as error:  # Lists of unequal lengths
            raise SettingError(
                f"an activation map is a two-dimensional array, not {shown(source)}"
            ) from error
    if weights is not None and source not in BACKBONES:
        raise SettingError(f"weights go with a network ({', '.join(BACKBONES)}), not {source!r}")
    if not is_activation_name(source):
        return _from_mask_file(source)
    check_frame(frame)
    return _compute(frame, source, weights)


def recall_activation(
    frame: NDArray[np.uint8],
    source: str | NDArray[Any] | Activation = "efficientnet_lite0",
    *,
    weights: str | None = None,
) -> Activation:
    """Return the activation map of a frame, computed once for each content of the frame.

    Arguments and errors are those of ``compute_activation``. A mask file is read every time.
    """
    if not isinstance(source, str) or not is_activation_name(source):
        return compute_activation(frame, source, weights=weights)
    check_frame(frame)
    key = content_key(frame=content_digest(frame), source=source, weights=file_stamp(weights))
    return MEMORY.recall(key, lambda: compute_activation(frame, source, weights=weights))


def release_networks() -> None:
    """Free the networks that were loaded; the next activation loads its own again."""
    cam = sys.modules.get("glitch_gym.activation.cam")
    if cam is not None:
        cam.load_backbone.cache_clear()
