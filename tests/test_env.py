from __future__ import annotations

import json
import pickle
import warnings

import gymnasium as gym
import numpy as np
import pytest
from gymnasium.utils.env_checker import check_env, data_equivalence
from PIL import Image

import glitch_gym
from glitch_gym.errors import GridError, PictureError, SettingError

KINDS = ["cell", "coordinates", "masked", "patch"]
CORNER = {"options": {"cell": (0, 0)}}


@pytest.mark.parametrize("observation", KINDS)
@pytest.mark.parametrize("settings", [{}, {"fit": "stretch", "moves": 8, "objective": "linger"}])
def test_gymnasiums_checker_passes(observation, settings):
    env = gym.make("GlitchGrid-v0", observation=observation, render_mode="rgb_array", **settings)
    check_env(env.unwrapped)


@pytest.mark.xdist_group("torch")
@pytest.mark.parametrize("observation", KINDS)
def test_stable_baselines3s_checker_passes(observation):
    from stable_baselines3.common.env_checker import check_env as check_for_sb3

    check_for_sb3(gym.make("GlitchGrid-v0", observation=observation), warn=True)


def test_make_works_without_arguments_and_by_module_name():
    env = gym.make("glitch_gym:GlitchGrid-v0")
    assert env.observation_space == gym.spaces.Discrete(200)
    assert env.action_space == gym.spaces.Discrete(20)
    assert env.spec.max_episode_steps == 20


def walk(env, seed, steps=300):
    env.action_space.seed(seed)
    seen = [env.reset(seed=seed)]
    for _ in range(steps):
        seen.append(env.step(env.action_space.sample()))
        if seen[-1][2] or seen[-1][3]:
            seen.append(env.reset())
    return seen


@pytest.mark.parametrize("observation", KINDS)
def test_equally_seeded_envs_agree(observation):
    first, second = (
        walk(gym.make("GlitchGrid-v0", observation=observation), seed=3) for _ in range(2)
    )
    assert data_equivalence(first, second, exact=True)
    assert not data_equivalence(first, walk(gym.make("GlitchGrid-v0"), seed=4))


def test_step_returns_plain_python_values():
    env = gym.make("GlitchGrid-v0").unwrapped
    env.reset(seed=0)
    observation, reward, terminated, truncated, info = env.step(np.int64(1))
    assert type(observation) is int
    assert type(reward) is float
    assert type(terminated) is bool
    assert type(truncated) is bool
    assert info["action_mask"].dtype == np.int8
    assert (info["cell"].dtype, info["cell"].shape) == (np.int64, (2,))
    assert info["cell"].tolist() == list(divmod(observation, env.world.grid.cols))


def test_leaving_terminates_with_the_exit_reward():
    env = gym.make("GlitchGrid-v0", exit_reward=2.5)
    env.reset(**CORNER)
    _, reward, terminated, truncated, _ = env.step(env.unwrapped.actions.encode("same", "up"))
    assert (reward, terminated, truncated) == (2.5, True, False)


def test_prohibited_cells_refuse_at_a_price_and_are_masked():
    env = gym.make("GlitchGrid-v0", prohibited_reward=-3.0).unwrapped
    last = env.world.grid.picture_rows - 1
    observation, info = env.reset(options={"cell": (last, 2)})
    down = [env.actions.encode(effect, "down") for effect in env.actions.effects]
    assert info["action_mask"][down].tolist() == [0] * 5
    assert info["action_mask"].sum() == 15
    assert not env.action_masks()[down].any()
    there, reward, terminated, *_ = env.step(down[0])
    assert (there, reward, terminated) == (observation, -3.0, False)


def test_entering_gives_the_fields_reward():
    env = gym.make("GlitchGrid-v0").unwrapped
    env.reset(**CORNER)
    action = env.actions.encode("invert", "down")
    observation, reward, *_ = env.step(action)
    assert observation == env.world.grid.cols
    assert reward == float(env.world.reward_field[1, 0, action])


LIMITS = [
    ({}, 20),
    ({"lifetime": 7}, 7),
    ({"lifetime": 50}, 50),
    ({"max_episode_steps": 5}, 5),
    ({"max_episode_steps": 33}, 33),
    ({"max_episode_steps": 33, "lifetime": 50}, 33),
    ({"max_episode_steps": 50, "lifetime": 33}, 33),
    ({"max_episode_steps": -1, "lifetime": 50}, 50),
    ({"max_episode_steps": -1}, None),
]


@pytest.mark.parametrize(("given", "lifetime"), LIMITS)
def test_the_lifetime_truncates_and_the_spec_says_when(given, lifetime):
    env = gym.make("GlitchGrid-v0", **given)
    vectors = [gym.make_vec("GlitchGrid-v0", 2, vectorization_mode=mode, **given)
               for mode in ("vector_entry_point", "sync")]  # fmt: skip
    vectors.append(gym.make_vec(vectors[0].spec))
    again = [
        gym.make(env.spec),
        gym.make(gym.envs.registration.EnvSpec.from_json(env.spec.to_json())),
    ]
    assert lifetime in (env.spec.max_episode_steps, given.get("lifetime"))
    assert vectors[0].spec.max_episode_steps == lifetime
    for one in [env, *vectors, *(again if lifetime else [])]:
        one.reset(options={"cell": (5, 5)})
        down_and_up = [[step % 2] * 2 if one in vectors else step % 2 for step in range(90)]
        ends = [np.max(one.step(action)[3]) for action in down_and_up[: lifetime or 90]]
        assert ends == [False] * (len(ends) - 1) + [lifetime is not None]


def test_the_class_itself_has_no_limit_but_its_lifetime():
    for given, ends in (({}, False), ({"lifetime": 50}, True)):
        env = glitch_gym.GlitchGridEnv(**given)
        env.reset(options={"cell": (5, 5)})
        assert [env.step(step % 2)[3] for step in range(50)] == [False] * 49 + [ends]


def test_resets_are_uniform_over_the_pictures_cells():
    env = gym.make("GlitchGrid-v0", grid=(6, 3))
    cells = env.unwrapped.world.picture_cells
    env.reset(seed=0)
    counts = np.bincount([env.reset()[0] for _ in range(3000)], minlength=18)
    assert set(np.flatnonzero(counts)) == set(cells.tolist())
    assert counts[cells].min() > 0.7 * 3000 / len(cells)


def test_observation_kinds_say_the_same():
    envs = {kind: gym.make("GlitchGrid-v0", observation=kind) for kind in KINDS}
    rng = np.random.default_rng(0)
    world = envs["cell"].unwrapped.world
    for _ in range(30):
        row = int(rng.integers(world.grid.picture_rows))
        col = int(rng.integers(world.grid.picture_cols))
        seen = {kind: env.reset(options={"cell": (row, col)})[0] for kind, env in envs.items()}
        assert seen["cell"] == row * 10 + col
        np.testing.assert_allclose(seen["coordinates"], [row / 19, col / 9], rtol=1e-6)
        np.testing.assert_array_equal(seen["masked"]["observations"], seen["coordinates"])
        np.testing.assert_array_equal(seen["masked"]["action_mask"], world.masks[row * 10 + col])
        assert seen["patch"].shape == (500,)
        patch = seen["patch"].reshape(5, 5, 20)
        np.testing.assert_array_equal(patch[2, 2], world.reward_field[row, col])
        if row == 0:
            assert (patch[:2] == 1).all()


def test_nothing_is_shared_between_calls():
    env = gym.make("GlitchGrid-v0", observation="masked").unwrapped
    observation, info = env.reset(seed=1)
    observation["action_mask"][:] = 7
    info["action_mask"][:] = 7
    again, info = env.reset(options={"cell": info["cell"]})
    assert again["action_mask"].max() == info["action_mask"].max() == 1


def test_the_spec_survives_json(tmp_path, small):
    path = str(tmp_path / "cat.png")
    Image.fromarray(small).save(path)
    env = gym.make(
        "GlitchGrid-v0", image=path, grid=(8, 6), effects={"same": (0.0, 0.1), "invert": (-1, 0.1)}
    )
    text = env.spec.to_json()
    json.loads(text)
    again = gym.make(gym.envs.registration.EnvSpec.from_json(text))
    np.testing.assert_array_equal(
        again.unwrapped.world.reward_field, env.unwrapped.world.reward_field
    )
    assert again.spec.max_episode_steps == 20


def test_envs_pickle_in_the_middle_of_an_episode():
    env = gym.make("GlitchGrid-v0", render_mode="rgb_array")
    env.reset(seed=5)
    for action in (1, 5, 9):
        env.step(action)
    copy = pickle.loads(pickle.dumps(env))
    np.testing.assert_array_equal(copy.render(), env.render())
    assert data_equivalence([env.step(3), env.reset()], [copy.step(3), copy.reset()])


def test_the_reward_field_is_built_once_per_content_and_settings(tmp_path, small):
    for name in ("a.png", "b.png"):
        Image.fromarray(small).save(tmp_path / name)
    worlds = [
        gym.make("GlitchGrid-v0", image=str(tmp_path / name), grid=(8, 6)).unwrapped.world
        for name in ("a.png", "b.png")
    ]
    assert worlds[0] is worlds[1]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        vector = gym.make_vec("GlitchGrid-v0", num_envs=3, vectorization_mode="sync")
    assert len({id(env.unwrapped.world) for env in vector.envs}) == 1


def test_p_lists_every_transition():
    env = gym.make("GlitchGrid-v0", grid=(4, 3)).unwrapped
    for state, by_action in env.P.items():
        for action, ((probability, there, reward, terminated),) in by_action.items():
            assert probability == 1
            assert terminated == (env.world.next_state[state, action] == -1)
            assert there == (state if terminated else env.world.next_state[state, action])
            assert reward == float(env.world.rewards[state, action])
    assert env.P is env.P


def test_rgb_array_shows_the_walk_and_marks_the_cell(small):
    env = gym.make(
        "GlitchGrid-v0", image=small, grid=(8, 12), fit="stretch", render_mode="rgb_array"
    )
    env.reset(options={"cell": (4, 4)})
    before = env.render()
    assert before.shape == small.shape
    assert before.dtype == np.uint8
    for _ in range(5):
        env.step(env.unwrapped.actions.encode("same", "right"))
    after = env.render()
    trail = after[84:96, 100:176]
    assert (trail == trail[0, 0]).all()
    np.testing.assert_array_equal(after[:70], small[:70])
    assert (after[78:102, 178:202] == 255).all(axis=2).any()
    env.reset(options={"cell": (4, 4)})
    np.testing.assert_array_equal(env.render(), before)


def test_ansi_shows_the_agent_on_the_map():
    env = gym.make("GlitchGrid-v0", render_mode="ansi")
    env.reset(options={"cell": (3, 7)})
    lines = env.render().splitlines()
    assert lines[3][7] == "@"
    assert lines[15] == "#" * 10
    env.step(0)
    assert env.render().splitlines()[-1] == "(same_up)"


def test_an_activation_can_be_an_array_or_a_mask_file(tmp_path, small):
    mask = np.zeros((4, 4), np.float32)
    mask[:, 2:] = 1
    Image.fromarray((mask * 255).astype(np.uint8)).save(tmp_path / "mask.png")
    by_array, by_file = (
        gym.make("GlitchGrid-v0", image=small, grid=(4, 4), fit="stretch", activation=given)
        for given in (mask, str(tmp_path / "mask.png"))
    )
    np.testing.assert_array_equal(by_array.unwrapped.world.activation, mask)
    np.testing.assert_array_equal(by_file.unwrapped.world.activation, mask)


@pytest.mark.parametrize("settings", [{}, {"objective": "linger", "median": 1}])
def test_a_patch_of_any_picture_lies_in_the_same_bounds(small, settings):
    pictures = [
        {"image": "sample:balloon"},
        {"image": small, "seed": 3},
        {"image": small[::-1, :80]},
    ]
    envs = [
        gym.make("GlitchGrid-v0", observation="patch", **settings, **one).unwrapped
        for one in pictures
    ]
    assert envs[0].observation_space == envs[1].observation_space == envs[2].observation_space
    space = envs[0].observation_space
    for env in envs:
        cells = env.world.picture_cells.astype(np.int64)
        assert all(space.contains(patch) for patch in env.observe_cells(cells))


def test_a_reward_beyond_the_patchs_bounds_is_clipped():
    made = gym.make("GlitchGrid-v0", observation="patch").unwrapped
    world, frame = made.world, made.frame
    env = glitch_gym.GlitchGridEnv.from_world(
        world, frame, observation="patch", reward_bounds=(-0.5, 0.25)
    )
    observation, _ = env.reset(options={"cell": (5, 5)})
    seen, whole = observation.reshape(5, 5, 20), world.reward_field[3:8, 3:8]
    np.testing.assert_array_equal(seen, np.clip(whole, -0.5, 0.25))
    assert (env.observation_space.low.min(), env.observation_space.high.max()) == (-0.5, 0.25)
    free = glitch_gym.GlitchGridEnv.from_world(world, frame, observation="patch")
    assert free.observation_space.high.max() == max(world.reward_field.max(), world.exit_reward)


@pytest.mark.parametrize(
    ("settings", "error", "message"),
    [
        ({"image": "nowhere.jpg"}, PictureError, "not found"),
        ({"image": np.zeros((3, 3))}, PictureError, "uint8"),
        ({"grid": (500, 500)}, GridError, "finer"),
        ({"grid": (0, 1)}, SettingError, "grid"),
        ({"effects": ["sane"]}, SettingError, "did you mean 'same'"),
        ({"activation": "spectral"}, SettingError, "unknown activation"),
        ({"activation": "nowhere.png"}, PictureError, "not found"),
        ({"activation": np.full((2, 2), np.nan)}, SettingError, "finite"),
        ({"objective": "hide"}, SettingError, "unknown objective"),
        ({"observation": "voxels"}, SettingError, "unknown observation"),
        ({"patch_size": 4}, SettingError, "odd"),
        ({"lifetime": 0}, SettingError, "lifetime"),
        ({"moves": 6}, SettingError, "moves"),
        ({"fit": "crop"}, SettingError, "fit"),
        ({"seed": -1}, SettingError, "seed"),
        ({"weights": "w.pth"}, SettingError, "weights"),
        ({"prohibited_reward": float("nan")}, SettingError, "prohibited_reward"),
    ],
)
def test_bad_settings_are_refused_in_words(settings, error, message):
    with pytest.raises(error, match=message):
        gym.make("GlitchGrid-v0", **settings)


def test_steps_out_of_order_and_bad_actions_are_refused():
    env = gym.make("GlitchGrid-v0").unwrapped
    with pytest.raises(gym.error.ResetNeeded):
        env.step(0)
    with pytest.raises(gym.error.ResetNeeded):
        env.action_masks()
    env.reset(**CORNER)
    for action in (-1, 20, 0.5):
        with pytest.raises(SettingError, match="outside"):
            env.step(action)
    env.step(0)
    with pytest.raises(gym.error.ResetNeeded, match="over"):
        env.step(0)


@pytest.mark.parametrize("cell", [(12, 0), (-1, 0), (0, 10), 3, "ab"])
def test_resets_outside_the_picture_are_refused(cell):
    env = gym.make("GlitchGrid-v0")
    with pytest.raises(SettingError, match="cell"):
        env.reset(options={"cell": cell})
    with pytest.raises(SettingError, match="did you mean 'cell'"):
        env.reset(options={"cel": (0, 0)})
