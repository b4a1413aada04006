"""Find the files that a recipe would open, and check whether it may."""

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
        setting: setting that names the file, such as ``layers.1.mask``.
        path: path as the recipe writes it.
    """

    setting: str
    path: str

    def __str__(self) -> str:
        path = self.path if self.path.isprintable() else repr(self.path)
        return f"{path} ({self.setting})"


def wanted_paths(recipe: Recipe) -> tuple[WantedPath, ...]:
    """Return the files that a recipe would open, including those of muted layers; open none.

    Samples and installed activations do not count as the user's files.
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
    """Check that a recipe from inside a picture or clip opens none of the user's files.

    Args:
        recipe: the recipe.
        origin: the picture or clip, for the message.
        by_hand: settings, or tables of settings, that the user replaced by hand.

    Raises:
        RecipeError: the recipe names files; the message lists them.
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
        f"the recipe inside {origin} wants to open {files}, which its author chose",
        problems,
        hint=Hint.TRUST_PATHS,
        path=wanted[0].path,
    )
