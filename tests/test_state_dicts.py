"""Files of weights are read as torch reads them, and whatever else they hold is refused."""

from __future__ import annotations

import io
import os
import pickle
import random
import struct
import zipfile
from collections import OrderedDict

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.lazy import torch

from glitch_gym.activation.efficientnet_lite0 import bundled_weights
from glitch_gym.activation.state_dicts import read_state_dict
from glitch_gym.errors import WeightsError

# Only the worker that runs these imports PyTorch
pytestmark = pytest.mark.xdist_group("torch")

TYPES = ("float32", "float64", "float16", "int64", "int32", "int16", "int8", "uint8", "bool")


def refused(path):
    with pytest.raises(WeightsError) as caught:
        read_state_dict(str(path))
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_the_published_weights_are_torchs():
    state = torch.load(bundled_weights(), weights_only=True)
    ours = read_state_dict(bundled_weights())
    assert list(ours) == list(state)
    for name, values in ours.items():
        np.testing.assert_array_equal(values, state[name].numpy(), strict=True)
        assert values.flags.c_contiguous


@pytest.mark.parametrize("archive", [True, False])
@given(data=st.data())
@settings(max_examples=25, deadline=None)
def test_any_tensors_are_read_as_torch_reads_them(tmp_path_factory, archive, data):
    state = OrderedDict()
    for name in data.draw(st.lists(st.text(min_size=1, max_size=5), max_size=4, unique=True)):
        sides = data.draw(st.lists(st.integers(0, 4), max_size=4))
        kind = getattr(torch, data.draw(st.sampled_from(TYPES)))
        whole = (torch.rand([2 * side for side in sides]) * 99).to(kind)
        # Views: every other number, in another order of axes, and a storage that is shared
        view = whole[tuple(slice(1, None, 2) for _ in sides)]
        state[name] = view.permute(*reversed(range(len(sides)))) if sides else view
        state[f"{name} again"] = whole
    state["parameter"] = torch.nn.Parameter(torch.ones(2))
    path = tmp_path_factory.mktemp("state") / "any.pth"
    torch.save(state, path, _use_new_zipfile_serialization=archive)
    ours = read_state_dict(str(path))
    assert list(ours) == list(state)
    for name, values in ours.items():
        np.testing.assert_array_equal(values, state[name].detach().numpy(), strict=True)


@pytest.mark.parametrize("archive", [True, False])
def test_a_checkpoint_with_a_state_dict_in_it_is_read(tmp_path, archive):
    layer = torch.nn.Sequential(torch.nn.Linear(3, 2), torch.nn.BatchNorm1d(2))
    optimiser = torch.optim.Adam(layer.parameters())
    checkpoint = {
        "state_dict": layer.state_dict(), "epoch": 3, "loss": 0.5, "best": [None, True],
        "optimiser": optimiser.state_dict(),
    }  # fmt: skip
    torch.save(checkpoint, tmp_path / "one.pth", _use_new_zipfile_serialization=archive)
    ours = read_state_dict(str(tmp_path / "one.pth"))
    assert list(ours) == list(layer.state_dict())
    np.testing.assert_array_equal(ours["0.weight"], layer[0].weight.detach().numpy())


class Runs:
    """Pickles to a call."""

    def __init__(self, function, *arguments):
        self._call = function, arguments

    def __reduce__(self):
        return self._call


@pytest.mark.parametrize("archive", [True, False])
@pytest.mark.parametrize("nested", [True, False])
def test_a_pickle_that_wants_to_run_code_runs_none(tmp_path, archive, nested):
    made = tmp_path / "made"
    for evil in (
        Runs(os.mkdir, str(made)),
        Runs(eval, f"__import__('os').mkdir({str(made)!r})"),
        Runs(getattr, str(made), "upper"),
        Runs(torch.Tensor),
    ):
        path = tmp_path / "evil.pth"
        state = {"fc": {"more": [evil]} if nested else evil}
        torch.save(state, path, _use_new_zipfile_serialization=archive)
        assert "not a PyTorch state dict, or damaged (a pickle that names" in refused(path)
        assert not made.exists()


def legacy(program, keys=(), data=b""):
    """A file in the format without an archive, of a pickle written by hand."""
    head = [0x1950A86A20F9469CFC6C, 1001, {"protocol_version": 1001, "little_endian": True}]
    parts = [*(pickle.dumps(one, 2) for one in head), program, pickle.dumps(list(keys), 2)]
    return b"".join(parts) + data


def tensor(*, offset=0, sides=(2,), strides=(1,), count=2, kind="FloatStorage", key="0"):
    """The pickle of a state dict with one tensor."""
    name = b"}X\x01\0\0\0actorch._utils\n_rebuild_tensor_v2\n(("
    identity = (
        pickle.dumps("storage", 2)[2:-1] + f"ctorch\n{kind}\n".encode()
        + b"".join(pickle.dumps(one, 2)[2:-1] for one in (key, "cpu", count)) + b"tQ"
    )  # fmt: skip
    rest = b"".join(pickle.dumps(one, 2)[2:-1] for one in (offset, sides, strides, False, {}))
    return b"\x80\x02" + name + identity + rest + b"tRs."


TWO = struct.pack("<q2f", 2, 1.5, 2.5)


def test_a_pickle_written_by_hand_is_read(tmp_path):
    (tmp_path / "one.pth").write_bytes(legacy(tensor(), ["0"], TWO))
    read = read_state_dict(str(tmp_path / "one.pth"))
    np.testing.assert_array_equal(read["a"], np.array([1.5, 2.5], np.float32), strict=True)


@pytest.mark.parametrize(
    ("program", "words"),
    [
        (tensor(sides=(3,)), "larger than its storage"),
        (tensor(offset=1), "leaves its storage"),
        (tensor(strides=(2,)), "leaves its storage"),
        (tensor(strides=(-1,)), "odd sides"),
        (tensor(sides=(-2,)), "odd sides"),
        (tensor(sides=(1 << 40,), strides=(0,)), "larger than its storage"),
        (tensor(sides=(1 << 60,), strides=(0,)), "odd sides"),
        (tensor(sides=(2.0,)), "odd sides"),
        (tensor(sides=(True,)), "odd sides"),
        (tensor(offset=-1), "without a storage"),
        (tensor(strides=(1, 1)), "odd axes"),
        (tensor(sides=(1,) * 9, strides=(1,) * 9), "odd axes"),
        (tensor(sides=[2]), "without sides"),
        (tensor(count=1 << 40), "cut short"),
        (tensor(count=-2), "odd storage"),
        (tensor(key=3), "odd storage"),
        (tensor(kind="ComplexStorage"), "names 'torch ComplexStorage'"),
        (tensor(key="1"), "damaged"),
        (b"\x80\x02cposix\nsystem\n(X\x02\0\0\0idtR.", "names 'posix system'"),
        (b"\x80\x02ctorch\nload\n.", "names 'torch load'"),
        (b"\x80\x02(iposix\nsystem\n.", "the instruction b'i'"),
        (b"\x80\x02cbuiltins\neval\n.", "names 'builtins eval'"),
        (b"\x80\x02ctorch\nFloatStorage\n)R.", "calls what it may not"),
        (b"\x80\x02ccollections\nOrderedDict\n(K\x01tR.", "contents of its own"),
        (b"\x80\x02ccollections\nOrderedDict\n}b.", "fills what is not"),
        (b"\x80\x02K\x01K\x02.", "damaged"),
        (b"\x80\x02t.", "damaged"),
        (b"\x80\x02h\x07.", "damaged"),
        (b"\x80\x02r\xff\xff\xff\xff.", "damaged"),
        (b"\x80\x02N" + b"r\xff\xff\xff\x7f0.", "the instruction b'0'"),
        (b"\x80\x04\x95" + b"\xff" * 8 + b".", "another version"),
        (b"\x80\x02}))s.", "odd key"),
        (b"\x80\x02X\xff\xff\xff\x7fabc.", "damaged"),
        (b"\x80\x02" + b"]" * 2_000_000 + b".", "too many instructions"),
        (b"\x80\x02]q\0h\0a.", "holds a list"),
        (b"\x80\x02}X\x01\0\0\0ah\0s.", "damaged"),
    ],
)
def test_a_hostile_pickle_is_refused_before_it_costs_anything(tmp_path, program, words):
    path = tmp_path / "evil.pth"
    path.write_bytes(legacy(program, ["0"], TWO))
    assert words in refused(path)


def test_tuples_that_would_be_hashed_forever_are_not(tmp_path):
    # Each holds the one before twice, and a tuple's hash visits all of them
    doubled = b"".join(b"q%c" % n + b"h%c" % n + b"h%c" % n + b"\x86" for n in range(80))
    path = tmp_path / "evil.pth"
    path.write_bytes(legacy(b"\x80\x02})" + doubled + b"Ns."))
    assert "odd key" in refused(path)


def test_tensors_that_share_a_storage_cannot_fill_the_memory(tmp_path):
    values = torch.zeros(1 << 20)
    path = tmp_path / "many.pth"
    torch.save({str(number): values for number in range(200)}, path)
    assert path.stat().st_size < 5_000_000
    assert "larger than their file" in refused(path)


def test_an_archive_of_another_kind_is_refused(tmp_path):
    path = tmp_path / "other.pth"

    def write(**members):
        with zipfile.ZipFile(path, "w") as archive:
            for name, content in members.items():
                archive.writestr(name.replace("_", "/").replace("DOT", "."), content)

    write(a_dataDOTpkl=pickle.dumps({}), b_dataDOTpkl=pickle.dumps({}))
    assert "not a PyTorch state dict" in refused(path)
    write(a_other=b"")
    assert "not a PyTorch state dict" in refused(path)
    write(a_dataDOTpkl=tensor(), a_data_0=TWO[8:-1])
    assert "not a PyTorch state dict" in refused(path)
    write(a_dataDOTpkl=tensor(), a_data_0=TWO[8:], a_byteorder=b"big")
    assert "another order of bytes" in refused(path)
    write(a_dataDOTpkl=tensor(), a_data_0=TWO[8:], a_byteorder=b"little")
    assert read_state_dict(str(path))["a"].tolist() == [1.5, 2.5]


def test_other_files_are_refused_in_one_line(tmp_path):
    assert "not found" in refused(tmp_path / "nowhere.pth")
    (tmp_path / "text.pth").write_text("not weights")
    assert "not a PyTorch state dict" in refused(tmp_path / "text.pth")
    (tmp_path / "empty.pth").write_bytes(b"")
    assert "not a PyTorch state dict" in refused(tmp_path / "empty.pth")
    torch.save([1, 2], tmp_path / "list.pth")
    assert "holds a list" in refused(tmp_path / "list.pth")
    torch.save({"a": torch.zeros(2), "b": "text"}, tmp_path / "mixed.pth")
    assert "'b' is not one" in refused(tmp_path / "mixed.pth")


@pytest.mark.parametrize("archive", [True, False])
def test_damage_anywhere_is_refused_or_changes_numbers_alone(tmp_path, archive):
    state = {"_conv_stem.weight": torch.rand(8, 3, 3, 3), "_fc.bias": torch.rand(10)}
    buffer = io.BytesIO()
    torch.save(state, buffer, _use_new_zipfile_serialization=archive)
    whole, path, rng = buffer.getvalue(), tmp_path / "damaged.pth", random.Random(3)
    kept = 0
    for trial in range(600):
        damaged = bytearray(whole)
        if trial % 3 == 0:
            del damaged[rng.randrange(len(damaged)) :]
        for _ in range(rng.randrange(4) if trial % 3 == 0 else rng.randrange(1, 9)):
            if damaged:
                damaged[rng.randrange(len(damaged))] = rng.randrange(256)
        path.write_bytes(damaged)
        try:
            read = read_state_dict(str(path))
        except WeightsError:
            continue
        kept += 1
        assert sum(one.nbytes for one in read.values()) <= len(whole)
    assert kept < 600
