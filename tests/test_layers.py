"""The house: no circle of files, and nothing that is too long to read."""

from __future__ import annotations

import ast
import graphlib
import re
from pathlib import Path

import grimp

ROOT = Path(__file__).parent.parent
PACKAGES = ("glitch_gym", "glitch_agents", "glitch_render")
# An environment draws itself: the one import against the stream, inside render()
AGAINST = {("glitch_gym.env", "glitch_render.engine.replay"),
           ("glitch_gym.vector_env", "glitch_render.engine.replay")}  # fmt: skip


def test_no_file_imports_itself_by_way_of_others():
    graph = grimp.build_graph(*PACKAGES, exclude_type_checking_imports=True, cache_dir=None)
    imported = {
        module: {
            other
            for other in graph.find_modules_directly_imported_by(module)
            if (module, other) not in AGAINST
        }
        for module in graph.modules
    }
    # Raises CycleError, with the files of the circle
    graphlib.TopologicalSorter(imported).prepare()


def sources():
    for folder in ("glitch_gym", "agents/glitch_agents", "render/glitch_render"):
        yield from sorted((ROOT / folder).rglob("*.py"))


def test_no_module_is_longer_than_can_be_read_in_one_go():
    longest = {path.name: path.read_text(encoding="utf-8").count("\n") for path in sources()}
    assert {name: lines for name, lines in longest.items() if lines > 500} == {}


def test_no_function_is_longer_than_two_screens():
    long = {}
    for path in sources():
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                body = node.body[1:] if ast.get_docstring(node) else node.body
                lines = node.end_lineno - body[0].lineno + 1 if body else 0
                if lines > 80:
                    long[f"{path.name}:{node.name}"] = lines
    assert long == {}


def test_no_library_error_names_an_option_of_the_command_line():
    option = re.compile(r"(?<![\w-])--[a-z][a-z-]+")
    for path in sources():
        if "cli" in path.parts:
            continue
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Raise) and node.exc is not None:
                for text in ast.walk(node.exc):
                    if isinstance(text, ast.Constant) and isinstance(text.value, str):
                        said = text.value.replace("pip install --upgrade", "")
                        assert not option.search(said), (path, text.lineno)
