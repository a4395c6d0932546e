"""Imports go down the layers of docs/design.md only: a module may import its own folder and lower levels."""

import ast
from pathlib import Path

import pytest

SOURCE = Path(__file__).parents[1] / "src" / "pixelproof"
LEVELS = [
    {"types", "errors", "specs", "draws", "lp", "masks", "scores", "atomic", "owner", "tensorfile", "tree"},
    {"data", "run"},
    {"models"},
    {"attacks", "explain"},
    {"detect", "prove"},
    {"results"},
    {"defend", "measure"},
    {"study", "views"},
    {"report", "web"},
    {"cli"},
    {"__main__"},
]
LEVEL = {name: level for level, names in enumerate(LEVELS) for name in names}
FILES = sorted(path for path in SOURCE.rglob("*.py") if path != SOURCE / "__init__.py")


def unit(path: Path) -> str:
    """The folder or file directly under src/pixelproof that `path` belongs to."""
    return path.relative_to(SOURCE).parts[0].removesuffix(".py")


def imported(tree: ast.AST) -> set[str]:
    """Top-level pixelproof units that a module imports, anywhere in it."""
    names = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and node.module and node.module.split(".")[0] == "pixelproof":
            parts = node.module.split(".")
            names |= {parts[1]} if len(parts) > 1 else {alias.name for alias in node.names}
        if isinstance(node, ast.Import):
            names |= {alias.name.split(".")[1] for alias in node.names if alias.name.startswith("pixelproof.")}
    return names - {"__version__"}


def violations(home: str, source: str) -> set[str]:
    """What `source`, living in `home`, imports from its own level or above."""
    return {
        name
        for name in imported(ast.parse(source))
        if name != home and (LEVEL[name] > LEVEL[home] or (LEVEL[name] == LEVEL[home] and LEVEL[home] > 0))
    }


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(SOURCE)))
def test_imports_go_down(path):
    assert unit(path) in LEVEL, f"{unit(path)} has no level: add it to LEVELS and to docs/design.md"
    assert not violations(unit(path), path.read_text())


@pytest.mark.parametrize("path", sorted((SOURCE / "cli").glob("*.py")), ids=lambda path: path.name)
def test_files_of_the_command_line_are_thin(path):
    assert len(path.read_text().splitlines()) <= 120, (
        "what is more than to parse, call and print belongs to a lower layer"
    )


def test_an_upward_or_sideways_import_is_caught():
    assert violations("models", "from pixelproof.attacks import PGD") == {"attacks"}
    assert violations("attacks", "import pixelproof.explain.shapley") == {"explain"}
    assert not violations("attacks", "from pixelproof.models import Classifier\nfrom pixelproof.attacks import x")
