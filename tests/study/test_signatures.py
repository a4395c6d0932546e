"""Paper 1's stages in a study: complete, resumable, checked against numbers made without it, and reported."""

import json
import re
import shutil

import pytest
import torch

from pixelproof import lp, report, study, views
from pixelproof.attacks import AdversarialSet
from pixelproof.detect.evaluation.noise import KINDS, matched_noise
from pixelproof.errors import BadInput, UnknownName
from pixelproof.explain import Attribution
from pixelproof.measure.signature_detectors import Split, check_enough, twin
from pixelproof.models import open_saved
from pixelproof.results import CriticalRecord, DetectorRecord, RowTable
from pixelproof.run import Run
from pixelproof.views import OpenRun
from pixelproof.views.answer import Lacking

pytestmark = pytest.mark.slow

CONTENT = {
    "name": "why",
    "title": "Why",
    "paper_of": "mnist-signatures",
    "data": {"name": "digits"},
    "model": {"net": "mlp"},
    "training": {"epochs": 6, "batch": 64},
    "signatures": {
        "attacks": ["fgsm", "pgd:steps=4"],
        "focus": "pgd:steps=4",
        "n": 130,
        "background": 3,
        "k": [4, 8, 16],
        "models": 1,
        "adaptive": 4,
        "steps": 2,
        "weights": [1],
    },
}
VIEWS = ("critical", "signatures", "penultimate", "signature_detectors")

FIGURES = (
    "signature-maps",
    "critical-pixels",
    "critical-bars",
    "critical-histograms",
    "critical-curves",
    "critical-curves-stopped",
    "projection-images",
    "drift",
    "detector-roc",
    "detector-epochs",
)


@pytest.fixture(scope="module")
def events():
    return []


@pytest.fixture(scope="module")
def run(tmp_path_factory, events):
    folder = tmp_path_factory.mktemp("why") / "run"
    return study.conduct(study.parse(CONTENT), folder, device="cpu", listener=events.append)


@pytest.fixture(scope="module")
def page(run, tmp_path_factory):
    """The run's report, with its figures and tables beside it; to be read only."""
    return report.write(run, tmp_path_factory.mktemp("report"))


def test_every_stage_reports_progress_with_a_total(run, events):
    stages = {event.stage.partition(":")[0] for event in events}
    assert {"signatures", "critical pixels", "sanity", "inside", "projection", "detectors", "adaptive attack"} <= stages
    assert all(0 <= event.done <= event.total for event in events)


@pytest.mark.parametrize("name", VIEWS)
def test_views_are_plain_json_without_nan(run, name):
    view = getattr(views, name)(OpenRun(run, "run"))
    assert json.loads(json.dumps(view.model_dump(), allow_nan=False)) == view.model_dump(mode="json")


@pytest.mark.parametrize("name", VIEWS)
def test_views_of_a_study_without_signatures_say_what_to_add(name, tmp_path):
    run = Run.create(
        tmp_path / "run", study.parse({k: v for k, v in CONTENT.items() if k != "signatures"}).model_dump()
    )
    with pytest.raises(Lacking, match=r"Add \[signatures\]"):
        getattr(views, name)(OpenRun(run, "run"))


def test_a_killed_run_goes_on_and_gives_the_same(run, tmp_path):
    copy = tmp_path / "copy"
    shutil.copytree(run.folder, copy)
    for name in ("run.json", "signatures/critical.safetensors", "signatures/inside/fgsm.safetensors"):
        (copy / name).unlink()
    again = study.conduct(study.parse(CONTENT), copy, device="cpu")
    for name in ("critical", "penultimate"):
        view = getattr(views, name)
        assert view(OpenRun(again, "run")) == view(OpenRun(run, "run"))


def test_only_correctly_classified_images_are_explained_and_their_maps_add_up(run):
    model = open_saved(run.path("model"), torch.device("cpu"))
    found = run.load("signatures/twins/fgsm", AdversarialSet)
    assert len(found) == CONTENT["signatures"]["n"]
    assert torch.equal(model.predict(found.clean).argmax(1), found.labels)
    after = run.load("signatures/maps/fgsm", Attribution)
    logits = model.predict(found.images)
    assert torch.equal(after.classes, logits.argmax(1))
    torch.testing.assert_close(after.values.flatten(1).sum(1) + after.base, logits.amax(1), atol=1e-3, rtol=1e-3)


def test_no_image_is_both_fitted_and_judged_on(run):
    for row in views.signature_detectors(OpenRun(run, "run")).rows:
        n = CONTENT["signatures"]["n"]
        assert row.clean_n == n - round(0.5 * n) - round(0.15 * n)
        assert all(judged <= row.clean_n for judged in row.judged_n)


def test_matrices_agree_with_the_focus_figures(run):
    for name in run.names("signatures/detectors/"):
        record = run.load(name, DetectorRecord)
        place = record.attacks.index(record.focus)
        assert float(record.against["clean"][place, place]) == pytest.approx(record.figures.auroc.value, abs=1e-6)
        kinds = torch.stack([record.against[kind][place, place] for kind in KINDS])
        if record.fitted:  # as many noise twins of each kind, so that pooling them is a mean
            assert float(kinds.mean()) == pytest.approx(record.figures_noise.auroc.value, abs=1e-6)
        area = torch.trapezoid(record.tpr, record.fpr)
        assert float(area) == pytest.approx(record.figures.auroc.value, abs=1e-5)


def test_networks_keep_an_accuracy_for_each_of_ten_epochs(run):
    rows = {row.detector: row for row in views.signature_detectors(OpenRun(run, "run")).rows}
    accuracy = rows["network on signatures, as in the paper"].epochs
    assert len(accuracy.fitted) == len(accuracy.held_out) == 10
    assert rows["control: mean of the top pixel row"].epochs is None


def test_noise_twins_are_as_large_as_their_attack(run):
    rows = run.load("signatures/rows/evidence", RowTable).rows
    assert {twin(kind, spec) for kind in KINDS for spec in CONTENT["signatures"]["attacks"]} < set(rows)
    found = run.load("signatures/twins/fgsm", AdversarialSet)
    noisy = matched_noise(found.clean, found.images, torch.Generator().manual_seed(1), kind="uniform")
    size = lp.norm(noisy - found.clean, "l2")
    torch.testing.assert_close(size, found.distance["l2"], rtol=1e-3, atol=1e-5)


def test_the_true_class_is_explained_where_the_class_is_fixed(run):
    found = run.load("signatures/twins/pgd-steps-4", AdversarialSet)
    attacked, noisy = (
        run.load(f"signatures/maps/{name}", Attribution) for name in ("attacked--true-class", "noise--true-class")
    )
    assert torch.equal(attacked.classes, found.labels)
    assert torch.equal(noisy.classes, found.labels)
    facts = views.critical(OpenRun(run, "run"))
    assert facts.attacked.n == facts.noisy.n == facts.held_out.n


def test_stability_is_measured_over_retrained_models_too(run):
    checked = views.critical(OpenRun(run, "run")).sanity
    assert checked.models == 2
    assert 0 < checked.over_models <= 1
    assert run.has("signatures/models/1")
    first, second = (open_saved(run.path(name), torch.device("cpu")) for name in ("model", "signatures/models/1"))
    assert first.digest() != second.digest()


def test_the_attack_that_goes_on_has_curves_of_its_own(run):
    facts = views.critical(OpenRun(run, "run"))
    assert facts.deep == "pgd:steps=4,early_stop=false"
    assert [*dict.fromkeys(row.attack for row in facts.curves)] == [facts.deep, facts.attack]
    found = run.load("signatures/twins/pgd-steps-4-early-stop-false", AdversarialSet)
    assert (found.backwards == 4).all()


def test_curves_start_at_nothing_and_confined_attacks_count_the_same_images(run):
    rows = views.critical(OpenRun(run, "run")).curves
    assert {row.ranking for row in rows} >= {"generation", "detection", "perturbation", "variance", "random"}
    for row in rows:
        if row.k == 0:
            assert row.repaired == row.sufficient == 0
    record = run.load("signatures/critical", CriticalRecord)
    assert {each.fooled.n for each in record.confined} == {record.n}
    assert float(record.histogram.critical.sum()) == record.n * record.k
    assert float(record.histogram.critical.sum() + record.histogram.other.sum()) == record.n * 64


def test_the_report_says_which_test_can_be_believed_and_shows_every_figure(run, page):
    text = page.read_text()
    layer = views.penultimate(OpenRun(run, "run")).rows[0].layer
    for name in (*FIGURES, f"projection-{layer}"):
        assert f'id="figure-{name}"' in text
        assert (page.parent / "figures" / f"{name}.png").is_file()
    for words in (
        "cannot be believed",
        "11.5968",
        "1.34e-30",
        "82.21",
        "0.84",
        "Table I",
        "methodology",
        "insight gained",
        "Adebayo",
        "as in the paper",
    ):
        assert words in text
    assert "99.5\u00a0% of the values shown lie within" in text
    beside = text.split("Beside the paper: fitted")[1].split("</table>")[0]
    assert beside.index("paper 1") < beside.index("82.21") < beside.index("as in the paper")
    columns = text.split("AUROC by attack fitted on")[1]
    assert columns.index("vs clean") < columns.index("vs left out")
    assert (page.parent / "tables" / "detectors.csv").read_text().count("\n") == 1 + 7 * 4


def test_every_figure_and_table_of_the_paper_has_its_line(page):
    text = page.read_text()
    lines = text.split('id="table-paper-one"')[1].split("</table>")[0]
    for printed in ("Fig. 1", "Fig. 2a–c", "Fig. 3", "Fig. 4", "Fig. 5", "Fig. 6a, 6b", "Case study 3"):
        assert printed in lines
    for number in ("Table I,", "Table II,", "Table III,", "Table IV,", "9834", "t = 11.5968", "82.21", "0.84"):
        assert number in lines
    cells = re.findall(r"<td>(.*?)</td>", lines)
    titles = [title.partition(":")[0] for title in re.findall(r"<h2[^>]*>(.*?)</h2>", text)]
    sections = set(titles) | {"How much the classifier withstands", "Beside the paper"}
    named = {part for where in cells[2::3] for part in where.split(", ")}
    assert named <= sections | {"Scores per class"}
    assert cells[1::3].count("not in this study") == 3  # attacks at several budgets were not asked for


def test_the_paper_s_second_table_is_measured(run, page):
    rows = {row.group: row for row in views.signatures(OpenRun(run, "run")).proximity}
    assert {row.n for row in rows.values()} == {CONTENT["signatures"]["n"]}
    assert rows["far from 0"].size.value > 2 * rows["close to 0"].size.value
    assert rows["far above 0"].change.high < 0 < rows["far below 0"].change.low
    table = page.read_text().split('id="table-proximity"')[1].split("</table>")[0]
    assert "Table II" in table
    assert f"{rows['far from 0'].size.value:.2f} [" in table


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"focus": "bim"}, "focus"),
        ({"attacks": ["pgd:eps=0.1"], "focus": "pgd:eps=0.1"}, "share the section's eps"),
        ({"attacks": ["fgms"]}, "Did you mean 'fgsm'"),
        ({"k": [8, 4]}, "ascending"),
        ({"k": [0, 4]}, "ascending"),
        ({"backgrounds": 3}, "background"),
        ({"n": 3}, "greater than or equal to 40"),
        ({"projection": "tsne"}, "'pca', 'umap' or 'auto'"),
        ({"models": -1}, "greater than or equal to 0"),
    ],
)
def test_bad_settings_are_named_before_anything_runs(change, said):
    with pytest.raises(BadInput, match=said):
        study.parse(CONTENT | {"signatures": CONTENT["signatures"] | change})


def test_somebody_elses_network_is_not_trained_again():
    asked = {key: value for key, value in CONTENT.items() if key != "training"} | {"model": {"net": "net.py:Net"}}
    with pytest.raises(BadInput, match=r"signatures\.models: only a network of pixelproof's own"):
        study.parse(asked)


def test_an_unknown_layer_is_named(run, tmp_path):
    copy = tmp_path / "copy"
    asked = CONTENT | {"signatures": CONTENT["signatures"] | {"layers": ["fc7"]}}
    shutil.copytree(run.folder, copy)
    for name in ("run.json", "spec.json"):
        (copy / name).unlink()
    for path in (copy / "signatures" / "projection").iterdir():
        path.unlink()
    (copy / "spec.json").write_text(json.dumps({"format": 1, "spec": json.loads(study.parse(asked).model_dump_json())}))
    with pytest.raises(UnknownName, match="fc7"):
        study.conduct(study.parse(asked), copy, device="cpu")


def test_an_unknown_key_suggests_the_right_one():
    with pytest.raises(UnknownName, match=r"signatures\.background"):
        study.parse(CONTENT | {"signatures": {"backgroud": 3}})


def test_a_k_larger_than_the_image_is_refused(run, tmp_path):
    copy = tmp_path / "copy"
    asked = CONTENT | {"signatures": CONTENT["signatures"] | {"k": [4, 65, 66]}}
    shutil.copytree(run.folder, copy)
    for name in ("run.json", "spec.json", "signatures/critical.safetensors"):
        (copy / name).unlink()
    (copy / "spec.json").write_text(json.dumps({"format": 1, "spec": json.loads(study.parse(asked).model_dump_json())}))
    with pytest.raises(BadInput, match=r"signatures: k must be at most 64"):
        study.conduct(study.parse(asked), copy, device="cpu")


def test_too_few_successes_are_counted_and_what_is_needed_is_said():
    part = torch.arange(60) % 3
    split = Split(part, {"pgd": torch.arange(60) < 30})
    with pytest.raises(BadInput, match=r"detectors, pgd: needs at least 20 successful .* to fit on; got 10"):
        check_enough(split)
