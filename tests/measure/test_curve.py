"""curve on nets whose answer is known: exact, monotone, resumed, and no other question's."""

import sys

import pytest
import torch
from gap_nets import GAPS, Gap, two_classes

from pixelproof import measure
from pixelproof.attacks import Auto
from pixelproof.data import Dataset
from pixelproof.errors import BadInput
from pixelproof.run import Run


@pytest.mark.parametrize("norm", ["linf", "l2", "l1"])
def test_a_curve_in_any_norm_adds_what_an_evaluation_knows(norm):
    model, data = two_classes(Gap(), GAPS)
    scale = {"linf": 1.0, "l2": 2**0.5, "l1": 2.0}[norm]
    budgets = [scale * eps for eps in (0.06, 0.11, 0.21, 0.31)]
    found = measure.curve(model, data, budgets, norm=norm)
    assert [rate.hits for rate in found.robust_accuracy] == [6, 5, 2, 0]
    known = measure.evaluate(model, data, Auto(budgets[1], norm=norm))
    nothing = measure.curve(model, data, budgets, norm=norm, known=known, budget=1e-9)
    assert nothing.searched == 0
    assert [rate.hits for rate in nothing.robust_accuracy][1:] == [5, 5, 5]
    with pytest.raises(BadInput, match="same images"):
        measure.curve(model, data[:4], budgets, norm=norm, known=known)


def test_rounding_does_not_push_what_an_evaluation_broke_off_the_curve():
    """An attack at 2/255 around a bright pixel ends a rounding beyond 2/255."""
    eps = 2 / 255
    model, data = two_classes(Gap(), [1.99 * eps, 2.2 * eps])
    moved = Dataset("bright", (data.images + 0.45).clamp(0, 1), data.labels, data.classes)
    known = measure.evaluate(model, moved, Auto(eps))
    assert known.success.tolist() == [True, False]
    known.distance[0] = eps * (1 + 2e-6) + 1e-6
    drawn = measure.curve(model, moved, [eps, 2 * eps], known=known, budget=1e-9)
    assert drawn.robust_accuracy[0].hits == known.robust_accuracy.hits


def test_a_curve_cut_short_goes_on_from_its_folder(tmp_path, monkeypatch):
    monkeypatch.setattr(sys.modules["pixelproof.measure.curve"], "PORTION", 3)
    model, data = two_classes(Gap(), GAPS)
    run = Run.create(tmp_path / "run", {"curve": "gaps"})

    class Stop(Exception):
        pass

    def stop(done, _total):
        raise Stop

    whole = measure.curve(model, data, [0.06, 0.16])
    with pytest.raises(Stop):
        measure.curve(model, data, [0.06, 0.16], run=run, tell=stop)
    heard = []
    resumed = measure.curve(model, data, [0.06, 0.16], run=run, tell=lambda done, total: heard.append((done, total)))
    assert heard == [(6, 8), (8, 8)]
    assert torch.equal(resumed.distance, whole.distance)
    known = measure.evaluate(model, data, Auto(0.21))
    finer = measure.curve(model, data, [0.11, 0.16, 0.21], run=run, known=known)
    assert [rate.hits for rate in finer.robust_accuracy] == [5, 3, 2]
    with pytest.raises(BadInput, match="in l2 of the same images"):
        measure.curve(model, data, [0.11], run=run, norm="l2")
    with pytest.raises(BadInput, match="of the same images"):
        measure.curve(model, data[:4], [0.11], run=run)


def test_a_curve_never_rises_and_is_exact_on_a_linear_net():
    model, data = two_classes(Gap(), GAPS)
    found = measure.curve(model, data, [0.01, 0.06, 0.11, 0.16, 0.26, 0.31])
    assert [rate.hits for rate in found.robust_accuracy] == [8, 6, 5, 3, 1, 0]
    with pytest.raises(BadInput, match="ascend"):
        measure.curve(model, data, [0.2, 0.1])
