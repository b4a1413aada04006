from __future__ import annotations

import os
import re
import signal
import subprocess
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from support.program import IN_OUT, PROGRAM, QUICK, refused, run

from glitch_gym.picture import read_picture
from glitch_render.recipe.files import read_recipe
from glitch_render.recipe.presets import load_preset, preset_names


@pytest.fixture
def folder(tmp_path, monkeypatch, small):
    """A folder to work in, with the photograph ``in.png``."""
    monkeypatch.chdir(tmp_path)
    Image.fromarray(small).save("in.png")
    return tmp_path


def test_a_picture_is_corrupted_by_the_default_preset(folder):
    result = run("corrupt", "sample:chelsea", "-o", "glitched.png")
    assert result.exit_code == 0, result.output
    assert "glitched.png (451×300, seed 0)" in result.stderr
    painted = read_picture("glitched.png").frame
    assert (painted != read_picture("sample:chelsea").frame).any(axis=2).mean() > 0.3
    assert read_recipe("glitched.png") == load_preset()


@pytest.mark.parametrize("suffix", ["png", "jpg", "webp"])
def test_an_output_is_a_recipe_that_gives_it_again_to_the_byte(folder, suffix):
    options = [*QUICK, "--seed", "5", "--set", "layers.1.agents=50"]
    assert run("corrupt", "in.png", "-o", f"a.{suffix}", *options).exit_code == 0
    assert run("corrupt", "in.png", "-o", f"b.{suffix}", "--recipe", f"a.{suffix}").exit_code == 0
    assert Path(f"a.{suffix}").read_bytes() == Path(f"b.{suffix}").read_bytes()
    recipe = read_recipe(f"b.{suffix}")
    assert (recipe.seed, recipe.activation, recipe.layers[0].agents) == (5, "edges", 50)


def test_options_override_the_recipe(folder):
    Path("r.toml").write_text(load_preset("weave").to_toml())
    result = run(
        "corrupt", "in.png", "-o", "out.png", "-r", "r.toml",
        "--seed", 3, "--activation", "spectral_residual", "--set", "layers.1.iterations=100",
    )  # fmt: skip
    assert result.exit_code == 0, result.output
    recipe = read_recipe("out.png")
    assert (recipe.seed, recipe.activation) == (3, "spectral_residual")
    assert recipe.layers[0].iterations == 100


def test_transparency_profile_and_orientation_come_through(folder, small):
    alpha = np.tile(np.arange(240, dtype=np.uint8), (160, 1))
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.fromarray(np.dstack([small, alpha])).save("turned.png", exif=exif)
    assert run("corrupt", "turned.png", "-o", "out.png", *QUICK).exit_code == 0
    out = read_picture("out.png")
    assert out.frame.shape == (240, 160, 3)
    np.testing.assert_array_equal(out.alpha, np.rot90(alpha, -1))
    result = run("corrupt", "turned.png", "-o", "out.jpg", *QUICK)
    assert result.exit_code == 0
    assert "laid on white" in result.stderr


def test_16_bit_pictures_are_converted_with_a_word(folder):
    Image.fromarray((np.arange(60 * 60, dtype=np.uint16) * 18).reshape(60, 60)).save("deep.png")
    result = run("corrupt", "deep.png", "-o", "out.png", *QUICK, "--set", "layers.1.grid=[9, 9]")
    assert result.exit_code == 0
    assert "note: 16 bits per channel reduced to 8" in result.stderr


def test_presets_are_listed_and_shown_as_recipes(folder):
    listed = run("presets").stdout
    for name in preset_names():
        assert f"{name} " in listed
    assert "(the default)" in listed
    shown = run("presets", "show", "post-4")
    Path("shown.toml").write_text(shown.stdout)
    assert read_recipe("shown.toml") == load_preset("post-4")
    assert "did you mean 'post-4'" in refused("presets", "show", "pots-4")


def test_effects_are_listed_with_parameters_and_ranges():
    listed = run("effects").stdout
    for name in ("same", "pixelate", "desaturate", "invert", "random", "artifact"):
        assert f"{name}: " in listed
    assert "quality = 5  JPEG quality; the lower, the blockier (1…95)" in listed


def test_the_activation_is_drawn_and_named(folder):
    result = run("activation", "sample:coffee", "-o", "heat.png")
    assert result.exit_code == 0
    assert result.stdout == "efficientnet_lite0: espresso (89 %)\n"
    assert read_picture("heat.png").frame.shape == (400, 600, 3)
    assert run("activation", "in.png", "-o", "edges.jpg", "--activation", "edges").exit_code == 0


def test_a_mask_picture_serves_as_activation(folder):
    mask = np.zeros((10, 10), np.uint8)
    mask[:, 5:] = 255
    Image.fromarray(mask).save("mask.png")
    options = ["--set", "layers.1.born_above=0.9", "--set", "layers.1.lifetime=1"]
    result = run("corrupt", "in.png", "-o", "out.png", *QUICK, "--activation", "mask.png", *options)
    assert result.exit_code == 0, result.output
    same = (read_picture("out.png").frame == read_picture("in.png").frame).all(axis=2)
    assert same[:, :110].all()
    assert not same[:, 130:].all()


@pytest.mark.xdist_group("torch")
def test_resnet18_runs_from_a_file_of_weights(folder):
    import torch
    from torchvision.models import resnet18

    torch.manual_seed(0)
    torch.save(resnet18().state_dict(), "w.pth")
    options = ["--backbone", "resnet18", "--weights", "w.pth", *QUICK[2:]]
    result = run("corrupt", "in.png", "-o", "out.png", *options)
    assert result.exit_code == 0, result.output
    assert read_recipe("out.png", trust_paths=True).weights == "w.pth"
    made = Path("out.png").read_bytes()
    again = run("corrupt", "in.png", "-o", "out.png", "--force", "--device", "auto", *options)
    assert again.exit_code == 0, again.output
    if not torch.cuda.is_available():
        assert Path("out.png").read_bytes() == made
        assert "torch finds no GPU" in refused(
            "corrupt", "in.png", "-o", "o.png", "--device", "cuda", "--no-cache", *options
        )
    assert run("corrupt", "in.png", "-o", "o.png", "--device", "tpu", *options).exit_code == 2
    torch.save({"fc.weight": torch.zeros(3)}, "bad.pth")
    assert "do not fit resnet18" in refused(
        "corrupt", "in.png", "-o", "o.png", "--backbone", "resnet18", "--weights", "bad.pth"
    )


def test_bad_pictures_are_refused(folder, small):
    Path("empty.png").touch()
    Path("text.jpg").write_text("hello")
    Path("cut.png").write_bytes(Path("in.png").read_bytes()[:3000])
    Image.new("1", (20_000, 20_000)).save("giant.png")
    Path("folder").mkdir()
    for source, message in {
        "nowhere.png": "not found",
        "empty.png": "is empty",
        "text.jpg": "not a picture",
        "cut.png": "damaged or cut short",
        "giant.png": "megapixels",
        "folder": "one frame as a picture",
        "sample:cat": "unknown sample",
    }.items():
        assert message in refused("corrupt", source, "-o", "out.png", *QUICK)
    assert "finer than the picture" in refused(
        "corrupt", "in.png", "-o", "out.png", *QUICK, "--set", "layers.1.grid=[500, 500]"
    )


def test_bad_outputs_are_refused(folder):
    Path("old.png").write_bytes(b"mine")
    for output, options, message in (
        ("out.bmp", [], "suffix"),
        ("nowhere/out.png", [], "folder does not exist"),
        ("old.png", [], "--force"),
        ("in.png", ["--force"], "output is the input"),
    ):
        assert message in refused("corrupt", "in.png", "-o", output, *QUICK, *options)
    assert run("corrupt", "in.png", "-o", "old.png", *QUICK, "--force").exit_code == 0
    assert read_recipe("old.png").activation == "edges"


def test_bad_recipes_are_refused_with_every_error(folder):
    Path("bad.toml").write_text("sed = 1\n[[layers]]\ngrid = [3, 3]\nagents = 'many'\n")
    result = run("corrupt", "in.png", "-o", "out.png", "--recipe", "bad.toml")
    assert result.exit_code == 1
    assert "bad.toml has 2 errors" in result.stderr
    assert "sed is not a known setting; did you mean 'seed'?" in result.stderr
    assert "layers.1.agents should be a valid integer, not 'many'" in result.stderr
    assert not Path("out.png").exists()
    for options, message in (
        (["--recipe", "nowhere.toml"], "recipe not found"),
        (["--recipe", "in.png"], "carries no recipe"),
        (["--preset", "wave"], "did you mean 'weave'"),
        (["--set", "layers.1.effects.sane={}"], "did you mean 'same'"),
        (["--set", "layers.9.agents=1"], "numbered 1 to"),
        (["--set", "agents"], "PATH=VALUE"),
        (["--activation", "edge"], "did you mean 'edges'"),
        (["--activation", "edges", "--weights", "w.pth"], "weights go with a network"),
        (["--weights", "nowhere.pth"], "weights file not found"),
    ):
        assert message in refused("corrupt", "in.png", "-o", "out.png", *options)


@pytest.mark.parametrize(
    "arguments",
    [
        ["corrupt"],
        ["corrupt", "in.png"],
        ["corrupt", "in.png", "-o", "o.png", "--seed", "many"],
        ["corrupt", "in.png", "-o", "o.png", "--preset", "halo", "--recipe", "r.toml"],
        ["corrupt", "in.png", "-o", "o.png", "--backbone", "resnet18", "--activation", "edges"],
        ["corrupt", "in.png", "-o", "o.png", "--backbone", "resnet"],
        ["corrupted"],
        ["presets", "shows"],
        ["activation", "in.png", "-o", "o.png", "--nonsense"],
    ],
)
def test_wrong_usage_is_exit_code_2(folder, arguments):
    refused(*arguments, code=2)


def shell(*arguments, **options):
    return subprocess.run(
        [*PROGRAM, *arguments],
        capture_output=True,
        text=True,
        **options,
    )


@pytest.mark.parametrize(
    ("package", "statement", "options", "words"),
    [
        (
            "torch",
            "raise ModuleNotFoundError('No module named torch')",
            ["--backbone", "resnet18"],
            "pip install 'glitch-gym[torch]'",
        ),
        (
            "torch",
            "raise OSError('libcudart.so: cannot open')",
            ["--backbone", "resnet18"],
            "torch is installed but fails",
        ),
        (
            "torchvision",
            "raise RuntimeError('operator torchvision::nms does not exist')",
            ["--backbone", "resnet18"],
            "it was built for another torch",
        ),
        (
            "torchvision",
            "raise ImportError('No module named torchvision')",
            ["--backbone", "resnet18"],
            "resnet18 needs torchvision",
        ),
        (
            "onnxruntime",
            "raise ModuleNotFoundError('No module named onnxruntime')",
            [],
            "pip install --upgrade onnxruntime",
        ),
        (
            # What its loader says of a processor or a system library that is too old
            "onnxruntime",
            "raise ImportError('onnxruntime_pybind11_state.so: cannot load: invalid ELF header')",
            [],
            "does not run on this machine (onnxruntime_pybind11_state.so: cannot load",
        ),
    ],
)
def test_a_missing_or_broken_engine_says_what_to_do(folder, package, statement, options, words):
    (folder / "fake" / package).mkdir(parents=True)
    (folder / "fake" / package / "__init__.py").write_text(statement)
    found = os.pathsep.join([str(folder / "fake"), os.environ.get("PYTHONPATH", "")])
    environment = os.environ | {"PYTHONPATH": found}
    result = shell("corrupt", "in.png", "-o", "out.png", *options, env=environment)
    assert result.returncode == 1
    assert words in result.stderr
    assert result.stderr.count("\n") == 1, result.stderr
    assert not Path("out.png").exists()


def on_a_terminal(*arguments, interrupt_at=None):
    """Run on a terminal, press Ctrl-C once a text has appeared: the exit code and the screen."""
    pty = pytest.importorskip("pty")
    master, terminal = pty.openpty()
    running = subprocess.Popen(
        [*PROGRAM, *arguments],
        stderr=terminal,
        env=os.environ | {"TERM": "xterm", "COLUMNS": "100"},
        # A shell that runs the tests in the background would have it ignore the signal
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
    )
    os.close(terminal)
    shown = b""
    while True:
        try:
            piece = os.read(master, 4096)
        except OSError:  # the terminal's other end is closed
            break
        if not piece:
            break
        shown += piece
        if interrupt_at is not None and re.search(interrupt_at, shown):
            running.send_signal(signal.SIGINT)
            interrupt_at = None
    os.close(master)
    return running.wait(timeout=60), shown.decode()


def test_ctrl_c_stops_with_130_and_leaves_nothing(folder):
    code, screen = on_a_terminal(
        *IN_OUT, "--activation", "edges", "--set", "layers.1.iterations=100000000",
        interrupt_at=rb"layer 1[^%]+ [1-9]\d?%",
    )  # fmt: skip
    assert code == 130
    assert "stopped" in screen
    assert "Traceback" not in screen
    assert [path.name for path in folder.iterdir()] == ["in.png"]


def test_a_terminal_sees_a_bar_per_layer(folder):
    code, screen = on_a_terminal(*IN_OUT, "--preset", "post-4", "--activation", "edges")
    assert code == 0
    assert "layer 1: 40×20, 800 agents" in screen
    assert "layer 2: 200×100, 22,730 agents" in screen
    assert "100%" in screen


def test_the_version_is_said():
    result = run("--version")
    assert result.exit_code == 0
    assert result.stdout.startswith("glitch-gym 0.")


def test_ctrl_c_inside_code_that_is_being_loaded_is_ctrl_c_all_the_same(folder, monkeypatch):
    def interrupted(*_, **__):
        # What compiled code makes of a Ctrl-C that comes while it is read from its cache
        try:
            raise KeyboardInterrupt
        except KeyboardInterrupt as error:
            raise SystemError("returned a result with an exception set") from error

    monkeypatch.setattr("glitch_render.stills.corrupt_with_episode", interrupted)
    result = run(*IN_OUT, *QUICK)
    assert result.exit_code == 130
    assert result.stderr == "stopped\n"
    monkeypatch.setattr(
        "glitch_render.stills.corrupt_with_episode", lambda *_, **__: (_ for _ in ()).throw(
            SystemError("of another kind"))
    )  # fmt: skip
    assert isinstance(run(*IN_OUT, *QUICK).exception, SystemError)
