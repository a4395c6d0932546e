"""One pass equals the nested loop of the paper; halves are split by image."""

import pytest
import torch

from pixelproof.attacks import PGD, mount
from pixelproof.detect import DeepNeighbours, Store
from pixelproof.detect.neighbours.neighbourhood import neighbourhood
from pixelproof.detect.neighbours.tune import Cases, _sides, grid, tune
from pixelproof.errors import BadInput

from .toys import blobs, generator, network


@pytest.fixture(scope="module")
def setting():
    model = network()
    store = Store.build(model, blobs(400), ["1", "3"])
    clean = blobs(200, seed=12, spread=0.2)
    return model, store, clean, mount(PGD(eps=0.15), model, clean)


def test_one_pass_equals_the_nested_loop(setting):
    """For every layer, k and threshold: search again with that k, count strangers, compare."""
    model, store, clean, adversarial = setting
    k_max = 6
    right = model.predict(clean.images).argmax(1) == clean.labels
    quiet, strange = clean.images[right], adversarial.images[adversarial.success]
    found = grid(store.spaces, _by_k(model, store, quiet, k_max), _by_k(model, store, strange, k_max))
    for k in range(1, k_max + 1):
        for images, rates in ((quiet, found.fpr), (strange, found.tpr)):
            seen = neighbourhood(store, (k,) * 3, model, images)
            for layer in range(3):
                others = (seen.labels[layer] != seen.predicted[:, None]).sum(1)
                for threshold in range(k_max):
                    expected = float((others > threshold).float().mean())
                    assert float(rates[layer, k - 1, threshold]) == pytest.approx(expected, abs=1e-6)


def _by_k(model, store, images, k_max):
    from pixelproof.detect.neighbours.tune import strangers_by_k

    return strangers_by_k(neighbourhood(store, (k_max,) * len(store.spaces), model, images))


def test_the_grid_in_closed_form():
    clean = torch.tensor([[[0, 0]], [[0, 1]]])  # two images, one layer, strangers at k = 1 and 2
    attacked = torch.tensor([[[1, 2]], [[0, 1]], [[1, 1]], [[1, 2]]])
    found = grid(["fc1"], clean, attacked)
    assert found.fpr[0].tolist() == [[0, 0], [0.5, 0]]
    assert found.tpr[0].tolist() == [[0.75, 0], [1, 0.5]]
    assert found.accuracy[0].tolist() == [[0.875, 0.5], [0.75, 0.75]]
    assert found.fnr[0].tolist() == [[0.25, 1], [0, 0.5]]
    assert found.thresholds[0].tolist() == [0, 0]
    assert found.eer[0].tolist() == [0.125, 0.25]
    assert found.auroc[0].tolist() == [0.875, 0.875]


def test_tuning_chooses_on_its_own_half(setting):
    model, store, clean, adversarial = setting
    tuned = tune(store, model, clean, adversarial, k_max=12)
    reached = tuned.tuning.at(tuned.tuning.accuracy, tuned.tuning.thresholds)
    for layer, (k, threshold) in enumerate(zip(tuned.best, tuned.thresholds, strict=True)):
        assert reached[layer, k - 1] == reached[layer].max()
        assert threshold == tuned.tuning.thresholds[layer, k - 1]
        assert tuned.validated[layer, k - 1] == tuned.validation.accuracy[layer, k - 1, threshold]
        assert tuned.validated[layer, tuned.papers_k[layer] - 1] == tuned.validated[layer].max()
    assert tuned.tuning.clean + tuned.validation.clean == int(
        (model.predict(clean.images).argmax(1) == clean.labels).sum()
    )
    assert tuned.tuning.attacked + tuned.validation.attacked == int(adversarial.success.sum())
    curve = tuned.roc("composed")
    assert curve[0].tolist() == [0, 0]
    assert curve[-1].tolist() == [1, 1]
    assert (curve.diff(dim=0) >= 0).all()
    assert float(torch.trapezoid(curve[:, 1], curve[:, 0])) == pytest.approx(
        float(tuned.validation.auroc[2, tuned.best[2] - 1])
    )


def test_a_tuned_setting_is_a_detector(setting):
    model, store, clean, adversarial = setting
    tuned = tune(store, model, clean, adversarial, k_max=12)
    guard = DeepNeighbours(k=tuned.best, threshold=tuned.thresholds).fit(model, blobs(400), None, generator())
    alarm = guard(model, adversarial.images).alarm
    assert alarm[adversarial.success].float().mean() > guard(model, clean.images).alarm.float().mean()


def test_an_image_and_its_attack_are_on_one_side():
    index = torch.tensor([5, 9, 7, 5, 9, 1, 1, 2])
    side = _sides(index, seed=3)
    for value in index.tolist():
        assert len(side[index == value].unique()) == 1
    assert int(torch.tensor([bool(side[index == v][0]) for v in (1, 2, 5, 7, 9)]).sum()) == 2


def test_the_four_cases():
    cases = Cases(torch.tensor([True, True, True, False, False]), torch.tensor([True, False, True, True, False]))
    assert cases.rows("true positive").tolist() == [0, 2]
    assert cases.rows("false negative").tolist() == [1]
    assert cases.rows("false positive").tolist() == [3]
    assert cases.rows("true negative").tolist() == [4]
    assert {case: (rate.hits, rate.n) for case, rate in cases.counts.items()} == {
        "true positive": (2, 3), "false negative": (1, 3), "false positive": (1, 2), "true negative": (1, 2),
    }  # fmt: skip


def test_a_half_without_adversarials_is_refused(setting):
    model, store, clean, _ = setting
    nothing = mount(PGD(eps=0.0, steps=1), model, clean)
    with pytest.raises(BadInput, match="at least 4 successful attacks"):
        tune(store, model, clean, nothing)
    with pytest.raises(BadInput, match="both halves"):
        grid(["fc1"], torch.zeros(3, 1, 2, dtype=torch.long), torch.zeros(0, 1, 2, dtype=torch.long))
