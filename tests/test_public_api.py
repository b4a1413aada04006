"""The surface that users import from: complete, documented, and the same at run time.

Ruff keeps each ``__all__`` sorted.
"""

from __future__ import annotations

import ast
import importlib
import inspect
import re
from enum import Enum
from pathlib import Path

import pytest

import glitch_agents
import glitch_gym
import glitch_render

ROOT = Path(__file__).parent.parent
PACKAGES = [glitch_gym, glitch_agents, glitch_render]


@pytest.mark.parametrize("package", PACKAGES, ids=lambda package: package.__name__)
def test_the_names_of_a_package_are_reachable_and_in_its_dir(package):
    assert len(set(package.__all__)) == len(package.__all__)
    for name in package.__all__:
        getattr(package, name)
    assert set(package.__all__) <= set(dir(package))


@pytest.mark.parametrize("package", PACKAGES, ids=lambda package: package.__name__)
def test_every_public_class_and_function_has_a_docstring_of_its_own(package):
    for name in package.__all__:
        found = getattr(package, name)
        if inspect.isclass(found) or inspect.isfunction(found):
            text = found.__doc__ or ""
            assert text.strip(), f"{package.__name__}.{name}"
            # A dataclass without a docstring is given its signature as one
            assert not text.startswith(f"{name}("), f"{package.__name__}.{name}"


def test_every_argument_of_a_public_class_of_the_world_is_explained():
    for name in glitch_gym.__all__:
        found = getattr(glitch_gym, name)
        if inspect.isclass(found) and not issubclass(found, Exception | Enum):
            for argument in inspect.signature(found).parameters:
                if argument not in ("args", "kwargs"):
                    assert f"    {argument}: " in (found.__doc__ or ""), f"{name}({argument}=)"


def test_all_errors_are_public_since_users_catch_them():
    from glitch_gym import errors

    classes = {
        name
        for name, found in vars(errors).items()
        if inspect.isclass(found) and issubclass(found, glitch_gym.GlitchError)
    }
    assert classes <= set(glitch_gym.__all__)


def test_lazy_names_are_told_to_type_checkers_as_they_are_found():
    tree = ast.parse(Path(glitch_render.__file__).read_text(encoding="utf-8"))
    told = {
        alias.name: node.module
        for node in ast.walk(tree)
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("glitch_render.")
        for alias in node.names
    }
    assert set(told) == set(glitch_render.__all__)
    for name, module in told.items():
        assert getattr(importlib.import_module(module), name) is getattr(glitch_render, name)


def test_an_unknown_name_is_an_attribute_error():
    with pytest.raises(AttributeError, match="no attribute 'corrupted'"):
        glitch_render.corrupted  # noqa: B018


def test_the_version_is_in_one_place():
    from importlib.metadata import version

    assert version("glitch-gym") == glitch_gym.__version__
    text = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    assert not re.search(r'^version = "', text, re.MULTILINE)
