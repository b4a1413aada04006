from __future__ import annotations

import os
import signal
import subprocess
import sys

import numpy as np
import pytest
from PIL import Image

from glitch_agents.registry import import_learner
from glitch_gym.activation import compute_activation
from glitch_gym.errors import GridError, PictureError, SettingError
from glitch_render import Layer, Progress, Recipe, corrupt, load_preset, preset_names
from glitch_render.layers import layer_policy


@pytest.fixture(scope="module")
def medium(chelsea):
    return np.asarray(Image.fromarray(chelsea).resize((300, 200), Image.Resampling.BOX))


def changed(frame, painted):
    return (frame != painted).any(axis=2).mean()


@pytest.mark.parametrize("name", preset_names())
def test_every_preset_looks_as_it_did(name, medium, golden):
    # The network's last bits differ between processors; saliency keeps the golden picture portable
    activation = compute_activation(medium, "spectral_residual")
    golden(f"preset-{name}", corrupt(medium, load_preset(name), activation=activation))


@pytest.mark.slow
@pytest.mark.parametrize("sample", ["chelsea", "coffee", "astronaut", "rocket"])
@pytest.mark.parametrize("name", preset_names())
def test_every_preset_corrupts_every_photograph(name, sample):
    from glitch_gym.picture import read_picture

    frame = read_picture(f"sample:{sample}").frame
    painted = corrupt(frame, load_preset(name))
    assert painted.shape == frame.shape
    assert painted.dtype == np.uint8
    assert changed(frame, painted) > 0.03


def test_the_posts_presets_drag_colour_over_long_ways(chelsea):
    frame = np.asarray(Image.fromarray(chelsea).resize((1200, 800)))
    painted = corrupt(frame, load_preset("post-4"))
    # 100 × 200 cells of 8 × 6 pixels: count how far a column's colour goes on without a change
    cells = painted[4::8, 3::6].astype(int)
    same = (cells[1:] == cells[:-1]).all(axis=2)
    longest = 0
    run = np.zeros(same.shape[1], int)
    for row in same:
        run = np.where(row, run + 1, 0)
        longest = max(longest, run.max())
    assert longest >= 8
    assert same.mean() > 0.4


def test_presets_look_different_from_each_other(medium):
    painted = {name: corrupt(medium, load_preset(name)).astype(int) for name in preset_names()}
    for first in painted:
        for second in painted:
            if first < second:
                assert np.abs(painted[first] - painted[second]).mean() > 3, (first, second)


def test_the_same_seed_gives_the_same_bytes_and_another_another(medium):
    recipe = load_preset("ember")
    first = corrupt(medium, recipe)
    np.testing.assert_array_equal(first, corrupt(medium.copy(), recipe))
    other = corrupt(medium, recipe.model_copy(update={"seed": 1}))
    assert changed(first, other) > 0.01


@pytest.mark.slow
def test_bytes_do_not_depend_on_threads_or_processes(medium, tmp_path):
    Image.fromarray(medium).save(tmp_path / "in.png")
    outputs = []
    for threads in ("1", "2"):
        output = tmp_path / f"out{threads}.png"
        environment = os.environ | {
            f"{library}_NUM_THREADS": threads for library in ("OMP", "MKL", "NUMBA", "OPENBLAS")
        }
        subprocess.run(
            [sys.executable, "-m", "glitch_render.cli", "corrupt", "in.png", "-o", output],
            env=environment,
            cwd=tmp_path,
            check=True,
            capture_output=True,
        )
        outputs.append(output.read_bytes())
    assert outputs[0] == outputs[1]
    np.testing.assert_array_equal(
        np.asarray(Image.open(tmp_path / "out1.png")), corrupt(medium, load_preset())
    )


def test_the_input_is_left_alone(medium):
    before = medium.copy()
    corrupt(medium, load_preset("post-2"))
    np.testing.assert_array_equal(medium, before)


def test_layers_read_the_output_of_the_layer_before(medium):
    invert = Layer(grid=(1, 1), fit="stretch", effects=["invert"], iterations=1, agents=1,
                   lifetime=1, repeat_agents=True)  # fmt: skip
    once = corrupt(medium, Recipe(layers=[invert], activation="edges"))
    twice = corrupt(medium, Recipe(layers=[invert, invert], activation="edges"))
    mean = np.rint(medium.reshape(-1, 3).mean(axis=0))
    assert np.abs(once[0, 0] - (255 - mean)).max() <= 1
    np.testing.assert_array_equal(twice, np.broadcast_to(255 - once[0, 0], twice.shape))


def test_masked_births_spare_the_rest_of_the_picture(medium):
    painted = corrupt(medium, load_preset("ember"))
    assert changed(medium[:, :20], painted[:, :20]) < 0.05
    assert changed(medium, painted) > 0.05


def test_progress_names_layers_and_episodes(medium):
    seen = []
    recipe = load_preset("halo")
    corrupt(medium, recipe, progress=seen.append)
    assert [state.layer for state in seen] == sorted(state.layer for state in seen)
    for index, layer in enumerate(recipe.layers):
        last = [state for state in seen if state.layer == index][-1]
        assert last == Progress("learning", layer.iterations, layer.iterations, layer=index)


def test_a_grid_that_does_not_fit_is_known_before_anything_is_learned(medium):
    heavy = Layer(grid=(20, 10), effects=["same"], iterations=100_000_000)
    recipe = Recipe(layers=[heavy, Layer(grid=(900, 900))], activation="edges")

    def learned(now):
        raise AssertionError("it began to learn")

    with pytest.raises(GridError, match="finer"):
        corrupt(medium, recipe, progress=learned)


def test_ctrl_c_while_learning_gives_no_picture(medium, heeds_ctrl_c):
    layer = Layer(grid=(20, 10), effects=["same"], iterations=100_000_000)

    def interrupt(now):
        os.kill(os.getpid(), signal.SIGINT)

    with pytest.raises(KeyboardInterrupt):
        corrupt(medium, Recipe(layers=[layer], activation="edges"), progress=interrupt)


def test_the_rollouts_policy_follows_the_layer(medium):
    from glitch_gym.dynamics import make_world
    from glitch_gym.settings import WorldSettings

    settings = WorldSettings((8, 8), ["same"])
    world = make_world(compute_activation(medium, "edges"), medium.shape[:2], settings)
    explorer = Layer(grid=(8, 8), effects=["same"], iterations=10, explore=0.4)
    drawer = Layer(grid=(8, 8), effects=["same"], iterations=10, temperature=0.3)
    assert layer_policy(explorer, 0, world, medium, seed=0).epsilon == 0.4
    assert layer_policy(drawer, 0, world, medium, seed=0).temperature == 0.3


def test_what_cannot_be_corrupted_is_refused(medium):
    with pytest.raises(PictureError, match="uint8"):
        corrupt(medium[:, :, 0], load_preset())
    nobody = Layer(grid=(8, 8), effects=["same"], iterations=1, born_above=1.0, born_below=0.0)
    with pytest.raises(SettingError, match="no cell qualifies for births"):
        corrupt(medium, Recipe(layers=[nobody], activation="edges"))


LEARNERS = ["sarsa", "expected_sarsa", "double_q", "q_lambda", "sweeping", "planner", "dqn"]


@pytest.mark.parametrize("learner", LEARNERS)
def test_any_learner_can_be_named_in_a_layer(medium, learner):
    layer = Layer(
        grid=(20, 10), effects=["same", "pixelate"], iterations=300, agents=60, learner=learner
    )
    recipe = Recipe(layers=[layer], activation="edges")
    painted = corrupt(medium, recipe)
    assert changed(medium, painted) > 0.1
    np.testing.assert_array_equal(painted, corrupt(medium, recipe))


OWN_LEARNER = """
import numpy as np

class Rightwards:
    def __init__(self, gamma=0.5):
        assert gamma == 0.8
    def learn(self, env, *, episodes, seed=0, progress=None):
        env.reset(seed=seed)
        env.step(env.action_space.sample())
        actions = env.unwrapped.actions
        class Policy:
            def act(self, observations):
                return np.full(observations.shape, actions.encode("same", "right"))
        return Policy()

class Mute: pass
def broken(): raise RuntimeError("no")
leaves = __import__("sys").exit
"""


def test_a_learner_of_ones_own_drives_the_filter(medium, tmp_path, monkeypatch):
    (tmp_path / "own_learner.py").write_text(OWN_LEARNER)
    monkeypatch.syspath_prepend(str(tmp_path))
    layer = {"grid": (20, 30), "fit": "stretch", "effects": ["same"], "gamma": 0.8, "agents": 300}
    own = import_learner("own_learner:Rightwards")
    painted = corrupt(medium, Recipe(layers=[Layer(learner=own, **layer)], activation="edges"))
    rows = painted[::10].astype(int)
    assert (rows[:, 1:] == rows[:, :-1]).all(axis=2).mean() > 0.7
    for learner in (own.make, own.make(gamma=0.8)):
        again = Recipe(layers=[Layer(learner=learner, **layer)], activation="edges")
        assert again.layers[0].learner_name == "Rightwards"
        np.testing.assert_array_equal(corrupt(medium, again), painted)
    for name, message in {
        "own_learner:Mute": "has no method learn",
        "own_learner:broken": "failed: RuntimeError: no",
        "own_learner:leaves": "failed: ",
        "own_learner:Absent": "failed: AttributeError",
        "no_such_module:Learner": "failed: ModuleNotFoundError",
        "own_learner": "write module:Class",
    }.items():
        with pytest.raises(SettingError, match=message):
            Layer(learner=import_learner(name), **layer).make_learner()
