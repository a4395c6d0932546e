"""A study file is checked before anything runs, and an error names the key and what would have been right."""

import os
from pathlib import Path

import pytest

from pixelproof.errors import BadInput, UnknownName
from pixelproof.study import Study, load, parse

ROOT = Path(__file__).parents[2]
GOOD = {
    "name": "small",
    "title": "Small",
    "data": {"name": "digits"},
    "attacks": {"specs": ["fgsm", "pgd:steps=5"], "eps": [0.1]},
}


def content(**changes):
    return GOOD | changes


def section(name, **changes):
    return content(**{name: GOOD.get(name, {}) | changes})


@pytest.mark.parametrize("path", sorted((ROOT / "studies").glob("*.toml")), ids=lambda path: path.stem)
def test_every_study_that_comes_with_the_code_is_good(path):
    study = load(path)
    assert study.name == path.stem
    assert Study.model_validate(study.model_dump(mode="json")) == study


def test_budgets_may_be_fractions():
    study = parse(section("attacks", eps=["8/255", 0.1, "0.25"]))
    assert study.attacks.eps == (8 / 255, 0.1, 0.25)


@pytest.mark.parametrize("eps", ["8/0", "a lot", "-1/255", -0.1, [], "1/2/3"])
def test_budgets_that_cannot_be(eps):
    with pytest.raises(BadInput, match=r"attacks\.eps"):
        parse(section("attacks", eps=eps if isinstance(eps, list) else [eps]))


@pytest.mark.parametrize(
    ("spec", "where", "meant"),
    [
        (content(sed=1), "'sed'", "'seed'"),
        (section("data", nam="mnist"), r"'data\.nam'", r"'data\.name'"),
        (section("attacks", independant=True), r"'attacks\.independant'", r"'attacks\.independent'"),
        (section("model", nets="cnn"), r"'model\.nets'", r"'model\.net'"),
    ],
)
def test_a_misspelt_key_is_named_with_the_nearest(spec, where, meant):
    with pytest.raises(UnknownName, match=rf"mine: expected a known key; got {where}\. Did you mean {meant}"):
        parse(spec, who="mine")


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        (section("attacks", specs=["fgms"]), "Did you mean 'fgsm'"),
        (section("attacks", specs=["pgd:stpes=3"]), "Did you mean 'steps'"),
        (section("attacks", specs=["pgd:steps=0"]), "steps must be at least 1"),
        (section("attacks", eps=[2, 4, 8]), "write 8/255, not 8"),
        (content(training={"epoch": 3}), "Did you mean 'epochs'"),
        (content(training="epochs=three"), "epochs must be int"),
        (content(training={"epochs": 0}), "epochs must be at least 1"),
        (content(name="Not A Name"), "name"),
        ({"title": "x"}, "needs a value for 'name'; got none. Add it to the study"),
        ({"name": "x", "data": {"name": "digits"}}, "needs a value for 'title'; got none"),
        (content(seed=-1), "seed"),
        (section("data", test=0), r"data\.test"),
        (content(paper=3), "paper: "),
        (content(paper=3, paper_of="mnist-attacks"), "paper: "),
        (content(paper_of=["mnist-attacks"]), "study in paper_of"),
        (content(paper=[{"source": "x", "measure": "clean accuracy", "values": [float("nan")]}]), r"paper\.0\.values"),
        (section("attacks", eps=[0.1, 0.10000001]), "'0.1'; got 0.1 and 0.10000001"),
        (section("attacks", specs=["pgd:steps=5", "pgd:steps=5"]), "must differ in the names of their files"),
        (section("attacks", specs=["pgd:steps=5" + " " * 300]), "at most 200 characters"),
        (content(signatures={"n": 60}), "n must be at least 124 for thresholds at rate 0.05; got 60"),
        (content(signatures={"n": 40, "rate": 0.01}), "n must be at least"),
        (content(signatures={"weights": [float("inf")]}), r"signatures\.weights"),
        (content(guards={"k": 80, "index": 75}), "k must be at most index, 75; got 80"),
        (content(seed=10**400), "seed"),
        (content(paper=[{"source": "x", "measure": "luck", "values": [1.0]}]), r"paper\.0\.measure"),
    ],
)
def test_a_wrong_value_is_named(spec, message):
    with pytest.raises(BadInput, match=message):
        parse(spec)


def test_training_is_a_table_or_a_spec():
    table = parse(content(training={"epochs": 3, "augment": "flip", "learning_rate": 0.001}))
    assert table.training == parse(content(training="epochs=3,augment=flip,learning_rate=0.001")).training


def test_files_that_are_no_study(tmp_path):
    with pytest.raises(BadInput, match="expected a readable file"):
        load(tmp_path / "absent.toml")
    for text in (b"name = ", b"\xff\xfe", b"name = 'a'\nname = 'b'", b"a = " + b"[" * 5000, b"n = " + b"9" * 9999):
        (tmp_path / "bad.toml").write_bytes(text)
        with pytest.raises(BadInput, match="must be TOML"):
            load(tmp_path / "bad.toml")


def test_a_pipe_or_a_device_is_no_study_and_is_not_read(tmp_path):
    os.mkfifo(tmp_path / "pipe.toml")
    for path in (tmp_path / "pipe.toml", "/dev/zero"):
        with pytest.raises(BadInput, match=r"expected a readable file; got .* \(a pipe or a device"):
            load(path)


def test_figures_may_be_those_of_a_bundled_study():
    own = {"source": "mine", "measure": "clean accuracy", "values": [0.9]}
    attacks = {"specs": ["bim", "fgsm", "deepfool", "pgd"], "eps": [0.1]}
    study = parse(content(attacks=attacks, paper=[own], paper_of="mnist-attacks"))
    theirs = load("mnist-attacks").paper
    assert study.paper[0].source == "mine"
    assert study.paper[1:] == theirs
    assert "paper_of" not in study.model_dump(mode="json")  # a run's spec holds the figures themselves
    assert Study.model_validate(study.model_dump(mode="json")) == study


@pytest.mark.parametrize("name", ["mnist-atacks", 3])
def test_figures_of_an_unknown_study_are_refused(name):
    with pytest.raises(BadInput, match=r"study in paper_of; got '" + str(name)):
        parse(content(paper_of=name))


def test_settings_nested_too_deeply_and_long_paths_are_one_sentence():
    deep = {}
    for _ in range(5000):
        deep = {"a": deep}
    with pytest.raises(BadInput):
        parse(content(data=deep))
    with pytest.raises(BadInput, match="expected a readable file"):
        load("x" * 500)
