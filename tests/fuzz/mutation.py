"""Damage to bytes and to texts, drawn from a keyed generator."""

from __future__ import annotations

import io
import random
import re
import struct
import zipfile
import zlib
from collections.abc import Callable, Sequence

__all__ = ["mutate", "mutate_png", "mutate_text", "mutate_zip", "truncates"]

_PNG = b"\x89PNG\r\n\x1a\n"
_NUMBERS = (0, 1, 2, 0x7F, 0x80, 0xFF, 0x7FFF, 0x8000, 0xFFFF, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFF)
_TEXT_NUMBERS = (
    "0", "-1", "1e308", "1e-308", "nan", "inf", "-inf", "9" * 30, "9" * 5000, "1e999999", "0x10",
    "1_000", "true", '"x"', "[]", "{}", "1979-05-27", "0.1", "4097", "18446744073709551616",
)  # fmt: skip
_KEYS = ("grdi", "é", "_", "layers", "a.b.c", '""')


def mutate(rng: random.Random, data: bytes, others: Sequence[bytes] = ()) -> tuple[bytes, str]:
    """Damage bytes in one to three ways.

    Args:
        rng: a keyed generator.
        data: the whole input.
        others: inputs of the same kind, to be spliced with.

    Returns:
        the damaged bytes, and the names of what was done.
    """
    done = []
    for _ in range(rng.choice((1, 1, 1, 2, 3))):
        way = rng.choice(_WAYS)
        data = way(rng, data, others)
        done.append(way.__name__.strip("_"))
    return data, "+".join(done)


def truncates(label: str) -> bool:
    """Return whether an input was cut short and nothing else was done to it."""
    return label == "cut"


def _flip(rng: random.Random, data: bytes, others: Sequence[bytes]) -> bytes:
    changed = bytearray(data)
    for _ in range(rng.choice((1, 1, 2, 8)) if changed else 0):
        changed[rng.randrange(len(changed))] ^= 1 << rng.randrange(8)
    return bytes(changed)


def _cut(rng: random.Random, data: bytes, others: Sequence[bytes]) -> bytes:
    return data[: rng.randrange(len(data) + 1)]


def _head(rng: random.Random, data: bytes, others: Sequence[bytes]) -> bytes:
    """Change bytes of the header alone."""
    changed = bytearray(data)
    for _ in range(rng.randint(1, 4) if changed else 0):
        changed[rng.randrange(min(64, len(changed)))] = rng.choice((0, 1, 0x7F, 0xFF, 0x20))
    return bytes(changed)


def _number(rng: random.Random, data: bytes, others: Sequence[bytes]) -> bytes:
    """Put a number where a length or a size may stand."""
    form = rng.choice(("<H", ">H", "<I", ">I", "<Q", ">Q"))
    size = struct.calcsize(form)
    if len(data) < size:
        return data
    at = rng.randrange(min(len(data), rng.choice((256, 4096, len(data)))) - size + 1)
    value = rng.choice((*_NUMBERS, len(data), len(data) * 2, rng.getrandbits(32)))
    return data[:at] + struct.pack(form, value % (1 << 8 * size)) + data[at + size :]


def _remove(rng: random.Random, data: bytes, others: Sequence[bytes]) -> bytes:
    at = rng.randrange(len(data) + 1)
    return data[:at] + data[at + rng.choice((1, 2, 16, 256)) :]


def _repeat(rng: random.Random, data: bytes, others: Sequence[bytes]) -> bytes:
    at = rng.randrange(len(data) + 1)
    return data[:at] + data[at : at + rng.choice((1, 4, 64, 512))] * 2 + data[at:]


def _wipe(rng: random.Random, data: bytes, others: Sequence[bytes]) -> bytes:
    at = rng.randrange(len(data) + 1)
    end = min(len(data), at + rng.choice((4, 32, 512)))
    filling = rng.choice((b"\0", b"\xff", None))
    return data[:at] + (filling * (end - at) if filling else rng.randbytes(end - at)) + data[end:]


def _splice(rng: random.Random, data: bytes, others: Sequence[bytes]) -> bytes:
    other = rng.choice(others) if others else data
    return data[: rng.randrange(len(data) + 1)] + other[rng.randrange(len(other) + 1) :]


_WAYS: tuple[Callable[[random.Random, bytes, Sequence[bytes]], bytes], ...] = (
    _flip, _flip, _flip, _cut, _cut, _head, _number, _number, _remove, _repeat, _wipe, _splice,
)  # fmt: skip


def mutate_png(rng: random.Random, data: bytes, others: Sequence[bytes]) -> tuple[bytes, str]:
    """Damage a PNG inside its chunks, whose checksums stay right; also drop and repeat chunks."""
    if not data.startswith(_PNG):
        return mutate(rng, data, others)
    chunks = []
    at = len(_PNG)
    while at + 12 <= len(data):
        length = int.from_bytes(data[at : at + 4], "big")
        chunks.append((data[at + 4 : at + 8], data[at + 8 : at + 8 + length]))
        at += 12 + length
    place = rng.randrange(len(chunks))
    way = rng.choice(("content", "content", "content", "drop", "twice", "swap", "pixels"))
    kind, content = chunks[place]
    if way == "content":
        chunks[place] = (kind, mutate(rng, content)[0])
    elif way == "drop":
        del chunks[place]
    elif way == "twice":
        chunks.insert(rng.randrange(len(chunks) + 1), chunks[place])
    elif way == "swap":
        other = rng.randrange(len(chunks))
        chunks[place], chunks[other] = chunks[other], chunks[place]
    else:
        for number, (kind, content) in enumerate(chunks):
            if kind == b"IDAT":
                try:
                    raw = zlib.decompress(content)
                except zlib.error:
                    continue
                chunks[number] = (kind, zlib.compress(mutate(rng, raw)[0]))
    return _PNG + b"".join(map(_chunk, chunks)), f"png-{way}"


def _chunk(chunk: tuple[bytes, bytes]) -> bytes:
    kind, content = chunk
    return (
        struct.pack(">I", len(content))
        + kind
        + content
        + struct.pack(">I", zlib.crc32(kind + content))
    )


def mutate_zip(rng: random.Random, data: bytes, others: Sequence[bytes]) -> tuple[bytes, str]:
    """Damage the files inside an archive, whose checksums stay right; also drop and add files."""
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        files = [(name, archive.read(name)) for name in archive.namelist()]
    place = rng.randrange(len(files))
    way = rng.choice(("content", "content", "content", "text", "drop", "add", "rename"))
    name, content = files[place]
    if way == "content":
        files[place] = (name, mutate(rng, content, [one for _, one in files])[0])
    elif way == "text":
        files[place] = (name, _changed_numbers(rng, content))
    elif way == "drop":
        del files[place]
    elif way == "add":
        files.append((rng.choice(("../x.npy", "a" * 300, "/etc/x.npy", name)), content))
    else:
        other = rng.randrange(len(files))
        files[place], files[other] = (files[other][0], content), (name, files[other][1])
    out = io.BytesIO()
    packing = rng.choice((zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED))
    with zipfile.ZipFile(out, "w", packing) as archive:
        written = set()
        for name, content in files:
            if name not in written:
                archive.writestr(name, content)
                written.add(name)
    return out.getvalue(), f"zip-{way}"


def _changed_numbers(rng: random.Random, content: bytes) -> bytes:
    """Change a number in bytes of ASCII, or in UTF-32 as NumPy keeps texts, at equal length."""
    found = list(re.finditer(rb"\d", content))
    if not found:
        return content
    changed = bytearray(content)
    for _ in range(rng.choice((1, 1, 3))):
        changed[rng.choice(found).start()] = rng.choice(b"0123456789-.e")
    return bytes(changed)


def mutate_text(rng: random.Random, text: str, others: Sequence[str] = ()) -> tuple[bytes, str]:
    """Damage a text of TOML: values, keys, lines, nesting, size; sometimes its bytes."""
    way = rng.choice(
        ("value", "value", "value", "value", "key", "line", "twice", "deep", "long", "many",
         "splice", "bytes", "bytes")
    )  # fmt: skip
    lines = text.splitlines()
    at = rng.randrange(len(lines)) if lines else 0
    if way == "value" and lines:
        key, equals, _ = lines[at].partition("=")
        lines[at] = f"{key}{equals} {rng.choice(_TEXT_NUMBERS)}"
    elif way == "key" and lines:
        _, equals, value = lines[at].partition("=")
        lines[at] = f"{rng.choice(_KEYS)}{equals}{value}"
    elif way == "line" and lines:
        del lines[at]
    elif way == "twice" and lines:
        lines.insert(rng.randrange(len(lines) + 1), lines[at])
    elif way == "deep":
        depth = rng.choice((50, 400, 5_000, 100_000))
        opening, closing = rng.choice((("[", "]"), ("{a=", "}"), ("a.", "b=1"), ("[a.", "]")))
        middle = "" if opening != "{a=" else "1"
        head = rng.choice(("x = ", "seed = ", "grid = ", ""))
        lines.insert(at, head + opening * depth + middle + closing * rng.choice((depth, 0, 1)))
    elif way == "long":
        lines.insert(
            at, f'{rng.choice(("family", "x", "do"))} = "{"x" * rng.choice((10**4, 10**6))}"'
        )
    elif way == "many":
        count = rng.choice((100, 2_000, 20_000))
        form = rng.choice(("key{} = 1", "[t{}]", "[[layers]]\nkey{} = 2", "[[agents]]\nk{} = 1"))
        lines[at:at] = [form.format(number) for number in range(count)]
    elif way == "splice" and others:
        other = rng.choice(others).splitlines()
        lines = lines[:at] + other[rng.randrange(len(other)) :]
    elif way == "bytes":
        data, label = mutate(rng, text.encode(), [one.encode() for one in others])
        return data, f"text-{label}"
    return ("\n".join(lines) + "\n").encode(), f"text-{way}"
