"""What stands in one place only: results, specs, classes and addresses by their names; and no answer is untyped."""

import ast
import re
from collections import defaultdict
from pathlib import Path

import pytest

from pixelproof.results import RESULTS

SOURCE = Path(__file__).parents[1] / "src" / "pixelproof"
PAGES = Path(__file__).parents[1] / "frontend" / "src"
FILES = sorted(SOURCE.rglob("*.py"))
FACES = [path for path in FILES if path.relative_to(SOURCE).parts[0] in ("views", "report")]
TREES = {path: ast.parse(path.read_text()) for path in FILES}
# Folders of results: what a name in a run begins with.
FOLDERS = tuple(sorted({kind.pattern.partition("{")[0] for kind in RESULTS.values() if "/" in kind.pattern}))


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(SOURCE)))
def test_no_other_module_spells_a_name_of_a_result(path):
    if path == SOURCE / "results" / "catalogue.py":
        return
    said = {
        node.value for node in ast.walk(TREES[path]) if isinstance(node, ast.Constant) and isinstance(node.value, str)
    } - {ast.get_docstring(node, clean=False) for node in ast.walk(TREES[path]) if isinstance(node, DOCUMENTED)}
    assert not {text for text in said if text.startswith(FOLDERS)}


def test_addresses_are_spelled_in_one_place():
    own = {SOURCE / "views" / "paths.py", PAGES / "api" / "answers.ts"}  # the latter is made from the former
    spelled = re.compile(r"""["'`/](?:runs|live)/[{$]""")
    sources = [*FILES, *(path for path in PAGES.rglob("*") if path.suffix in (".ts", ".svelte"))]
    assert {path for path in sources if spelled.search(path.read_text())} == own


DOCUMENTED = (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)


def test_a_spec_becomes_a_part_of_a_name_in_one_place():
    slugs = [path for path, tree in TREES.items() for node in ast.walk(tree) if named(node, "slug")]
    assert slugs == [SOURCE / "run.py"]


def test_no_class_name_is_defined_twice():
    places = defaultdict(list)
    for path, tree in TREES.items():
        for node in ast.walk(tree):
            if isinstance(node, ast.ClassDef):
                places[node.name].append(str(path.relative_to(SOURCE)))
    assert {name: where for name, where in places.items() if len(where) > 1} == {}


def named(node: ast.AST, name: str) -> bool:
    """Whether this is the definition of a function of that name."""
    return isinstance(node, ast.FunctionDef) and node.name == name


@pytest.mark.parametrize("path", FACES, ids=lambda path: str(path.relative_to(SOURCE)))
def test_what_views_and_report_hand_over_has_named_fields(path):
    """A dict of anything would have its keys spelled, and its values guessed, wherever it is read."""
    assert not untyped(TREES[path])


def test_a_dict_of_anything_is_found_wherever_it_stands():
    assert len(untyped(ast.parse("def rows(of: dict[str, Any] | None) -> list[dict[str, Any]]: ..."))) == 2
    assert untyped(ast.parse("found: Dict[str, typing.Any] = {}"))
    assert not untyped(ast.parse("def by_norm() -> dict[str, float]: ..."))


def untyped(tree: ast.AST) -> list[str]:
    """Every type in a module that is a dict of anything by names."""
    types = (ast.unparse(node) for node in ast.walk(tree) if isinstance(node, ast.Subscript))
    return [text for text in types if re.fullmatch(r"(\w+\.)?[dD]ict\[str, (\w+\.)?Any\]", text)]
