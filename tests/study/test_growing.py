"""When a run may go on with a study that grew, and when it must not."""

import copy

import pytest

from pixelproof import study
from pixelproof.errors import RunError
from pixelproof.results import AuditRecord
from pixelproof.run import Run
from pixelproof.study.growing import grows, taken_up

BASE = {
    "name": "grow",
    "title": "Grow",
    "data": {"name": "digits"},
    "model": {"net": "mlp"},
    "defences": {
        "nets": ["mlp"],
        "seeds": 2,
        "n": 50,
        "rows": [{"name": "baseline"}, {"name": "learned", "specs": ["learned-mask:weight=0.01"]}],
    },
}


def spec(**change):
    """The study as a run keeps it, settings of [defences] changed."""
    content = copy.deepcopy(BASE)
    content["defences"] |= change
    return study.parse(content).model_dump(mode="json")


MORE = [*BASE["defences"]["rows"], {"name": "clip", "specs": ["gradient-clip:norm=1"]}]
LEARNED = {"name": "learned", "specs": ["learned-mask:weight=0.01"]}


@pytest.mark.parametrize(
    "change",
    [
        {},
        {"nets": ["mlp", "cnn"]},
        {"nets": ["mlp", "cnn"], "sizes": {"cnn": 20}},
        {"nets": ["mlp", "cnn"], "rows": [{"name": "baseline"}, LEARNED | {"nets": ["mlp"]}]},
        {"rows": MORE},
        {"rows": [MORE[0], MORE[2], MORE[1]]},
        {"seeds": 3},
        {"sizes": {"mlp": 50}},
    ],
)
def test_what_leaves_every_result_as_it_was_may_grow(change):
    assert grows(spec(), spec(**change))


@pytest.mark.parametrize(
    "change",
    [
        {"nets": ["cnn", "mlp"]},
        {"nets": ["cnn"]},
        {"sizes": {"mlp": 40}},
        {"n": 60},
        {"seeds": 1},
        {"also": [0.2]},
        {"rows": [{"name": "baseline"}]},
        {"rows": [{"name": "baseline"}, LEARNED | {"specs": ["learned-mask:weight=0.02"]}]},
        {"rows": [{"name": "baseline"}, LEARNED | {"training": "epochs=2"}]},
        {"rows": [{"name": "baseline"}, LEARNED | {"nets": ["cnn"]}], "nets": ["mlp", "cnn"]},
        {"rows": [{"name": "other"}, *BASE["defences"]["rows"]]},
        {"search": {"trials": 2}},
    ],
)
def test_what_would_change_a_result_is_another_study(change):
    assert not grows(spec(), spec(**change))


def test_nothing_outside_of_the_section_may_differ():
    for other in ({"seed": 1}, {"training": "epochs=2"}, {"data": {"name": "digits", "train": 500}}):
        assert not grows(spec(), study.parse(BASE | other).model_dump(mode="json"))


def test_a_study_without_the_section_and_what_is_no_study():
    plain = {key: value for key, value in BASE.items() if key != "defences"}
    kept = study.parse(plain).model_dump(mode="json")
    assert grows(kept, kept)
    assert not grows(kept, spec())
    assert not grows({"command": "audit"}, spec())


def test_a_searched_row_grows_with_its_search_as_it_was():
    """What the search found is of the first network, which stays first, and of the search's settings."""
    rows = [*BASE["defences"]["rows"], {"name": "found", "searched": True}]
    searching = {"rows": rows, "search": {"trials": 2}}
    before = spec(**searching)
    for change in ({"nets": ["mlp", "cnn"]}, {"seeds": 3}, {"rows": [*rows, MORE[2]]}):
        assert grows(before, spec(**(searching | change)))
    assert grows(spec(search={"trials": 2}), before), "a searched row more, of a search that was there"
    fixed = {"name": "found", "specs": ["mask:ratio=0.3,fill=0,when=train"]}
    for change in ({"search": {"trials": 3}}, {"rows": [*rows[:-1], fixed]}, {"nets": ["cnn", "mlp"]}):
        assert not grows(before, spec(**(searching | change)))


def test_settings_that_an_older_version_did_not_know_have_their_defaults():
    older = spec()
    del older["defences"]["sizes"]
    assert grows(older, spec(nets=["mlp", "cnn"]))


WORD = AuditRecord("mlp", "baseline", 20, 0.1, "", True, ())  # any result: only names are looked at
SEARCHING = {
    "audit": 20,
    "search": {"trials": 2},
    "rows": [*BASE["defences"]["rows"], {"name": "found", "searched": True}, {"name": "on", "test": "tv:weight=0.1"}],
}


@pytest.mark.parametrize("after", [{"nets": ["mlp", "cnn"]}, {"seeds": 3}])
def test_results_of_its_own_study_are_taken_up(tmp_path, after):
    run = Run.create(tmp_path / "run", spec(**SEARCHING))
    for name in (
        "budget/mlp",
        "search",
        *(f"{kind}/mlp/{row}-{k}" for kind in ("models", "history", "rows") for row in ("found", "on") for k in (0, 1)),
        "audit/mlp/learned",
        "audit/mlp/on-mask-on",
        "audit/on-mask-on",  # as an older version kept it
    ):
        run.save(f"defences/{name}", WORD)
    wider = spec(**(SEARCHING | after))
    assert Run.create(run.folder, wider, grows=taken_up).spec == wider


@pytest.mark.parametrize(
    "name",
    [
        "budget/cnn",
        "rows/cnn/baseline-0",
        "models/mlp/baseline-2",
        "rows/mlp/clip-0",
        "rows/mlp/baseline",
        "history/cnn/found-0",
        "audit/cnn/baseline",
        "audit/mlp/learned-mask-on",
        "notes",
    ],
)
def test_what_its_own_study_did_not_make_is_refused_and_named(tmp_path, name):
    run = Run.create(tmp_path / "run", spec(**SEARCHING))
    run.save("defences/rows/mlp/baseline-0", WORD)
    run.finish({})
    run.save(f"defences/{name}", WORD)
    with pytest.raises(RunError, match=rf"defences/{name}\.safetensors: must be a result of the run's own study"):
        Run.create(run.folder, spec(**(SEARCHING | {"nets": ["mlp", "cnn"]})), grows=taken_up)
    assert Run.open(run.folder).spec == run.spec
    assert run.complete
    assert Run.create(run.folder, run.spec, grows=taken_up).complete, "the study that it was may be looked at as it is"
