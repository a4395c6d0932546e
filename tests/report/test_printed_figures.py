"""A paper's figures stand in a report where its study asks for them, and nowhere else."""

import pytest

from explorer_run import explored
from pixelproof import report, study
from pixelproof.errors import BadInput
from pixelproof.report.printed import printed
from pixelproof.run import Run
from pixelproof.study.growing import grows
from pixelproof.views import OpenRun

PAPER_ONE = ("82.21", "11.5968", "1.34e-30", "9834")
ASKED = {
    "source": "case study 4",
    "measure": "printed",
    "what": "AUC of the signature detector",
    "text": "0.84",
    "values": [0.84],
}


def spec(**change):
    """The spec of a run of a user's own study."""
    content = {"name": "own", "title": "My own", "data": {"name": "digits"}, "signatures": {"n": 200}}
    return study.parse(content | change).model_dump(mode="json", by_alias=True)


def opened(folder, asked):
    return OpenRun(Run.create(folder, asked), "own")


@pytest.fixture(scope="module")
def older():
    """The specs that older versions kept of runs of bundled studies: without figures of this kind."""
    specs = {name: study.load(name).model_dump(mode="json", by_alias=True) for name in study.bundled()}
    return {
        name: each | {"paper": [figure for figure in each["paper"] if figure["measure"] != "printed"]}
        for name, each in specs.items()
    }


def test_a_users_own_study_has_the_figures_it_asks_for_alone(tmp_path):
    assert printed(opened(tmp_path / "none", spec())) == {}
    asked = printed(opened(tmp_path / "one", spec(paper=[ASKED])))
    assert {what: each.text for what, each in asked.items()} == {ASKED["what"]: "0.84"}


def test_an_older_run_of_a_bundled_study_has_its_studys_figures(tmp_path, older):
    found = printed(opened(tmp_path / "one", older["mnist-signatures"]))
    assert found["pooled t-test"].text == "t = 11.5968, p = 1.34e-30"
    assert found["accuracy of the signature detector"].value == 0.8221
    found = printed(opened(tmp_path / "two", older["mnist-masking"]))
    assert (found["training time"].text, found["training time"].row) == ("120 s", "random 30 %")
    other = older["mnist-signatures"] | {"title": "My own, of the same name"}
    assert printed(opened(tmp_path / "three", other)) == {}


@pytest.mark.parametrize("name", study.bundled())
def test_an_older_run_of_a_bundled_study_can_be_gone_on_with(older, name):
    assert grows(older[name], study.load(name).model_dump(mode="json", by_alias=True))


@pytest.mark.slow
def test_the_report_of_a_users_own_study_holds_none_of_paper_ones_figures(tmp_path):
    text = report.write(explored(), tmp_path).read_text()
    assert "Would signatures tell?" in text
    assert [figure for figure in ("paper reports", "Paper 1, figure by figure") if figure in text] == []
    words = "".join(part.partition(">")[2] for part in text.split("<"))
    assert [figure for figure in PAPER_ONE if figure in words] == []


def test_a_printed_figure_says_what_it_is_of():
    with pytest.raises(BadInput, match="needs 'what' and 'text'"):
        spec(paper=[ASKED | {"text": ""}])
