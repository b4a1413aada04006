"""Files that a recipe would open, and whether it may."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from glitch_gym.activation import is_activation_name
from glitch_gym.errors import Hint, Problem, RecipeError
from glitch_render.recipe.model import Recipe

__all__ = ["WantedPath", "check_wanted_paths", "wanted_paths"]


_MOST_NAMED = 5


@dataclass(frozen=True)
class WantedPath:
    """A file that a recipe would open.

    Args:
        setting: that names it, such as ``layers.1.mask``.
        path: as the recipe has it.
    """

    setting: str
    path: str

    def __str__(self) -> str:
        path = self.path if self.path.isprintable() else repr(self.path)
        return f"{path} ({self.setting})"


def wanted_paths(recipe: Recipe) -> tuple[WantedPath, ...]:
    """Return the files that a recipe would open, muted layers' included; nothing is opened.

    Samples and activations that are installed are not files of the user's.
    """
    found = []
    if not is_activation_name(recipe.activation):
        found.append(WantedPath("activation", recipe.activation))
    if recipe.weights is not None:
        found.append(WantedPath("weights", recipe.weights))
    for number, layer in enumerate(recipe.layers, 1):
        if layer.mask is not None and not layer.mask.startswith("sample:"):
            found.append(WantedPath(f"layers.{number}.mask", layer.mask))
    return tuple(found)


def check_wanted_paths(recipe: Recipe, origin: str, *, by_hand: Iterable[str] = ()) -> None:
    """Refuse a recipe from inside a picture or clip that would open files of the user's.

    Args:
        recipe: to look at.
        origin: the picture or clip, for the message.
        by_hand: settings, or tables of them, that a person gave in place of the recipe's own.

    Raises:
        RecipeError: with the files that are wanted.
    """
    given = tuple(by_hand)
    wanted = [
        one
        for one in wanted_paths(recipe)
        if not any(one.setting == name or one.setting.startswith(f"{name}.") for name in given)
    ]
    if not wanted:
        return
    files = ", ".join(map(str, wanted[:_MOST_NAMED]))
    if len(wanted) > _MOST_NAMED:
        files += f" and {len(wanted) - _MOST_NAMED} more"
    problems = tuple(Problem(f"{one.setting} wants to open {one.path}") for one in wanted)
    raise RecipeError(
        f"the recipe inside {origin} wants to open {files}, which came with it from elsewhere",
        problems,
        hint=Hint.TRUST_PATHS,
        path=wanted[0].path,
    )
