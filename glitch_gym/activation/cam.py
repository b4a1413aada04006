"""Class activation maps.

The network ends in global average pooling and one linear layer, so the map of a class is the last
feature maps weighted by that class's row of the linear layer: no hooks, no backward pass, and
``mean(map) + bias == score`` holds.

Source: Zhou, Khosla, Lapedriza, Oliva and Torralba, *Learning Deep Features for Discriminative
Localization*, CVPR 2016.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from glitch_gym.activation.backbone import Backbone
from glitch_gym.activation.base import Activation
from glitch_gym.activation.devices import chosen_device
from glitch_gym.activation.saliency import to_unit_range
from glitch_gym.activation.shrinking import shrink

if TYPE_CHECKING:
    import torch

__all__ = [
    "ClassScores",
    "class_activation_map",
    "class_activation_maps",
    "class_map",
    "class_name",
    "class_scores",
    "load_backbone",
    "module_activation_map",
    "prepare",
]

_LONGEST_SIDE = 224
_STRIDE = 32


@dataclass(frozen=True)
class ClassScores:
    """Feature maps and class scores of a frame.

    Args:
        features: last feature maps with padding, float32 (channels, h, w).
        scores: class scores before softmax, float32 (classes,).
        picture: rows and columns of the maps that hold picture; the rest is padding.
    """

    features: NDArray[np.float32]
    scores: NDArray[np.float32]
    picture: tuple[int, int]


@lru_cache(maxsize=2)
def load_backbone(name: str, weights: str | None = None, device: str = "cpu") -> Backbone:
    """Load a network for class activation maps, batch norms folded.

    Args:
        name: ``"efficientnet_lite0"``, which runs in ONNX Runtime on the CPU, or ``"resnet18"``,
            which runs in PyTorch.
        weights: path of a state dict; by default the bundled weights (EfficientNet-Lite0) or
            torchvision's download (ResNet18).
        device: where PyTorch computes: ``"cpu"``, ``"cuda"``, or ``"auto"``, the GPU if there is
            one. The last bits of a sum differ between them.

    Raises:
        MissingExtraError: the engine or the bundled weights are missing or broken.
        WeightsError: the weights cannot be read, downloaded or fitted.
        SettingError: there is no such device.
    """
    # Imported here: each engine is loaded only when a network needs it
    if name == "efficientnet_lite0":
        from glitch_gym.activation.efficientnet_lite0 import load_efficientnet_lite0

        return load_efficientnet_lite0(weights)
    from glitch_gym.activation.torch_network import load_resnet18

    return load_resnet18(weights, device)


def prepare(
    frame: NDArray[np.uint8], backbone: Backbone
) -> tuple[NDArray[np.float32], tuple[int, int]]:
    """Shrink a frame to 224 pixels, normalise it, and pad it to a multiple of 32.

    Padding, rather than squashing to a square, keeps the aspect ratio; its value is 0 after
    normalising.

    Args:
        frame: picture of any size, RGB, uint8 (height, width, 3).
        backbone: network, from ``load_backbone``.

    Returns:
        input of the network, float32 (3, h, w), and the height and width of the picture in it.
    """
    scale = min(1.0, _LONGEST_SIDE / max(frame.shape[:2]))
    height, width = (max(1, round(side * scale)) for side in frame.shape[:2])
    small = shrink(frame, height, width).astype(np.float32)
    padded = np.zeros((3, height + -height % _STRIDE, width + -width % _STRIDE), np.float32)
    padded[:, :height, :width] = ((small - backbone.mean) / backbone.std).transpose(2, 0, 1)
    return padded, (height, width)


def class_scores(frame: NDArray[np.uint8], backbone: Backbone) -> ClassScores:
    """Run a network on a frame, in one thread.

    Args:
        frame: picture of any size, RGB, uint8 (height, width, 3).
        backbone: network, from ``load_backbone``.
    """
    x, sides = prepare(frame, backbone)
    features, scores = backbone.run(x)
    rows, cols = (
        min(there, max(1, round(side / _STRIDE)))
        for there, side in zip(features.shape[1:], sides, strict=True)
    )
    return ClassScores(features, scores, (rows, cols))


def class_map(features: NDArray[np.float32], weight: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return the map (h, w) of a class: feature maps weighted by its row (channels,)."""
    summed: NDArray[np.float32] = np.einsum("c,chw->hw", weight, features, dtype=np.float64).astype(
        np.float32
    )
    return summed


@lru_cache(maxsize=1)
def _class_names() -> tuple[str, ...]:
    path = Path(__file__).with_name("imagenet_classes.txt")
    return tuple(path.read_text(encoding="utf-8").splitlines())


def class_name(index: int) -> str | None:
    """Return the name of an ImageNet class, as torchvision has it; ``None`` past the last."""
    names = _class_names()
    return names[index] if index < len(names) else None


def class_activation_map(
    frame: NDArray[np.uint8],
    backbone: str = "efficientnet_lite0",
    *,
    weights: str | None = None,
    device: str | None = None,
) -> Activation:
    """Compute the class activation map of the class that the network predicts.

    Args:
        frame: picture of any size, RGB, uint8 (height, width, 3).
        backbone: ``"efficientnet_lite0"`` or ``"resnet18"``.
        weights: path of a state dict for that network.
        device: where PyTorch computes, if the network runs in it; by default the chosen one.

    Returns:
        activation map of about 7×7 values in [0, 1], padding cropped off, with its class.

    Raises:
        MissingExtraError, WeightsError, SettingError: the errors of ``load_backbone``.
    """
    network = load_backbone(backbone, weights, chosen_device(device))
    result = class_scores(frame, network)
    return _activation(result, network.weight[int(result.scores.argmax())], backbone)


def class_activation_maps(
    frame: NDArray[np.uint8],
    backbone: str = "efficientnet_lite0",
    *,
    weights: str | None = None,
    device: str | None = None,
) -> tuple[Activation, Activation]:
    """Compute the map of the predicted class, and that of all classes by their probabilities.

    The second weighs the features by softmax(scores) @ W. The predicted class often flips between
    the frames of a clip, and the first map with it; the second changes little then.

    Args:
        frame: picture of any size, RGB, uint8 (height, width, 3).
        backbone: ``"efficientnet_lite0"`` or ``"resnet18"``.
        weights: path of a state dict for that network.
        device: where PyTorch computes, if the network runs in it; by default the chosen one.

    Raises:
        MissingExtraError, WeightsError, SettingError: the errors of ``load_backbone``.
    """
    network = load_backbone(backbone, weights, chosen_device(device))
    result = class_scores(frame, network)
    best, probs = _prediction(result)
    mixed = np.einsum("k,kc->c", probs, network.weight, dtype=np.float64).astype(np.float32)
    return (
        _activation(result, network.weight[best], backbone),
        _activation(result, mixed, backbone),
    )


def module_activation_map(frame: NDArray[np.uint8], module: torch.nn.Module) -> Activation:
    """Compute the class activation map of the class that a module of PyTorch predicts.

    Args:
        frame: picture of any size, RGB, uint8 (height, width, 3).
        module: as ``module_backbone`` takes it.

    Raises:
        SettingError: the module is in training mode, fails, or does not end in global average
            pooling and one linear layer.
    """
    from glitch_gym.activation.torch_network import module_backbone

    network = module_backbone(module)
    result = class_scores(frame, network)
    best, _ = _prediction(result)
    made = _activation(result, network.weight[best], type(module).__name__)
    # Its classes need not be those of ImageNet
    return replace(made, class_name=None)


def _prediction(result: ClassScores) -> tuple[int, NDArray[np.float64]]:
    probs = np.exp(result.scores.astype(np.float64) - result.scores.max())
    probs /= probs.sum()
    return int(result.scores.argmax()), probs


def _activation(result: ClassScores, weight: NDArray[np.float32], source: str) -> Activation:
    rows, cols = result.picture
    best, probs = _prediction(result)
    return Activation(
        to_unit_range(class_map(result.features, weight)[:rows, :cols]),
        source,
        class_index=best,
        class_name=class_name(best),
        probability=float(probs[best]),
    )
