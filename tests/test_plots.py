from __future__ import annotations

import numpy as np

from glitch_gym.activation import Activation, compute_activation
from glitch_render.plots import activation_caption, activation_overlay


def test_heat_lies_where_the_activation_is(small):
    values = np.zeros((2, 3), np.float32)
    values[:, 2] = 1
    heat = activation_overlay(small, Activation(values)).astype(int)
    assert heat.shape == small.shape
    assert heat[:120, 180:, 0].mean() > heat[:120, :60, 0].mean() + 50


def test_the_caption_names_the_class_or_the_method(small, chelsea):
    assert activation_caption(compute_activation(chelsea)) == (
        "efficientnet_lite0: Egyptian cat (87 %)"
    )
    assert activation_caption(compute_activation(small, "edges")) == "edges"
    unnamed = Activation(np.eye(2, dtype=np.float32), "resnet18", 7, None, 0.5)
    assert activation_caption(unnamed) == "resnet18: ImageNet class 7 (50 %)"


def test_tiny_pictures_can_be_drawn_on():
    tiny = np.zeros((3, 2, 3), np.uint8)
    assert activation_overlay(tiny, Activation(np.eye(2, dtype=np.float32))).shape == tiny.shape
