"""Arrays in files: NumPy's ``.npz`` without pickle, read without trust in its author.

The sizes that a file claims are checked against its real size and a limit before anything is
allocated, and nothing in it is ever evaluated. Files written by NumPy are read as by
``numpy.load``.
"""

from __future__ import annotations

import io
import json
import math
import os
import re
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import IO, Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from glitch_gym.errors import ArrayFileError
from glitch_gym.input import open_file, with_article

__all__ = ["DEFAULT_LIMIT", "describe", "encode_arrays", "read_arrays", "read_description"]

DEFAULT_LIMIT = 1 << 30
"""Limit for the arrays of one file together, in bytes."""

_ABOUT = "about"
_MAX_MEMBERS = 1024
_MAX_SIDES = 32
_BLOCK = 1 << 20
# Signature and size of the record that ends an archive without a comment
_END, _END_SIZE = b"PK\5\6", 22
_LARGEST_DIRECTORY = _MAX_MEMBERS * 200
_MAGIC = b"\x93NUMPY"
_HEADER = re.compile(
    rb"\{'descr': '(?P<dtype>[<>|=][biufU]\d{1,9})', 'fortran_order': (?P<fortran>True|False), "
    rb"'shape': \((?P<shape>(?:\d{1,18}, ?)*(?:\d{1,18})?)\), ?\} *\n"
)
_LARGEST_HEADER = 4096


def encode_arrays(arrays: Mapping[str, NDArray[Any]], *, compressed: bool = True) -> bytes:
    """Return the content of an ``.npz`` file.

    Args:
        arrays: arrays by name.
        compressed: write a smaller file, more slowly.
    """
    buffer = io.BytesIO()
    save = np.savez_compressed if compressed else np.savez
    # The stubs assume that the arrays might be other keyword arguments
    save(buffer, **dict(arrays))  # type: ignore[arg-type]
    return buffer.getvalue()


def describe(about: Mapping[str, Any]) -> dict[str, NDArray[Any]]:
    """Return an array that describes the content of a file, for ``encode_arrays``."""
    return {_ABOUT: np.array(json.dumps(about))}


def read_arrays(
    path: str | Path, what: str = "file of arrays", *, limit: int = DEFAULT_LIMIT
) -> dict[str, NDArray[Any]]:
    """Read the arrays of an ``.npz`` file: numbers, booleans and texts.

    Args:
        path: path of the file.
        what: what the file should be, for messages, such as ``"episode"``.
        limit: largest size of all arrays together, in bytes.

    Raises:
        ArrayFileError: the file cannot be opened, is damaged, was not written by NumPy, or holds
            more than the limit, or anything but plain arrays.
    """
    with open_file(path, what, error=ArrayFileError) as file:
        try:
            return _read_archive(file, limit)
        except _TooLargeError as error:
            raise ArrayFileError(
                f"{path} is too large for {with_article(what)}: {error}", path=str(path)
            ) from None
        # A damaged archive can raise nearly anything: zlib.error, NotImplementedError, struct.error
        except Exception as error:
            reason = str(error) or type(error).__name__
            raise ArrayFileError(
                f"{path} is not {with_article(what)}, or it is damaged ({reason})", path=str(path)
            ) from error


class _TooLargeError(Exception):
    pass


def _read_archive(file: BinaryIO, limit: int) -> dict[str, NDArray[Any]]:
    size = os.fstat(file.fileno()).st_size
    count = _check_directory(file, size)
    arrays: dict[str, NDArray[Any]] = {}
    with zipfile.ZipFile(file) as archive:
        members = archive.infolist()
        # A damaged length in the directory can silently swallow the members after it
        if len(members) != count or count > _MAX_MEMBERS:
            raise ValueError(f"{len(members)} arrays, not {count}")
        claimed = sum(member.file_size for member in members)
        if claimed > limit:
            raise _TooLargeError(
                f"its arrays take {claimed / 1e6:,.0f} MB, at most {limit / 1e6:,.0f} are read"
            )
        for member in members:
            name, suffix = member.filename[:-4], member.filename[-4:]
            if suffix != ".npy" or not name or name in arrays:
                raise ValueError(f"an entry {member.filename!r}")
            if member.flag_bits & 1:
                raise ValueError("an encrypted entry")
            if member.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
                raise ValueError("a compression that NumPy does not use")
            if member.compress_type == zipfile.ZIP_STORED and member.file_size > size:
                raise ValueError("an array beyond its end")
            with archive.open(member) as stream:
                arrays[name] = _read_array(stream, member.file_size)
    return arrays


def _check_directory(file: BinaryIO, size: int) -> int:
    """Check that an archive's directory is small, and return its number of entries."""
    file.seek(max(0, size - _END_SIZE))
    end = file.read(_END_SIZE)
    if end[:4] != _END:
        raise ValueError("not an archive written by NumPy, or cut short")
    if int.from_bytes(end[12:16], "little") > _LARGEST_DIRECTORY:
        raise ValueError("a directory that is too large")
    file.seek(0)
    return int.from_bytes(end[10:12], "little")


def _read_array(stream: IO[bytes], claimed: int) -> NDArray[Any]:
    start = stream.read(8)
    if start[:6] != _MAGIC or start[6:7] not in (b"\1", b"\2", b"\3"):
        raise ValueError("an entry is not an array")
    wide = 2 if start[6:7] == b"\1" else 4
    length = int.from_bytes(stream.read(wide), "little")
    if length > _LARGEST_HEADER:
        raise ValueError("the header of an array is too long")
    found = _HEADER.fullmatch(stream.read(length))
    if found is None:
        raise ValueError("the header of an array cannot be read")
    dtype = np.dtype(found["dtype"].decode())
    shape = tuple(int(side) for side in found["shape"].replace(b" ", b"").split(b",") if side)
    n_bytes = math.prod(shape) * dtype.itemsize
    if len(shape) > _MAX_SIDES or (dtype.itemsize == 0 and math.prod(shape) > 1):
        raise ValueError(f"an array of shape {shape}")
    if n_bytes != claimed - len(start) - wide - length:
        raise ValueError(f"an array of shape {shape} in {claimed} bytes")
    # Allocated as bytes arrive, so that an entry takes no more memory than it really has
    content = bytearray()
    while block := stream.read(_BLOCK):
        content += block
        if len(content) > n_bytes:
            raise ValueError("an array is longer than its header says")
    if len(content) != n_bytes:
        raise ValueError("an array is cut short")
    order = "F" if found["fortran"] == b"True" else "C"
    if dtype.itemsize == 0:
        return np.zeros(shape, dtype)
    array: NDArray[Any] = np.frombuffer(content, dtype).reshape(shape, order=order)  # type: ignore[call-overload]
    return array if dtype.isnative else array.astype(dtype.newbyteorder("="))


def read_description(
    arrays: Mapping[str, NDArray[Any]], path: str | Path, what: str, *, kind: str, version: int
) -> dict[str, Any]:
    """Return the description that a file of ours contains.

    Args:
        arrays: arrays from ``read_arrays``.
        path: path of the file, for messages.
        what: what the file should be, for messages.
        kind: expected value of ``format``.
        version: newest version that can be read.

    Raises:
        ArrayFileError: the description is missing, or has another format or a newer version.
    """
    strange = f"{path} is not {with_article(what)} of glitch-gym"
    text = arrays.get(_ABOUT)
    if text is None or text.shape != () or text.dtype.kind != "U":
        raise ArrayFileError(f"{strange}, or it is damaged", path=str(path))
    try:
        about = json.loads(str(text))
    except (ValueError, RecursionError) as error:
        raise ArrayFileError(f"{strange}, or it is damaged", path=str(path)) from error
    if not isinstance(about, dict) or about.get("format") != kind:
        raise ArrayFileError(strange, path=str(path))
    found = about.get("version")
    if type(found) is not int or found < 1:
        raise ArrayFileError(f"{strange}, or it is damaged", path=str(path))
    if found > version:
        raise ArrayFileError(
            f"{path} was written by a newer glitch-gym (format {found})", path=str(path)
        )
    return about
