from __future__ import annotations

import importlib.util
import io

import numpy as np
import pytest
from PIL import Image, ImageCms

from glitch_gym.errors import MissingExtraError, PictureError, SettingError
from glitch_gym.picture import read_frame, read_picture
from glitch_gym.samples import SAMPLES, balloon


def test_every_sample_is_a_frame():
    for name in SAMPLES:
        frame = read_picture(f"sample:{name}").frame
        assert frame.dtype == np.uint8
        assert frame.ndim == 3
        assert frame.shape[2] == 3
        assert frame.std() > 10


def test_the_balloon_is_the_same_on_every_call_and_cannot_be_changed():
    assert balloon() is balloon()
    with pytest.raises(ValueError, match="read-only"):
        balloon()[0, 0] = 0


@pytest.mark.parametrize("suffix", ["png", "webp"])
def test_alpha_is_kept(tmp_path, small, suffix):
    alpha = np.arange(small.shape[0] * small.shape[1]).reshape(small.shape[:2]).astype(np.uint8)
    path = tmp_path / f"a.{suffix}"
    Image.fromarray(np.dstack([small, alpha])).save(path, lossless=True, exact=True)
    read = read_picture(path)
    np.testing.assert_array_equal(read.frame, small)
    np.testing.assert_array_equal(read.alpha, alpha)


def test_a_palette_with_transparency_becomes_alpha(tmp_path):
    image = Image.new("P", (2, 1))
    image.putpalette([255, 0, 0, 0, 255, 0])
    image.putdata([0, 1])
    image.save(tmp_path / "p.png", transparency=0)
    read = read_picture(tmp_path / "p.png")
    assert read.frame.tolist() == [[[255, 0, 0], [0, 255, 0]]]
    assert read.alpha.tolist() == [[0, 255]]


@pytest.mark.parametrize("orientation", range(1, 9))
def test_exif_orientation_is_applied(tmp_path, small, orientation):
    exif = Image.Exif()
    exif[0x0112] = orientation
    path = tmp_path / "o.png"
    image = Image.fromarray(small[:, :90])
    image.save(path, exif=exif)
    from PIL import ImageOps

    expected = np.asarray(ImageOps.exif_transpose(Image.open(path)))
    np.testing.assert_array_equal(read_picture(path).frame, expected)


def test_an_rgb_profile_is_kept_and_others_are_not(tmp_path, small):
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    Image.fromarray(small).save(tmp_path / "rgb.png", icc_profile=profile)
    assert read_picture(tmp_path / "rgb.png").icc_profile == profile
    grey = profile[:16] + b"GRAY" + profile[20:]
    Image.fromarray(small).convert("L").save(tmp_path / "grey.png", icc_profile=grey)
    assert read_picture(tmp_path / "grey.png").icc_profile is None


def test_16_bits_are_reduced_with_a_word(tmp_path):
    deep = (np.arange(12, dtype=np.uint16) * 5000).reshape(3, 4)
    Image.fromarray(deep).save(tmp_path / "grey.png")
    read = read_picture(tmp_path / "grey.png")
    np.testing.assert_array_equal(read.frame[:, :, 0], deep >> 8)
    assert read.notes == ("16 bits per channel reduced to 8",)


def test_16_bit_colour_is_reduced_with_a_word(tmp_path):
    import struct
    import zlib

    pixels = (np.arange(12) * 5000).reshape(2, 2, 3).astype(">u2")
    raw = b"".join(b"\0" + row.tobytes() for row in pixels)

    def chunk(kind, data):
        return (
            struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
        )

    header = struct.pack(">IIBBBBB", 2, 2, 16, 2, 0, 0, 0)
    path = tmp_path / "deep.png"
    path.write_bytes(
        b"\x89PNG\r\n\x1a\n"
        + chunk(b"IHDR", header)
        + chunk(b"IDAT", zlib.compress(raw))
        + chunk(b"IEND", b"")
    )
    read = read_picture(path)
    np.testing.assert_array_equal(read.frame, pixels >> 8)
    assert read.notes == ("16 bits per channel reduced to 8",)


def test_cmyk_is_converted_with_a_word(tmp_path, small):
    Image.fromarray(small).convert("CMYK").save(tmp_path / "c.jpg")
    read = read_picture(tmp_path / "c.jpg")
    assert np.abs(read.frame.astype(int) - small).mean() < 12
    assert "CMYK" in read.notes[0]


def _jpeg(frame):
    buffer = io.BytesIO()
    Image.fromarray(frame).save(buffer, "JPEG")
    return buffer.getvalue()


def test_what_is_no_picture_is_refused_in_words(tmp_path, small):
    (tmp_path / "empty.png").touch()
    (tmp_path / "text.png").write_text("hello")
    (tmp_path / "cut.jpg").write_bytes(_jpeg(small)[:2000])
    Image.fromarray(small).save(tmp_path / "whole.png")
    whole = (tmp_path / "whole.png").read_bytes()
    (tmp_path / "cut.png").write_bytes(whole[: len(whole) // 2])
    (tmp_path / "stub.png").write_bytes(whole[:20])
    frames = [Image.fromarray(small), Image.fromarray(255 - small)]
    frames[0].save(tmp_path / "moving.gif", save_all=True, append_images=frames[1:])
    for name, message in {
        "missing.png": "not found",
        "empty.png": "empty",
        "text.png": "not a picture",
        "cut.jpg": "damaged or cut short",
        "cut.png": "damaged or cut short",
        "stub.png": "not a picture|damaged",
        "moving.gif": "animated",
        ".": "is a folder",
    }.items():
        with pytest.raises(PictureError, match=message):
            read_picture(tmp_path / name)


def test_pillows_limit_on_pixels_stays_on(tmp_path, small, monkeypatch):
    Image.fromarray(small).save(tmp_path / "s.png")
    for limit in (small.shape[0] * small.shape[1] - 1, 1000):  # Pillow warns, then refuses
        monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", limit)
        with pytest.raises(PictureError, match="megapixels"):
            read_picture(tmp_path / "s.png")


def test_a_gigantic_picture_is_refused_before_it_is_decoded(tmp_path):
    Image.new("1", (20_000, 20_000)).save(tmp_path / "giant.png")
    with pytest.raises(PictureError, match="decompression bombs"):
        read_picture(tmp_path / "giant.png")


def test_unknown_samples_and_missing_extras_are_said(monkeypatch):
    with pytest.raises(SettingError, match="did you mean 'chelsea'"):
        read_picture("sample:chelsae")
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(MissingExtraError, match=r"glitch-gym\[samples\]"):
        read_picture("sample:coffee")


def test_a_frame_is_read_again_when_its_file_changes(tmp_path, small):
    path = tmp_path / "s.png"
    Image.fromarray(small).save(path)
    first = read_frame(path)
    assert read_frame(path) is first
    Image.fromarray(255 - small[:100]).save(path)
    np.testing.assert_array_equal(read_frame(path), 255 - small[:100])
