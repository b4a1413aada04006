"""Networks that run in PyTorch: ResNet18 of torchvision, and modules that the user brings."""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from glitch_gym.activation.backbone import Backbone, Run, first_line
from glitch_gym.activation.state_dicts import read_state_dict
from glitch_gym.errors import Hint, MissingExtraError, SettingError, WeightsError
from glitch_gym.torch_threads import one_torch_thread

if TYPE_CHECKING:
    import torch

__all__ = ["load_resnet18", "module_backbone"]

_HINT = "install the extra with: pip install 'glitch-gym[torch]', or use efficientnet_lite0"
_STRIDE = 32
# What torchvision's networks were trained on, on the scale of 0…255
_MEAN = np.float32(255) * np.array([0.485, 0.456, 0.406], np.float32)
_STD = np.float32(255) * np.array([0.229, 0.224, 0.225], np.float32)


def _import_torch() -> Any:
    try:
        import torch
    except ImportError as error:
        raise MissingExtraError(f"resnet18 needs torch; {_HINT}") from error
    except Exception as error:
        raise MissingExtraError(
            f"torch is installed but fails to import ({first_line(error)}); reinstall it, or use "
            f"the backbone efficientnet_lite0, which does not need it"
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
            f"torchvision is installed but fails to import ({first_line(error)}): it was built "
            f"for another torch; reinstall both together, pip install --upgrade torch torchvision, "
            f"or use the backbone efficientnet_lite0, which needs neither"
        ) from error
    return models


def _torch_device(torch: Any, name: str) -> Any:
    there = torch.cuda.is_available()
    if name == "cuda" and not there:
        raise SettingError("torch finds no GPU that it can use; compute on the device cpu")
    return torch.device("cuda" if there and name != "cpu" else "cpu")


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


def _fold_batch_norm(torch: Any, network: Any) -> None:
    """Fold each batch norm into the convolution before it, in place."""
    from torch.nn.utils.fusion import fuse_conv_bn_eval

    for module in list(network.modules()):
        children = list(module.named_children())
        for (conv_name, conv), (norm_name, norm) in pairwise(children):
            if isinstance(conv, torch.nn.Conv2d) and isinstance(norm, torch.nn.BatchNorm2d):
                setattr(module, conv_name, fuse_conv_bn_eval(conv, norm))
                setattr(module, norm_name, torch.nn.Identity())


def _resnet18_state(torch: Any, models: Any, weights: str | None) -> dict[str, Any]:
    if weights is not None:
        return {name: torch.from_numpy(one) for name, one in read_state_dict(weights).items()}
    try:
        downloaded: dict[str, Any] = models.ResNet18_Weights.DEFAULT.get_state_dict(progress=False)
    except Exception as error:
        raise WeightsError(
            f"the weights of resnet18 could not be downloaded ({first_line(error)}); use the "
            f"backbone efficientnet_lite0, whose weights are bundled, or a file of weights",
            hint=Hint.WEIGHTS,
        ) from error
    return downloaded


def load_resnet18(weights: str | None = None, device: str = "cpu") -> Backbone:
    """Load ResNet18, its batch norms folded.

    Args:
        weights: path of a state dict; by default torchvision's, which it downloads.
        device: one of ``devices.DEVICES``.

    Raises:
        MissingExtraError: torch or torchvision is missing or broken.
        WeightsError: the weights cannot be read, downloaded or fitted.
        SettingError: there is no such device.
    """
    torch = _import_torch()
    models = _import_torchvision_models()
    place = _torch_device(torch, device)
    network = models.resnet18()
    state = _resnet18_state(torch, models, weights)
    _load_state(network, state, "resnet18", weights or "the download")
    network.eval()
    _fold_batch_norm(torch, network)
    body = torch.nn.Sequential(*list(network.children())[:-2])
    body = body.to(place, memory_format=torch.channels_last)
    weight, bias = network.fc.weight.detach(), network.fc.bias.detach()
    return Backbone(
        _runner(torch, body, weight.to(place), bias.to(place)),
        weight.numpy(),
        bias.numpy(),
        _MEAN,
        _STD,
    )


def _runner(
    torch: Any, features_of: Callable[[Any], Any], weight: torch.Tensor, bias: torch.Tensor
) -> Run:
    def run(picture: NDArray[np.float32]) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        with torch.inference_mode(), one_torch_thread(torch):
            x = torch.from_numpy(picture[None]).to(weight.device)
            features = features_of(x.contiguous(memory_format=torch.channels_last))[0]
            scores = weight @ features.mean((1, 2)) + bias
        return features.cpu().numpy(), scores.cpu().numpy()

    return run


def module_backbone(module: torch.nn.Module) -> Backbone:
    """Cut a module that classifies pictures into its last feature maps and its linear layer.

    The feature maps are those whose means over the picture enter the last linear layer; they are
    found while the module runs, by hooks that are removed again. It runs on the device that its
    linear layer is on.

    Args:
        module: module in evaluation mode, with a float32 linear layer at the end after global
            average pooling, for pictures (1, 3, h, w) whose sides are multiples of 32, normalised
            as for torchvision's networks.

    Raises:
        SettingError: the module is in training mode, or has no linear layer.
    """
    torch = _import_torch()
    who = type(module).__name__
    if any(one.training for one in module.modules()):
        raise SettingError(f"{who} is in training mode: call its eval() first")
    layers = [one for one in module.modules() if isinstance(one, torch.nn.Linear)]
    if not layers:
        raise SettingError(f"{who} has no linear layer, which a class activation map needs")
    linear = layers[-1]
    weight = linear.weight.detach()
    bias = torch.zeros_like(weight[:, 0]) if linear.bias is None else linear.bias.detach()

    def features_of(x: Any) -> Any:
        found, means = _watch(torch, module, linear, x)
        for features in found:
            # What a pooling returns is its own mean
            pooled = features.shape[2:] == (1, 1) and max(x.shape[2:]) > _STRIDE
            mean = features.mean((2, 3))
            same = means is not None and torch.allclose(mean, means, rtol=1e-4, atol=1e-5)
            if same and not pooled:
                return features
        raise SettingError(
            f"the last linear layer of {who} does not follow global average pooling, which a class "
            f"activation map needs"
        )

    return Backbone(
        _runner(torch, features_of, weight, bias),
        weight.float().cpu().numpy(),
        bias.float().cpu().numpy(),
        _MEAN,
        _STD,
    )


def _watch(
    torch: Any, module: torch.nn.Module, linear: torch.nn.Linear, x: torch.Tensor
) -> tuple[list[torch.Tensor], torch.Tensor | None]:
    """Run a module, and return what could be its last feature maps, and its last layer's input.

    Those are all its feature maps with as many channels as the layer takes, in their order.
    """
    found: list[torch.Tensor] = []
    entered: list[torch.Tensor] = []

    def keep(_: Any, __: Any, output: Any) -> None:
        maps = isinstance(output, torch.Tensor) and output.ndim == 4
        if maps and output.shape[1] == linear.in_features:
            found.append(output)

    def enter(_: Any, inputs: tuple[Any, ...]) -> None:
        entered.append(inputs[0])

    hooks = [one.register_forward_hook(keep) for one in module.modules()]
    hooks.append(linear.register_forward_pre_hook(enter))
    try:
        module(x)
    except Exception as error:
        raise SettingError(
            f"{type(module).__name__} fails on a picture of {tuple(x.shape)}: {first_line(error)}"
        ) from error
    finally:
        for hook in hooks:
            hook.remove()
    return found, entered[-1] if entered else None
