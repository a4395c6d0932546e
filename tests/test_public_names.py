"""`import pixelproof as pp` gives every verb at once, and costs nothing until one is used."""

import pydoc
import rlcompleter
import subprocess
import sys
from importlib.resources import files

import pytest

import pixelproof as pp

VERBS = ("data", "models", "attacks", "prove", "explain", "detect", "defend", "measure", "study")

LAZY = """
import sys
import pixelproof as pp
assert "torch" not in sys.modules
assert set(pp.__all__) <= set(dir(pp))
assert "torch" not in sys.modules, "looking is not using"
pp.errors.BadInput
assert "torch" not in sys.modules
pp.attacks.PGD, pp.data.load, pp.models.wrap
assert "torch" in sys.modules
"""


def test_modules_are_imported_when_they_are_used():
    assert subprocess.run([sys.executable, "-c", LAZY], capture_output=True, text=True).stderr == ""


@pytest.mark.parametrize("name", pp.__all__)
def test_every_public_name_is_there(name):
    assert getattr(pp, name) is not None
    assert f"pp.{name}" in {each.rstrip("(") for each in completions(f"pp.{name}")}


def completions(text):
    completer, found = rlcompleter.Completer({"pp": pp}), []
    while (each := completer.complete(text, len(found))) is not None:
        found.append(each)
    return found


def test_other_names_are_refused_as_of_any_module():
    with pytest.raises(AttributeError, match="has no attribute 'atacks'"):
        _ = pp.atacks


def test_help_lists_the_verbs_and_an_example():
    text = pydoc.plain(pydoc.render_doc(pp))
    assert all(f"\n    {verb} " in text for verb in VERBS)
    example = (pp.__doc__ or "").partition("\n\n    ")[2]
    assert "pp.attacks.mount" in example
    compile("\n".join(line.strip() for line in example.splitlines()), "help", "exec")


def test_types_ship_with_the_package():
    assert (files("pixelproof") / "py.typed").is_file()
