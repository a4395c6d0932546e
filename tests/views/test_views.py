"""Every view is plain JSON and says what the attacks did, checked against numbers made without it."""

import json

import pytest
import torch
from pydantic import TypeAdapter

from pixelproof import attacks, data, models, views
from pixelproof.models import History
from pixelproof.results import AttackRecord
from pixelproof.scores import Scores
from pixelproof.types import Rate
from pixelproof.views.answer import Lacking
from tiny_runs import CONTENT, forge, real

EPS = CONTENT["attacks"]["eps"]
VIEWS = {
    "overview": lambda run: plain(views.overview(opened(run))),
    "training": lambda run: plain(views.training(opened(run))),
    "robustness": lambda run: plain(views.robustness(opened(run))),
    "classes": lambda run: [plain(row) for row in views.classes(opened(run))],
    "confusion": lambda run: [plain(row) for row in views.confusion(opened(run))],
    "paper": lambda run: [plain(row) for row in views.paper(opened(run))],
    "images": lambda run: [plain(row) for row in views.images(opened(run))],
}


def opened(run):
    """The run, opened for reading."""
    return views.OpenRun(run, run.folder.name)


def plain(answer):
    """An answer as the API gives it."""
    return json.loads(TypeAdapter(type(answer)).dump_json(answer, by_alias=True))


@pytest.fixture(scope="module")
def model():
    return models.open_saved(real().path("model"), torch.device("cpu"))


@pytest.fixture(scope="module")
def test():
    return data.load("digits", "test").sample(CONTENT["data"]["test"], CONTENT["seed"])


@pytest.fixture(scope="module")
def swept(model, test):
    """The same attacks run again, outside any study."""
    return {
        spec: attacks.sweep(attacks.parse(f"{spec}{',' if ':' in spec else ':'}eps=0.1"), model, test, EPS, seed=3)
        for spec in CONTENT["attacks"]["specs"]
    }


def cells(rows, **wanted):
    return [row for row in rows if all(getattr(row, key) == value for key, value in wanted.items())]


@pytest.mark.parametrize("name", VIEWS)
def test_views_are_plain_json_without_nan(name):
    view = VIEWS[name](real())
    assert view
    assert json.loads(json.dumps(view, allow_nan=False)) == view


def test_robustness_says_what_the_attacks_did(swept):
    rows = views.robustness(opened(real())).rows
    assert len(rows) == len(swept) * len(EPS)
    for spec, curve in swept.items():
        for eps, adversarial in zip(EPS, curve, strict=True):
            (row,) = cells(rows, attack=spec, eps=eps)
            assert row.n == len(adversarial)
            assert row.misclassified == int((adversarial.predicted != adversarial.labels).sum())
            assert row.misclassified_8bit == int(adversarial.success_8bit.sum())
            held = Rate(row.n - row.misclassified, row.n)
            assert row.left_standing.value == pytest.approx(float(held))
            assert (row.left_standing.low, row.left_standing.high) == held.interval
            assert row.robust_accuracy == adversarial.robust_accuracy
            assert row.robust_accuracy.n == adversarial.offered == CONTENT["data"]["test"]
            assert row.forwards_per_image == pytest.approx(float(adversarial.forwards.double().mean()))


def test_overview_says_what_the_model_does(model, test):
    facts = views.overview(opened(real()))
    right = model.predict(test.images).argmax(1) == test.labels
    assert facts.clean_accuracy.hits == int(right.sum())
    assert facts.clean_accuracy.n == len(test)
    for k, row in enumerate(facts.per_class):
        assert row.n == int((test.labels == k).sum())
        assert row.correct == int((test.labels[right] == k).sum())
        assert row.recall == pytest.approx(row.correct / row.n)
    assert facts.parameters == sum(tensor.numel() for tensor in model.net.parameters())


def test_the_class_of_a_row_is_called_class_outside_python():
    """Python keeps the word for itself; tables, --json and API have always had it."""
    first = plain(views.overview(opened(real())))["per_class"][0]
    assert first["class"] == "0"
    assert "class_name" not in first


def test_training_is_the_history_epoch_by_epoch():
    record, found = real().load("history", History), views.training(opened(real()))
    assert [epoch.epoch for epoch in found.epochs] == list(range(1, len(record.training) + 1))
    assert found.kept.epoch == record.kept + 1
    for place, epoch in enumerate(found.epochs):
        assert [value for _, value in epoch.training] == record.training[place].tolist()
        assert [value for _, value in epoch.validation] == record.validation[place].tolist()


def test_scores_per_class_and_confusions_agree_with_the_attacks(swept):
    rows, matrices = views.classes(opened(real())), views.confusion(opened(real()))
    assert matrices[0].attack == "clean"
    for spec, curve in swept.items():
        for eps, adversarial in zip(EPS, curve, strict=True):
            (matrix,) = cells(matrices, attack=spec, eps=eps)
            scores = Scores.of(torch.tensor(matrix.counts))
            for k in range(10):
                (row,) = cells(rows, attack=spec, eps=eps, class_name=str(k))
                own = adversarial.labels == k
                assert row.n == int(own.sum()) == sum(matrix.counts[k])
                assert row.recall == pytest.approx(float((adversarial.predicted[own] == k).double().mean()))
                assert row.f1 == pytest.approx(float(scores.f1[k]))


def test_worst_case_is_the_strongest_attack_and_the_union(swept):
    for row in views.robustness(opened(real())).together:
        k = EPS.index(row.eps)
        broken = {spec: curve[k].success for spec, curve in swept.items() if spec != "sign-noise"}
        most = max(int(success.sum()) for success in broken.values())
        assert int(broken[row.strongest].sum()) == most
        assert row.robust_accuracy.hits == row.n - most
        together = torch.stack(list(broken.values())).any(0)
        assert row.together.hits == row.left_standing.hits == int((~together).sum()) <= row.n - most
        assert row.robust_accuracy.n == row.together.n == CONTENT["data"]["test"]
        assert row.left_standing.n == row.n
        assert "sign-noise" not in row.attacks


def test_the_focus_is_the_strongest_attack_nearest_to_half(tmp_path):
    run = forge(tmp_path / "run", specs=("fgsm", "pgd", "sign-noise"), eps=(0.1, 0.2, 0.3))
    rows = [row for row in views.robustness(opened(run)).rows if not row.control]
    totals = {name: sum(row.misclassified for row in cells(rows, attack=name)) for name in ("fgsm", "pgd")}
    focus = views.robustness(opened(run)).focus
    assert totals[focus.attack] == max(totals.values())
    distances = {row.eps: abs(row.left_standing.value - 0.5) for row in cells(rows, attack=focus.attack)}
    assert distances[focus.eps] == min(distances.values())


def test_paper_differences():
    rows = views.paper(opened(real()))
    found, absent, robust, standing, clean = rows
    (fgsm,) = cells(views.robustness(opened(real())).rows, attack="fgsm", eps=0.05)
    assert found.paper_share == pytest.approx(5 / 50)
    assert (found.ours, found.n) == (fgsm.misclassified, fgsm.n)
    assert found.difference == pytest.approx(fgsm.misclassified / fgsm.n - 0.1)
    assert found.low <= found.share <= found.high
    assert (absent.ours, absent.share, absent.low, absent.difference) == (None, None, None, None)
    (pgd,) = cells(views.robustness(opened(real())).rows, attack="pgd:steps=4", eps=0.15)
    assert robust.difference == pytest.approx((pgd.n - pgd.misclassified) / CONTENT["data"]["test"] - 0.25)
    assert standing.n == pgd.n
    assert standing.difference == pytest.approx(1 - pgd.misclassified / pgd.n - 0.3)
    accuracy = views.overview(opened(real())).clean_accuracy
    assert clean.difference == pytest.approx(accuracy.hits / accuracy.n - 0.98)


def test_a_failed_image_has_no_distance(tmp_path):
    run = forge(tmp_path / "run", specs=("minimal",), eps=(None,))
    record = run.load("attack/minimal/eps-None", AttackRecord)
    rows = list(views.images(opened(run)))
    assert [row.success for row in rows] == record.success.tolist()
    assert not record.success.all()
    for k, row in enumerate(rows):
        expected = float(record.distance["l2"][k]) if record.success[k] else None
        assert row.distance["l2"] == expected
        assert (row.first_break is None) == (not record.success[k])
    (row,) = views.robustness(opened(run)).rows
    assert row.eps is None
    broken = record.distance["l2"][record.success].double()
    assert row.median_distance["l2"] == pytest.approx(float(broken.quantile(0.5)))
    assert views.robustness(opened(run)).together == ()
    assert views.robustness(opened(run)).focus is None


def test_what_was_never_looked_at_has_no_first_break(swept):
    rows = cells(views.robustness(opened(real())).rows, attack="sign-noise")
    assert all(row.median_first_break is None for row in rows)
    assert any(row.misclassified for row in rows), "the test needs a broken image that nobody saw break"


def test_fgsm_without_pgd_is_named(tmp_path):
    assert views.robustness(opened(real())).unpaired == ()
    run = forge(tmp_path / "run", specs=("fgsm", "bim"), eps=(0.2, 0.1))
    assert [(cell.norm, cell.eps) for cell in views.robustness(opened(run)).unpaired] == [("linf", 0.1), ("linf", 0.2)]
    assert views.robustness(opened(forge(tmp_path / "none", specs=("bim",)))).unpaired == ()


def test_shared_cost_is_said():
    assert all(row.shared_cost for row in views.robustness(opened(real())).rows)


def test_shared_cost_is_not_said_of_independent_budgets(tmp_path):
    assert not any(row.shared_cost for row in views.robustness(opened(forge(tmp_path / "run"))).rows)


def test_examples_are_the_first_of_the_sample_whatever_became_of_them():
    record = real().load("attack/fgsm/eps-0.15", AttackRecord)
    shots = views.examples(opened(real()), attack="fgsm", eps=0.15, limit=7)
    assert [shot.index for shot in shots] == record.index[record.shown[:7]].tolist()
    assert [shot.success for shot in shots] == record.success[record.shown[:7]].tolist()
    for shot in shots:
        assert shot.linf == pytest.approx(float((shot.image - shot.clean).abs().max()), abs=1e-6)
    assert views.examples(opened(real()), attack="fgsm", eps=0.99, limit=7) == []


def test_a_run_without_training_has_no_history(tmp_path):
    with pytest.raises(Lacking, match="trained nothing"):
        views.training(opened(forge(tmp_path / "run")))
