from __future__ import annotations

import tomllib

import pytest

from glitch_agents import QLearning, Schedule
from glitch_gym.errors import RecipeError, SettingError
from glitch_gym.settings import Noise
from glitch_render.recipe.model import Layer, Recipe
from glitch_render.recipe.presets import DEFAULT_PRESET, load_preset, preset_names, preset_text
from glitch_render.recipe.toml import apply_settings, line_of, parse_recipe, read_toml

GOOD = """
seed = 7
activation = "edges"
[[layers]]
grid = [40, 20]
effects = ["same", "artifact"]
epsilon = { start = 1.0, end = 0.1, over = 0.5 }
[[layers]]
grid = [20, 10]
agents = 30
[layers.effects]
same = {}
artifact = { mean = -0.5, std = 0.25, quality = 12 }
"""


def parse(text):
    return parse_recipe(apply_settings(read_toml(text, "good.toml"), []), "good.toml")


def errors_of(text):
    with pytest.raises(RecipeError) as caught:
        parse(text)
    return str(caught.value)


def test_a_recipe_is_read_with_its_defaults():
    recipe = parse(GOOD)
    first, second = recipe.layers
    assert (recipe.seed, recipe.activation) == (7, "edges")
    assert first.grid == (40, 20)
    assert first.epsilon == Schedule(1.0, 0.1, 0.5)
    assert first.effects["artifact"].parameters.quality == 5
    assert second.effects["artifact"].noise == Noise(-0.5, 0.25)
    assert second.effects["artifact"].parameters.quality == 12
    assert second.effects["same"].noise == Noise(0.0, 0.2)
    assert first.make_learner() == QLearning(epsilon=Schedule(1.0, 0.1, 0.5))


def test_a_recipe_survives_being_written_and_read():
    recipe = parse(GOOD)
    text = recipe.to_toml()
    assert parse(text).to_toml() == text
    assert parse(text) == recipe
    for setting in Layer.model_fields:
        if Layer.model_fields[setting].default is not None:
            assert f"\n{setting} = " in text or f"layers.{setting}" in text


def test_recipes_can_be_built_in_python():
    layer = Layer(grid=(10, 5), effects=["same"], agents=3)
    assert parse(Recipe(layers=[layer]).to_toml()).layers[0] == layer


def test_every_error_is_said_at_once_with_its_path():
    message = errors_of(
        """
        seed = -1
        colour = "red"
        [[layers]]
        grid = [40, "20"]
        agnts = 800
        agents = 1.5
        objective = "hide"
        epsilon = 1.5
        median = 4
        [layers.effects]
        sane = {}
        same = { men = 0.1, std = -1 }
        artifact = { quality = 200 }
        [[layers]]
        alpha = { start = 1.0, stop = 0.5 }
        effects = []
        """
    )
    lines = message.splitlines()
    assert lines[0] == "good.toml has 16 errors:"
    assert len(lines) == 17
    for path, words in {
        "seed": "greater than or equal to 0",
        "colour": "not a known setting",
        "layers.1.grid.2": "valid integer",
        "layers.1.agnts": "did you mean 'agents'",
        "layers.1.agents": "integer",
        "layers.1.objective": "'escape' or 'linger'",
        "layers.1.epsilon": "0…1",
        "layers.1.median": "odd",
        "layers.1.effects.sane": "did you mean 'same'",
        "layers.1.effects.same.men": "did you mean 'mean'",
        "layers.1.effects.same.std": "greater than or equal to 0",
        "layers.1.effects.artifact.quality": "less than or equal to 95",
        "layers.2.grid": "is missing",
        "layers.2.alpha.end": "is missing",
        "layers.2.alpha.stop": "not a known setting",
        "layers.2.effects": "at least one",
    }.items():
        assert any(line.strip().startswith(f"{path}") and words in line for line in lines), path


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "layers is missing"),
        ("layers = []", "1 to 64 layers"),
        ("[layers]\ngrid = [1, 1]", r"write [[layers]]"),
        ("[[layers]]\ngrid = [1]", "layers.1.grid.2 is missing"),
        ('[[layers]]\ngrid = [1, 1]\neffects = "same"', "list or table of effects"),
        ("[[layers]]\ngrid = [0, 1]", "greater than or equal to 1"),
        ("[[layers]]\ngrid = [1, 1]\nreward_range = [0.0, nan]", "finite"),
        ("[[layers]]\ngrid = [1, 1]\nagents = true", "integer"),
        ('[[layers]]\ngrid = [1, 1]\neffects = ["same", 3]', "list or table of effects"),
        ("seed = 2020-01-01\n[[layers]]\ngrid = [1, 1]", "seed should be a valid integer"),
        (
            "[[layers]]\ngrid = [1, 1]\nexplore = { 0 = 0.0, 2 = 0.5 }\ntemperature = 0.2",
            "layers.1.temperature should be 0 if explore is set",
        ),
        ('[[layers]]\ngrid = [1, 1]\nlearner = "sarsi"', "did you mean 'sarsa'"),
        ("[[layers]\ngrid = [1, 1]", "line 1, column"),
    ],
)
def test_a_single_error_is_one_line(text, words):
    message = errors_of(text)
    assert words in message
    assert message.startswith("good.toml: ")
    assert "\n" not in message


def test_settings_change_a_recipe():
    data = read_toml(GOOD, "good.toml")
    changed = apply_settings(
        data,
        [
            "seed=9",
            "layers.2.agents = 800",
            "layers.2.effects.artifact.quality=3",
            "layers.1.grid=[8, 4]",
            "layers.1.ties=first",
            'activation="spectral_residual"',
            "layers.1.epsilon.end=0.2",
        ],
    )
    recipe = parse_recipe(changed)
    assert recipe.seed == 9
    assert recipe.activation == "spectral_residual"
    assert recipe.layers[0].grid == (8, 4)
    assert recipe.layers[0].ties == "first"
    assert recipe.layers[0].epsilon == Schedule(1.0, 0.2, 0.5)
    assert recipe.layers[1].agents == 800
    assert recipe.layers[1].effects["artifact"].parameters.quality == 3
    assert data == tomllib.loads(GOOD)


@pytest.mark.parametrize(
    ("setting", "words"),
    [
        ("layers.1.agents", "PATH=VALUE"),
        ("=3", "PATH=VALUE"),
        ("layers..agents=3", "PATH=VALUE"),
        ("layers.3.agents=3", "numbered 1 to 2"),
        ("layers.0.agents=3", "numbered 1 to 2"),
        ("layers.first.agents=3", "no layer first"),
        ("seed.x=3", "seed is not a table"),
        ("layers.1.effects.same.mean=1", "list of names"),
    ],
)
def test_settings_that_lead_nowhere_are_refused(setting, words):
    with pytest.raises(RecipeError, match=f"the setting .*{words}"):
        apply_settings(read_toml(GOOD, "good.toml"), [setting])


def test_unknown_settings_given_on_the_command_line_are_named():
    data = apply_settings(read_toml(GOOD, "good.toml"), ["layers.1.agent=3", "sed=4"])
    with pytest.raises(RecipeError, match="agents"):
        parse_recipe(data)


def test_presets_are_complete_and_described():
    names = preset_names()
    assert names[0] == DEFAULT_PRESET
    assert {"post-1", "post-2", "post-3", "post-4"} <= set(names)
    assert len(names) >= 8
    for name in names:
        recipe = load_preset(name)
        assert 20 < len(recipe.description) < 90
        assert recipe.activation == "efficientnet_lite0"
        assert all(layer.fit == "stretch" for layer in recipe.layers)
    assert all(layer.learner == "q_learning" for layer in load_preset().layers)


def test_the_posts_presets_are_its_published_settings():
    def settings(name):
        return [
            (one.grid, one.iterations, one.agents, one.preserve, one.repeat_agents)
            for one in load_preset(name).layers
        ]

    assert settings("post-1") == [
        ((20, 10), 10_000, 200, False, True),
        ((40, 20), 100_000, 800, True, False),
        ((200, 100), 10_000, 20_000, True, False),
    ]
    assert [row[:3] for row in settings("post-2")] == [((200, 100), 10_000, 10_000)]
    assert settings("post-3") == [
        ((200, 100), 10_000, 20_000, False, False),
        ((40, 20), 100_000, 800, True, False),
        ((200, 100), 10_000, 20_000, True, False),
    ]
    assert [row[:3] for row in settings("post-4")] == [
        ((40, 20), 100_000, 800),
        ((200, 100), 10_000, 22_730),
    ]
    for name in ("post-1", "post-2", "post-3", "post-4"):
        for layer in load_preset(name).layers:
            assert (layer.lifetime, layer.median, layer.ties) == (20, 3, "first")
            assert (layer.alpha, layer.epsilon, layer.gamma) == (0.1, 0.1, 0.95)


def test_unknown_presets_are_refused_with_the_nearest():
    with pytest.raises(SettingError, match="did you mean 'weave'"):
        preset_text("weav")


def test_a_brief_recipe_says_the_same_in_fewer_words():
    for name in preset_names():
        recipe = load_preset(name)
        brief = recipe.to_toml(brief=True)
        assert parse(brief) == recipe
        assert len(brief) < 0.7 * len(recipe.to_toml())
    assert "grid = [40, 20]\n" in load_preset().to_toml(brief=True)
    assert "alpha" not in parse(GOOD).to_toml(brief=True)


@pytest.mark.parametrize(
    ("path", "line"),
    [
        (("seed",), 2),
        (("layers", 0, "grid"), 5),
        (("layers", 0, "epsilon", "over"), 7),
        (("layers", 1), 8),
        (("layers", 1, "lifetime"), 8),
        (("layers", 1, "agents"), 10),
        (("layers", 1, "effects", "artifact", "quality"), 13),
        (("layers", 5, "grid"), 1),
    ],
)
def test_settings_are_found_at_their_lines(path, line):
    assert line_of(GOOD, path) == line


def test_lines_are_found_in_tables_of_their_own_and_dotted_keys():
    text = '[[layers]] # first\ngrid = [1, 2]\n\n[layers.effects."same"]\nmean = 0\n'
    assert line_of(text, ("layers", 0, "effects", "same", "mean")) == 5
    assert line_of(text, ("layers", 0, "effects", "same", "std")) == 4
    assert line_of("[[layers]]\neffects.same.std = -1\n", ("layers", 0, "effects", "same")) == 1
    assert line_of(
        "[[layers]]\neffects.same.std = -1\n", ("layers", 0, "effects", "same", "std")
    ) == 2  # fmt: skip


def test_errors_of_a_file_say_their_lines(tmp_path):
    from glitch_render.recipe.files import read_recipe

    path = tmp_path / "mine.toml"
    path.write_text(GOOD.replace("agents = 30", "agents = 0").replace("seed = 7", "seed = -7"))
    with pytest.raises(RecipeError) as caught:
        read_recipe(path)
    _, first, second = str(caught.value).splitlines()
    assert first.startswith("  line 2: seed ")
    assert second.startswith("  line 10: layers.2.agents ")
