from __future__ import annotations

from typing import Any, cast

import gymnasium as gym
import numpy as np
import pytest
from gymnasium import wrappers
from support import reference
from support.worlds import small_world

from glitch_agents import QTable, Trajectories, rollout, rollout_chunks, scripted
from glitch_agents.rollout_kernels import best_actions, walk
from glitch_gym.activation import compute_activation
from glitch_gym.dynamics import make_world
from glitch_gym.errors import SettingError
from glitch_gym.randomness import derive_key
from glitch_gym.settings import WorldSettings
from glitch_render.layers import layer_policy, layer_trajectories, layer_world
from glitch_render.recipe.presets import load_preset


def some_table(world, ties="random", quantum=1.0, **settings):
    values = np.random.default_rng(5).normal(size=world.reward_field.shape)
    return QTable((np.round(values / quantum) * quantum).astype(np.float32), ties=ties, **settings)


@pytest.mark.parametrize("ties", ["random", "first"])
@pytest.mark.parametrize("epsilon", [0.0, 0.3])
@pytest.mark.parametrize("repeat", [False, True])
def test_rollouts_match_the_plain_version_step_for_step(ties, epsilon, repeat):
    world = small_world()
    table = some_table(world, ties, epsilon=epsilon)
    walked = rollout(world, table, 60, lifetime=15, repeat=repeat, seed=4, layer=2)
    cells, actions, lengths = reference.rollout(
        world,
        table.by_state,
        agents=60,
        lifetime=15,
        births=world.picture_cells,
        ties=ties,
        epsilon=epsilon,
        repeat=repeat,
        key=derive_key(4, 2, "rollout"),
    )
    np.testing.assert_array_equal(walked.cells, cells)
    np.testing.assert_array_equal(walked.actions, actions)
    np.testing.assert_array_equal(walked.lengths, lengths)


def test_a_table_from_the_cache_is_walked_by_the_same_compiled_code():
    world = small_world()
    table = some_table(world)
    first = rollout(world, table, 30, seed=1)
    kept = table.values.copy()
    kept.setflags(write=False)
    kernels = [cast(Any, walk), cast(Any, best_actions)]
    versions = [list(kernel.signatures) for kernel in kernels]
    again = rollout(world, QTable(kept), 30, seed=1)
    np.testing.assert_array_equal(again.actions, first.actions)
    assert [kernel.signatures for kernel in kernels] == versions


@pytest.mark.parametrize("repeat", [False, True])
def test_any_policy_walks_as_the_table_with_the_same_choices(repeat):
    world = small_world()
    table = some_table(world, "first", quantum=1e-6)

    class Greedy:
        def act(self, observations):
            return table.by_state[observations].argmax(axis=1)

    compiled, followed = (
        rollout(world, policy, 80, lifetime=12, repeat=repeat, seed=1)
        for policy in (table, Greedy())
    )
    np.testing.assert_array_equal(compiled.cells, followed.cells)
    np.testing.assert_array_equal(compiled.actions, followed.actions)
    np.testing.assert_array_equal(compiled.lengths, followed.lengths)


def test_softmax_walks_with_its_probabilities():
    world = small_world(picture=(5, 3))
    table = some_table(world).softmax(1.0)
    walked = rollout(world, table, 30_000, lifetime=1, repeat=True)
    said = table.probabilities()
    for cell in range(15):
        counts = np.bincount(walked.actions[walked.cells == cell], minlength=8)
        np.testing.assert_allclose(counts / counts.sum(), said[cell], atol=0.05)


def test_more_agents_and_longer_lives_leave_the_others_as_they_were():
    world = small_world()
    table = some_table(world, epsilon=0.2)
    few = rollout(world, table, 10, lifetime=5, seed=8)
    many = rollout(world, table, 50, lifetime=9, seed=8)
    np.testing.assert_array_equal(few.cells, many.cells[:10, :5])
    np.testing.assert_array_equal(few.actions, many.actions[:10, :5])


@pytest.mark.parametrize("ask_once", [True, False])
@pytest.mark.parametrize("chunk", [1, 7, 50, 1000])
def test_chunks_are_the_whole_draw_by_draw(chunk, ask_once):
    world = small_world()
    table = some_table(world, "first", quantum=1e-6)

    class Greedy:
        def act(self, observations):
            return table.by_state[observations].argmax(axis=1)

    settings = {"lifetime": 6, "explore": 0.3, "seed": 5, "ask_once": ask_once}
    whole = rollout(world, Greedy(), 50, **settings)
    parts = list(rollout_chunks(world, Greedy(), 50, chunk=chunk, **settings))
    assert [len(part.lengths) for part in parts[:-1]] == [chunk] * (len(parts) - 1)
    for name in ("cells", "actions", "lengths"):
        together = np.concatenate([getattr(part, name) for part in parts])
        np.testing.assert_array_equal(together, getattr(whole, name))


def test_more_agents_walk_in_chunks_than_memory_holds_at_once():
    world = small_world()
    chunks = rollout_chunks(world, some_table(world), 10_000_000, chunk=2000)
    assert next(chunks).lengths.shape == (2000,)
    with pytest.raises(SettingError, match="too many"):
        rollout(world, some_table(world), 10_000_000)


@pytest.mark.parametrize("ask_once", [True, False])
def test_agents_start_in_cells_of_their_own(ask_once):
    world = small_world()
    still = world.actions.index(["same_right"])[0]

    class Right:
        def act(self, observations):
            return np.full(observations.shape, still)

    starts = np.array([0, 3, 6, 0])
    walked = rollout(world, Right(), starts, lifetime=1, ask_once=ask_once)
    assert walked.cells[:, 0].tolist() == [1, 4, 7, 1]
    chunks = rollout_chunks(world, Right(), starts, chunk=3, lifetime=1, ask_once=ask_once)
    assert [part.cells[:, 0].tolist() for part in chunks] == [[1, 4, 7], [1]]


@pytest.mark.parametrize("repeat", [False, True])
def test_a_policy_asked_at_every_step_walks_as_one_asked_once(repeat):
    world = small_world()
    table = some_table(world, "first", quantum=1e-6)
    asked = []

    class Greedy:
        def act(self, observations):
            asked.append(len(observations))
            return table.by_state[observations].argmax(axis=1)

    settings = {"lifetime": 12, "repeat": repeat, "explore": 0.2, "seed": 3}
    once = rollout(world, Greedy(), 80, **settings)
    assert asked == [world.grid.n_cells]
    asked.clear()
    always = rollout(world, Greedy(), 80, ask_once=False, **settings)
    assert asked[0] == 80
    assert len(asked) == 12
    for name in ("cells", "actions", "lengths"):
        np.testing.assert_array_equal(getattr(always, name), getattr(once, name))


def test_a_policy_that_draws_is_asked_for_each_agent_at_every_step():
    world = small_world()
    rng = np.random.default_rng(0)

    class Draws:
        def act(self, observations):
            return rng.integers(world.actions.n, size=observations.shape)

    actions = rollout(world, Draws(), np.zeros(500, int), lifetime=1, ask_once=False).actions
    assert len(np.unique(actions)) == world.actions.n
    assert len(np.unique(rollout(world, Draws(), np.zeros(500, int), lifetime=1).actions)) == 1


def test_rollouts_take_environments_with_their_lifetime():
    env: Any = gym.make("GlitchGrid-v0", max_episode_steps=7)
    world = env.unwrapped.world
    table = QTable(np.zeros(world.reward_field.shape, np.float32))
    walked = rollout(env, table, 30, seed=1)
    assert walked.cells.shape == (30, 7)
    np.testing.assert_array_equal(walked.cells, rollout(world, table, 30, lifetime=7, seed=1).cells)
    assert rollout(world, table, 3).cells.shape == (3, 20)
    script = [((0, 0), ["same_right"])]
    np.testing.assert_array_equal(scripted(env, script).cells, scripted(world, script).cells)
    with pytest.raises(SettingError, match="wrapper ClipReward may"):
        rollout(wrappers.ClipReward(env, 0, 1), table, 3)


def test_births_keep_to_the_activation(small):
    activation = compute_activation(small, "spectral_residual")
    world = make_world(activation, small.shape[:2], WorldSettings((16, 24), ["same"]))
    table = QTable(np.zeros(world.reward_field.shape, np.float32))
    for limits, holds in (
        ({"born_above": 0.6}, lambda level: level >= 0.6),
        ({"born_below": 0.2}, lambda level: level <= 0.2),
        ({"born_above": 0.2, "born_below": 0.6}, lambda level: (level >= 0.2) & (level <= 0.6)),
    ):
        born = rollout(world, table, 500, lifetime=1, repeat=True, **limits).cells.ravel()
        levels = world.activation[np.divmod(born, world.grid.cols)]
        assert holds(levels).all()
        assert len(np.unique(born)) > 10
    with pytest.raises(SettingError, match="no cell qualifies for births"):
        rollout(world, table, 5, born_above=0.9, born_below=0.1)


def test_post_1_layer_1_touches_63_percent_of_its_cells_a_frame(chelsea):
    recipe = load_preset("post-1")
    layer = recipe.layers[0]
    activation = compute_activation(chelsea)
    world = layer_world(layer, 0, activation, *chelsea.shape[:2], seed=recipe.seed)
    assert world.grid.n_cells == 200
    policy = layer_policy(layer, 0, world, chelsea, seed=recipe.seed)
    walked = layer_trajectories(layer, 0, world, policy, seed=recipe.seed)
    touched = [len(np.unique(frame[frame >= 0])) / 200 for frame in walked.cells.T]
    assert len(touched) == 20
    assert abs(np.mean(touched) - (1 - (1 - 1 / 200) ** 200)) < 0.03


def test_scripts_walk_by_name():
    world = small_world()
    walked = scripted(
        world,
        [((0, 0), ["same_right", "same_right", "invert_down"]), ((3, 1), ["same_down", "same_up"])],
    )
    assert walked.cells.tolist() == [[1, 2, 5], [-1, 7, -1]]
    assert walked.lengths.tolist() == [3, 2]
    assert world.actions.names[walked.actions[0, 2]] == "invert_down"


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda w: rollout(w, some_table(w), 0), "agents"),
        (lambda w: rollout(w, some_table(w), 1, lifetime=0), "lifetime"),
        (lambda w: rollout(w, QTable(np.zeros((2, 2, 2), np.float32)), 1), "Q-table is"),
        (lambda w: scripted(w, []), "no episodes"),
        (lambda w: scripted(w, [((4, 0), ["same_up"])]), "outside the picture"),
        (lambda w: scripted(w, [((0, 0), ["sane_up"])]), "did you mean 'same_up'"),
        (lambda w: scripted(w, [((0, 0), ["same_up", "same_up"])]), "left the picture at step 1"),
        (
            lambda w: Trajectories(np.zeros((1, 2)), np.zeros((2, 1)), np.zeros(1)),
            "agents, steps",
        ),
        (lambda w: Trajectories(np.zeros((1, 2)), np.zeros((1, 2)), np.zeros(2)), "lengths"),
    ],
)
def test_bad_rollouts_are_refused(call, message):
    with pytest.raises(SettingError, match=message):
        call(small_world())


@pytest.mark.parametrize(
    ("answer", "message"),
    [
        (lambda cells: np.full(cells.shape, 99), "outside"),
        (lambda cells: cells[:-1], "one integer action"),
        (lambda cells: cells / 2, "one integer action"),
    ],
)
def test_policies_that_answer_nonsense_are_refused(answer, message):
    class Nonsense:
        def act(self, observations):
            return answer(observations)

    with pytest.raises(SettingError, match=message):
        rollout(small_world(), Nonsense(), 5)
