"""State dicts of PyTorch, read without PyTorch and without trust in their author.

``torch.save`` pickles an ``OrderedDict`` of tensors; their storages follow in the same file (before
PyTorch 1.6) or are members of the same zip archive. A pickle is a program. Here only the
instructions that such a state dict needs are run, they can name nothing but tensors, storages and
ordered dicts, and each size is checked against the file's own before it is used.
"""

from __future__ import annotations

import hashlib
import io
import math
import struct
import zipfile
import zlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray

from glitch_gym.errors import WeightsError
from glitch_gym.input import check_file, open_file

__all__ = ["read_state_dict"]

_LARGEST_FILE = 1 << 29
"""Bytes of a file of weights; those of our networks have 50 million at most."""
_LARGEST_PICKLE = 1 << 24
_MOST_INSTRUCTIONS = 1 << 20
_MOST_MEMBERS = 1 << 16
_MOST_AXES = 8
_LONGEST_NAME = 200
# The first pickle of the format without an archive, and the second: its version
_MAGIC, _VERSION = 0x1950A86A20F9469CFC6C, 1001

_DTYPES = {
    "FloatStorage": np.dtype("<f4"),
    "DoubleStorage": np.dtype("<f8"),
    "HalfStorage": np.dtype("<f2"),
    "LongStorage": np.dtype("<i8"),
    "IntStorage": np.dtype("<i4"),
    "ShortStorage": np.dtype("<i2"),
    "CharStorage": np.dtype("i1"),
    "ByteStorage": np.dtype("u1"),
    "BoolStorage": np.dtype("?"),
}

# Instructions that a number follows: whole ones, a fraction, a version, places in the memo, and
# the lengths of a text and of a long number
_NUMBERS = {
    code: struct.Struct(layout)
    for code, layout in {
        b"J": "<i", b"K": "<B", b"M": "<H", b"G": ">d", b"\x80": "<B", b"q": "<B", b"r": "<I",
        b"h": "<B", b"j": "<I", b"X": "<I", b"\x8a": "<B",
    }.items()
}  # fmt: skip


class _MalformedError(Exception):
    """The file is not a state dict, or is damaged."""


# All that damaged bytes raise here: the errors of struct, zipfile, zlib and of wrong operands
_DAMAGE = (
    _MalformedError,
    ValueError,
    TypeError,
    LookupError,
    EOFError,
    OverflowError,
    MemoryError,
    NotImplementedError,
    RuntimeError,
    zipfile.BadZipFile,
    zlib.error,
    struct.error,
)


@dataclass(frozen=True)
class _Storage:
    """Numbers in the file, by their key."""

    key: str
    dtype: np.dtype[Any]
    count: int


@dataclass(frozen=True)
class _Tensor:
    """A view of a storage; offset, sides and strides count numbers."""

    storage: _Storage
    offset: int
    sides: tuple[int, ...]
    strides: tuple[int, ...]


class _Mark:
    """Where a list of operands begins on the stack."""


def _require(condition: bool, what: str) -> None:
    if not condition:
        raise _MalformedError(what)


def _is_count(value: object) -> bool:
    return type(value) is int and 0 <= value < 1 << 48


def _tensor(storage: Any, offset: Any, sides: Any, strides: Any, *_: Any) -> _Tensor:
    _require(isinstance(storage, _Storage) and _is_count(offset), "a tensor without a storage")
    _require(isinstance(sides, tuple) and isinstance(strides, tuple), "a tensor without sides")
    _require(len(sides) == len(strides) <= _MOST_AXES, "a tensor with odd axes")
    _require(all(map(_is_count, (*sides, *strides))), "a tensor with odd sides")
    made = _Tensor(storage, offset, sides, strides)
    size = math.prod(sides)
    last = sum((side - 1) * stride for side, stride in zip(sides, strides, strict=True))
    # The first keeps strides of 0 from making a large tensor out of a small storage
    _require(size <= storage.count, "a tensor larger than its storage")
    _require(size == 0 or offset + last < storage.count, "a tensor that leaves its storage")
    return made


def _ordered_dict(*arguments: Any) -> dict[Any, Any]:
    _require(not arguments, "a dict with contents of its own")
    return {}


def _parameter(tensor: Any, *_: Any) -> _Tensor:
    _require(isinstance(tensor, _Tensor), "a parameter that is not a tensor")
    parameter: _Tensor = tensor
    return parameter


_FUNCTIONS: dict[str, Callable[..., Any]] = {
    "collections OrderedDict": _ordered_dict,
    "torch._utils _rebuild_tensor_v2": _tensor,
    "torch._utils _rebuild_parameter": _parameter,
}


def _global(name: str) -> Any:
    if name in _FUNCTIONS:
        return _FUNCTIONS[name]
    module, _, storage = name.partition(" ")
    _require(module == "torch" and storage in _DTYPES, f"a pickle that names {name!r}")
    return _DTYPES[storage]


def _storage(identity: Any) -> _Storage:
    _require(isinstance(identity, tuple) and len(identity) in (5, 6), "an odd storage")
    kind, dtype, key, _, count, *view = identity
    _require(kind == "storage" and isinstance(dtype, np.dtype), "an odd storage")
    _require(isinstance(key, str) and _is_count(count) and view in ([], [None]), "an odd storage")
    return _Storage(key, dtype, count)


class _Machine:
    """The part of the pickle machine that a state dict needs; it runs one pickle."""

    def __init__(self, stream: IO[bytes]) -> None:
        self._stream = stream
        self._stack: list[Any] = []
        self._memo: dict[int, Any] = {}

    def run(self) -> Any:
        """Run the pickle at the start of the stream, and leave the stream after it."""
        for _ in range(_MOST_INSTRUCTIONS):
            code = self._stream.read(1)
            if code == b".":
                (made,) = self._stack
                return made
            if code in _NUMBERS:
                layout = _NUMBERS[code]
                (number,) = layout.unpack(self._stream.read(layout.size))
                self._number(code, number)
            else:
                self._step(code)
        raise _MalformedError("a pickle of too many instructions")

    def _number(self, code: bytes, number: Any) -> None:
        match code:
            case b"q" | b"r":
                self._memo[number] = self._stack[-1]
            case b"h" | b"j":
                self._stack.append(self._memo[number])
            case b"\x8a":
                self._stack.append(int.from_bytes(self._exactly(number), "little", signed=True))
            case b"X":
                self._stack.append(self._exactly(number).decode("utf-8", "surrogatepass"))
            case b"\x80":
                _require(number == 2, "a pickle of another version")
            case _:
                self._stack.append(number)

    def _step(self, code: bytes) -> None:
        stack = self._stack
        match code:
            case b"(":
                stack.append(_Mark)
            case b"N" | b"\x88" | b"\x89":
                stack.append({b"N": None, b"\x88": True, b"\x89": False}[code])
            case b")" | b"]" | b"}":
                stack.append({b")": tuple, b"]": list, b"}": dict}[code]())
            case b"\x85" | b"\x86" | b"\x87":
                stack.append(tuple(self._pop(code[0] - 0x84)))
            case b"t":
                stack.append(tuple(self._pop_to_mark()))
            case b"a" | b"e":
                values = self._pop(1) if code == b"a" else self._pop_to_mark()
                self._top(list).extend(values)
            case b"s" | b"u":
                pairs = self._pop(2) if code == b"s" else self._pop_to_mark()
                # The hash of nested tuples could take forever
                _require(all(type(key) in (str, int) for key in pairs[::2]), "an odd key")
                self._top(dict).update(zip(pairs[::2], pairs[1::2], strict=True))
            case b"c":
                stack.append(_global(f"{self._line()} {self._line()}"))
            case b"R":
                function, arguments = self._pop(2)
                known = any(function is one for one in _FUNCTIONS.values())
                _require(known, "a pickle that calls what it may not")
                stack.append(function(*arguments))
            case b"b":
                # The versions of the modules, as an attribute of the dict: nothing reads them
                self._pop(1)
                self._top(dict)
            case b"Q":
                stack.append(_storage(stack.pop()))
            case _:
                raise _MalformedError(f"a pickle with the instruction {code!r}")

    def _exactly(self, size: int) -> bytes:
        read = self._stream.read(size)
        _require(len(read) == size, "a pickle that is cut short")
        return read

    def _line(self) -> str:
        return self._stream.readline(_LONGEST_NAME).removesuffix(b"\n").decode("ascii")

    def _top(self, kind: type) -> Any:
        _require(type(self._stack[-1]) is kind, f"a pickle that fills what is not a {kind}")
        return self._stack[-1]

    def _pop(self, count: int) -> list[Any]:
        _require(len(self._stack) >= count, "a pickle that takes from an empty stack")
        popped = self._stack[-count:]
        del self._stack[-count:]
        return popped

    def _pop_to_mark(self) -> list[Any]:
        values = []
        while (value := self._stack.pop()) is not _Mark:
            values.append(value)
        return values[::-1]


Storages = Callable[[_Storage], NDArray[Any]]


def _array(tensor: _Tensor, storages: Storages) -> NDArray[Any]:
    numbers = storages(tensor.storage)
    _require(numbers.size == tensor.storage.count, "a storage that is cut short")
    strides = [stride * numbers.itemsize for stride in tensor.strides]
    if math.prod(tensor.sides) == 0:
        return np.zeros(tensor.sides, numbers.dtype)
    view = np.lib.stride_tricks.as_strided(
        numbers[tensor.offset :], tensor.sides, strides, writeable=False
    )
    return np.array(view, order="C")


def _read_archive(archive: zipfile.ZipFile) -> tuple[Any, Storages]:
    members = archive.infolist()
    _require(len(members) <= _MOST_MEMBERS, "an archive of too many members")
    (pickle,) = (one for one in members if one.filename.rpartition("/")[2] == "data.pkl")
    folder = pickle.filename.removesuffix("data.pkl")
    _require(pickle.file_size <= _LARGEST_PICKLE, "a pickle that is too large")
    if f"{folder}byteorder" in archive.namelist():
        _require(archive.read(f"{folder}byteorder") == b"little", "another order of bytes")

    def storage(one: _Storage) -> NDArray[Any]:
        return np.frombuffer(archive.read(f"{folder}data/{one.key}"), one.dtype)

    return _Machine(io.BytesIO(archive.read(pickle))).run(), storage


def _read_stream(data: bytes) -> tuple[Any, Storages]:
    stream = io.BytesIO(data)
    _require(_Machine(stream).run() == _MAGIC, "not a file of torch.save")
    _require(_Machine(stream).run() == _VERSION, "another version of the format")
    system = _Machine(stream).run()
    _require(isinstance(system, dict) and system.get("little_endian") is True, "another system")
    made, keys = _Machine(stream).run(), _Machine(stream).run()
    _require(isinstance(keys, list) and all(type(key) is str for key in keys), "odd keys")
    sizes = {
        tensor.storage.key: tensor.storage.count * tensor.storage.dtype.itemsize
        for tensor in _tensors(made).values()
    }
    spans, start = {}, stream.tell()
    for key in keys:
        # Eight bytes repeat the count; a storage that no tensor uses has no known size
        size = sizes[key]
        spans[key] = slice(start + 8, start + 8 + size)
        start += 8 + size

    def storage(one: _Storage) -> NDArray[Any]:
        return np.frombuffer(data[spans[one.key]], one.dtype)

    return made, storage


def _tensors(made: Any) -> Mapping[str, _Tensor]:
    """Return the tensors of a state dict, or of one inside a checkpoint."""
    if isinstance(made, dict) and isinstance(made.get("state_dict"), dict):
        made = made["state_dict"]
    if not isinstance(made, dict):
        raise WeightsError(f"it holds a {type(made).__name__}, not a state dict")
    for name, value in made.items():
        if not (isinstance(name, str) and isinstance(value, _Tensor)):
            raise WeightsError(f"it holds more than tensors: {str(name)[:80]!r} is not one")
    return made


def _arrays(made: Any, storages: Storages) -> dict[str, NDArray[Any]]:
    tensors = _tensors(made)
    # Many tensors can share one storage
    size = sum(math.prod(one.sides) * one.storage.dtype.itemsize for one in tensors.values())
    _require(size <= _LARGEST_FILE, "tensors that are larger than their file")
    recalled = lru_cache(maxsize=None)(storages)
    return {name: _array(one, recalled) for name, one in tensors.items()}


def _read(path: str, sha256: str | None) -> dict[str, NDArray[Any]]:
    with open_file(path, "weights file", error=WeightsError) as file:
        if sha256 is not None and hashlib.sha256(file.read()).hexdigest() != sha256:
            raise WeightsError(f"{path} is not the file that was published: install it again")
        file.seek(0)
        if zipfile.is_zipfile(file):
            with zipfile.ZipFile(file) as archive:
                _check_size(path, sum(one.file_size for one in archive.infolist()))
                return _arrays(*_read_archive(archive))
        file.seek(0)
        return _arrays(*_read_stream(file.read(_LARGEST_FILE + 1)))


def _check_size(path: str, size: int) -> None:
    if size > _LARGEST_FILE:
        raise WeightsError(
            f"{path} holds {size / 1e6:,.0f} MB, and weights of these networks at most "
            f"{_LARGEST_FILE / 1e6:,.0f}"
        )


def read_state_dict(path: str, *, sha256: str | None = None) -> dict[str, NDArray[Any]]:
    """Read a state dict that ``torch.save`` wrote, or a checkpoint with one as ``state_dict``.

    Args:
        path: path of the file, in either format of ``torch.save``, of at most 512 MiB.
        sha256: digest that the file must have, in hexadecimal; by default any.

    Returns:
        arrays by their names, in C order and in the types that they were saved with.

    Raises:
        WeightsError: the file is missing, is damaged, has another digest, or holds anything but
            tensors.
    """
    check_file(path, "weights file", error=WeightsError)
    _check_size(path, Path(path).stat().st_size)
    try:
        return _read(path, sha256)
    except WeightsError as error:
        message = str(error)
        raise WeightsError(f"{path}: {message}" if message.startswith("it ") else message) from None
    except OSError as error:
        raise WeightsError(f"cannot read {path}: {error.strerror or error}") from error
    except _DAMAGE as error:
        detail = f" ({error})" if isinstance(error, _MalformedError) else ""
        raise WeightsError(
            f"cannot read weights from {path}: not a PyTorch state dict, or damaged{detail}"
        ) from error
