"""What the fuzz lane found, each by itself: files and texts that are damaged, or lie."""

from __future__ import annotations

import re
import struct
from fractions import Fraction

import numpy as np
import pytest
from PIL import Image
from typer.testing import CliRunner

from glitch_gym.errors import (
    OutputError,
    PictureError,
    RecipeError,
    ScriptError,
    SettingError,
    unknown_name_error,
)
from glitch_gym.picture import read_picture
from glitch_gym.samples import balloon
from glitch_render.cli import app
from glitch_render.episodes.episode import Episode, EpisodeLayer
from glitch_render.episodes.script import parse_script, script_episode
from glitch_render.media.codecs import choose_encoding
from glitch_render.media.decode import decode
from glitch_render.media.footage import open_footage
from glitch_render.media.pictures import write_picture
from glitch_render.recipe.files import read_recipe
from glitch_render.recipe.model import Recipe
from glitch_render.recipe.toml import apply_settings, parse_recipe, read_toml
from glitch_render.video.animate import check_speed
from glitch_render.video.render import corrupt_clip
from glitch_render.video.scan import plan_frames, scan_footage
from glitch_render.video.selection import (
    ExportOptions,
    Selection,
    parse_rate,
    parse_scale,
    parse_seconds,
)
from tests.support.clips import frames_of, make_clip, scene

RECIPE = {
    "activation": "edges",
    "layers": [{"grid": [4, 6], "effects": ["same"], "iterations": 5, "agents": 5, "lifetime": 2}],
}
MANY_DIGITS = "9" * 5_000


def test_an_integer_of_thousands_of_digits_is_refused_with_its_line():
    with pytest.raises(RecipeError, match="line 2") as caught:
        read_toml(f"family = 'x'\nseed = {MANY_DIGITS}\n", "mine.toml")
    assert caught.value.problems[0].line == 2


@pytest.mark.parametrize(
    "text",
    [
        "seed = " + "[" * 100_000,
        "seed = " + "[" * 40 + "]" * 40,
        "seed = " + "{a = " * 2_000 + "1" + "}" * 2_000,
        "[" + "a." * 3_000 + "b]",
        '"a" . ' * 3_000 + "b = 1",
        "a." * 40 + "b = 1",
    ],
    ids=["brackets", "lists", "tables", "header", "quoted", "dotted"],
)
def test_toml_that_is_nested_beyond_sense_is_refused(text):
    with pytest.raises(RecipeError, match=r"too deep|too many parts"):
        read_toml(text, "mine.toml")
    with pytest.raises(ScriptError, match=r"too deep|too many parts"):
        parse_script(text)


@pytest.mark.parametrize(
    "place", ["", "[[layers]]\ngrid = [2, 2]\n", "[[layers]]\ngrid = [2, 2]\n[layers.effects]\n"]
)
def test_of_thousands_of_unknown_settings_the_first_are_told_and_the_others_counted(place):
    text = place + "".join(f"key{number} = 1\n" for number in range(2_000))
    with pytest.raises(RecipeError) as caught:
        parse_recipe(read_toml(text, "mine.toml"), "mine.toml", text=text)
    assert len(caught.value.problems) <= 20
    assert len(str(caught.value).splitlines()) <= 23
    assert "key0" in str(caught.value)


def test_the_problems_that_are_not_told_are_counted():
    text = "[[layers]]\ngrid = [2, 2]\n" + "".join(f"key{n} = 1\n" for n in range(500))
    with pytest.raises(RecipeError, match=r"has 500 errors(.|\n)*and 480 more"):
        parse_recipe(read_toml(text, "mine.toml"), "mine.toml", text=text)
    script = "agents = [{start = [0, 0], do = 'wait'}]\ngrid = [2, 2]\n"
    with pytest.raises(ScriptError, match="and 481 more"):
        parse_script(script + "".join(f"key{n} = 1\n" for n in range(500)))


def test_a_value_of_any_length_is_shown_by_its_beginning():
    with pytest.raises(RecipeError) as caught:
        parse_recipe({**RECIPE, "seed": "x" * 100_000})
    assert len(str(caught.value)) < 300


def test_an_unknown_name_of_any_length_is_shown_by_its_beginning():
    message = str(unknown_name_error("codec", "x" * 5_000, ["h264"]))
    assert message == f"unknown codec '{'x' * 60}…': known: h264"


@pytest.mark.parametrize(
    "setting",
    [
        f"layers.{MANY_DIGITS}.agents=1",
        f"layers.{MANY_DIGITS}=1",
        "a." * 5_000 + "b=1",
        f"seed={MANY_DIGITS}",
        "layers.1.grid=" + "[" * 5_000,
    ],
    ids=["layer", "entry", "path", "value", "brackets"],
)
def test_a_setting_beyond_sense_is_refused(setting):
    with pytest.raises(RecipeError) as caught:
        parse_recipe(apply_settings(RECIPE, [setting]))
    assert len(str(caught.value)) < 400


SCRIPT = "grid = [4, 6]\n[[agents]]\nstart = [0, 0]\ndo = '{}'\n"


def test_a_walk_repeated_beyond_sense_is_refused_with_its_place():
    text = SCRIPT.format(f"wait*{MANY_DIGITS}")
    with pytest.raises(ScriptError, match="line 4, column 11"):
        script_episode(parse_script(text), 40, 48, text=text)


def test_a_word_of_a_script_that_is_like_no_action_is_refused_in_a_short_line():
    with pytest.raises(ScriptError, match="unknown action 'q'") as caught:
        script_episode(parse_script(SCRIPT.format("q")), 40, 48)
    assert len(str(caught.value)) < 200


@pytest.mark.parametrize("text", [MANY_DIGITS, f"1:{MANY_DIGITS}", "1" * 400])
def test_a_number_of_hundreds_of_digits_is_no_time_size_or_rate(text):
    for read in (parse_seconds, parse_rate, lambda one: parse_scale(one, 160, 90)):
        with pytest.raises(SettingError) as caught:
            read(text)
        assert len(str(caught.value)) < 200
    with pytest.raises(SettingError):
        parse_scale(f"{text}%", 160, 90)


@pytest.mark.parametrize("text", ["1e-999999999", "1e999999999", "1/0", "nan", "1e5"])
def test_a_rate_is_written_without_an_exponent(text):
    with pytest.raises(SettingError, match="fps must be a number"):
        parse_rate(text)


def test_rates_are_read_as_they_are_written():
    assert parse_rate("25") == 25
    assert parse_rate("29.97") == Fraction(2997, 100)
    assert parse_rate("30000/1001") == Fraction(30_000, 1001)


@pytest.mark.parametrize(
    "options",
    [
        {"rate": Fraction(1, 10**9)},
        {"rate": Fraction(10**400)},
        {"start": Fraction(10**20)},
        {"end": Fraction(10**400)},
        {"duration": 1e9},
        {"duration": float("nan")},
    ],
)
def test_a_selection_beyond_sense_is_refused(options):
    with pytest.raises(SettingError, match=next(iter(options)).replace("rate", "fps")):
        Selection(**options)


def test_a_speed_that_would_take_years_is_refused():
    with pytest.raises(SettingError, match="speed"):
        check_speed(1e-9)


@pytest.mark.parametrize(
    "option",
    ["--start=99999999999999999999", "--fps=1e-9", "--fps=1e-400", f"--scale={MANY_DIGITS}"],
)
def test_an_option_beyond_sense_is_a_line_on_the_command_line(tmp_path, option):
    make_clip(tmp_path / "in.mkv", scene(3, 48, 32), codec="ffv1", pixel_format="bgr0")
    source, output = str(tmp_path / "in.mkv"), tmp_path / "out.mkv"
    done = CliRunner().invoke(app, ["corrupt", source, "-o", str(output), option, "--no-cache"])
    assert done.exit_code == 1
    assert done.stderr.startswith("error: ")
    assert len(done.stderr) < 300
    assert sorted(one.name for one in tmp_path.iterdir()) == ["in.mkv"]


def test_the_rate_of_a_clip_that_shows_a_frame_an_hour_can_be_encoded(tmp_path):
    make_clip(tmp_path / "in.mkv", scene(2, 48, 32), codec="ffv1", pixel_format="bgr0")
    footage = open_footage(str(tmp_path / "in.mkv"))
    assert choose_encoding(".mp4", footage, (48, 32), Fraction(1, 3600)).rate > 0


def test_a_recipe_that_names_a_file_by_bytes_that_are_not_utf_8_is_refused():
    with pytest.raises(RecipeError, match="rename the file"):
        parse_recipe({**RECIPE, "weights": "net-\udce9.pth"}).to_toml()


@pytest.mark.parametrize("codec", ["hevc", "av1"])
def test_frames_too_narrow_for_an_encoder_that_would_crash_are_refused(tmp_path, codec):
    make_clip(tmp_path / "in.mkv", scene(2, 48, 32), codec="ffv1", pixel_format="bgr0")
    with pytest.raises(OutputError, match=f"{codec} needs frames of 64 pixels"):
        corrupt_clip(
            str(tmp_path / "in.mkv"),
            tmp_path / "out.mp4",
            parse_recipe(RECIPE),
            options=ExportOptions(codec=codec),
        )
    assert [one.name for one in tmp_path.iterdir()] == ["in.mkv"]


def test_an_episode_has_no_negative_seed(small):
    with pytest.raises(SettingError, match="seed"):
        Episode((EpisodeLayer(None, None, None),), -1)


def test_a_palette_picture_without_its_palette_is_damaged(tmp_path):
    path = tmp_path / "palette.png"
    Image.fromarray(balloon(40, 48)).quantize(16).save(path)
    data = path.read_bytes()
    at = data.index(b"PLTE") - 4
    length = int.from_bytes(data[at : at + 4], "big")
    path.write_bytes(data[:at] + data[at + 12 + length :])
    with pytest.raises(PictureError, match="damaged"):
        read_picture(path)
    with pytest.raises(PictureError, match="damaged"):
        open_footage(str(path), duration=1)


@pytest.mark.parametrize("suffix", ["mp4", "mov", "mkv", "webm", "avi", "flv"])
def test_a_clip_whose_tags_are_not_utf_8_is_read_and_written(tmp_path, suffix):
    codec = {"webm": "libvpx-vp9", "avi": "mpeg4", "flv": "flv1"}.get(suffix, "libx264")
    path = tmp_path / f"in.{suffix}"
    make_clip(path, scene(4, 48, 32), codec=codec, sounds=(440,) if suffix == "mp4" else ())
    data = path.read_bytes()
    assert b"Lavf" in data
    path.write_bytes(data.replace(b"Lavf", b"L\xe9vf"))
    report = corrupt_clip(str(path), tmp_path / "out.mkv", parse_recipe(RECIPE))
    assert report.frames == 4
    assert len(frames_of(tmp_path / "out.mkv")[0]) == 4


def _made(path, recipe):
    if path.suffix in (".png", ".jpg", ".webp"):
        write_picture(path, balloon(40, 48), recipe=recipe)
        return
    Image.fromarray(balloon(40, 48)).save(path.with_name("in.png"))
    corrupt_clip(str(path.with_name("in.png")), path, recipe, Selection(duration=0.1))


@pytest.mark.parametrize("suffix", ["jpg", "webp", "gif", "mp4", "mkv", "mov", "webm"])
def test_a_recipe_whose_text_was_damaged_in_its_carrier_ends_in_no_traceback(tmp_path, suffix):
    path = tmp_path / f"made.{suffix}"
    _made(path, parse_recipe({**RECIPE, "description": "swirl"}))
    data = path.read_bytes()
    assert b"swirl" in data
    path.write_bytes(data.replace(b"swirl", b"s\xe9\xffrl"))
    if suffix in ("jpg", "webp", "gif"):
        with pytest.raises(RecipeError, match="damaged"):
            read_recipe(path)
    else:
        # FFmpeg's tags are texts already; what is no letter is shown as such
        assert "�" in read_recipe(path).description


def test_a_frame_that_claims_to_be_larger_than_its_animation_ends_it(tmp_path):
    path = tmp_path / "in.gif"
    frames = [Image.fromarray(one) for one in scene(4, 48, 32)]
    frames[0].save(path, save_all=True, append_images=frames[1:], duration=40)
    data = bytearray(path.read_bytes())
    *_, last = re.finditer(rb"\x21\xf9\x04.{4}\x00\x2c", data, re.DOTALL)
    data[last.end() + 4 : last.end() + 8] = struct.pack("<HH", 60_000, 60_000)
    path.write_bytes(data)
    damage: list[str] = []
    assert len(list(decode(open_footage(str(path)), damage=damage))) == 3
    assert damage[0].startswith("damaged after 3 frames")


def test_a_frame_somewhat_larger_than_its_animation_is_cut_to_it(tmp_path):
    path = tmp_path / "in.gif"
    frames = [Image.fromarray(one) for one in scene(4, 48, 32)]
    frames[0].save(path, save_all=True, append_images=frames[1:], duration=40)
    data = bytearray(path.read_bytes())
    *_, last = re.finditer(rb"\x21\xf9\x04.{4}\x00\x2c", data, re.DOTALL)
    data[last.end() + 4 : last.end() + 8] = struct.pack("<HH", 70, 50)
    path.write_bytes(data)
    sizes = {(one.width, one.height) for _, one in decode(open_footage(str(path)))}
    assert sizes == {(48, 32)}


def test_pictures_of_a_folder_that_are_beyond_the_limit_are_refused(tmp_path, monkeypatch):
    Image.fromarray(balloon(40, 48)).save(tmp_path / "1.png")
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 1_900)
    with pytest.raises(PictureError, match="megapixels"):
        open_footage(str(tmp_path))


def test_a_clip_whose_frames_are_beyond_the_limit_is_refused(tmp_path, monkeypatch):
    path = make_clip(tmp_path / "in.mp4", scene(4, 48, 32))
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 1_500)
    with pytest.raises(PictureError, match="megapixels"):
        open_footage(str(path))


def test_a_clip_with_a_hole_of_years_is_damaged_and_closed_up(tmp_path):
    path = tmp_path / "in.mkv"
    make_clip(path, scene(4, 48, 32), times=[0, 1, 10**12, 10**12 + 1], base=Fraction(1, 25))
    footage = open_footage(str(path))
    look = scan_footage(footage)
    assert look.damage[0] == "holds frames whose times cannot be right"
    np.testing.assert_array_equal(look.times, [0, 40, 80, 120])
    assert len(plan_frames(footage, look, Fraction(10))) == 2


def test_a_clip_of_more_frames_than_anybody_renders_is_refused(tmp_path):
    path = tmp_path / "in.mkv"
    make_clip(path, scene(2, 48, 32), times=[0, 20_000_000], base=Fraction(1, 25))
    footage = open_footage(str(path))
    look = scan_footage(footage)
    with pytest.raises(PictureError, match="choose a start and an end"):
        plan_frames(footage, look, Fraction(1000))


def test_every_preset_is_within_what_a_text_may_be():
    recipe = parse_recipe({**RECIPE, "layers": RECIPE["layers"] * 64})
    assert isinstance(parse_recipe(read_toml(recipe.to_toml(), "recipe")), Recipe)
