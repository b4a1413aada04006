from __future__ import annotations

import contextlib
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from support.clips import frames_of, make_clip, scene
from support.program import refused, run

from glitch_agents import scripted
from glitch_gym.actions import ActionSet
from glitch_gym.dynamics import grid_world
from glitch_gym.errors import GlitchError, GridError, ScriptError
from glitch_gym.grid import Grid
from glitch_render.engine.replay import replay
from glitch_render.episodes.episode import episode_columns
from glitch_render.episodes.playback import replay_episode
from glitch_render.episodes.script import Script, ScriptLayer, Walker, parse_script, script_episode

TEXT = """
grid = [8, 12]          # rows, cols
seed = 3

[[agents]]
start = [3, 4]
do = "same_right*5 (pixelate_down invert_down)*2"

[[agents]]
start = [0, 11]
at = 2
loop = 2
do = '''
  smear_left*3, wait   # then again
  move_down
'''

[effects]
smear = { decay = 0.0 }
"""


def walks_of(text, height=160, width=240):
    episode = script_episode(parse_script(text), height, width, text=text, origin="s.toml")
    names = episode_columns(episode)
    found = {}
    for agent, step, row, col, effect, move in zip(
        *(names[key].tolist() for key in ("agent", "step", "row", "col", "effect", "move")),
        strict=True,
    ):
        found.setdefault(agent, []).append((step, row, col, f"{effect}_{move}"))
    return found, episode


def test_words_groups_and_repeats_are_walked():
    found, episode = walks_of(TEXT)
    assert found[0] == [
        *((step, 3, 5 + step, "same_right") for step in range(5)),
        (5, 4, 9, "pixelate_down"), (6, 5, 9, "invert_down"),
        (7, 6, 9, "pixelate_down"), (8, 7, 9, "invert_down"),
    ]  # fmt: skip
    assert found[1] == [
        (2, 0, 10, "smear_left"), (3, 0, 9, "smear_left"), (4, 0, 8, "smear_left"),
        (7, 1, 7, "smear_left"), (8, 1, 6, "smear_left"), (9, 1, 5, "smear_left"),
    ]  # fmt: skip
    assert episode.seed == 3
    assert episode.layers[0].parameters["smear"].decay == 0


def test_a_script_paints_as_its_actions_do_in_the_world(small):
    text = 'grid = [8, 12]\n[[agents]]\nstart = [3, 4]\ndo = "same_right*5 invert_down*2"\n'
    actions = ActionSet(("same", "invert"))
    grid = Grid(8, 12, 8, 12)
    world = grid_world(grid, actions, np.zeros((8, 12, actions.n), np.float32))
    walked = scripted(world, [((3, 4), ["same_right"] * 5 + ["invert_down"] * 2)])
    _, episode = walks_of(text)
    np.testing.assert_array_equal(
        replay_episode(small, episode), replay(small, grid, actions, walked)
    )


def test_the_same_in_python(small):
    layer = ScriptLayer(
        grid=(8, 12), agents=[Walker(start=(3, 4), do="same_right*5 invert_down*2")]
    )
    episode = script_episode(Script(layers=[layer]), 160, 240)
    assert (replay_episode(small, episode) != small).any()


def test_diagonals_need_no_setting_and_layers_stack(small):
    text = """
    [[layers]]
    grid = [8, 12]
    agents = [{ start = [3, 3], do = "invert_down_right*3" }]
    [[layers]]
    grid = [16, 24]
    opacity = 0.5
    blend = "difference"
    agents = [{ start = [0, 0], do = "pixelate_right*4" }, { start = [9, 9], do = "random_up*2" }]
    """
    found, episode = walks_of(text)
    assert [layer.actions.n_moves for layer in episode.layers] == [8, 4]
    assert episode.layers[1].overlay.blend == "difference"
    assert len(episode_columns(episode)["row"]) == 9
    assert (replay_episode(small, episode) != small).any()
    assert found


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            ("invert_down)*2", "invert_down)*3"),
            "line 7, column 21: agent 1: step 10 .*off the",
        ),
        (("pixelate_down", "pixellate_down"), "line 7, column 21: .*did you mean 'pixelate_down'"),
        (("(pixelate", "(((pixelate"), r"line 7, column 21: agent 1: unclosed bracket"),
        (("same_right*5", "*5"), r"line 7, column 7: agent 1: \*N must follow an action"),
        (("same_right*5", "same_right*0"), r"line 7, column 17"),
        (("same_right*5", "same_right*9999999"), r"expand to at most 100,000 steps"),
        (("same_right*5", "same_right!"), r"line 7, column 17: .*unexpected '!'"),
        (("smear_left*3", "smear_left*12"), r"line 14, column 3: agent 2: step 12 .*off the pict"),
        (("start = [0, 11]", "start = [0, 12]"), r"line 10, column 9: agent 2 starts at \(0, 12\)"),
        (("loop = 2", "loop = 99999"), "more than 100,000 steps"),
        (("loop = 2", "loop = 0"), r"agents.2.loop"),
        (("loop = 2", "lop = 2"), r"agents.2.lop is not a known setting"),
        (("grid = [8, 12]", ""), "grid is missing"),
        (("grid = [8, 12]", "grid = [8, 12"), r"line \d+, column \d+|s.toml"),
        (("decay = 0.0", "decay = 7"), "effects.smear.decay"),
        (("smear = {", "smeer = {"), "did you mean 'smear'"),
    ],
)
def test_what_cannot_be_is_said_with_its_place(change, message):
    text = TEXT.replace(*change)
    assert text != TEXT
    with pytest.raises(ScriptError, match=message):
        script_episode(parse_script(text, "s.toml"), 160, 240, text=text, origin="s.toml")


def test_places_are_found_among_other_strings_and_on_one_line():
    text = """# do = "same_up"
grid = [8, 12]
agents = [{ start = [0, 0], do = "same_down" }, { do = "same_dawn", start = [1, 1] },
  { start = [2, 2], do = 'swap_right same_up*9' }]
"""
    for change, place in (
        (("", ""), r"line 3, column 57: agent 2: .*'same_dawn'"),
        (("same_dawn", "same_down"), r"line 4, column 38: agent 3: step 4 .*off the picture"),
    ):
        changed = text.replace(*change)
        with pytest.raises(ScriptError, match=place):
            script_episode(parse_script(changed), 160, 240, text=changed)


def test_prohibited_cells_are_refused_with_the_step():
    text = 'grid = [8, 12]\nfit = "pad"\n[[agents]]\nstart = [0, 0]\ndo = "same_down*7"\n'
    with pytest.raises(ScriptError, match=r"line 5, column 7: agent 1: step \d .*prohibited"):
        script_episode(parse_script(text), 100, 400, text=text)
    with pytest.raises(GridError):
        script_episode(parse_script(text), 4, 4, text=text)


@given(st.text(alphabet="same_right*()23, #\n", max_size=40))
def test_any_text_is_walked_or_refused_in_our_words(do):
    layer = {"grid": (50, 60), "agents": [{"start": (20, 30), "do": do}]}
    with contextlib.suppress(GlitchError):
        script_episode(Script(layers=[layer]), 100, 120)


@pytest.fixture
def folder(tmp_path, monkeypatch, small):
    monkeypatch.chdir(tmp_path)
    Image.fromarray(small).save("in.png")
    Path("walk.toml").write_text(TEXT)
    return tmp_path


def test_the_program_replays_a_script_on_pictures_and_clips(folder, small):
    result = run("replay", "walk.toml", "in.png", "-o", "out.png")
    assert result.exit_code == 0, result.output
    expected = replay_episode(small, walks_of(TEXT)[1])
    np.testing.assert_array_equal(np.asarray(Image.open("out.png")), expected)
    make_clip(folder / "in.mp4", scene(20))
    result = run("replay", "walk.toml", "in.mp4", "-o", "out.mp4")
    assert result.exit_code == 0, result.output
    shown, source = frames_of("out.mp4")[0], frames_of("in.mp4")[0]
    unlike = np.abs(shown.astype(int) - source).mean(axis=(1, 2, 3))
    assert unlike[12] > unlike[0]


def test_a_wrong_script_leaves_nothing(folder):
    Path("walk.toml").write_text(TEXT.replace("same_right*5", "same_rihgt*5"))
    assert "walk.toml: line 7, column 7" in refused("replay", "walk.toml", "in.png", "-o", "o.png")
    assert "not found" in refused("replay", "gone.toml", "in.png", "-o", "o.png")
    Path("walk.toml").write_bytes(b"\xff\xfe\x00")
    assert "not a text file" in refused("replay", "walk.toml", "in.png", "-o", "o.png")
    assert not Path("o.png").exists()
