"""The report: one self-contained, accessible page that escapes what it is given, and files that equal the views."""

import csv
import io
import re
import xml.etree.ElementTree as ElementTree
from html.parser import HTMLParser

import pytest
from PIL import Image

from pixelproof import report, views
from pixelproof.errors import RunError
from pixelproof.report.about import study_toml
from pixelproof.report.page import brief
from pixelproof.report.robustness import robustness
from pixelproof.run import Run
from pixelproof.study import parse
from pixelproof.study.spec import load
from tiny_runs import forge, real

pytestmark = pytest.mark.slow

VOID = {"img", "meta", "link", "br", "hr", "input"}
HOSTILE = "<script>alert('x')</script>"


class Page(HTMLParser):
    """What a browser would build: tags, ids, addresses; it fails on tags that do not match."""

    def __init__(self, text):
        super().__init__()
        self.tags, self.ids, self.addresses, self.images, self.open = [], [], [], [], []
        self.tables, self.headings, self.words = [], [], []
        self.feed(text)
        self.close()
        assert not self.open

    def handle_starttag(self, tag, attrs):
        found = dict(attrs)
        self.tags.append(tag)
        self.ids += [found["id"]] if "id" in found else []
        self.addresses += [(tag, found[key]) for key in ("src", "href", "xlink:href", "data", "action") if key in found]
        if tag == "img":
            self.images.append(found)
        if tag == "table":
            self.tables.append([])
        elif tag in ("caption", "th", "td") and self.tables:
            self.tables[-1].append((tag, found))
        if re.fullmatch("h[1-6]", tag):
            self.headings.append(int(tag[1]))
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.handle_starttag(tag, attrs)
        if tag not in VOID:
            self.handle_endtag(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        if not set(self.open) & {"style", "script"}:
            self.words.append(data)

    @property
    def text(self):
        return " ".join(" ".join(self.words).replace("\u00a0", " ").split())


def opened(run):
    return views.OpenRun(run, run.folder.name)


def written(run, folder):
    return Page(report.write(run, folder).read_text())


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    target = tmp_path_factory.mktemp("report")
    report.write(real(), target)
    return target


@pytest.fixture(scope="module")
def page(folder):
    return Page((folder / "report.html").read_text())


def test_the_page_asks_for_nothing_outside_itself(folder, page):
    ids = set(page.ids)
    assert "script" not in page.tags
    assert page.addresses
    for tag, address in page.addresses:
        inside = address.startswith("data:") or (address.startswith("#") and address[1:] in ids)
        assert inside, (tag, address)
    text = (folder / "report.html").read_text()
    assert "@import" not in text
    assert all(target.startswith("#") and target[1:] in ids for target in re.findall(r"url\(([^)]+)\)", text))


def test_the_page_can_be_read_without_seeing_it(page):
    assert len(page.ids) == len(set(page.ids))
    assert page.images
    assert all(image["alt"] for image in page.images)
    assert len(page.tables) >= 8
    for parts in page.tables:
        assert [tag for tag, _ in parts].count("caption") == 1
        assert all(found.get("scope") in ("row", "col") for tag, found in parts if tag == "th")
    assert page.headings[0] == 1
    assert page.headings.count(1) == 1
    assert all(below <= above + 1 for above, below in zip(page.headings, page.headings[1:], strict=False))


def test_every_section_is_there_and_the_numbers_stand_in_it(page):
    for name in ("summary", "robustness", "paper", "examples", "classes", "confusion", "classifier", "about"):
        assert name in page.ids
    clean = views.overview(opened(real())).clean_accuracy
    assert f"{clean.hits} of {clean.n} test images of digits correctly" in page.text
    for row in views.robustness(opened(real())).rows:
        rates = (row.robust_accuracy, row.left_standing)
        shown = " ".join(f"{100 * rate.value:.1f} % [{100 * rate.low:.1f}, {100 * rate.high:.1f}]" for rate in rates)
        assert f"{shown} {row.misclassified} of {row.n} {row.misclassified_8bit} " in page.text
    assert "upper bounds under the attacks run here" in page.text


@pytest.mark.parametrize("there", [True, False])
def test_a_column_that_would_say_nothing_is_left_out(tmp_path, monkeypatch, there):
    """One search for several budgets has no first break of its own at any of them."""
    run = forge(tmp_path / "run", specs=("pgd",))
    found = views.robustness(opened(run))
    row = found.rows[0].model_copy(update={"median_first_break": 3.0 if there else None})
    curve = found.curves[0].model_copy(update={"points": (row,) * 2})
    found = found.model_copy(update={"curves": (curve,)})
    monkeypatch.setattr(views, "robustness", lambda _: found)
    table = robustness(opened(run)).blocks[-1]
    assert ("first break (pass)" in table.columns) is there
    assert ("First break" in table.note) is there
    assert {len(line) for body in table.bodies for line in body} == {len(table.columns)}


def test_every_figure_says_its_title_unit_and_n(folder, page):
    figures = sorted(path.stem for path in (folder / "figures").glob("*.svg"))
    assert figures == sorted(path.stem for path in (folder / "figures").glob("*.png"))
    assert "robustness-curve-linf" in figures
    for name in figures:
        root = ElementTree.parse(folder / "figures" / f"{name}.svg").getroot()
        assert root.get("aria-label")
        with Image.open(folder / "figures" / f"{name}.png") as image:
            image.verify()
    n = views.overview(opened(real())).clean_accuracy.n
    assert f"Robust accuracy against budget (linf), n = {n}" in page.text
    curve = (folder / "figures" / "robustness-curve-linf.svg").read_text()
    for word in ("100 %", "budget: linf eps", "robust accuracy", "fgsm", "pgd:steps=4", "sign-noise", "all together"):
        assert word in curve


def test_csv_equals_the_views(folder):
    def read(name):
        return list(csv.DictReader(io.StringIO((folder / "tables" / f"{name}.csv").read_text())))

    for row, shown in zip(views.robustness(opened(real())).rows, read("robustness"), strict=True):
        assert (shown["attack"], float(shown["eps"])) == (row.attack, row.eps)
        assert int(shown["misclassified"]) == row.misclassified
        assert float(shown["robust_accuracy_value"]) == row.robust_accuracy.value
        assert float(shown["robust_accuracy_low"]) == row.robust_accuracy.low
        assert int(shown["robust_accuracy_n"]) == views.overview(opened(real())).clean_accuracy.n
        assert float(shown["left_standing_value"]) == row.left_standing.value
        assert shown["median_first_break"] == str(row.median_first_break or "")
    for row, shown in zip(views.paper(opened(real())), read("paper"), strict=True):
        assert shown["difference"] == ("" if row.difference is None else str(row.difference))
    counts = sum(int(row["count"]) for row in read("confusion") if row["attack"] == "clean")
    assert counts == views.overview(opened(real())).clean_accuracy.n
    assert [float(row["f1"]) for row in read("classes")] == [row.f1 for row in views.classes(opened(real()))]
    assert len(read("training")) == len(views.training(opened(real())).epochs)
    images = read("images")
    assert len(images) == sum(row.n for row in views.robustness(opened(real())).rows)
    assert all((row["distance_l2"] == "") == (row["success"] == "False") for row in images)
    assert not any(value.lower() == "nan" for row in images for value in row.values())


def test_the_same_run_gives_the_same_bytes(folder):
    def content(root):
        return {path.relative_to(root): path.read_bytes() for path in root.rglob("*") if path.is_file()}

    once = content(folder)
    report.write(real(), folder)
    assert content(folder) == once


def test_a_failed_write_leaves_the_old_report_whole(tmp_path, monkeypatch):
    path = report.write(forge(tmp_path / "run"))
    before, other = path.read_bytes(), forge(tmp_path / "other", title="Other")

    def full(*_):
        raise OSError("No space left on device")

    monkeypatch.setattr("pixelproof.run.os.replace", full)
    with pytest.raises(RunError, match="No space left"):
        report.write(other, tmp_path / "run")
    assert path.read_bytes() == before
    assert not list((tmp_path / "run").rglob("*.part"))


def test_a_folder_that_cannot_be_written_is_one_clear_error(tmp_path):
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(RunError, match="must be writable"):
        report.write(forge(tmp_path / "run"), tmp_path / "file")


def test_an_unfinished_run_is_one_clear_error(tmp_path):
    run = forge(tmp_path / "run")
    (run.folder / "run.json").unlink()
    with pytest.raises(RunError, match=r"complete run; got only attack.* and \d+ more"):
        report.write(Run.open(run.folder))
    assert not (run.folder / "report.html").exists()


def test_titles_and_class_names_are_escaped(tmp_path):
    names = (HOSTILE, '"><img src=x onerror=alert(1)>', "$a$ & -- b")
    run = forge(tmp_path / "run", classes=names, title=HOSTILE, about="</style><b>", paper=[figure(HOSTILE)])
    path = report.write(run)
    page = Page(path.read_text())
    assert "script" not in page.tags
    assert "b" not in page.tags
    assert all(image["src"].startswith("data:image/png") for image in page.images)
    assert not any("onerror" in image for image in page.images)
    assert HOSTILE in page.text
    for svg in (run.folder / "figures").glob("*.svg"):
        ElementTree.parse(svg)


def figure(source):
    values = {"eps": [0.1, 0.2], "values": [3.0, 4.0], "n": 10}
    return {"source": source, "measure": "misclassified", "attack": "pgd", **values}


def test_fgsm_never_stands_alone(tmp_path):
    page = written(forge(tmp_path / "run", specs=("fgsm", "bim")), None)
    assert "FGSM ran without PGD at linf 0.1, linf 0.2" in page.text
    assert "pgd linf 0.1 not run" in page.text
    assert "pgd not run" in page.text
    paired = written(forge(tmp_path / "paired", specs=("fgsm", "pgd")), None)
    assert "FGSM ran without PGD" not in paired.text
    assert "not run" not in paired.text


def test_fgsm_at_a_budget_that_pgd_did_not_have(tmp_path):
    run = forge(tmp_path / "run", specs=("fgsm", "pgd"))
    run.path("attack/pgd/eps-0.1").unlink()
    page = written(run, None)
    assert "FGSM ran without PGD at linf 0.1." in page.text
    assert "pgd linf 0.1 not run" in page.text


@pytest.mark.parametrize(
    ("made", "absent"),
    [
        ({}, {"paper"}),
        ({"specs": ()}, {"paper", "robustness", "examples", "classes"}),
        ({"specs": ("sign-noise",), "eps": (0.0,)}, {"paper"}),
        ({"specs": ("minimal",), "eps": (None,)}, {"paper", "examples"}),
        ({"classes": [f"class {k}" for k in range(45)], "n": 90}, {"paper", "confusion"}),
        ({"channels": 3, "specs": ("pgd",), "eps": (0.03, 0.04, 0.3)}, {"paper"}),
    ],
    ids=["no paper", "no attacks", "control only", "minimal norm", "many classes", "colour"],
)
def test_sections_without_data_are_left_out(tmp_path, made, absent):
    page = written(forge(tmp_path / "run", **made), None)
    sections = {"summary", "robustness", "paper", "examples", "classes", "confusion", "classifier", "about"}
    assert sections - set(page.ids) == absent
    assert len(page.ids) == len(set(page.ids))
    assert "nan" not in page.text.lower().split()


def test_the_study_in_the_report_asks_for_the_same_run(tmp_path):
    text = study_toml(real().spec)
    (tmp_path / "again.toml").write_text(text)
    assert load(tmp_path / "again.toml") == parse(real().spec)
    odd = parse(real().spec | {"title": 'quotes " and \\ and \x7f and é', "about": "two\nlines"})
    (tmp_path / "odd.toml").write_text(study_toml(odd.model_dump(mode="json")))
    assert load(tmp_path / "odd.toml") == odd


def test_drawing_leaves_no_trace(tmp_path):
    import matplotlib

    before = dict(matplotlib.rcParams)
    report.write(forge(tmp_path / "run"))
    assert dict(matplotlib.rcParams) == before


def test_attacks_get_short_labels_that_stay_different():
    specs = ["pixels", "pgd:eps=2/255,steps=20", "pgd:steps=20,eps=8/255", "few-pixel:k=3", "few-pixel:k=5", "pixels"]
    assert brief(specs) == {
        "pixels": "pixels",
        "pgd:eps=2/255,steps=20": "pgd 2/255",
        "pgd:steps=20,eps=8/255": "pgd 8/255",
        "few-pixel:k=3": "few-pixel:k=3",
        "few-pixel:k=5": "few-pixel:k=5",
    }
