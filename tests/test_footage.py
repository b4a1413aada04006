from __future__ import annotations

import tracemalloc
from fractions import Fraction

import av
import numpy as np
import pytest
from PIL import Image
from support.clips import film, make_clip, rotated, scene

from glitch_gym.errors import PictureError, SettingError
from glitch_render.cache import Cache
from glitch_render.media.decode import decode, deep_pixels_of, pixels_of, small_pixels
from glitch_render.media.footage import file_digest, is_footage, open_footage
from glitch_render.media.timing import FramePlan
from glitch_render.recipe.model import Layer, Recipe
from glitch_render.video.scan import FootageScan, frames_from, plan_frames, scan_footage
from glitch_render.video.shots import Shots

RECIPE = Recipe(layers=[Layer(grid=(4, 6))], activation="spectral_residual")


def all_pixels(footage, since=None):
    size = (footage.width, footage.height)
    return [(time, pixels_of(footage, frame, size)) for time, frame in decode(footage, since)]


def test_a_real_clip_with_sound_is_understood():
    footage = open_footage(str(film("bigbuckbunny")))
    assert (footage.kind, footage.width, footage.height) == ("clip", 1280, 720)
    assert (footage.rate, footage.n_frames, footage.audio) == (25, 132, ("aac",))
    assert footage.length == pytest.approx(5.28)
    assert footage.bits == 8
    assert not footage.alpha


@pytest.mark.parametrize("angle", [90, 180, 270])
def test_a_clip_that_was_filmed_sideways_is_turned_upright(tmp_path, angle):
    pictures = scene(3, 160, 96)
    lying = make_clip(tmp_path / "lying.mp4", pictures, options={"crf": "4"})
    footage = open_footage(str(rotated(lying, tmp_path / "turned.mp4", angle)))
    assert (footage.width, footage.height) == ((160, 96) if angle == 180 else (96, 160))
    # A matrix by 90° turns the picture clockwise
    expected = np.rot90(pictures[0], -angle // 90)
    _, (pixels, _) = all_pixels(footage)[0]
    assert pixels.shape == expected.shape
    assert np.abs(pixels.astype(int) - expected).mean() < 6
    _, frame = next(decode(footage))
    assert small_pixels(footage, frame, 40).shape[:2] == ((24, 40) if angle == 180 else (40, 24))


def test_variable_frame_times_are_exact(tmp_path):
    times = [0, 40, 45, 130, 131, 400]
    clip = make_clip(tmp_path / "vfr.mkv", scene(6), times=times, base=Fraction(1, 1000), rate=25)
    footage = open_footage(str(clip))
    assert [float(time * footage.time_base) for time, _ in decode(footage)] == [
        time / 1000 for time in times
    ]
    later = [float(time * footage.time_base) for time, _ in decode(footage, 131)]
    assert later == [0.131, 0.4]


def test_decoding_from_a_time_gives_the_same_frames():
    footage = open_footage(str(film("bikes")))
    whole = all_pixels(footage)
    for start in (1, 77, 249):
        part = all_pixels(footage, whole[start][0])
        assert [time for time, _ in part] == [time for time, _ in whole[start:]]
        for (_, (one, _)), (_, (other, _)) in zip(part[:3], whole[start:], strict=False):
            np.testing.assert_array_equal(one, other)


def test_colours_are_those_that_the_clip_means(tmp_path):
    """A red picture stays red in every matrix and range that the clip is tagged with."""
    red = [np.full((64, 64, 3), (200, 40, 30), np.uint8)] * 2
    for matrix, full, form in ((1, 1, "yuv420p"), (5, 1, "yuv420p"), (1, 2, "yuvj420p")):
        path = tmp_path / f"{matrix}{full}.mp4"
        with av.open(str(path), "w") as out:
            stream = out.add_stream("libx264", rate=25, options={"crf": "1"})
            stream.width = stream.height = 64
            stream.pix_fmt = form
            stream.codec_context.colorspace = matrix
            stream.codec_context.color_range = full
            for number, picture in enumerate(red):
                frame = av.VideoFrame.from_ndarray(picture, format="rgb24").reformat(
                    format=form, dst_colorspace=matrix, src_color_range=2, dst_color_range=full
                )
                frame.pts = number
                out.mux(stream.encode(frame))
            out.mux(stream.encode(None))
        footage = open_footage(str(path))
        assert (footage.colour.matrix, footage.colour.full_range) == (matrix, full == 2)
        _, (pixels, _) = all_pixels(footage)[0]
        assert np.abs(pixels[32, 32].astype(int) - (200, 40, 30)).max() <= 3


def test_ten_bits_are_known_and_given(tmp_path):
    ramp = np.repeat(np.linspace(20_000, 24_000, 160).astype(np.uint16)[None, :, None], 3, axis=2)
    pictures = [np.repeat(ramp, 90, axis=0)] * 2
    clip = make_clip(
        tmp_path / "deep.mp4", pictures, pixel_format="yuv420p10le", options={"crf": "1"}
    )
    footage = open_footage(str(clip))
    assert footage.bits == 10
    _, frame = next(decode(footage))
    deep = deep_pixels_of(footage, frame, (160, 90))
    assert deep.dtype == np.uint16
    assert len(np.unique(deep[40, :, 1])) > 2 * len(np.unique(deep[40, :, 1] >> 8))


def test_hdr_is_refused_with_a_word(tmp_path):
    clip = make_clip(
        tmp_path / "hdr.mp4",
        scene(2),
        pixel_format="yuv420p10le",
        tag={"color_trc": 16, "color_primaries": 9, "colorspace": 9},
    )
    with pytest.raises(PictureError, match=r"HDR \(PQ\).*convert it to SDR"):
        open_footage(str(clip))


@pytest.mark.parametrize(
    ("suffix", "codec", "form", "metadata"),
    [
        (".webm", "libvpx-vp9", "yuva420p", {"alpha_mode": "1"}),
        (".mov", "prores_ks", "yuva444p10le", {}),
        (".mov", "png", "rgba", {}),
    ],
)
def test_alpha_of_clips_is_read(tmp_path, suffix, codec, form, metadata):
    alpha = np.zeros((90, 160), np.uint8)
    alpha[:, 80:] = 255
    options = {"auto-alt-ref": "0"} if codec == "libvpx-vp9" else {}
    clip = make_clip(
        tmp_path / f"alpha{suffix}", scene(3), codec=codec, pixel_format=form, alpha=alpha,
        metadata=metadata, options=options,
    )  # fmt: skip
    footage = open_footage(str(clip))
    assert footage.alpha
    _, (pixels, read) = all_pixels(footage)[1]
    assert pixels.shape == (90, 160, 3)
    assert np.abs(read.astype(int) - alpha).mean() < 3


def test_animated_pictures_keep_their_delays_and_alpha(tmp_path):
    pictures = [Image.fromarray(one) for one in scene(4)]
    delays = [100, 40, 500, 70]
    for suffix in (".gif", ".webp", ".png"):
        path = tmp_path / f"moving{suffix}"
        pictures[0].save(path, save_all=True, append_images=pictures[1:], duration=delays, loop=3)
        assert is_footage(str(path))
        footage = open_footage(str(path))
        assert footage.kind == "animation"
        assert [time for time, _ in decode(footage)] == [0, 100, 140, 640]
        scan = scan_footage(footage, RECIPE)
        assert plan_frames(footage, scan).duration(2) == 500
    see_through = [one.convert("RGBA") for one in pictures]
    for one in see_through:
        one.putalpha(77)
    see_through[0].save(
        tmp_path / "alpha.webp", save_all=True, append_images=see_through[1:], lossless=True
    )
    footage = open_footage(str(tmp_path / "alpha.webp"))
    _, (_, alpha) = all_pixels(footage)[0]
    assert (alpha == 77).all()


def test_folders_and_patterns_are_in_natural_order(tmp_path):
    for number in (1, 2, 10, 9):
        Image.fromarray(np.full((8, 8, 3), number, np.uint8)).save(tmp_path / f"f{number}.png")
    for source in (str(tmp_path), str(tmp_path / "f*.png")):
        footage = open_footage(source, rate=Fraction(10))
        shown = [int(pixels[0, 0, 0]) for _, (pixels, _) in all_pixels(footage)]
        assert shown == [1, 2, 9, 10]
        assert (footage.length, footage.rate) == (0.4, 10)
    Image.fromarray(np.zeros((9, 8, 3), np.uint8)).save(tmp_path / "f11.png")
    with pytest.raises(PictureError, match=r"one size: f1\.png is 8×8, f11\.png is 8×9"):
        open_footage(str(tmp_path))


def test_a_still_is_shown_for_a_while(tmp_path):
    with pytest.raises(SettingError, match="for how many seconds"):
        open_footage("sample:balloon")
    footage = open_footage("sample:balloon", duration=0.5, rate=Fraction(12))
    assert len(all_pixels(footage)) == footage.n_frames == 6


def test_what_cannot_be_read_is_told_plainly(tmp_path):
    (tmp_path / "nothing.mp4").write_bytes(b"")
    (tmp_path / "text.mp4").write_text("hello")
    (tmp_path / "empty").mkdir()
    for source, message in {
        tmp_path / "missing.mp4": "not found",
        tmp_path / "nothing.mp4": r"empty \(0 bytes\)",
        tmp_path / "text.mp4": "not a clip or picture",
        tmp_path / "empty": "holds no pictures",
        tmp_path / "no*.png": "holds no pictures",
    }.items():
        with pytest.raises(PictureError, match=message):
            open_footage(str(source))
    only_sound = tmp_path / "sound.m4a"
    with av.open(str(only_sound), "w", format="mp4") as out:
        track = out.add_stream("aac", rate=48_000)
        track.layout = "mono"
        frame = av.AudioFrame.from_ndarray(np.zeros((1, 48_000), np.int16), "s16", "mono")
        frame.sample_rate = 48_000
        out.mux(track.encode(frame))
        out.mux(track.encode(None))
    with pytest.raises(PictureError, match=r"no video stream \(only sound\)"):
        open_footage(str(only_sound))
    cut = tmp_path / "cut.mp4"
    cut.write_bytes(film("bikes").read_bytes()[:200_000])
    if is_footage(str(cut)):
        with pytest.raises(PictureError, match=r"cut off|cut short|no frame"):
            scan_footage(open_footage(str(cut)), RECIPE)


def test_equal_content_has_equal_digests(tmp_path):
    clip = make_clip(tmp_path / "a.mp4", scene(3))
    (tmp_path / "b.mp4").write_bytes(clip.read_bytes())
    first, second = (open_footage(str(tmp_path / name)) for name in ("a.mp4", "b.mp4"))
    assert file_digest(first) == file_digest(second)
    with (tmp_path / "b.mp4").open("ab") as file:
        file.write(b"x")
    assert file_digest(open_footage(str(tmp_path / "b.mp4"))) != file_digest(first)


def test_cuts_are_found_and_activations_sampled(tmp_path):
    clip = make_clip(tmp_path / "cut.mp4", scene(50, cut=30), options={"crf": "10"})
    scan = scan_footage(open_footage(str(clip)), RECIPE)
    assert scan.cuts.tolist() == [0, 30]
    assert scan.samples.tolist() == [0, 8, 16, 24, 30, 38, 46]
    assert len(scan.of_all) == 7
    assert scan.of_all.min() >= 0
    assert scan.of_all.max() <= 1
    assert scan.seekable
    assert not scan.damage
    # One long take, and a montage
    assert scan_footage(open_footage(str(film("bigbuckbunny"))), RECIPE).cuts.tolist() == [0]
    cuts = scan_footage(open_footage(str(film("bikes"))), RECIPE).cuts.tolist()
    assert cuts == [0, 30, 76, 137, 187, 242]


def test_a_look_is_kept_and_recalled(tmp_path):
    cache = Cache(tmp_path / "cache")
    footage = open_footage(str(make_clip(tmp_path / "a.mp4", scene(20))))
    seen = []
    first = scan_footage(footage, RECIPE, cache=cache, progress=seen.append)
    assert seen == list(range(1, 21))
    again = scan_footage(footage, RECIPE, cache=cache, progress=seen.append)
    assert len(seen) == 20
    for name in ("times", "cuts", "samples", "of_best", "of_all"):
        np.testing.assert_array_equal(getattr(first, name), getattr(again, name))
    assert (first.end, first.seekable, first.damage) == (again.end, again.seekable, again.damage)
    scan_footage(footage, RECIPE, cache=cache, start=Fraction(1, 5), progress=seen.append)
    assert len(seen) == 35


def test_frames_are_numbered_from_the_start_that_is_wanted():
    footage = open_footage(str(film("bikes")))
    scan = scan_footage(footage, RECIPE, start=Fraction(2), end=Fraction(3))
    assert len(scan.times) == 25
    assert float(scan.times[0] * footage.time_base) == 2.0
    assert [number for number, _ in frames_from(footage, scan, 10)] == list(range(10, 25))
    with pytest.raises(PictureError, match="no frame"):
        scan_footage(footage, RECIPE, start=Fraction(60))


@pytest.mark.parametrize(("rate", "count"), [(10, 10), (25, 25), (50, 50), (12, 12)])
def test_another_rate_shows_the_frame_of_the_time(rate, count):
    footage = open_footage(str(film("bikes")))
    scan = scan_footage(footage, RECIPE, end=Fraction(1))
    plan = plan_frames(footage, scan, Fraction(rate))
    assert len(plan) == count
    assert plan.sources.tolist() == [number * 25 // rate for number in range(count)]
    assert plan.end * plan.time_base == 1


def test_shots_average_and_smooth_their_activations(tmp_path):
    clip = make_clip(tmp_path / "cut.mp4", scene(50, cut=30), options={"crf": "10"})
    footage = open_footage(str(clip))
    scan = scan_footage(footage, RECIPE)
    plan = plan_frames(footage, scan)
    shots = Shots(scan, plan, RECIPE)
    assert (len(shots), shots.shot_of(29), shots.shot_of(30)) == (2, 0, 1)
    assert shots.activation(0) != shots.activation(1)

    def unrest(smoothing):
        smooth = Shots(scan, plan, RECIPE.model_copy(update={"cam_smoothing": smoothing}))
        maps = [smooth.activation_at(frame).map for frame in range(30)]
        return np.abs(np.diff(maps, axis=0)).mean()

    assert unrest(12.0) < 0.5 * unrest(0.0)
    few = plan_frames(footage, scan, Fraction(5))
    assert len(Shots(scan, few, RECIPE)) == 2


def test_to_find_a_frames_shot_costs_no_list_of_all_shots():
    shots, frames = 50_000, 100_000
    maps = np.zeros((1, 2, 2), np.float32)
    scan = FootageScan(
        times=np.arange(frames), end=frames, cuts=np.arange(0, frames, 2), samples=np.zeros(1, int),
        of_best=maps, of_all=maps, since=None, seekable=True, damage=(),
    )  # fmt: skip
    numbers = np.arange(frames)
    plan = FramePlan(numbers, numbers, frames, Fraction(1, 25), Fraction(25))
    found = Shots(scan, plan, RECIPE)
    assert len(found) == shots
    tracemalloc.start()
    try:
        assert [found.shot_of(frame) for frame in (0, 1, 2, 99_999)] == [0, 0, 1, shots - 1]
        assert tracemalloc.get_traced_memory()[1] < 20_000
    finally:
        tracemalloc.stop()
