from __future__ import annotations

import json
import os
import tracemalloc
import zipfile

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from glitch_gym.errors import ArrayFileError
from glitch_gym.npz import describe, encode_arrays, read_arrays, read_description

ARRAYS = {
    "floats": np.arange(12, dtype=np.float32).reshape(3, 4),
    "across": np.asfortranarray(np.arange(6, dtype=np.int64).reshape(2, 3)),
    "big": np.arange(5, dtype=">i4"),
    "one": np.array(7),
    "none": np.zeros((0, 3), np.int32),
    "true": np.array([True, False]),
    "text": np.array("ünï"),
    "texts": np.array(["a", "bcd"]),
}


@pytest.mark.parametrize("compressed", [True, False])
def test_what_numpy_wrote_comes_back_as_numpy_gives_it(tmp_path, compressed):
    path = tmp_path / "a.npz"
    path.write_bytes(encode_arrays(ARRAYS, compressed=compressed))
    found = read_arrays(path)
    with np.load(path) as expected:
        assert list(found) == list(expected)
        for name, array in found.items():
            np.testing.assert_array_equal(array, expected[name])
            assert array.dtype == expected[name].dtype.newbyteorder("=")
            assert array.flags.writeable
            assert array.flags.f_contiguous == expected[name].flags.f_contiguous


@settings(max_examples=300, deadline=None)
@given(data=st.data(), compressed=st.booleans())
def test_a_damaged_file_is_whole_or_refused(tmp_path_factory, data, compressed):
    content = bytearray(encode_arrays(ARRAYS, compressed=compressed))
    for _ in range(data.draw(st.integers(1, 3))):
        place = data.draw(st.integers(0, len(content) - 1))
        content[place] = data.draw(st.integers(0, 255))
    kept = data.draw(st.sampled_from([len(content), len(content), len(content) // 2, 0]))
    path = tmp_path_factory.mktemp("damaged") / "a.npz"
    path.write_bytes(content[:kept])
    try:
        found = read_arrays(path)
    except ArrayFileError:
        return
    assert list(found) == list(ARRAYS)
    for name, array in found.items():
        np.testing.assert_array_equal(array, ARRAYS[name])


def archive(path, members, **options):
    with zipfile.ZipFile(path, "w", **options) as out:
        for name, content in members:
            out.writestr(name, content)
    return path


def array_of(header, content=b""):
    header = header.encode().ljust(117) + b"\n"
    return b"\x93NUMPY\1\0" + len(header).to_bytes(2, "little") + header + content


FLOATS = "{'descr': '<f4', 'fortran_order': False, 'shape': (%s), }"


@pytest.mark.filterwarnings("ignore:Duplicate name")
@pytest.mark.parametrize(
    "members",
    [
        [("a.txt", b"hello")],
        [("a.npy", b"hello")],
        [("a.npy", array_of(FLOATS % "1,", bytes(4)))] * 2,
        [("a.npy", array_of(FLOATS % "2,", bytes(4)))],
        [("a.npy", array_of(FLOATS % "1,", bytes(8)))],
        [("a.npy", array_of(FLOATS % "-1,", bytes(8)))],
        [("a.npy", array_of("{'descr': '|O', 'fortran_order': False, 'shape': (1,), }", bytes(8)))],
        [("a.npy", array_of("{'descr': [('a', '<f4')], 'fortran_order': False, 'shape': (), }"))],
        [("a.npy", array_of("{'descr': '<f3', 'fortran_order': False, 'shape': (), }", bytes(3)))],
        [("a.npy", array_of("(" * 60))],
        [("a.npy", array_of("{'descr': '<U0', 'fortran_order': False, 'shape': (9999999999,), }"))],
        [(f"a{number}.npy", array_of(FLOATS % "1,", bytes(4))) for number in range(1100)],
    ],
)
def test_what_is_no_file_of_plain_arrays_is_refused(tmp_path, members):
    path = archive(tmp_path / "a.npz", members)
    with pytest.raises(ArrayFileError, match=r"a\.npz is not a file of arrays, or it is damaged"):
        read_arrays(path)


def test_a_directory_that_says_it_is_large_is_not_read(tmp_path):
    content = bytearray(encode_arrays({"a": np.zeros(1)}))
    content[-10:-6] = (1 << 30).to_bytes(4, "little")
    (tmp_path / "a.npz").write_bytes(content)
    with pytest.raises(ArrayFileError, match="directory that is too large"):
        read_arrays(tmp_path / "a.npz")


@pytest.mark.parametrize("compression", [zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
def test_other_compressions_are_refused(tmp_path, compression):
    path = archive(
        tmp_path / "a.npz", [("a.npy", array_of(FLOATS % "1,", bytes(4)))], compression=compression
    )
    with pytest.raises(ArrayFileError, match="compression"):
        read_arrays(path)


def test_a_bomb_takes_no_memory(tmp_path):
    path = tmp_path / "bomb.npz"
    path.write_bytes(encode_arrays({"zeros": np.zeros(50_000_000, np.uint8)}))
    assert path.stat().st_size < 100_000
    tracemalloc.start()
    with pytest.raises(ArrayFileError, match="is too large for an episode"):
        read_arrays(path, "episode", limit=10_000_000)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 1_000_000


def test_what_is_no_regular_file_is_refused_at_once(tmp_path):
    os.mkfifo(tmp_path / "pipe.npz")
    (tmp_path / "folder.npz").mkdir()
    for path, message in (
        (tmp_path / "pipe.npz", "is a pipe, not an episode"),
        (tmp_path / "folder.npz", "is a folder, not an episode"),
        ("/dev/zero", "is a device, not an episode"),
        (tmp_path / "none.npz", "episode not found"),
        (tmp_path / "pipe.npz" / "a.npz", "episode not found"),
        (tmp_path / ("n" * 5000), "cannot read .*the name is too long"),
        ("a\0b", "episode not found"),
    ):
        with pytest.raises(ArrayFileError, match=message):
            read_arrays(path, "episode")


@pytest.mark.parametrize(
    "about",
    [
        "[]", "7", "{", "{}", '{"format": "other"}', '{"format": "f", "version": "1"}',
        '{"format": "f", "version": true}', '{"format": "f", "version": 0}', "[" * 100_000,
        '{"format": "f", "version": ' + "9" * 5000 + "}",
    ],
)  # fmt: skip
def test_a_description_that_cannot_be_is_refused(tmp_path, about):
    with pytest.raises(ArrayFileError, match="is not a table of glitch-gym"):
        read_description({"about": np.array(about)}, "x.npz", "table", kind="f", version=1)
    with pytest.raises(ArrayFileError, match="is not a table"):
        read_description({"about": np.zeros(3)}, "x.npz", "table", kind="f", version=1)


def test_a_description_comes_back(tmp_path):
    about = {"format": "f", "version": 1, "more": [1, 2]}
    assert json.loads(str(describe(about)["about"])) == about
    assert read_description(describe(about), "x", "table", kind="f", version=1) == about
    with pytest.raises(ArrayFileError, match="newer glitch-gym"):
        read_description(describe(about | {"version": 2}), "x", "table", kind="f", version=1)
