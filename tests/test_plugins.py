"""Plug-ins of every kind, good and bad, as installed packages."""

from __future__ import annotations

import subprocess
import sys
import threading

import numpy as np
import pytest
from packages import with_packages, write_package

import glitch_gym.actions as actions_module
import glitch_render.effects.registry as effects_module
from glitch_agents.registry import learner_names, make_learner
from glitch_agents.rollout import as_table
from glitch_gym.actions import ActionSet, known_effects
from glitch_gym.activation import activation_names, compute_activation
from glitch_gym.env import GlitchGridEnv
from glitch_gym.errors import GlitchError, RecipeError, SettingError
from glitch_gym.plugins import (
    EFFECT_GROUP,
    LEARNER_GROUP,
    contained,
    describe,
    find_plug_in,
    forget_plug_ins,
    load_plug_in,
    plug_ins,
)
from glitch_render import Layer, Recipe, corrupt
from glitch_render.recipe.presets import load_preset
from glitch_render.recipe.toml import parse_recipe
from glitch_render.studio.jobs import Stopped

RIGHTWARDS = """
import numpy as np

class Rightwards:
    def __init__(self, gamma):
        self.gamma = gamma

    def learn(self, env, *, episodes, seed):
        actions = env.unwrapped.actions
        class Policy:
            def act(self, observations):
                return np.full(observations.shape, actions.encode("same", "right"))
        return Policy()
"""
HALVES = """
import numpy as np

def left(frame):
    map = np.zeros(frame.shape[:2], np.float32)
    map[:, : frame.shape[1] // 2] = 1
    frame[:] = 0
    return map
"""
LAYER = {"grid": (10, 15), "fit": "stretch", "effects": ["same"], "agents": 200, "iterations": 50}


@pytest.fixture
def site(tmp_path, monkeypatch):
    """A folder of packages on the path; what is found in it is forgotten afterwards."""
    folder = tmp_path / "site"
    folder.mkdir()
    monkeypatch.syspath_prepend(str(folder))
    for module, name in ((effects_module, "_registry"), (actions_module, "_announced")):
        monkeypatch.setattr(module, name, getattr(module, name).copy())
    forget_plug_ins()
    before = set(sys.modules)
    yield folder
    for name in set(sys.modules) - before:
        if str(folder) in str(getattr(sys.modules[name], "__file__", "")):
            del sys.modules[name]
    monkeypatch.undo()
    forget_plug_ins()


def run(folder, *arguments):
    return subprocess.run(
        [sys.executable, "-m", "glitch_render.cli", *map(str, arguments)],
        capture_output=True,
        text=True,
        env=with_packages(folder),
    )


def failing(body):
    """A learner, an activation and an effect whose functions do something bad."""
    return f"""
import os, sys
import numpy as np
from glitch_render.effects import EffectParameters, effect

def bad(*_, **__):
    {body}

class Learner:
    def learn(self, env, *, episodes, seed):
        return bad()

class Walker:
    def learn(self, env, *, episodes, seed):
        class Policy:
            act = bad
        return Policy()

class Sampler:
    def learn(self, env, *, episodes, seed):
        class Policy:
            def act(self, observations):
                return np.zeros(observations.shape, int)
            probabilities = bad
        return Policy()

class Nothing(EffectParameters):
    pass

@effect("spoiler", Nothing)
def spoiler(stamp, parameters):
    "Fail."
    return bad()
"""


BAD_GROUPS = {
    "learners": "never = bad_package:Learner\nwalker = bad_package:Walker\n"
    "sampler = bad_package:Sampler\nmade = bad_package:bad",
    "activations": "dark = bad_package:bad",
    "effects": "spoiler = bad_package:spoiler",
}


def test_an_installed_learner_is_named_in_a_recipe_and_paints(site, small):
    write_package(site, "right_package", RIGHTWARDS, learners="right = right_package:Rightwards")
    assert "right" in learner_names()
    recipe = parse_recipe(
        {"activation": "edges", "layers": [{**LAYER, "learner": "right", "gamma": 0.7}]}
    )
    assert recipe.layers[0].make_learner().learner.gamma == 0.7
    rows = corrupt(small, recipe)[::16].astype(int)
    assert (rows[:, 1:] == rows[:, :-1]).all(axis=2).mean() > 0.7
    assert 'learner = "right"' in recipe.to_toml()


def test_an_installed_activation_is_named_in_a_recipe_and_cannot_touch_the_frame(site, small):
    write_package(site, "half_package", HALVES, activations="left = half_package:left")
    assert "left" in activation_names()
    before = small.copy()
    found = compute_activation(small, "left")
    assert found.source == "left"
    assert found.map[:, :120].all()
    assert not found.map[:, 120:].any()
    layer = Layer(**LAYER, born_above=0.5, lifetime=1)
    changed = (corrupt(small, Recipe(layers=[layer], activation="left")) != small).any(axis=2)
    assert changed[:, :110].any()
    assert not changed[:, 160:].any()
    np.testing.assert_array_equal(small, before)


def test_an_installed_activation_looks_at_every_shot_of_a_clip(site, tmp_path):
    from support.clips import make_clip, scene

    from glitch_render.cache import Cache
    from glitch_render.media.footage import open_footage
    from glitch_render.video.scan import plan_frames, scan_footage
    from glitch_render.video.shots import Shots

    write_package(site, "half_package", HALVES, activations="left = half_package:left")
    clip = make_clip(tmp_path / "clip.mp4", scene(24))
    recipe = Recipe(layers=[Layer(**LAYER)], activation="left", cam_every=4)
    footage, cache = open_footage(str(clip)), Cache(tmp_path / "cache")
    look = scan_footage(footage, recipe, cache=cache)
    assert len(look.samples) == 6
    assert Shots(look, plan_frames(footage, look), recipe).activation(0).source == "left"
    assert cache.kept().get("look") is None, "the code of a plug-in may have changed"


def test_names_of_ours_are_never_a_plug_ins(site):
    write_package(
        site, "thief_package", "raise RuntimeError('stolen')",
        learners="q_learning = thief_package:x", activations="edges = thief_package:x",
        effects="same = thief_package:x",
    )  # fmt: skip
    assert type(make_learner("q_learning")).__name__ == "QLearning"
    frame = np.zeros((8, 8, 3), np.uint8)
    assert compute_activation(frame, "edges").source == "edges"
    assert learner_names().count("q_learning") == 1
    told = run(site, "plugins").stdout
    assert told.count("the name is built in") == 3


def test_metadata_is_read_on_a_miss_alone_and_once(site, monkeypatch):
    import glitch_gym.plugins as module

    reads = []
    real = module.distributions
    monkeypatch.setattr(module, "distributions", lambda: reads.append(1) or real())
    ActionSet(("same", "pixelate"))
    Layer(grid=(3, 3), effects=["same"], learner="sarsa")
    load_preset()
    assert reads == []
    for _ in range(3):
        with pytest.raises(SettingError, match="did you mean 'same'"):
            ActionSet(("sane",))
    assert reads == [1]


def test_nothing_is_imported_before_its_name_is_used(site):
    text = "raise RuntimeError('imported')"
    write_package(site, "lazy_package", text, effects="lazy = lazy_package:x")
    assert "lazy" in known_effects()
    ActionSet(("lazy",))
    assert "lazy_package" not in sys.modules
    with pytest.raises(RecipeError, match=r"lazy_package 1.0: RuntimeError: imported"):
        parse_recipe({"layers": [{"grid": [3, 3], "effects": ["lazy"]}]})


def test_a_broken_plug_in_does_not_keep_another_from_working(site):
    write_package(site, "broken_package", "1 / 0", learners="broken = broken_package:x")
    write_package(site, "right_package", RIGHTWARDS, learners="right = right_package:Rightwards")
    assert make_learner("right", gamma=0.5).name == "right"
    for _ in range(2):
        with pytest.raises(SettingError, match="ZeroDivisionError"):
            make_learner("broken")


@pytest.mark.parametrize(
    "text",
    [
        "import sys; sys.exit(0)",
        "raise BaseException('out')",
        "def again(): again()\nagain()",
        "raise type('Odd', (Exception,), {'__str__': lambda self: 1 / 0})",
        "raise RuntimeError('\\x1b[2J' + 'x' * 10_000 + '\\nsecond line')",
        "this is not Python",
        "from glitch_gym.plugins import *; load_plug_in(find_plug_in(LEARNER_GROUP, 'bad'))",
        "import no_such_module_at_all",
        "",
    ],
)
def test_whatever_an_import_does_is_one_error_that_names_the_package(site, capsys, text):
    write_package(site, "bad_package", f"print('noise')\n{text}", learners="bad = bad_package:x")
    with pytest.raises(SettingError) as caught:
        make_learner("bad")
    message = str(caught.value)
    assert "the learner 'bad' of the package bad_package 1.0" in message
    assert len(message) < 500
    assert message.isprintable()
    assert capsys.readouterr().out == ""


def test_ctrl_c_during_an_import_is_the_users(site):
    text = "raise KeyboardInterrupt"
    write_package(site, "slow_package", text, learners="slow = slow_package:x")
    with pytest.raises(KeyboardInterrupt):
        make_learner("slow")


@pytest.mark.parametrize(
    ("body", "words"),
    [
        ("sys.exit(0)", "SystemExit: 0"),
        ("raise ValueError('no paint')", "no paint"),
        ("return bad()", "RecursionError"),
        ("return None", None),
        ("return 'text'", None),
        ("return np.full((5, 7), np.nan)", None),
        ("return np.full((2, 3, 4), 0.5)", None),
        ("return [[1], [2, 3]]", None),
        ("return np.full((5, 7), -1)", None),
        ("return np.full((5, 7), 10**9)", None),
    ],
)
def test_whatever_a_plug_in_does_or_gives_is_an_error_for_a_person(site, small, body, words):
    write_package(site, "bad_package", failing(body), **BAD_GROUPS)
    for learner in ("never", "walker", "made"):
        recipe = Recipe(layers=[Layer(**LAYER, learner=learner)], activation="edges")
        with pytest.raises(GlitchError, match=words):
            corrupt(small, recipe)
    env = GlitchGridEnv(grid=(10, 15), effects=["same"])
    chances = make_learner("sampler").learn(env, episodes=1)
    with pytest.raises(GlitchError, match=words):
        as_table(chances, env.world)
    with pytest.raises(GlitchError, match=words):
        corrupt(small, Recipe(layers=[Layer(**LAYER)], activation="dark"))
    spoiled = Layer(**LAYER | {"effects": ["spoiler"]})
    with pytest.raises(GlitchError, match=words):
        corrupt(small, Recipe(layers=[spoiled], activation="edges"))


def test_what_a_learner_is_told_to_report_to_stops_it(site, small):
    text = RIGHTWARDS.replace("seed):", "seed, progress):").replace(
        "actions = env",
        "\n        try: progress(1, episodes)\n        except BaseException: pass\n"
        "        actions = env",
    )
    write_package(site, "deaf_package", text, learners="deaf = deaf_package:Rightwards")

    def stop(*_):
        raise Stopped

    recipe = Recipe(layers=[Layer(**LAYER, learner="deaf")], activation="edges")
    with pytest.raises(Stopped):
        corrupt(small, recipe, progress=stop)


def test_an_effect_cannot_write_to_pixels_that_are_not_its_own(site, small):
    text = """
from glitch_render.effects import EffectParameters, effect

class Nothing(EffectParameters):
    pass

@effect("scribble", Nothing)
def scribble(stamp, parameters):
    "Write where it must not."
    stamp.plane[:] = 0
    return stamp.cell

def flood(source, parameters):
    source.frame[:] = 0
    return source.frame

@effect("flood", Nothing, plane=flood)
def flooded(stamp, parameters):
    "Likewise."
    return stamp.plane

@effect("astray", Nothing, source=lambda parameters, move: ("far", None))
def astray(stamp, parameters):
    "Come from nowhere."
    return stamp.left
"""
    names = ("scribble", "flood", "astray")
    lines = "\n".join(f"{name} = wet_package:{name}" for name in ("scribble", "flooded", "astray"))
    write_package(site, "wet_package", text, effects=lines.replace("flooded =", "flood ="))
    before = small.copy()
    for name in names:
        layer = Layer(**LAYER | {"effects": [name]})
        with pytest.raises(SettingError, match=rf"{name}.*failed"):
            corrupt(small, Recipe(layers=[layer], activation="edges"))
    np.testing.assert_array_equal(small, before)


def test_prints_of_foreign_code_go_to_standard_error_whatever_threads_do(capsys):
    begun, over = threading.Event(), threading.Event()

    def first():
        with contained("first"):
            begun.set()
            over.wait(10)

    usual = sys.stdout
    one = threading.Thread(target=first)
    one.start()
    assert begun.wait(10)
    with contained("second"):
        print("noise")
    over.set()
    one.join()
    assert sys.stdout is usual
    print("product")
    said = capsys.readouterr()
    assert (said.out, said.err) == ("product\n", "noise\n")


def test_two_packages_with_one_name_are_told_and_odd_names_are_not_used(site):
    write_package(site, "a_package", RIGHTWARDS, learners="right = a_package:Rightwards")
    write_package(site, "b_package", RIGHTWARDS, learners="right = b_package:Rightwards")
    write_package(site, "c_package", RIGHTWARDS, learners="../mask.png = c_package:Rightwards")
    used = find_plug_in(LEARNER_GROUP, "right")
    assert used is not None
    other = {"a_package 1.0": "b_package 1.0", "b_package 1.0": "a_package 1.0"}[used.package]
    told = {one.package: one.problem for one in plug_ins(LEARNER_GROUP)}
    assert told[other] == f"the package {used.package} already provides that name"
    assert "letters" in told["c_package 1.0"]
    assert find_plug_in(LEARNER_GROUP, "../mask.png") is None
    with pytest.raises(SettingError, match="already provides that name"):
        load_plug_in(next(one for one in plug_ins(LEARNER_GROUP) if one.package == other))


def test_a_package_whose_metadata_is_damaged_offers_nothing(site):
    write_package(site, "good_package", RIGHTWARDS, learners="right = good_package:Rightwards")
    write_package(site, "odd_package", "", learners="x = y")
    (site / "odd_package-1.0.dist-info" / "entry_points.txt").write_bytes(b"\xff[[[=\n=")
    assert [one.name for one in plug_ins(LEARNER_GROUP)] == ["right"]
    assert plug_ins(EFFECT_GROUP) == ()


def test_errors_are_described_in_one_line_whatever_they_are():
    assert describe(KeyError()) == "KeyError"
    assert describe(ValueError("a\nb")) == "ValueError: a"
    assert len(describe(ValueError("x" * 5000))) < 400


def test_the_command_line_lists_what_is_installed_and_what_is_broken(site):
    said = run(site, "plugins")
    assert said.returncode == 0, said.stderr
    assert said.stdout.splitlines() == [
        f"glitch_gym.{kind}: none installed" for kind in ("effects", "learners", "activations")
    ]
    write_package(site, "right_package", RIGHTWARDS, learners="right = right_package:Rightwards")
    write_package(
        site, "exit_package", "print('noise')\nimport sys; sys.exit(0)",
        effects="leaver = exit_package:x", activations="gone = exit_package:x",
    )  # fmt: skip
    write_package(site, "mute_package", "x = 3", learners="mute = mute_package:x")
    said = run(site, "plugins")
    assert said.returncode == 0, said.stderr
    assert "right  (right_package:Rightwards, from right_package 1.0)\n" in said.stdout
    assert said.stdout.count("exit_package 1.0: SystemExit: 0") == 2
    assert "mute_package 1.0 has no method learn" in said.stdout
    assert "noise" not in said.stdout
    assert "Traceback" not in said.stderr


def test_broken_plug_ins_change_nothing_of_what_others_do(site, tmp_path):
    clean = run(tmp_path, "presets", "show", "weave")
    write_package(
        site, "exit_package", "print('noise')\nimport sys; sys.exit(0)",
        effects="leaver = exit_package:x", learners="q = exit_package:x",
        activations="gone = exit_package:x",
    )  # fmt: skip
    assert run(site, "presets", "show", "weave").stdout == clean.stdout
    said = run(site, "effects")
    assert said.returncode == 0
    assert said.stdout == run(tmp_path, "effects").stdout
    assert "exit_package 1.0: SystemExit: 0" in said.stderr
