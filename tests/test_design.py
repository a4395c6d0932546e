"""docs/design.md is true: what it names exists, and its nouns have the parameters and fields it gives."""

import dataclasses
import importlib
import inspect
import re
from pathlib import Path

import pytest

import pixelproof
import test_layers

ROOT = Path(__file__).parents[1]
SOURCE = ROOT / "src" / "pixelproof"
DESIGN = (ROOT / "docs" / "design.md").read_text()
FENCES = re.findall(r"^```(\w*)\n(.*?)^```", DESIGN, re.DOTALL | re.MULTILINE)
HOUSE, LAYERS = (body for language, body in FENCES if language == "")
NOUNS = next(body for language, body in FENCES if language == "python")
CALL = re.compile(r"(?P<name>[\w.]+)\((?P<parameters>[^()]*(?:\(\)[^()]*)*)\) ->")


def folders() -> dict[Path, str]:
    """Each folder of the tree, and the text behind it and on its continuation lines."""
    found: dict[Path, str] = {}
    place, home = ROOT, ROOT
    for line in HOUSE.splitlines():
        indented = re.match(r"( *)(\S+/)(?:\s{2,}|$)(.*)", line)
        if indented and len(indented[1]) <= 2:
            home = SOURCE if indented[1] else ROOT
            place = home / indented[2]
            found[place] = indented[3]
        elif line.startswith("    "):
            found[place] += " " + line.strip()
        else:
            top = SOURCE if line.startswith("  ") else ROOT
            place = top
            found[place] = found.get(place, "") + " " + line.strip()
    return found


FOLDERS = folders()
NAMED = [
    (folder, name)
    for folder, text in FOLDERS.items()
    for name in re.findall(r"(?<![\w/*.-])[\w./-]*\w(?:\.(?:py|md|txt|toml)|/)(?!\w)", text)
    if not re.search(r"\d/$", name)
]


def test_the_tree_names_every_folder_and_module_of_the_package():
    told = {folder.name for folder in FOLDERS if folder.parent == SOURCE} | {
        name for home, name in NAMED if home == SOURCE
    }
    there = {path.name for path in SOURCE.iterdir() if path.suffix == ".py" or (path / "__init__.py").exists()}
    assert there == told


@pytest.mark.parametrize(("folder", "name"), NAMED, ids=lambda value: str(getattr(value, "name", value)))
def test_what_the_tree_names_is_there(folder, name):
    assert folder.exists()
    near = (folder / name, ROOT / name)  # a text may name what makes a folder
    assert any(path.exists() for path in near) or list(folder.rglob(name)), f"design.md names {name} in {folder.name}"


def test_the_layers_are_those_that_are_enforced():
    told = {frozenset(re.split(r"\s{4,}", line[3:])[0].split()) for line in LAYERS.splitlines()}
    assert told == {frozenset(level) for level in test_layers.LEVELS if level != {"__main__"}}


def test_the_files_that_the_recipes_name_are_there():
    recipes = (ROOT / "CONTRIBUTING.md").read_text()
    paths = re.findall(r"`((?:[\w-]+/)+(?:[\w-]+\.(?:py|ts|md|toml))?)`", recipes)
    assert len(paths) > 15
    homes = (ROOT, SOURCE)
    missing = {path for path in paths if "NAME" not in path and not any((home / path).exists() for home in homes)}
    assert missing <= {"mnist/", "cifar10/"}  # folders of the reader


@dataclasses.dataclass(frozen=True)
class Told:
    """A thing that the nouns name: what it is a part of, its own name, and its parameters, fields or nothing."""

    owner: str
    name: str
    parameters: str | None = None


def told() -> list[Told]:
    """Everything that the block of nouns says of a class or a function."""
    found, owner = [], ""
    for line in NOUNS.splitlines():
        code, _, comment = line.partition("#")
        if start := re.match(r"[A-Z]\w*(?=[( ]|$)", code):
            owner = start[0]
            if "=" not in code:
                found.append(Told(owner, ""))
        if fields := re.match(r" frozen: ([\w, ]+)", comment):
            found += [Told(owner, field.strip()) for field in fields[1].split(",")]
        for call in CALL.finditer(code):
            inside = call["name"].startswith((".", "__"))
            found.append(Told(owner if inside else "", call["name"].lstrip("."), call["parameters"]))
        found += [Told(owner, name) for name in re.findall(r"(?<=\s)\.(\w+)(?![\w(])", code)]
    return found


TOLD = told()


def class_of(name: str) -> type:
    """The public class of that name."""
    for module in pixelproof.__all__:
        if module != "__version__" and hasattr(importlib.import_module(f"pixelproof.{module}"), name):
            return getattr(importlib.import_module(f"pixelproof.{module}"), name)
    raise AssertionError(f"no public module has {name}")


def test_there_are_nouns_to_check():
    assert len(TOLD) > 60
    assert sum(each.parameters is not None for each in TOLD) >= 19


@pytest.mark.parametrize("each", TOLD, ids=lambda each: f"{each.owner}.{each.name}".strip("."))
def test_the_nouns_are_what_they_are_said_to_be(each):
    if each.parameters is None:
        subject = class_of(each.owner)
        fields = {field.name for field in dataclasses.fields(subject)} if dataclasses.is_dataclass(subject) else set()
        assert not each.name or each.name in fields or hasattr(subject, each.name)
        return
    if each.owner:
        subject = getattr(class_of(each.owner), each.name)
    elif "." in each.name:
        module, function = each.name.split(".")
        subject = getattr(importlib.import_module(f"pixelproof.{module}"), function)
    else:
        subject = class_of(each.name)
    parameters = [p for p in inspect.signature(subject).parameters.values() if p.name != "self"]
    parts = [part.strip() for part in re.split(r",(?![^(]*\))", each.parameters)]
    rest = parts[-1] == "..."
    names = [part for part in parts if part != "..."]
    positional = names[: names.index("*")] if "*" in names else names
    keyword = names[names.index("*") + 1 :] if "*" in names else []
    assert [shown(p) for p in parameters if p.kind is not p.KEYWORD_ONLY] == positional
    real = [shown(p) for p in parameters if p.kind is p.KEYWORD_ONLY]
    assert [text for text in real if text in keyword] == keyword
    assert rest or real == keyword


def shown(parameter: inspect.Parameter) -> str:
    """A parameter as the page writes it: its name, with its default where it has one."""
    if parameter.default is parameter.empty:
        return parameter.name
    return f"{parameter.name}={parameter.default!r}".replace("'", '"')
