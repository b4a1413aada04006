from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from support.program import refused, run

from glitch_agents import optimality
from glitch_agents.planning import state_values
from glitch_agents.rollout import as_table
from glitch_gym.activation import compute_activation
from glitch_gym.activation.base import Activation
from glitch_gym.errors import GridError, MissingExtraError, SettingError
from glitch_gym.grid import fit_grid
from glitch_render.layers import frame_activation, layer_policy, layer_trajectories, layer_world
from glitch_render.plots.figures import (
    activation_caption,
    activation_overlay,
    draw_grid,
    plot_learning,
    plot_paths,
    plot_policy,
    plot_rewards,
    plot_values,
    plot_visits,
)
from glitch_render.plots.layer import KINDS, plot_layer
from glitch_render.recipe.model import Layer, Recipe


def test_heat_lies_where_the_activation_is(small):
    values = np.zeros((2, 3), np.float32)
    values[:, 2] = 1
    heat = activation_overlay(small, Activation(values)).astype(int)
    assert heat.shape == small.shape
    assert heat[:120, 180:, 0].mean() > heat[:120, :60, 0].mean() + 50


def test_the_caption_names_the_class_or_the_method(small, chelsea):
    assert activation_caption(compute_activation(chelsea)) == (
        "efficientnet_lite0: Egyptian cat (87 %)"
    )
    assert activation_caption(compute_activation(small, "edges")) == "edges"
    unnamed = Activation(np.eye(2, dtype=np.float32), "resnet18", 7, None, 0.5)
    assert activation_caption(unnamed) == "resnet18: ImageNet class 7 (50 %)"


def test_tiny_pictures_can_be_drawn_on():
    tiny = np.zeros((3, 2, 3), np.uint8)
    assert activation_overlay(tiny, Activation(np.eye(2, dtype=np.float32))).shape == tiny.shape


RECIPE = Recipe(
    layers=[
        Layer(
            grid=(10, 15), fit="stretch", effects=["same", "invert"], iterations=2_000, agents=60,
            objective="linger", alpha=1.0, epsilon=1.0,
        ),
        Layer(grid=(20, 30), fit="stretch", effects=["pixelate"], iterations=100, moves=8),
    ],
    activation="edges",
)  # fmt: skip


@pytest.fixture(scope="module")
def learned(small):
    world = layer_world(RECIPE.layers[0], 0, frame_activation(small, RECIPE), 160, 240, seed=0)
    policy = layer_policy(RECIPE.layers[0], 0, world, small, seed=0)
    walked = layer_trajectories(RECIPE.layers[0], 0, world, policy, seed=0)
    return world, as_table(policy, world), walked


def test_the_plot_of_learning_uses_the_activation_that_it_is_given(small):
    rows = np.linspace(0, 1, 160, dtype=np.float32)[:, None]
    given = Activation(np.tile(rows, (1, 240)))
    own, other = (
        plot_layer("learning", small, RECIPE, 1, activation=activation)
        for activation in (frame_activation(small, RECIPE), given)
    )
    np.testing.assert_array_equal(own, plot_layer("learning", small, RECIPE, 1))
    assert (own != other).any()


def test_rewards_have_a_map_for_each_action(learned):
    world, _, _ = learned
    figure = plot_rewards(world)
    titles = [axes.get_title() for axes in figure.axes]
    assert [title for title in titles if title] == list(world.actions.names)
    first = figure.axes[0].images[0].get_array()
    np.testing.assert_array_equal(first, world.reward_field[:10, :15, 0])


def test_values_are_shown_beside_the_optimum(small, learned):
    world, table, _ = learned
    own, best = (axes.images[0].get_array() for axes in plot_values(small, world, table).axes[:2])
    assert (own <= best + 1e-3).all()
    np.testing.assert_allclose(best.ravel(), state_values(world, 0.95, 1e-6), atol=1e-4)


def test_arrows_point_to_the_best_action_in_the_colour_of_its_effect(small, learned):
    world, table, _ = learned
    axes = plot_policy(small, world, table).axes[0]
    arrows = {one.get_label(): one for one in axes.collections if hasattr(one, "U")}
    assert sum(len(one.U) for one in arrows.values()) == 150
    best = table.values.reshape(150, -1).argmax(axis=1)
    for name, one in arrows.items():
        for (x, y), right, up in zip(one.XY, one.U, one.V, strict=True):
            action = best[int(y) * 15 + int(x)]
            effect, move = world.actions.decode(int(action))
            assert effect == name
            assert (right, up) == {
                "up": (0, 1), "down": (0, -1), "left": (-1, 0), "right": (1, 0)
            }[move]  # fmt: skip


def test_visits_count_the_stamps(small, learned):
    world, _, walked = learned
    axes = plot_visits(small, world, walked).axes[0]
    counts = axes.images[1].get_array().filled(0)
    expected = np.bincount(walked.cells[walked.cells >= 0], minlength=150).reshape(10, 15)
    np.testing.assert_array_equal(counts, expected)
    assert f"{expected.sum():,}" in axes.get_title(loc="left")


def test_paths_lead_from_cell_to_cell(small, learned):
    world, _, walked = learned
    axes = plot_paths(small, world, walked, agents=10).axes[0]
    (drawn,) = (one for one in axes.collections if hasattr(one, "get_segments"))
    segments = np.array(drawn.get_segments())
    assert np.abs(segments[:, 1] - segments[:, 0]).sum(axis=1).max() == 1
    assert (walked.cells[np.linspace(0, 59, 10).astype(int)] >= 0).sum() == len(segments)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("index", [0, 1])
def test_every_kind_is_drawn_for_every_layer(small, kind, index):
    shown = plot_layer(kind, small, RECIPE, index)
    assert shown.dtype == np.uint8
    assert shown.ndim == 3
    assert shown.std() > 10


def test_learning_curves_end_at_what_was_learned(small, learned, monkeypatch):
    world, table, _ = learned
    drawn = {}
    monkeypatch.setattr(
        "glitch_render.plots.layer.plot_learning",
        lambda curves, title: drawn.update(curves) or plot_learning(curves, title),
    )
    plot_layer("learning", small, RECIPE, 0)
    points = drawn["q_learning"]
    assert points[-1][0] == 2_000
    assert points[-1][1] == pytest.approx(optimality(world, table))
    assert points[0][1] < points[-1][1]


def test_the_program_plots(small, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Image.fromarray(small).save("in.png")
    Path("r.toml").write_text(RECIPE.to_toml())
    given = ("in.png", "-r", "r.toml")
    result = run("plot", "visits", *given, "-o", "out.png", "--layer", "2")
    assert result.exit_code == 0, result.output
    with Image.open("out.png") as shown:
        assert shown.width > 500
    nowhere = ("-o", "x.png")
    assert "no layer 3" in refused("plot", "paths", *given, *nowhere, "--layer", "3")
    assert run("plot", "nonsense", *given, *nowhere).exit_code == 2
    assert not Path("x.png").exists()


def test_without_matplotlib_it_is_said_what_to_install(small, learned, monkeypatch):
    for name in [name for name in sys.modules if name.partition(".")[0] == "matplotlib"]:
        monkeypatch.setitem(sys.modules, name, None)
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    for kind in set(KINDS) - {"activation"}:
        with pytest.raises(MissingExtraError, match=r"glitch-gym\[plot\]"):
            plot_layer(kind, small, RECIPE)
    world, table, walked = learned
    for draw in (
        lambda: plot_rewards(world), lambda: plot_values(small, world, table),
        lambda: plot_policy(small, world, table), lambda: plot_visits(small, world, walked),
        lambda: plot_paths(small, world, walked), lambda: plot_learning({"one": [(1, 0.5)]}),
    ):  # fmt: skip
        with pytest.raises(MissingExtraError, match=r"glitch-gym\[plot\]"):
            draw()
    assert plot_layer("activation", small, RECIPE).shape == small.shape


def test_the_lines_of_a_grid_are_light_on_dark_and_dark_on_light(small):
    grid = fit_grid((4, 6), *small.shape[:2], fit="stretch")
    drawn = draw_grid(small, grid)
    changed = (drawn != small).any(axis=2)
    assert changed[40].mean() > 0.95
    assert changed[:, 120].mean() > 0.95
    assert not changed[1:39, 1:39].any()
    for shade in (10, 245):
        flat = np.full_like(small, shade)
        lined = draw_grid(flat, grid)
        assert abs(int(lined[40, 5, 0]) - shade) > 100
    with pytest.raises(GridError):
        draw_grid(small[:3], grid)


def test_the_rewards_of_one_action_are_drawn_over_the_picture(tmp_path, small):
    frames = {
        action: plot_layer("rewards", small, RECIPE, action=action)
        for action in ("same_left", "invert_up", None)
    }
    assert all(frame.std() > 10 for frame in frames.values())
    assert (frames["same_left"] != frames["invert_up"]).any()
    with pytest.raises(SettingError, match="did you mean 'same_left'"):
        plot_layer("rewards", small, RECIPE, action="same_lef")
