"""What is kept of one model, of one set of pixels or of one question is never taken up for another."""

from dataclasses import replace

import pytest
import torch
from audit_toys import SMALL, Short, linear
from gap_nets import GAPS, Gap, two_classes

from pixelproof import measure
from pixelproof.attacks import FGSM, PGD, Auto
from pixelproof.data import Dataset
from pixelproof.errors import BadInput
from pixelproof.models import PREPROCESSORS
from pixelproof.run import Run

EPS = [0.06, 0.16]


class Other(Gap):
    """Another network with other weights and the same answers on clean images."""

    def __init__(self):
        super().__init__()
        self.register_buffer("factor", torch.tensor(3.0))

    def forward(self, x):
        return self.factor * super().forward(x)


def moved(data):
    """Other pixels at the same positions, with the same labels."""
    return Dataset(data.name, (data.images + 0.01).clamp(0, 1), data.labels, data.classes, data.index)


def test_an_evaluation_of_another_model_or_of_other_pixels_is_refused(tmp_path):
    model, data = two_classes(Gap(), GAPS)
    run = Run.create(tmp_path / "run", {})
    found = measure.evaluate(model, data, Auto(0.1), run=run)
    with pytest.raises(BadInput, match="same model"):
        measure.evaluate(two_classes(Other(), GAPS)[0], data, Auto(0.1), run=run)
    with pytest.raises(BadInput, match="same pixels and labels"):
        measure.evaluate(model, moved(data), Auto(0.1), run=run)
    again = measure.evaluate(model, data, Auto(0.1), run=run)
    assert again.digests == found.digests == (model.digest(), data.digest())


def test_a_curve_of_another_model_or_of_other_pixels_is_refused(tmp_path):
    model, data = two_classes(Gap(), GAPS)
    run = Run.create(tmp_path / "run", {})
    measure.curve(model, data, EPS, run=run)
    other = two_classes(Other(), GAPS)[0]
    with pytest.raises(BadInput, match="curve of the model"):
        measure.curve(other, data, EPS, run=run)
    with pytest.raises(BadInput, match="curve of the pixels and labels"):
        measure.curve(model, moved(data), EPS, run=run)
    with pytest.raises(BadInput, match="seed 1"):
        measure.curve(model, data, EPS, run=run, seed=1)
    with pytest.raises(BadInput, match="evaluation must be of the model"):
        measure.curve(model, data, EPS, known=measure.evaluate(other, data, Auto(0.06)))


@pytest.mark.parametrize(
    ("what", "changes"),
    [
        ("seed", {"seed": 1}),
        ("eps", {"eps": 0.04}),
        ("reported", {"reported": FGSM(0.03)}),
        ("trained_with", {"trained_with": PGD(0.03)}),
        ("effort", {"effort": replace(SMALL, noise=100)}),
        ("surrogate", {"surrogate": linear(seed=1)[0]}),
    ],
)
def test_an_audit_of_another_question_is_refused(tmp_path, monkeypatch, what, changes):
    monkeypatch.setattr(Auto, "stages", Short.stages)
    model, data = linear()
    run = Run.create(tmp_path / "run", {})

    class Stop(Exception):
        pass

    def stop(kind, *_told):
        if kind == "red flags":
            raise Stop

    asked = {"eps": 0.03, "effort": SMALL, "run": run}
    with pytest.raises(Stop):
        measure.audit(model, data, **asked, tell=stop)
    with pytest.raises(BadInput, match=f"same {what}"):
        measure.audit(model, data, **{**asked, **changes})


def test_an_audit_of_the_same_weights_behind_something_else_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(Auto, "stages", Short.stages)
    model, data = linear()
    run = Run.create(tmp_path / "run", {})
    asked = {"eps": 0.03, "effort": replace(SMALL, noise=10, queries=20, planted=1, noisy=1), "run": run}
    measure.audit(model, data, **asked)
    with pytest.raises(BadInput, match="same data"):
        measure.audit(model, moved(data), **asked)
    with pytest.raises(BadInput, match="same model"):
        measure.audit(PREPROCESSORS["bits"](4).around(model), data, **asked)


def test_an_audit_does_not_take_up_findings_that_do_not_say_whose_they_are(tmp_path):
    model, data = linear()
    run = Run.create(tmp_path / "run", {})
    measure.evaluate(model, data, Auto(0.03), run=run)
    with pytest.raises(BadInput, match="do not say whose"):
        measure.audit(model, data, eps=0.03, effort=SMALL, run=run)
