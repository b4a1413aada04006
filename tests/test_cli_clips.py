from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from support.clips import frames_of, make_clip, scene
from support.program import PROGRAM, refused, run

from glitch_render.recipe.files import read_recipe

QUICK = [
    "--activation", "edges", "--preset", "weave", "--set", "layers.1.iterations=200",
    "--set", "layers.1.grid=[20, 12]",
]  # fmt: skip


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """A folder to work in, with the clip ``in.mp4``."""
    monkeypatch.chdir(tmp_path)
    make_clip(tmp_path / "in.mp4", scene(30), sounds=[440])
    return tmp_path


def test_a_clip_is_corrupted_by_a_preset(folder):
    result = run("corrupt", "in.mp4", "-o", "out.mp4", *QUICK)
    assert result.exit_code == 0, result.output
    assert "out.mp4 (160×90, 30 frames, 1.20 s, seed 0)" in result.stderr
    shown, times = frames_of("out.mp4")
    assert times == frames_of("in.mp4")[1]
    assert (np.abs(shown.astype(int) - frames_of("in.mp4")[0]).max(axis=3) > 20).mean() > 0.05


def test_the_output_gives_its_recipe_to_another(folder):
    run("corrupt", "in.mp4", "-o", "out.mp4", *QUICK, "--seed", "4")
    recipe = read_recipe("out.mp4")
    assert recipe.seed == 4
    result = run("corrupt", "in.mp4", "-o", "again.mp4", "--recipe", "out.mp4")
    assert result.exit_code == 0, result.output
    assert Path("again.mp4").read_bytes() == Path("out.mp4").read_bytes()
    assert "carries no recipe" in refused("corrupt", "in.mp4", "-o", "x.mp4", "-r", "in.mp4")


def test_start_end_fps_and_scale(folder):
    result = run(
        "corrupt", "in.mp4", "-o", "out.mkv", *QUICK, "--start", "0:00.4", "--end", "0.8",
        "--fps", "50", "--scale", "50%", "--no-audio",
    )  # fmt: skip
    assert result.exit_code == 0, result.output
    assert "(80×46, 20 frames, 0.40 s" in result.stderr


def test_a_preview_is_one_frame_of_the_export(folder):
    result = run("corrupt", "in.mp4", "-o", "frame.png", *QUICK, "--preview", "0.5")
    assert result.exit_code == 0, result.output
    assert "at 0.5 s" in result.stderr
    run("corrupt", "in.mp4", "-o", "frames", *QUICK)
    frame, exported = (np.asarray(Image.open(p)) for p in ("frame.png", "frames/000012.png"))
    np.testing.assert_array_equal(frame, exported)
    assert "outside the clip" in refused(
        "corrupt", "in.mp4", "-o", "f.png", *QUICK, "--preview", "9"
    )


def test_a_still_becomes_a_clip(folder):
    result = run("corrupt", "sample:balloon", "-o", "b.webp", "--duration", "0.4", *QUICK)
    assert result.exit_code == 0, result.output
    with Image.open("b.webp") as image:
        assert image.n_frames == 10


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["in.mp4", "-o", "out.mp4", "--start", "2", "--end", "1"], "must come after the start"),
        (["in.mp4", "-o", "out.mp4", "--start", "soon"], "'soon' is not a time"),
        (["in.mp4", "-o", "out.mp4", "--fps", "many"], "fps must be a number"),
        (["in.mp4", "-o", "out.mp4", "--scale", "huge"], "'huge' is not a size"),
        (["in.mp4", "-o", "out.mp4", "--codec", "h246"], "did you mean 'h264'"),
        (["in.mp4", "-o", "out.webm", "--codec", "prores"], ".webm does not take prores"),
        (["in.mp4", "-o", "out.xyz"], "suffix must be one of"),
        (["in.mp4", "-o", "out.jpg"], "--preview"),
        (["in.mp4", "-o", "in.mp4", "-f"], "the output is the input"),
        (["missing.mp4", "-o", "out.mp4"], "picture or clip not found: missing.mp4"),
        (["text.mp4", "-o", "out.mp4"], "not a clip or picture"),
        (["sample:balloon", "-o", "out.mp4"], "--duration"),
        (["in.mp4", "-o", "out.mp4", "--start", "5"], "no frame"),
        (["in.mp4", "-o", "out.mp4", "--set", "layers.1.grid=[400, 300]"], "finer than"),
        (["in.mp4", "-o", "out.mp4", "--set", "layers.1.born_above=1.0",
          "--set", "layers.1.born_below=0.0"], "no cell qualifies for births"),
    ],
)  # fmt: skip
def test_bad_input_is_one_clear_line(folder, arguments, message):
    Path("text.mp4").write_text("hello")
    assert message in refused("corrupt", *QUICK, *arguments)


def test_options_of_clips_are_wrong_usage_for_a_still(folder):
    Image.fromarray(scene(1)[0]).save("still.png")
    for option in (["--start", "1"], ["--codec", "h264"], ["--fps", "3"]):
        message = refused("corrupt", "still.png", "-o", "out.png", *option, code=2)
        assert f"{option[0]} works with" in message


def test_a_damaged_clip_is_a_warning_or_with_strict_an_error(folder):
    make_clip(folder / "whole.mkv", scene(200), options={"g": "10"})
    Path("cut.mkv").write_bytes(Path("whole.mkv").read_bytes()[:9000])
    result = run("corrupt", "cut.mkv", "-o", "out.mp4", *QUICK)
    assert result.exit_code == 0, result.output
    assert re.search(r"^warning: cut.mkv .*ends at", result.stderr, re.MULTILINE)
    assert "ends at" in refused("corrupt", "cut.mkv", "-o", "strict.mp4", "--strict", *QUICK)


def test_notes_say_what_the_output_cannot_carry(folder):
    result = run("corrupt", "in.mp4", "-o", "out.gif", *QUICK)
    assert result.exit_code == 0, result.output
    assert "note: .gif carries no sound; it is left out" in result.stderr


def test_the_cache_can_be_looked_at_and_emptied(folder, monkeypatch):
    monkeypatch.setenv("GLITCH_GYM_CACHE", str(folder / "cache"))
    run("corrupt", "in.mp4", "-o", "out.mp4", *QUICK)
    shown = run("cache", "info").stdout
    assert str(folder / "cache") in shown
    for kind in ("look", "reward", "table"):
        assert re.search(rf"{kind} +1 entries", shown)
    assert "MB freed" in run("cache", "clear").stdout
    assert "entries" not in run("cache", "info").stdout
    run("corrupt", "in.mp4", "-o", "new.mp4", *QUICK, "--no-cache")
    assert "entries" not in run("cache", "info").stdout
    assert Path("new.mp4").read_bytes() == Path("out.mp4").read_bytes()


def test_a_damaged_entry_is_said_and_made_again(folder, monkeypatch):
    monkeypatch.setenv("GLITCH_GYM_CACHE", str(folder / "cache"))
    run("corrupt", "in.mp4", "-o", "out.mp4", *QUICK)
    for entry in (folder / "cache").rglob("*.npz"):
        entry.write_bytes(entry.read_bytes()[:100])
    result = run("corrupt", "in.mp4", "-o", "again.mp4", *QUICK)
    assert result.exit_code == 0, result.output
    assert result.stderr.count("warning: an entry of the cache is computed again") == 3
    assert Path("again.mp4").read_bytes() == Path("out.mp4").read_bytes()


@pytest.mark.slow
def test_ctrl_c_leaves_no_output_and_resume_goes_on(folder, heeds_ctrl_c):
    make_clip(folder / "long.mp4", scene(600, 640, 360))
    arguments = [
        *PROGRAM, "corrupt", "long.mp4", "-o", "out.mp4", *QUICK, "--encoder-preset", "slower"
    ]  # fmt: skip
    started = subprocess.Popen(arguments, stderr=subprocess.PIPE, text=True, env=os.environ)
    parts = folder / ".out.mp4.parts"
    deadline = time.monotonic() + 120
    while not list(parts.glob("part-*")) and time.monotonic() < deadline:
        assert started.poll() is None, started.stderr.read()
        time.sleep(0.05)
    started.send_signal(signal.SIGINT)
    _, said = started.communicate(timeout=60)
    assert started.returncode == 130, said
    assert re.fullmatch(
        r"stopped; (250|500) of 600 frames are kept: continue with --resume\n", said
    ), said
    assert not Path("out.mp4").exists()
    kept = {path.name: path.stat().st_mtime_ns for path in parts.glob("part-*")}
    assert kept
    done = subprocess.run([*arguments, "--resume"], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert len(frames_of("out.mp4")[0]) == 600
    assert not parts.exists()


def test_progress_is_shown_on_a_terminal(folder):
    pty = pytest.importorskip("pty")
    reader, writer = pty.openpty()
    done = subprocess.run(
        [*PROGRAM, "corrupt", "in.mp4", "-o", "out.mp4", *QUICK, "--no-cache"],
        stderr=writer,
        stdout=subprocess.PIPE,
        env=os.environ | {"TERM": "xterm", "COLUMNS": "120"},
        check=False,
    )
    os.close(writer)
    shown = b""
    while True:
        try:
            block = os.read(reader, 65536)
        except OSError:
            break
        if not block:
            break
        shown += block
    assert done.returncode == 0
    for word in ("looking", "learning", "painting", "30/30"):
        assert word in shown.decode(), shown.decode()


def test_a_clip_without_torch_needs_none(folder):
    """With an activation that needs no network, torch stays unloaded."""
    code = (
        "import sys; from typer.testing import CliRunner; from glitch_render.cli import app\n"
        f"result = CliRunner().invoke(app, ['corrupt', 'in.mp4', '-o', 'out.mp4', *{QUICK!r}])\n"
        "assert result.exit_code == 0, result.output\n"
        "assert 'torch' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
