"""Gallery, thresholds, detectors, maps and robustness against the run's own records."""

import io

import numpy as np
import pytest
from PIL import Image
from sklearn.decomposition import PCA
from sklearn.metrics import roc_auc_score

from explorer_run import CONTENT, PGD, explored
from pixelproof import views
from pixelproof.attacks import AdversarialSet
from pixelproof.models import History
from pixelproof.results import AttackRecord, GuardRecord, VerdictRecord
from pixelproof.types import Rate
from pixelproof.views.explorer.gallery import Gallery


@pytest.fixture(scope="module")
def run():
    return explored()


@pytest.fixture(scope="module")
def gallery(ask):
    return ask("/gallery")


def rows_of(gallery, name):
    place = next(place for place, each in enumerate(gallery["sets"]) if each["id"] == name)
    return [row for row, found in enumerate(gallery["set"]) if found == place]


def test_gallery_columns_are_the_records(gallery, run):
    assert all(
        len(gallery[name]) == gallery["n"] for name in ("set", "index", "label", "predicted", "success", "margin")
    )
    record = run.load("attack/pgd-steps-4/eps-0.2", AttackRecord)
    rows = rows_of(gallery, "attack~pgd-steps-4~eps-0.2")
    assert len(rows) == CONTENT["attacks"]["examples"]
    for row, shown in zip(rows, record.shown.tolist(), strict=True):
        assert gallery["index"][row] == int(record.index[shown])
        assert gallery["success"][row] == bool(record.success[shown])
        assert gallery["margin"][row] == pytest.approx(float(record.margin[shown]), abs=1e-5)
        assert (gallery["margin"][row] < 0) == gallery["success"][row]
        far = gallery["distance"]["linf"][row]
        assert far == (
            pytest.approx(float(record.distance["linf"][shown]), abs=1e-5) if record.success[shown] else None
        )
    kept = next(each for each in gallery["sets"] if each["id"] == "attack~pgd-steps-4~eps-0.2")
    assert (kept["kept"], kept["attacked"]) == (12, len(record))


def test_every_example_of_the_gallery_opens(gallery, client):
    Gallery.model_validate(gallery)
    for row in range(0, gallery["n"], 97):
        name = f"{gallery['sets'][gallery['set'][row]]['id']}~{gallery['index'][row]}"
        page = client.get(f"/api/runs/explored/examples/{name}").json()
        shown = page["adversarial"] or page["clean"]
        assert (page["label"], shown["predicted"]) == (gallery["label"][row], gallery["predicted"][row])


def test_atlas_shows_each_row_at_its_place(gallery, client):
    plan = gallery["atlas"]
    width, height = plan["tile"]
    size = plan["columns"] * plan["rows"]
    for row in (0, 5, gallery["n"] // 2, gallery["n"] - 1):
        page, tile = divmod(row, size)
        sheet = np.asarray(Image.open(io.BytesIO(client.get(f"/api/{plan['href'].format(page=page)}").content)))
        assert max(sheet.shape) <= 4096
        y, x = divmod(tile, plan["columns"])
        name = f"{gallery['sets'][gallery['set'][row]]['id']}~{gallery['index'][row]}"
        side = "clean" if gallery["set"][row] == 0 else "adversarial"
        own = np.asarray(Image.open(io.BytesIO(client.get(f"/api/runs/explored/examples/{name}/{side}.png").content)))
        assert np.array_equal(sheet[y * height : (y + 1) * height, x * width : (x + 1) * width], own)


@pytest.mark.parametrize("rule", ["tuned", "calibrated"])
def test_cases_are_counted_as_the_study_counts_them(gallery, ask, run, rule):
    column = ask(f"/gallery/composed-{rule}")
    clean, attacked = (run.load(f"guards/verdicts/{name}", VerdictRecord) for name in ("clean", PGD))
    alarm = (attacked.alarm if rule == "tuned" else attacked.quiet_alarm)[:, -1]
    rows = rows_of(gallery, f"guards~sets~{PGD}")
    words = [gallery["cases"][column["case"][row]] for row in rows]
    assert sum(word.startswith("true positive") for word in words) == int((alarm & attacked.fooled).sum())
    assert sum(word.startswith("false negative") for word in words) == int((~alarm & attacked.fooled).sum())
    assert sum(word.startswith("failed attack, alarm") for word in words) == int((alarm & ~attacked.fooled).sum())
    for row in rows_of(gallery, "clean"):
        word = gallery["cases"][column["case"][row]]
        expected = {True: "false positive", False: "true negative", None: "no detector"}[column["alarm"][row]]
        assert word.startswith(expected)
    assert all(column["alarm"][row] is None for row in rows_of(gallery, "attack~fgsm~eps-0.2"))
    assert any(column["case"][row] for row in rows_of(gallery, "clean"))
    assert len(clean.fooled)


def test_thresholds_come_with_scores_that_give_the_same_counts(ask, numbers, run):
    found = ask("/thresholds")
    against = next(each for each in found["against"] if each["attack"] == PGD)
    scores = numbers(against["scores"]["href"])
    assert scores.shape == (len(against["spaces"]), against["clean"] + against["attacked"])
    records = {name: run.load(f"guards/verdicts/{name}", VerdictRecord) for name in ("clean", PGD)}
    quiet = records["clean"].validation & ~records["clean"].fooled
    strange = records[PGD].validation & records[PGD].fooled
    assert (against["clean"], against["attacked"]) == (int(quiet.sum()), int(strange.sum()))
    for place, space in enumerate(against["spaces"]):
        clean, attacked = scores[place, : against["clean"]], scores[place, against["clean"] :]
        assert (clean > space["threshold"]).sum() == int(records["clean"].alarm[quiet][:, place].sum())
        assert (attacked > space["threshold"]).sum() == int(records[PGD].alarm[strange][:, place].sum())
        assert (attacked > np.float32(space["limit"])).sum() == int(records[PGD].quiet_alarm[strange][:, place].sum())
        truth = np.r_[np.zeros(len(clean)), np.ones(len(attacked))]
        assert space["figures"]["auroc"]["value"] == pytest.approx(roc_auc_score(truth, scores[place]), abs=1e-6)
        assert np.trapezoid(space["roc"]["tpr"], space["roc"]["fpr"]) == pytest.approx(
            space["figures"]["auroc"]["value"], abs=1e-4
        )
    assert len(against["examples"]) == scores.shape[1]
    assert against["examples"][-1].startswith(f"guards~sets~{PGD}~")
    layers = {each["layer"]: each for each in found["accuracy"]}
    assert layers["composed"]["best"] == against["spaces"][-1]["k"]
    assert len(layers["composed"]["validation"]) == CONTENT["guards"]["k"]


def test_detector_table_holds_guards_and_signatures(ask, run):
    found = ask("/detectors")
    margin = next(row for row in found["guards"] if (row["detector"], row["attack"]) == ("margin", "pgd:steps=4"))
    record = run.load("guards/detectors/margin", GuardRecord)
    own = record.evaluations["pgd:steps=4"]
    assert margin["auroc"]["value"] == own.figures.auroc.value
    assert margin["alarms"]["hits"] == own.alarms.hits
    assert any(row["control"] for row in found["signatures"])
    known = {(row["detector"], row["attack"]) for row in found["known"]}
    assert {detector for detector, _ in known} >= {"margin", "neighbours, composed"}
    assert ("margin", "any of them") in known


def test_map_of_a_layer_is_pca_and_links_twins(ask, numbers, client, gallery):
    name = next(each["id"] for each in ask("/maps")["maps"] if each["id"] == "pca~images")
    found, points = ask(f"/maps/{name}"), numbers(f"runs/explored/maps/{name}/points.f32")
    assert len(points) == found["n"] == len(found["twin"]) == gallery["n"]
    clean = [row for row, twin in enumerate(found["twin"]) if twin is None]
    pixels = np.stack(
        [numbers(f"runs/explored/examples/clean~{found['index'][row]}/pixels.f32")[0].ravel() for row in clean]
    )
    theirs = PCA(2, svd_solver="full").fit(pixels)
    ours = points[clean]
    signs = np.sign((theirs.transform(pixels) * ours).sum(0))
    assert np.allclose(theirs.transform(pixels) * signs, ours, atol=1e-3)
    assert found["explained"] == pytest.approx(theirs.explained_variance_ratio_.tolist(), abs=1e-4)
    for row, twin in enumerate(found["twin"]):
        assert twin is None or found["index"][twin] == found["index"][row]


def test_stored_map_is_the_studys(ask, numbers, run):
    found = ask("/maps/stored~images")
    points = numbers("runs/explored/maps/stored~images/points.f32")
    assert np.array_equal(
        points[: CONTENT["signatures"]["n"]], run.tensor("signatures/projection/images", "clean").numpy()
    )
    fooled = [row for row, twin in enumerate(found["twin"]) if twin is not None]
    assert fooled
    assert all(found["success"][row] for row in fooled)


def test_robustness_has_intervals_classes_and_links(ask, run, gallery):
    found = ask("/robustness")
    ids = {each["id"] for each in gallery["sets"]}
    rows = {(row.attack, row.eps): row for row in views.robustness(views.OpenRun(run, "explored")).rows}
    for curve in found["curves"]:
        for point in curve["points"]:
            own = rows[curve["attack"], point["eps"]]
            assert point["misclassified"] == own.misclassified == own.n - point["robust_accuracy"]["hits"]
            low, high = Rate(own.robust_accuracy.hits, found["clean_accuracy"]["n"]).interval
            assert (point["robust_accuracy"]["low"], point["robust_accuracy"]["high"]) == (low, high)
            for what in ("hits", "n"):
                assert sum(rate[what] for rate in point["per_class"]) == point["robust_accuracy"][what]
            assert point["set"] in ids
    assert found["focus"]["set"] in ids
    assert found["audit"]["available"] is False


def test_attacks_of_other_sections_have_their_rates(ask, run):
    found = {each["set"]: each for each in ask("/robustness")["sampled"]}
    assert not any("pixels" in name for name in found), "chosen for its successes"
    for section in ("guards/sets", "signatures/twins"):
        stored = run.load(f"{section}/{PGD}", AdversarialSet)
        said = found[f"{section}/{PGD}".replace("/", "~")]["left_standing"]
        assert (said["hits"], said["n"]) == (int((~stored.success).sum()), len(stored.success))
        assert (said["low"], said["high"]) == Rate(said["hits"], said["n"]).interval


def test_training_is_told_epoch_by_epoch(ask, run):
    epochs, stored = ask("")["history"]["epochs"], run.load("history", History)
    for part, scores in (("training", stored.training), ("validation", stored.validation)):
        assert np.allclose([[epoch[part][name] for name in History.COLUMNS] for epoch in epochs], scores.numpy())
    assert [epoch["kept"] for epoch in epochs] == [place == stored.kept for place in range(len(epochs))]
    assert [epoch["epoch"] for epoch in epochs] == [*range(1, len(epochs) + 1)]


def test_the_explorer_begins_with_a_success_that_lasts(ask, run):
    start = ask("")["card"]["start"]
    page = ask(f"/examples/{start}")
    assert page["success"]
    assert page["success_8bit"] or not run.load(f"guards/sets/{PGD}", AdversarialSet).success_8bit.any()
