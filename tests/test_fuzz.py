"""Damaged and hostile inputs: a line that says what is wrong, or a right picture; nothing else."""

from __future__ import annotations

import contextlib
import sys

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from glitch_gym.errors import GlitchError
from glitch_render.episodes.script import parse_script, script_episode
from glitch_render.recipe.model import Recipe
from glitch_render.recipe.toml import apply_settings, parse_recipe, read_toml
from glitch_render.video.selection import Selection, parse_scale, parse_seconds
from tests.fuzz.lane import run_cases, table
from tests.fuzz.seeds import RECIPE, SCRIPTS
from tests.fuzz.trial import BAD

linux_only = pytest.mark.skipif(
    not sys.platform.startswith("linux"), reason="the watchdog reads /proc"
)


def _none_is_bad(numbers, folder, workers=1):
    results = run_cases(numbers, folder, workers=workers)
    assert len(results) == len(numbers)
    assert not [one for one in results if one.outcome in BAD], "\n" + table(results)


@linux_only
def test_a_few_damaged_inputs_of_each_kind_end_in_a_line_or_a_right_picture(tmp_path):
    _none_is_bad(range(48), tmp_path)


@linux_only
@pytest.mark.slow
def test_damaged_inputs_of_each_kind_end_in_a_line_or_a_right_picture(tmp_path):
    _none_is_bad(range(48, 1_200), tmp_path, workers=2)


@linux_only
@pytest.mark.soak
def test_ten_thousand_damaged_inputs_end_in_a_line_or_a_right_picture(tmp_path):
    _none_is_bad(range(10_000), tmp_path, workers=2)


_leaves = st.one_of(
    st.integers(),
    st.integers(min_value=2**62, max_value=2**70),
    st.floats(),
    st.booleans(),
    st.text(max_size=20),
    st.datetimes(),
    st.sampled_from(["same", "invert", "pad", "q_learning", "screen", "edges"]),
)
_names = st.one_of(
    st.sampled_from([*Recipe.model_fields, "same", "mean", "low", "start", "end", "0", "1.5", "é"]),
    st.sampled_from(["grid", "effects", "agents", "alpha", "opacity", "median", "mask", "learner"]),
    st.text(min_size=1, max_size=8),
)
_values = st.recursive(
    _leaves,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(_names, inner, max_size=4),
    max_leaves=12,
)
_quick = settings(
    max_examples=150, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck)
)


@given(data=st.dictionaries(_names, _values, max_size=5))
@_quick
def test_whatever_a_recipe_holds_it_is_read_or_refused_by_its_own_error(data):
    try:
        recipe = parse_recipe(data)
    except GlitchError:
        return
    assert parse_recipe(read_toml(recipe.to_toml(), "recipe")) == recipe


@given(name=_names, value=_values)
@_quick
def test_any_value_of_any_setting_of_a_layer_is_taken_or_refused_by_its_own_error(name, value):
    data = read_toml(RECIPE, "recipe")
    data["layers"][0][name] = value
    try:
        recipe = parse_recipe(data)
    except GlitchError:
        return
    assert parse_recipe(read_toml(recipe.to_toml(), "recipe")) == recipe


@given(
    path=st.text("layers.01grid²é= ", max_size=20), value=st.text('[]{}"=1e9.-nainf', max_size=12)
)
@_quick
def test_any_text_of_a_setting_is_taken_or_refused_by_its_own_error(path, value):
    try:
        parse_recipe(apply_settings(read_toml(RECIPE, "recipe"), [f"{path}={value}"]))
    except GlitchError:
        return


@given(
    text=st.text("0123456789:.x%peE-+/ ²١", max_size=12) | st.integers(0, 10**30).map(str),
    width=st.integers(1, 16_384),
    height=st.integers(1, 16_384),
)
@_quick
def test_any_text_of_a_time_or_a_size_is_taken_or_refused_by_its_own_error(text, width, height):
    with contextlib.suppress(GlitchError):
        Selection(start=parse_seconds(text))
    with contextlib.suppress(GlitchError):
        assert min(parse_scale(text, width, height)) >= 1


@given(
    do=st.text("same_right()*0123456789 #,wait\n²", max_size=40),
    start=st.tuples(st.integers(-2, 8), st.integers(-2, 8)) | st.tuples(st.integers()),
)
@_quick
def test_any_walk_of_a_script_is_walked_or_refused_by_its_own_error(do, start):
    text = SCRIPTS[0].replace("[3, 1]", str(list(start)))
    try:
        script = parse_script(text)
        walker = script.layers[0].agents[0].model_copy(update={"do": do})
        layer = script.layers[0].model_copy(update={"agents": (walker,)})
        script_episode(script.model_copy(update={"layers": (layer,)}), 40, 48, text=text)
    except GlitchError:
        return
