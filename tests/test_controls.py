from __future__ import annotations

from typing import Literal

import pytest
from pydantic import Field
from support.program import run

from glitch_render.effects import EffectParameters, effects
from glitch_render.recipe.forms import controls_of, effect_forms, forms, layer_form, recipe_form
from glitch_render.recipe.model import Layer, Recipe
from glitch_render.recipe.presets import load_preset, preset_names
from glitch_render.recipe.toml import parse_recipe


class Odds(EffectParameters):
    """Parameters of all kinds that an effect can have."""

    loose: int = Field(40, description="without limits")
    above: float = Field(2.0, gt=1, description="with one")
    between: int = Field(3, gt=0, lt=10)
    flag: bool = True
    way: Literal["in", "out"] = "in"
    name: str | None = None
    corner: tuple[float, float] = (0.0, 1.0)


def test_parameters_of_any_kind_become_controls():
    found = {one.name: one for one in controls_of(Odds)}
    assert [one.kind for one in found.values()] == [
        "number", "number", "number", "switch", "choice", "text", "pair",
    ]  # fmt: skip
    loose, above, between = found["loose"], found["above"], found["between"]
    assert (loose.low, loose.high, loose.whole, loose.limits()) == (None, None, True, "any")
    assert loose.span is not None
    assert loose.span[0] <= 40 <= loose.span[1]
    assert (above.low, above.limits()) == (1.0, "from 1")
    assert (between.low, between.high, between.limits()) == (1, 9, "1…9")
    assert found["flag"].limits() == "true, false"
    assert found["way"].choices == ("in", "out")
    assert found["name"].optional
    assert found["corner"].default == [0.0, 1.0]


def test_every_setting_of_a_layer_has_a_group_a_help_and_a_default_within_its_limits():
    shown = {one.name: one for one in layer_form()}
    assert set(shown) == set(Layer.model_fields) - {"effects", "mute", "solo"}
    for form in (shown.values(), *(one.controls for one in effect_forms())):
        for one in form:
            assert one.help, one.name
            assert one.label, one.name
            if one.kind == "number" and one.default is not None:
                assert one.low is None or one.default >= one.low, one.name
                assert one.high is None or one.default <= one.high, one.name
            if one.span is not None:
                assert one.span[0] < one.span[1], one.name
                assert one.low is None or one.span[0] >= one.low, one.name
                assert one.high is None or one.span[1] <= one.high, one.name


@pytest.mark.parametrize("end", [0, 1])
def test_both_ends_of_every_slider_are_right(end):
    layer = load_preset().layers[0].model_dump(mode="json", exclude_none=True)
    for one in layer_form():
        if one.span is None:
            continue
        value = one.span[end]
        value = int(value) if one.whole else value
        given = {**layer, one.name: [value, value] if one.kind == "pair" else value}
        parse_recipe({"layers": [given]})
    for form in effect_forms():
        for one in form.controls:
            if one.kind == "number":
                assert one.span is not None
                value = int(one.span[end]) if one.whole else one.span[end]
                parse_recipe({"layers": [{**layer, "effects": {form.name: {one.name: value}}}]})


def test_settings_that_may_change_over_time_know_their_limits():
    shown = {one.name: one for one in layer_form()}
    assert (shown["agents"].low, shown["agents"].high) == (1, 1e8)
    assert shown["agents"].whole
    assert (shown["opacity"].low, shown["opacity"].high) == (0, 1)
    assert shown["median"].step == 2
    assert "q_learning" in shown["learner"].choices


def test_every_effect_has_a_form_and_every_preset_fits_the_forms():
    assert {one.name for one in effect_forms()} == set(effects())
    known = {one.name: {control.name for control in one.controls} for one in effect_forms()}
    settings = {one.name for one in layer_form()} | {"effects", "mute", "solo"}
    for name in preset_names():
        for layer in load_preset(name).model_dump(mode="json", exclude_none=True)["layers"]:
            assert set(layer) <= settings
            for effect, table in layer["effects"].items():
                assert set(table) <= known[effect]
    beside = {"layers", "seed", "description", "family"}
    assert {one.name for one in recipe_form()} == set(Recipe.model_fields) - beside


def test_the_layer_that_a_new_one_begins_as_is_right():
    parse_recipe({"layers": [forms()["new_layer"]]})


def test_the_command_line_lists_the_same():
    result = run("effects")
    assert "quality = 5  JPEG quality; the lower, the blockier (1…95)" in result.stdout
    assert "std = 0.2  standard deviation of its reward noise (from 0)" in result.stdout
