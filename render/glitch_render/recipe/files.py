"""Read recipes from TOML files, or from pictures and clips that carry one."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from glitch_gym.errors import RecipeError
from glitch_gym.input import check_file
from glitch_render.media.formats import CLIPS
from glitch_render.media.metadata import carries_recipe, text_of_clip, text_of_picture
from glitch_render.recipe.model import Recipe
from glitch_render.recipe.paths import check_wanted_paths
from glitch_render.recipe.toml import parse_recipe, read_recipe_file, read_toml

__all__ = ["read_recipe", "recipe_text"]


def recipe_text(path: str | Path) -> str:
    """Read the text of a recipe from a TOML file, or from a picture or clip that carries one.

    Raises:
        RecipeError: the file is missing or unreadable, or is a picture or clip without a recipe.
    """
    path = Path(path)
    suffix = path.suffix.lower()
    if not carries_recipe(path):
        return read_recipe_file(path)
    check_file(path, "recipe", error=RecipeError)
    text = text_of_clip(path) if suffix in CLIPS else text_of_picture(path)
    if not text:
        raise RecipeError(
            f"{path} carries no recipe: was it made, or saved again, by another program?",
            path=str(path),
        )
    return text


def read_recipe(
    path: str | Path,
    *,
    learners: Mapping[str, Any] | None = None,
    trust_paths: bool = False,
) -> Recipe:
    """Read a recipe from a TOML file, or from a picture or clip that carries one.

    A picture may come from a stranger: the recipe inside it runs no code, and opens none of your
    files without your permission.

    Args:
        path: path of the file.
        learners: custom learners, by their names in the recipe: objects with ``learn``, or classes
            or functions that make one.
        trust_paths: accept a recipe from inside a picture or clip although it names files (masks,
            weights), which are opened when it is used.

    Raises:
        RecipeError: the file is missing or malformed, is a picture or clip without a recipe, or is
            one whose recipe names files.
        SettingError: one of ``learners`` has no usable name, or is not a learner.
    """
    text = recipe_text(path)
    recipe = parse_recipe(read_toml(text, str(path)), str(path), text=text, learners=learners)
    if carries_recipe(path) and not trust_paths:
        check_wanted_paths(recipe, str(path))
    return recipe
