"""Paper 3's stages in a study: complete, resumable, equal to numbers made without them, and reported."""

import dataclasses
import json
import shutil

import pytest
import torch

from pixelproof import report, study, views
from pixelproof.attacks import AdversarialSet
from pixelproof.data import load
from pixelproof.detect import Store, Tuned, figures
from pixelproof.detect.neighbours.layers import activations
from pixelproof.detect.neighbours.neighbourhood import neighbourhood
from pixelproof.errors import BadInput, CorruptFile, UnknownName
from pixelproof.models import open_saved
from pixelproof.results import (
    GuardRecord,
    KnownRecord,
    NeighbourRecord,
    VerdictRecord,
)
from pixelproof.results.catalogue import CASES, DUPLICATES, PIXEL_SET, VERDICTS
from pixelproof.run import Run, slug
from pixelproof.study.context import Context
from pixelproof.study.guard_table import Spec
from pixelproof.types import Rate
from pixelproof.views import OpenRun

pytestmark = pytest.mark.slow

CONTENT = {
    "name": "notice",
    "title": "Notice",
    "data": {"name": "digits"},
    "model": {"net": "mlp"},
    "training": {"epochs": 6, "batch": 64},
    "pixels": {"n": 100, "maps": 20, "validation": 10},
    "guards": {
        "attacks": ["fgsm", "pgd:steps=4", "pixels"],
        "focus": "pgd:steps=4",
        "eps": 0.12,
        "n": 120,
        "index": 1000,
        "fit": 600,
        "k": 30,
        "calibrate": 100,
        "duplicates": 0.1,
        "detectors": ["margin", "neighbours:k=9,rule=any"],
        "adaptive": 4,
        "steps": 3,
        "weights": [1],
    },
}
PGD, FOCUS = "pgd-steps-4", "pgd:steps=4"


@pytest.fixture(scope="module")
def events():
    return []


@pytest.fixture(scope="module")
def run(tmp_path_factory, events):
    folder = tmp_path_factory.mktemp("notice") / "run"
    return study.conduct(study.parse(CONTENT), folder, device="cpu", listener=events.append)


@pytest.fixture(scope="module")
def model(run):
    return open_saved(run.path("model"), torch.device("cpu"))


def verdict(run, state="clean"):
    return run.load(f"guards/verdicts/{state}", VerdictRecord)


def near(run, state="clean"):
    return run.load(f"guards/neighbours/{state}", NeighbourRecord)


def test_near_duplicates_are_listed_and_left_out(run, model):
    record = DUPLICATES.load(run)
    images = load("digits", "train").sample(1000, 0)
    assert record.images == len(images) == 1000
    place = {int(index): row for row, index in enumerate(images.index)}
    pixels = images.images
    for one, other, apart in zip(record.first.tolist(), record.second.tolist(), record.distance.tolist(), strict=True):
        delta = pixels[place[one]] - pixels[place[other]]
        assert float(delta.square().mean().sqrt()) == pytest.approx(apart, abs=1e-5)
        assert apart <= 0.1
    assert len(record.first) > 0
    store = Store.load(run.folder / "guards" / "index", model)
    assert not set(record.left_out.tolist()) & set(store.origin.tolist())
    assert len(record.change) == len(record.layers) == 4
    for before, after, change in zip(record.with_them, record.without, record.change, strict=True):
        assert change.value == pytest.approx(after - before, abs=1e-9)
        assert change.low <= change.value <= change.high


def test_every_stage_reports_progress_with_a_total(run, events):
    stages = {event.stage.partition(":")[0] for event in events}
    assert {"guards", "index", "tune", "validate", "detector table"} <= stages
    assert all(0 <= event.done <= event.total for event in events)


def test_the_table_of_neighbours_equals_a_look_by_hand(run, model):
    store = Store.load(run.folder / "guards" / "index", model)
    record = near(run, PGD)
    found = run.load(f"guards/sets/{PGD}", AdversarialSet)
    assert torch.equal(record.index, found.index)
    seen = neighbourhood(store, (30,) * len(record.layers), model, found.images)
    assert torch.equal(record.neighbours, torch.stack([store.origin[ids] for ids in seen.ids], 1))
    training = load("digits", "train")
    label_of = dict(zip(training.index.tolist(), training.labels.tolist(), strict=True))
    named = [[label_of[place] for place in row] for row in record.neighbours[:, 0].tolist()]
    assert torch.equal(record.neighbour_labels[:, 0], torch.tensor(named))
    assert (record.distance.diff(dim=2) >= 0).all()


def test_tuning_is_that_of_the_library_on_the_studys_halves(run):
    tuned = run.load(f"guards/tuned/{PGD}", Tuned)
    said, record = verdict(run, PGD), near(run, PGD)
    clean, calm = verdict(run), near(run)
    for layer in range(len(tuned.best)):
        k, threshold = tuned.best[layer], tuned.thresholds[layer]
        for half, grid in ((False, tuned.tuning), (True, tuned.validation)):
            strange = (said.validation == half) & said.fooled
            quiet = (clean.validation == half) & ~clean.fooled
            tpr = (record.neighbour_labels[strange, layer, :k] != record.predicted[strange][:, None]).sum(1) > threshold
            fpr = (calm.neighbour_labels[quiet, layer, :k] != calm.predicted[quiet][:, None]).sum(1) > threshold
            assert grid.tpr[layer, k - 1, threshold] == pytest.approx(float(tpr.float().mean()), abs=1e-6)
            assert grid.fpr[layer, k - 1, threshold] == pytest.approx(float(fpr.float().mean()), abs=1e-6)


def test_halves_are_by_image(run):
    clean, attacked = verdict(run), verdict(run, PGD)
    half = dict(zip(near(run).index.tolist(), clean.validation.tolist(), strict=True))
    own = dict(zip(near(run, PGD).index.tolist(), attacked.validation.tolist(), strict=True))
    assert set(own) <= set(half)
    assert all(half[index] == side for index, side in own.items())
    assert 0.3 < sum(half.values()) / len(half) < 0.7


def test_a_verdict_says_what_its_neighbours_say(run):
    said, record = verdict(run, PGD), near(run, PGD)
    classes = record.logits.shape[1]
    for layer, (k, threshold) in enumerate(zip(said.k, said.thresholds, strict=True)):
        labels = record.neighbour_labels[:, layer, :k]
        votes = torch.stack([(labels == one).sum(1) for one in range(classes)], 1)
        assert torch.equal(said.votes[:, layer], votes)
        strangers = k - votes.gather(1, record.predicted[:, None])[:, 0]
        assert torch.equal(said.strangers[:, layer], strangers)
        assert torch.equal(said.alarm[:, layer], strangers > threshold)
        named = said.recovered[:, layer]
        most = votes.amax(1)
        picked = named >= 0
        assert torch.equal(votes.gather(1, named.clamp_min(0)[:, None])[picked, 0], most[picked])
        assert (named[picked] != record.predicted[picked]).all()
        assert torch.equal(said.quiet_alarm[:, layer], said.score[:, layer] > said.limit[layer])
    assert torch.equal(said.quiet_alarm, said.p_value <= said.rate)
    assert ((said.credibility > 0) & (said.credibility <= 1)).all()


def test_clean_thresholds_come_from_validation_images_only(run):
    calibration = near(run, "calibration")
    validation = load("digits", "val")
    assert set(calibration.index.tolist()) <= set(validation.index.tolist())
    said = verdict(run)
    assert not set(near(run).index.tolist()) & set(validation.index.tolist())
    scores = calibration.nearest(said.k).strangers()
    for layer, limit in enumerate(said.limit.tolist()):
        assert float((scores[:, layer] > limit).float().mean()) <= said.rate


def test_the_detector_table_rests_on_the_judging_half(run):
    record = run.load("guards/detectors/margin", GuardRecord)
    clean, attacked = record.judged["clean"], record.judged["pgd:steps=4"]
    said = verdict(run, PGD)
    assert torch.equal(attacked.index, near(run, PGD).index[said.validation])
    expected = figures(clean.score[~clean.fooled], attacked.score[attacked.fooled], seed=0).auroc
    assert record.evaluations["pgd:steps=4"].figures.auroc == expected
    logits = near(run).logits[verdict(run).validation].topk(2).values
    assert torch.allclose(clean.score, logits[:, 1] - logits[:, 0], atol=1e-4)
    assert record.calibration == 100
    assert record.fitted_on == ""


def test_a_layer_of_the_table_ranks_as_the_verdicts_do(run):
    said, layers = verdict(run, PGD), near(run).layers
    for position, layer in enumerate(layers):
        record = run.load(f"guards/detectors/neighbours--{layer}", GuardRecord)
        score = record.judged["pgd:steps=4"].score
        assert record.fitted_on == "pgd:steps=4"
        other = said.score[said.validation, position]
        assert torch.equal(score.argsort(stable=True), other.argsort(stable=True))


def test_twins_keep_their_halves(run):
    twins = PIXEL_SET.load(run)
    said = verdict(run, "pixels")
    assert torch.equal(near(run, "pixels").index, twins.found.index)
    assert torch.equal(said.validation, twins.validation)
    half = dict(zip(near(run).index.tolist(), verdict(run).validation.tolist(), strict=True))
    shared = [row for row, index in enumerate(twins.found.index.tolist()) if index in half]
    assert shared
    assert all(half[int(twins.found.index[row])] == bool(twins.validation[row]) for row in shared)


def test_moved_is_the_distance_from_the_original_in_units_of_its_nearest_neighbour(run, model):
    store = Store.load(run.folder / "guards" / "index", model)
    found, record = run.load(f"guards/sets/{PGD}", AdversarialSet), near(run, PGD)
    rows = {state: activations(model, getattr(found, state), store.layers)[0] for state in ("clean", "images")}
    for position, layer in enumerate(store.layers):
        gap = (rows["images"][layer] - rows["clean"][layer]).norm(dim=1)
        nearest = torch.cdist(rows["clean"][layer], store.indexes[position].rows).amin(1)
        assert torch.allclose(record.moved[:, position], gap / nearest, rtol=1e-3)
    assert (near(run).moved == 0).all()


def test_images_of_cases_are_the_first_of_each_case(run):
    kept, said, record = CASES.load(run), verdict(run, PGD), near(run, PGD)
    alarmed = said.validation & said.fooled & said.alarm[:, -1]
    wanted = record.index[alarmed].sort().values[:3].tolist()
    assert [int(kept.index[row]) for row, case in enumerate(kept.case) if case == "true positive"] == wanted
    images = load("digits", "train")
    place = {int(index): row for row, index in enumerate(images.index)}
    for row in range(len(kept.case)):
        rows = torch.tensor([place[index] for index in kept.neighbours[row].tolist()])
        assert torch.equal(kept.pictures[row], images[rows].images)
        assert torch.equal(kept.neighbour_labels[row], images[rows].labels)


def test_neighbours_of_the_table_keep_the_studys_settings_unless_they_ask_otherwise(run, model, tmp_path):
    context = Context(study.parse(CONTENT | {"guards": CONTENT["guards"] | {"rate": 0.1}}), run, None, "cpu", print)
    context.model, store = model, Store.load(run.folder / "guards" / "index", model)
    same = Spec("neighbours:k=9")(context, store)
    assert same.store is store
    assert same.calibration.rate == 0.1
    other = Spec("neighbours:k=9,metric=chebyshev")(context, store)
    assert {index.metric for index in other.store.indexes} == {"chebyshev"}
    assert other.calibration.rate == 0.1
    assert Spec("neighbours:k=9,layers=fc2")(context, store).store.layers == ("fc2",)


def test_attacks_that_know_a_detector_have_a_row_for_each(run):
    for name in ("margin", "neighbours--composed", "neighbours-k-9-rule-any"):
        record = run.load(f"guards/known/{name}", KnownRecord)
        assert record.attacks == ("orthogonal", "selective", "sum 1")
        assert record.lost.n == record.n <= 4
        assert record.lost.hits >= max(rate.hits for rate in record.evaded)


def test_the_pixel_a_detector_overlooks_has_a_row_too(run):
    record = run.load("guards/known-pixel/margin", KnownRecord)
    assert (record.norm, record.eps, record.attacks) == ("l0", 1.0, ("quietest pixel",))
    assert record.lost == record.evaded[0]


def test_answers_are_json_and_count_what_the_records_hold(run):
    opened = OpenRun(run, "run")
    for answer in (views.neighbours(opened), views.duplicates(opened)):
        json.dumps(answer.model_dump(mode="json", by_alias=True), allow_nan=False)
    found, said, clean = views.neighbours(opened), verdict(run, PGD), verdict(run)
    fell, right = said.validation & said.fooled, clean.validation & ~clean.fooled
    for position, layer in enumerate(said.layers):
        (counts,) = of_layer(found.cases, layer)
        strange, calm = said.alarm[fell, position], clean.alarm[right, position]
        assert counts.true_positive == Rate(int(strange.sum()), len(strange))
        assert counts.false_negative == Rate(int((~strange).sum()), len(strange))
        assert counts.false_positive == Rate(int(calm.sum()), len(calm))
        assert counts.true_negative == Rate(int((~calm).sum()), len(calm))
        (deep,) = of_layer(found.depth, layer)
        area = figures(clean.score[right, position], said.score[fell, position]).auroc
        assert deep.auroc.value == pytest.approx(area.value)
        (alone,) = of_layer(found.recovered, layer)
        assert alone.right.hits == int((said.recovered[fell, position] == near(run, PGD).labels[fell]).sum())
    patterns = [row for row in found.disagreement if row.state == FOCUS]
    assert sum(row.images.hits for row in patterns) == int(fell.sum())
    for curve in found.rocs:
        assert (curve.fpr[0], curve.tpr[0]) == (0, 0)
        assert (curve.fpr[-1], curve.tpr[-1]) == (1, 1)


def of_layer(rows, layer):
    """The row of a layer under the attack that the rule was tuned on."""
    return [row for row in rows if (row.attack, row.layer) == (FOCUS, layer)]


def test_the_four_cases_and_with_have_their_names_outside_python(run):
    """JSON and tables call them as the field does; Python cannot."""
    opened = OpenRun(run, "run")
    counts = views.neighbours(opened).model_dump(mode="json", by_alias=True)["cases"][0]
    assert list(counts) == ["attack", "layer", "true positive", "false negative", "true negative", "false positive"]
    effect = views.duplicates(opened).model_dump(mode="json", by_alias=True)["layers"][0]
    assert list(effect) == ["layer", "k", "with", "without", "change"]


def test_an_attack_that_breaks_no_image_of_the_judging_half_has_no_rows_of_its_own(run, tmp_path):
    again = tmp_path / "run"
    shutil.copytree(run.folder, again)
    copied, none = Run.open(again), "fgsm"
    record = VERDICTS.load(copied, state=none)
    VERDICTS.save(copied, dataclasses.replace(record, fooled=torch.zeros_like(record.fooled)), state=none)
    opened = OpenRun(copied, "run")
    found = views.neighbours(opened)
    assert {row.attack for row in found.depth} == {row.state for row in found.disagreement} - {"clean"}
    assert none not in {row.attack for row in found.depth}
    assert {row.right for row in found.recovered if row.attack == none} == {Rate(0, 0)}
    section = report.neighbours(opened)
    tables = {block.name: block for block in section.blocks[-1].blocks}
    (title,) = {body[0][0].text.partition(":")[0] for body in tables["disagreement-others"].bodies}
    assert title == "pixels"


def test_the_table_of_detectors_holds_every_pair(run):
    rows = views.detectors(OpenRun(run, "run")).guards
    names = [*(f"neighbours, {layer}" for layer in near(run).layers), "margin", "neighbours:k=9,rule=any"]
    assert list(dict.fromkeys(row.detector for row in rows)) == names
    assert len(rows) == len(names) * 3
    for row in rows:
        record = run.load(f"guards/detectors/{slug(row.detector)}", GuardRecord)
        evaluation = record.evaluations[row.attack]
        assert row.alarms_5.hits == evaluation.alarms.hits
        assert row.false_alarms_5.hits == evaluation.false_alarms.hits
        assert row.auroc.low <= row.auroc.value <= row.auroc.high
        assert row.lost is not None
        assert row.lost_pixel is not None


def test_the_report_shows_the_papers_figures_and_the_table(run, tmp_path):
    page = report.write(run, tmp_path).read_text()
    for name in ("neighbour-thresholds", "neighbour-k", "neighbour-roc"):
        assert (tmp_path / "figures" / f"{name}.svg").is_file()
        assert f'id="figure-{name}"' in page
    for words in ("What the neighbours say", "attacked and alarmed", "The detector table", "by a known pixel"):
        assert words.lower() in page.lower()
    best = max(
        (row for row in views.detectors(OpenRun(run, "run")).guards if row.attack == FOCUS),
        key=lambda row: row.auroc.value,
    )
    assert f"Of the detectors {best.detector} tells {FOCUS} from clean images best" in page
    for name in ("alarm-rule", "cases", "recovered", "depth", "detector-table", "detectors-known"):
        assert (tmp_path / "tables" / f"{name}.csv").read_text().count("\n") > 1
    assert "nan" not in (tmp_path / "tables" / "detector-table.csv").read_text().lower()


def test_a_killed_study_goes_on_to_the_same_numbers(run, tmp_path):
    again = tmp_path / "run"
    shutil.copytree(run.folder, again)
    (again / "run.json").unlink()
    (again / "guards" / "index" / "store.safetensors").unlink()  # as when killed while the index is written
    for name in (f"neighbours/{PGD}", f"verdicts/{PGD}", f"tuned/{PGD}", "detectors/margin"):
        (again / "guards" / f"{name}.safetensors").unlink()
    done = study.conduct(study.parse(CONTENT), again, device="cpu")
    assert done.complete
    assert torch.equal(verdict(done, PGD).strangers, verdict(run, PGD).strangers)
    one, other = (each.load("guards/detectors/margin", GuardRecord) for each in (done, run))
    assert one.evaluations["fgsm"].figures == other.evaluations["fgsm"].figures


def test_an_index_without_its_last_file_is_not_read(run, model, tmp_path):
    shutil.copytree(run.folder / "guards" / "index", tmp_path / "index")
    (tmp_path / "index" / "store.safetensors").unlink()
    with pytest.raises(CorruptFile, match="finished store"):
        Store.load(tmp_path / "index", model)


@pytest.mark.parametrize(
    ("change", "kind", "words"),
    [
        ({"k": 5000}, BadInput, "k must be at most index"),
        ({"focus": "pdg"}, BadInput, "focus"),
        ({"attacks": ["fgsm", "fgsm"], "focus": "fgsm"}, BadInput, "each attack once"),
        ({"detectors": ["margn"]}, BadInput, "margin"),
        ({"detectors": ["signature"]}, BadInput, "attacked training images"),
        ({"detectors": ["margin", "margin"]}, BadInput, "each detector once"),
        ({"n": 10}, BadInput, "guards.n"),
        ({"metric": "euclid"}, BadInput, "metric"),
        ({"depth": 3}, UnknownName, "guards.depth"),
    ],
)
def test_sections_that_cannot_be_right(change, kind, words):
    with pytest.raises(kind, match=words):
        study.parse(CONTENT | {"guards": CONTENT["guards"] | change})


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"layers": ["fc"]}, "Did you mean"),
        ({"eps": 0.0}, "successful attacks"),
    ],
)
def test_studies_that_cannot_go_on_say_why(run, tmp_path, change, words):
    again = tmp_path / "run"
    content = CONTENT | {"guards": CONTENT["guards"] | change}
    Run.create(again, study.parse(content).model_dump(mode="json"))
    for name in ("model", "history", "clean", "pixels/set", "pixels/survey", "pixels/screened"):
        (again / name).parent.mkdir(exist_ok=True)
        shutil.copy(run.path(name), again / f"{name}.safetensors")
    with pytest.raises(BadInput, match=words):
        study.conduct(study.parse(content), again, device="cpu")
