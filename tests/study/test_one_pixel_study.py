"""Paper 3's stages in a study: every pixel tried, and a data set of twins in two halves that share no image."""

import json
import shutil

import pytest
import torch

from pixelproof import report, study, views
from pixelproof.data import load
from pixelproof.errors import BadInput, CertificateRefused, UnknownName
from pixelproof.models import open_saved
from pixelproof.results import CleanRecord
from pixelproof.results.catalogue import CERTIFICATE, PIXEL_SET, REPAIR, SCREENED, SCREENED_BLOCK, SURVEY, SURVEY_BLOCK
from pixelproof.run import Run
from pixelproof.study import one_pixel
from pixelproof.views import OpenRun
from pixelproof.views.answer import Lacking

pytestmark = pytest.mark.slow

CONTENT = {
    "name": "one-pixel",
    "title": "One pixel",
    "seed": 1,
    "data": {"name": "digits", "test": 150},
    "training": {"epochs": 4, "batch": 32},
    "pixels": {"n": 60, "maps": 30, "validation": 8, "certify": 2, "budget": 20, "repair": 10, "evade": 4},
}


@pytest.fixture(scope="module")
def events():
    return []


@pytest.fixture(scope="module")
def run(tmp_path_factory, events):
    folder = tmp_path_factory.mktemp("one-pixel") / "run"
    return study.conduct(study.parse(CONTENT), folder, device="cpu", listener=events.append)


@pytest.fixture(scope="module")
def model(run):
    return open_saved(run.path("model"), torch.device("cpu"))


@pytest.fixture(scope="module")
def twins(run):
    return PIXEL_SET.load(run)


def test_blocks_that_a_killed_run_left_go_when_it_is_resumed(run, tmp_path):
    left = tmp_path / "run"
    shutil.copytree(run.folder, left)
    (left / "run.json").unlink()
    blocks = [result.path(run, start="00000") for result in (SCREENED_BLOCK, SURVEY_BLOCK)]
    blocks = [left / block.relative_to(run.folder) for block in blocks]
    for block, whole in zip(blocks, (SCREENED, SURVEY), strict=True):
        shutil.copy(whole.path(run), block)
    resumed = study.conduct(study.parse(CONTENT), left, device="cpu")
    assert not any(block.exists() for block in blocks)
    assert torch.equal(SCREENED.load(resumed).margin, SCREENED.load(run).margin)


def test_a_network_that_cannot_be_certified_keeps_its_report(run, tmp_path, monkeypatch):
    left, told = tmp_path / "run", []
    shutil.copytree(run.folder, left)
    (left / "run.json").unlink()
    (left / CERTIFICATE.path(run).relative_to(run.folder)).unlink()

    def refuse(*_, **__):
        raise CertificateRefused("certify_one_pixel", "every operation needs a bound", "none for GELU")

    monkeypatch.setattr(one_pixel, "certify_one_pixel", refuse)
    finished = study.conduct(study.parse(CONTENT), left, device="cpu", listener=told.append)
    assert finished.complete
    assert not CERTIFICATE.has(finished)
    assert any("none for GELU" in event.note for event in told)
    assert "No certificates were made" in report.write(finished).read_text()


def originals(index):
    test = load("digits", "test")
    place = {position: row for row, position in enumerate(test.index.tolist())}
    return test[[place[position] for position in index.tolist()]]


def test_the_survey_holds_what_trying_every_pixel_gives(run, model):
    record = SURVEY.load(run)
    images = originals(record.index).images
    assert len(record) == 30
    assert record.complete.all()
    for row in range(0, 30, 4):
        batch = images[row].repeat(128, 1, 1, 1)
        for place in range(64):
            batch[2 * place : 2 * place + 2, 0, place // 8, place % 8] = torch.tensor([0.0, 1.0])
        predicted = model.predict(batch).argmax(1)
        wrong = predicted != record.labels[row]
        assert torch.equal(record.vulnerable[row].flatten(), wrong.view(64, 2).any(1))
        assert set(record.targets[row].nonzero()[:, 0].tolist()) == set(predicted[wrong].tolist())
    assert torch.equal(record.margin.scatter(1, record.labels[:, None], 1.0) < 0, record.targets)
    assert record.untargeted.hits == int(record.targets.any(1).sum())
    assert record.targeted.n == 30 * 9


def test_only_correctly_classified_images_are_searched(run):
    record, clean = SCREENED.load(run), run.load("clean", CleanRecord)
    assert len(record) == 60
    assert not record.complete.any()
    right = set(clean.index[clean.predicted == clean.labels].tolist())
    assert set(record.index.tolist()) <= right
    assert len(set(record.index.tolist())) == len(record)


def test_what_the_likeliest_pixels_reach_every_pixel_reaches(run):
    few, all_ = SCREENED.load(run), SURVEY.load(run)
    rows = [few.index.tolist().index(position) for position in all_.index.tolist()]
    part = few.rows(torch.tensor(rows))
    assert not (part.vulnerable & ~all_.vulnerable).any()
    assert not (part.targets & ~all_.targets).any()
    assert (part.margin >= all_.margin - 1e-5).all()


def test_a_twin_differs_in_the_one_pixel_noted_and_is_taken_for_its_target(twins, model):
    found = twins.found
    changed = (found.images != found.clean).any(1).flatten(1)
    assert torch.equal(changed.sum(1), torch.ones(len(twins), dtype=torch.long))
    assert torch.equal(changed.long().argmax(1), twins.position)
    rows = torch.arange(len(twins))
    assert torch.equal(found.images.flatten(2)[rows, :, twins.position], twins.colour)
    assert torch.equal((found.images * 255).round() / 255, found.images)
    assert torch.equal(found.clean, originals(found.index).images)
    assert torch.equal(model.predict(found.images).argmax(1), found.goal.labels)
    assert torch.equal(model.predict(found.clean).argmax(1), found.labels)
    assert (found.goal.labels != found.labels).all()
    assert found.success.all()


def test_every_attacked_image_is_in_one_half_with_its_twin(run, twins):
    tuning, validation = twins.half("tuning"), twins.half("validation")
    assert not set(tuning.found.index.tolist()) & set(validation.found.index.tolist())
    assert len(tuning) + len(validation) == SCREENED.load(run).untargeted.hits
    assert 0 <= len(tuning) - len(validation) <= 1
    images, attacked = validation.examples()
    assert len(images) == 2 * len(validation) >= 8
    assert int(attacked.sum()) == len(validation)
    assert torch.equal(images[attacked], validation.found.images)
    assert torch.equal(validation.clean(tuple("0123456789")).index, validation.found.index)


def test_targets_are_drawn_among_those_reached_and_are_not_always_the_nearest(run, twins):
    record = SCREENED.load(run)
    place = {index: row for row, index in enumerate(record.index.tolist())}
    rows = torch.tensor([place[index] for index in twins.found.index.tolist()])
    assert record.targets[rows, twins.found.goal.labels].all()
    nearest = record.margin[rows].scatter(1, record.labels[rows, None], torch.inf).argmin(1)
    many = record.targets[rows].sum(1) > 1
    assert many.any()
    assert (nearest[many] != twins.found.goal.labels[many]).any()


def test_progress_has_a_total(run, events):
    told = [event for event in events if event.stage.startswith("one pixel: every")]
    assert told[-1].done == told[-1].total == 30


def test_a_killed_survey_goes_on_with_the_blocks_that_are_kept(run, twins, tmp_path, monkeypatch):
    from pixelproof.study import one_pixel

    monkeypatch.setattr(one_pixel, "BLOCK", 25)
    copy = tmp_path / "copy"
    shutil.copytree(run.folder, copy)
    for name in ("run.json", f"{SCREENED.name()}.safetensors", f"{PIXEL_SET.name()}.safetensors"):
        (copy / name).unlink()

    def kill(event):
        if event.stage.startswith("one pixel") and event.done == 30:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        study.conduct(study.parse(CONTENT), copy, device="cpu", listener=kill)
    assert f"{SCREENED.name()}-00000" in Run.open(copy).names("pixels/")
    told = []
    again = study.conduct(study.parse(CONTENT), copy, device="cpu", listener=told.append)
    assert min(event.done for event in told if event.stage.startswith("one pixel")) == 26
    assert again.names("pixels/") == sorted(each.name() for each in (CERTIFICATE, REPAIR, SCREENED, PIXEL_SET, SURVEY))
    before, after = SCREENED.load(run), SCREENED.load(again)
    assert torch.equal(before.vulnerable, after.vulnerable)
    assert torch.equal(before.index, after.index)
    assert torch.equal(PIXEL_SET.load(again).found.images, twins.found.images)


def test_too_few_attacked_images_are_an_error_that_says_what_to_do(run, tmp_path):
    asked = CONTENT | {"pixels": {"n": 60, "maps": 1, "validation": 400}}
    with pytest.raises(BadInput, match=r"200 attacked images in each half; got \d+ of 60 .* Raise n"):
        study.conduct(study.parse(asked), tmp_path / "run", device="cpu")


def test_the_certificate_is_about_the_first_images_that_are_right(run, model):
    record, clean = CERTIFICATE.load(run), run.load("clean", CleanRecord)
    right = clean.index[clean.predicted == clean.labels]
    assert torch.equal(record.index, right[:2])
    assert clean.index[record.offered - 1] == record.index[-1]
    for row in range(2):
        image = originals(record.index[[row]]).images.repeat(64 * 9, 1, 1, 1)
        for place in range(64):
            image[9 * place : 9 * place + 9, 0, place // 8, place % 8] = torch.linspace(0, 1, 9)
        fooled = bool((model.predict(image).argmax(1) != record.labels[row]).any())
        assert not (fooled and record.certificate.certified[row])
    facts = views.one_pixel(OpenRun(run, "run")).proofs
    assert facts.attacked + facts.certified + facts.undecided == facts.n == 2
    assert facts.certified_accuracy.hits == facts.proven.hits <= facts.robust_accuracy.hits == facts.left_standing.hits
    assert facts.certified_accuracy.n == facts.robust_accuracy.n == record.offered
    assert facts.proven.n == facts.left_standing.n == 2


def test_repair_is_judged_on_the_validation_half_only(run, twins, model):
    record = REPAIR.load(run)
    n = min(10, len(twins.half("validation")))
    assert record.caught.n == record.located.n == record.false_on_twins.n == n
    assert record.false_alarms.n == 10
    assert record.located.hits <= record.caught.hits
    assert [rate.n for rate in record.unseen] == [min(4, n)] * 2
    assert all(unseen.hits <= fooled.hits for unseen, fooled in zip(record.unseen, record.fooled, strict=True))


def test_the_view_is_plain_json_and_agrees_with_the_records(run):
    view = views.one_pixel(OpenRun(run, "run"))
    assert json.loads(json.dumps(view.model_dump(), allow_nan=False)) == view.model_dump(mode="json")
    record = REPAIR.load(run)
    assert (view.repair.caught, view.repair.restored) == (record.caught, record.restored)
    assert tuple(each.unseen for each in view.repair.adaptive) == record.unseen


def test_rates_per_class_add_up(run):
    facts, record = views.one_pixel(OpenRun(run, "run")), SURVEY.load(run)
    assert sum(row.fallen.hits for row in facts.classes) == facts.untargeted.hits
    assert sum(row.reached.hits for row in facts.classes) == facts.targeted.hits == sum(map(sum, facts.pairs))
    assert sum(row.fallen.n for row in facts.classes) == 30
    assert [list(row) for row in facts.map] == record.vulnerable.float().mean(0).tolist()


def test_examples_are_the_first_of_the_validation_half(run, twins):
    shots = views.pixel_examples(run, 3)
    first = twins.half("validation").found.index.sort().values[:3]
    assert [shot.index for shot in shots] == first.tolist()
    for shot in shots:
        row, column = shot.place
        assert (shot.image != shot.clean).any(0).nonzero().tolist() == [[row, column]]
        assert shot.vulnerable[row, column]


def test_the_report_has_its_section_tables_and_figure(run, tmp_path):
    text = report.write(run, tmp_path).read_text()
    for words in (
        "What one pixel can do",
        "Attackability map",
        "correctly classified (lower bound)",
        "Detection by repair",
    ):
        assert words in text
    assert (tmp_path / "figures" / "attackability.png").is_file()
    assert (tmp_path / "tables" / "one-pixel.csv").read_text().count("\n") == 11


def test_bad_settings_are_named():
    with pytest.raises(BadInput, match=r"pixels.n"):
        study.parse(CONTENT | {"pixels": {"n": 0}})
    with pytest.raises(UnknownName, match=r"pixels\.validation"):
        study.parse(CONTENT | {"pixels": {"valid": 3}})


def test_a_study_without_the_section_keeps_nothing_about_pixels(tmp_path):
    asked = {key: value for key, value in CONTENT.items() if key != "pixels"}
    asked["training"] = {"epochs": 1, "batch": 64}
    run = study.conduct(study.parse(asked), tmp_path / "run", device="cpu")
    assert not run.names("pixels/")
    with pytest.raises(Lacking, match=r"Add \[pixels\]"):
        views.one_pixel(OpenRun(run, "run"))
    assert not views.pixel_examples(run, 3)
