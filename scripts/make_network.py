"""Make the graph of EfficientNet-Lite0 that ONNX Runtime runs; needs the package ``onnx``.

    python scripts/make_network.py

The file holds the graph alone. Its weights are marked as external: ``efficientnet_lite0.py`` reads
them from their package, folds the batch norms into the convolutions, and passes them on.

MBConv blocks without squeeze-excitation, ReLU6 throughout, and TensorFlow's SAME padding. Sides are
multiples of 32, so that every strided convolution has even sides, and its padding is constant.

Sources: Tan and Le, *EfficientNet*, ICML 2019; the Lite variants of TensorFlow's TPU models.
"""

from __future__ import annotations

from pathlib import Path

import onnx
from onnx import TensorProto, helper

from glitch_gym.activation import efficientnet_lite0
from glitch_gym.activation.efficientnet_lite0 import CHANNELS, CLASSES, Convolution, convolutions

OUTPUT = Path(efficientnet_lite0.__file__).with_suffix(".onnx")
# The oldest operators that have what is used, for the oldest ONNX Runtime that is allowed
OPSET, IR_VERSION = 13, 8


class Graph:
    """Nodes and weights in the order of the data."""

    def __init__(self) -> None:
        self.nodes: list[onnx.NodeProto] = []
        self.weights: list[onnx.TensorProto] = [
            helper.make_tensor("zero", TensorProto.FLOAT, (), [0.0]),
            helper.make_tensor("six", TensorProto.FLOAT, (), [6.0]),
        ]

    def add(self, operator: str, inputs: list[str], output: str, **attributes: object) -> str:
        """Add a node, and return its output."""
        self.nodes.append(helper.make_node(operator, inputs, [output], **attributes))
        return output

    def weight(self, name: str, *shape: int) -> str:
        """Add an array that is passed to the graph when it is loaded."""
        tensor = TensorProto(name=name, data_type=TensorProto.FLOAT, dims=shape)
        tensor.data_location = TensorProto.EXTERNAL
        tensor.external_data.add(key="location", value="weights")
        self.weights.append(tensor)
        return name

    def convolution(self, x: str, one: Convolution) -> str:
        """Add a convolution with its folded batch norm."""
        kernel = one.shape[2]
        before = (kernel - one.stride) // 2
        after = kernel - one.stride - before
        return self.add(
            "Conv",
            [
                x,
                self.weight(f"{one.name}.weight", *one.shape),
                self.weight(f"{one.name}.bias", one.shape[0]),
            ],
            one.name,
            kernel_shape=[kernel, kernel],
            strides=[one.stride, one.stride],
            pads=[before, before, after, after],
            group=one.groups,
        )

    def relu6(self, x: str) -> str:
        """Add a clip to 0…6."""
        return self.add("Clip", [x, "zero", "six"], f"{x}.relu6")


def add_convolutions(graph: Graph) -> str:
    """Add all convolutions, each block's input to its output where they fit; return the output."""
    x, channels = "picture", 3
    block, entered, entry_channels, strided = "", x, channels, False
    for one in convolutions():
        name = one.name.rpartition(".")[0]
        if name != block:
            block, entered, entry_channels, strided = name, x, channels, False
        strided |= one.stride > 1
        x, channels = graph.convolution(x, one), one.shape[0]
        if not one.name.endswith("_project_conv"):
            x = graph.relu6(x)
        elif not strided and channels == entry_channels:
            x = graph.add("Add", [entered, x], f"{block}.sum")
    return x


def make_model() -> onnx.ModelProto:
    """Return the model: a picture (1, 3, h, w) to feature maps and class scores."""
    graph = Graph()
    x = add_convolutions(graph)
    graph.add("Identity", [x], "features")
    graph.add("GlobalAveragePool", [x], "pooled")
    graph.add("Flatten", ["pooled"], "means")
    classifier = [graph.weight("_fc.weight", CLASSES, CHANNELS), graph.weight("_fc.bias", CLASSES)]
    graph.add("Gemm", ["means", *classifier], "scores", transB=1)
    value = helper.make_tensor_value_info
    made = helper.make_graph(
        graph.nodes,
        "efficientnet_lite0",
        [value("picture", TensorProto.FLOAT, (1, 3, "height", "width"))],
        [
            value("features", TensorProto.FLOAT, (1, CHANNELS, "rows", "cols")),
            value("scores", TensorProto.FLOAT, (1, CLASSES)),
        ],
        graph.weights,
    )
    return helper.make_model(
        made,
        opset_imports=[helper.make_opsetid("", OPSET)],
        ir_version=IR_VERSION,
        producer_name="glitch-gym",
    )


if __name__ == "__main__":
    data = make_model().SerializeToString(deterministic=True)
    OUTPUT.write_bytes(data)
    print(f"{OUTPUT.name}: {len(data):,} bytes")
