"""The examples in the docstrings of the public objects run."""

from __future__ import annotations

import doctest

import pytest

import glitch_gym
import glitch_render

WITH_EXAMPLES = [
    glitch_gym.ActionSet,
    glitch_gym.read_picture,
    glitch_render.Layer,
    glitch_render.Recipe,
    glitch_render.load_preset,
    glitch_render.replay,
    glitch_render.script_episode,
]


@pytest.mark.parametrize("found", WITH_EXAMPLES, ids=lambda found: found.__name__)
def test_the_examples_of_a_docstring_run(found):
    finder = doctest.DocTestFinder(recurse=False)
    globs = {name: getattr(glitch_render, name) for name in glitch_render.__all__}
    globs |= {name: getattr(glitch_gym, name) for name in glitch_gym.__all__}
    (test,) = finder.find(found, found.__name__, globs=globs)
    assert test.examples
    told: list[str] = []
    runner = doctest.DocTestRunner(optionflags=doctest.ELLIPSIS)
    runner.run(test, out=told.append)
    assert runner.failures == 0, "".join(told)
