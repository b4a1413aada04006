from __future__ import annotations

import os
import shutil
import stat
import subprocess

import numpy as np
import pytest
from PIL import Image, ImageCms

from glitch_gym.errors import Hint, OutputError, RecipeError
from glitch_gym.output import check_target
from glitch_gym.picture import Picture, read_picture
from glitch_render.media.formats import SUFFIXES
from glitch_render.media.pictures import write_picture
from glitch_render.recipe.files import read_recipe
from glitch_render.recipe.model import Layer, Recipe
from glitch_render.recipe.presets import load_preset


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_the_recipe_travels_in_the_picture(tmp_path, small, suffix):
    recipe = Recipe(
        layers=[Layer(grid=(3, 3), effects=["artifact"], born_above=0.25)],
        description='“quotes”, ünïcode and\nlines = "2"',
        seed=2**62,
    )
    path = tmp_path / f"out{suffix}"
    write_picture(path, small, recipe=recipe)
    assert read_recipe(path) == recipe


def test_whatever_is_written_as_toml_travels_in_a_picture(tmp_path, small):
    class Note:
        def to_toml(self):
            return 'layers = [{grid = [2, 3], effects = ["invert"]}]'

        def provenance(self):
            return ""

    write_picture(tmp_path / "out.png", small, recipe=Note())
    assert read_recipe(tmp_path / "out.png").layers[0].grid == (2, 3)


@pytest.mark.parametrize("suffix", [".png", ".webp"])
def test_pixels_and_alpha_survive_writing(tmp_path, small, suffix):
    alpha = (small[:, :, 0] // 2 * 2).astype(np.uint8)
    alpha[:20] = 0
    write_picture(tmp_path / f"out{suffix}", small, like=Picture(small, alpha))
    read = read_picture(tmp_path / f"out{suffix}")
    np.testing.assert_array_equal(read.frame, small)
    np.testing.assert_array_equal(read.alpha, alpha)


def test_jpeg_lays_transparency_on_white(tmp_path, small):
    alpha = np.full(small.shape[:2], 255, np.uint8)
    alpha[:80] = 0
    write_picture(tmp_path / "out.jpg", small, like=Picture(small, alpha))
    read = read_picture(tmp_path / "out.jpg")
    assert read.frame[:72].min() > 245
    assert np.abs(read.frame[88:].astype(int) - small[88:]).mean() < 3


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_the_colour_profile_is_kept(tmp_path, small, suffix):
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    path = tmp_path / f"out{suffix}"
    write_picture(path, small, like=Picture(small, icc_profile=profile), recipe=load_preset())
    assert read_picture(path).icc_profile == profile


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_writing_twice_gives_the_same_bytes(tmp_path, small, suffix):
    contents = []
    for name in ("a", "b"):
        write_picture(tmp_path / f"{name}{suffix}", small, recipe=load_preset())
        contents.append((tmp_path / f"{name}{suffix}").read_bytes())
    assert contents[0] == contents[1]


def test_new_files_have_the_usual_permissions(tmp_path, small):
    before = os.umask(0o022)
    try:
        write_picture(tmp_path / "out.png", small)
    finally:
        os.umask(before)
    assert stat.S_IMODE((tmp_path / "out.png").stat().st_mode) == 0o644


def test_outputs_that_must_not_be_written_are_refused(tmp_path, small):
    source = tmp_path / "in.png"
    Image.fromarray(small).save(source)
    (tmp_path / "link.png").symlink_to(source)
    (tmp_path / "folder.png").mkdir()
    for name, force, message in (
        ("out.tiff", False, "suffix"),
        ("out", False, "suffix"),
        ("nowhere/out.png", False, "folder does not exist"),
        ("folder.png", True, "is a folder"),
        ("in.png", True, "output is the input"),
        ("link.png", True, "output is the input"),
    ):
        with pytest.raises(OutputError, match=message):
            check_target(tmp_path / name, suffixes=SUFFIXES, sources=[source], force=force)
    other = tmp_path / "other.png"
    other.write_bytes(b"mine")
    with pytest.raises(OutputError, match="already exists") as raised:
        write_picture(other, small)
    assert raised.value.hint is Hint.FORCE
    assert other.read_bytes() == b"mine"
    write_picture(other, small, force=True)
    np.testing.assert_array_equal(read_picture(other).frame, small)


def test_a_write_that_fails_leaves_nothing_and_harms_nothing(tmp_path, small):
    resource = pytest.importorskip("resource")
    target = tmp_path / "out.png"
    target.write_bytes(b"mine")
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (10_000, limits[1]))
    try:
        with pytest.raises(OutputError, match="cannot write"):
            write_picture(target, small, force=True)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert target.read_bytes() == b"mine"
    assert list(tmp_path.iterdir()) == [target]


@pytest.mark.skipif(
    os.geteuid() != 0 or shutil.which("mount") is None, reason="needs to mount a small disk"
)
def test_a_full_disk_is_said(tmp_path, small):
    disk = tmp_path / "disk"
    disk.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=32k", "none", str(disk)]
    if subprocess.run(mount, capture_output=True).returncode != 0:
        pytest.skip("this machine does not let tests mount a disk")
    try:
        with pytest.raises(OutputError, match="the disk is full"):
            write_picture(disk / "out.png", small)
        assert list(disk.iterdir()) == []
    finally:
        subprocess.run(["umount", str(disk)], check=True)


def test_pictures_and_files_without_a_recipe_say_so(tmp_path, small):
    for suffix in SUFFIXES:
        Image.fromarray(small).save(tmp_path / f"bare{suffix}")
        with pytest.raises(RecipeError, match="carries no recipe"):
            read_recipe(tmp_path / f"bare{suffix}")
    camera = Image.Exif()
    camera.get_ifd(0x8769)[0x9286] = b"ASCII\0\0\0at the lake"
    Image.fromarray(small).save(tmp_path / "camera.jpg", exif=camera)
    with pytest.raises(RecipeError, match="carries no recipe"):
        read_recipe(tmp_path / "camera.jpg")
    (tmp_path / "broken.png").write_text("hello")
    (tmp_path / "latin.toml").write_bytes(b"seed = '\xff'")
    for name, message in {
        "broken.png": "not a picture",
        "nowhere.png": "not found",
        "nowhere.toml": "not found",
        "latin.toml": "not a text file",
        ".": "is a folder",
    }.items():
        with pytest.raises(RecipeError, match=message):
            read_recipe(tmp_path / name)
