from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from glitch_gym.errors import RecipeError, SettingError
from glitch_render.recipe.keyframes import Keyframes, highest, last, parse_keyframes, value_at
from glitch_render.recipe.model import Layer, Recipe
from glitch_render.recipe.toml import parse_recipe, read_toml


def test_between_keyframes_values_lie_on_straight_lines():
    keyed = Keyframes((1.0, 3.0), (0, 800))
    assert [keyed.at(time) for time in (0, 1, 2, 3, 9)] == [0, 0, 400, 800, 800]
    assert (last(keyed), highest(keyed), value_at(keyed, 1.5)) == (800, 800, 200)
    assert (last(5), highest(5), value_at(5, 1.5)) == (5, 5, 5)


@given(
    st.dictionaries(
        st.floats(0, 1e6).map(lambda one: round(one, 3)), st.floats(-1e6, 1e6), min_size=1
    )
)
def test_keyframes_survive_being_written_and_read(table):
    keyed = parse_keyframes({str(time): value for time, value in table.items()})
    assert parse_keyframes(keyed.table()) == keyed
    for time, value in table.items():
        assert keyed.at(time) == value


def test_toml_with_bare_or_quoted_times_is_understood():
    text = """
    [[layers]]
    grid = [4, 3]
    agents = {0.0 = 0, 2.5 = 800}
    explore = {"0" = 0.0, "1.5" = 0.5}
    effects = {same = {weight = {0.0 = -1, 4.25 = 0.5}}}
    """
    layer = parse_recipe(read_toml(text, "r")).layers[0]
    assert layer.agents == Keyframes((0.0, 2.5), (0, 800))
    assert layer.explore == Keyframes((0.0, 1.5), (0.0, 0.5))
    assert layer.effects["same"].weight == Keyframes((0.0, 4.25), (-1, 0.5))
    recipe = Recipe(layers=[layer])
    assert parse_recipe(read_toml(recipe.to_toml(), "again")) == recipe


@pytest.mark.parametrize(
    ("agents", "message"),
    [
        ("{a = 3}", "layers.1.agents 'a' is not a time in seconds"),
        ("{0.0 = true}", "layers.1.agents the value at 0.0 s is True, not a number"),
        ("{}", "layers.1.agents keyframes need at least one time"),
        ("{0.0 = 0, 1.0 = 0}", "layers.1.agents should lie in 1…100,000,000"),
        ("{0.0 = -5, 1.0 = 9}", "layers.1.agents should lie in 1…100,000,000"),
        ("0", "layers.1.agents should lie in 1…100,000,000"),
        ("2.5", "layers.1.agents should be a valid integer"),
    ],
)
def test_wrong_keyframes_are_told_with_their_place(agents, message):
    with pytest.raises(RecipeError, match=message):
        parse_recipe(read_toml(f"[[layers]]\ngrid = [4, 3]\nagents = {agents}", "r"))


def test_keyframes_out_of_order_are_refused():
    with pytest.raises(SettingError, match="ascend"):
        Keyframes((1.0, 1.0), (0, 1))


def test_a_layer_can_be_keyframed_in_python():
    assert Layer(grid=(4, 3), agents=Keyframes((0.0,), (5,))).agents == Keyframes((0.0,), (5,))
