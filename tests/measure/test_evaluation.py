"""evaluate on nets whose answer is known: bounds, resuming, time budgets, flags and random models."""

import sys
import time
from dataclasses import replace

import pytest
import torch
from gap_nets import GAPS, Gap, two_classes
from torch import nn

from pixelproof import measure, models
from pixelproof.attacks import Auto
from pixelproof.attacks.stochastic import unsteady
from pixelproof.data import Dataset
from pixelproof.errors import BadInput
from pixelproof.measure import flags
from pixelproof.run import Run


class Rounded(Gap):
    """No gradient anywhere, the same answers to within a hundredth."""

    def forward(self, x):
        return super().forward((x * 50).round() / 50 + 0 * x)


class Noisy(Gap):
    def forward(self, x):
        return super().forward(x + 0.05 * torch.randn_like(x))


class Dreaming(Gap):
    def forward(self, x):
        with torch.enable_grad():
            inner = x.detach().requires_grad_()
            torch.autograd.grad((inner**2).sum(), inner)
        return super().forward(x)


@pytest.mark.parametrize("version", ["fast", pytest.param("standard", marks=pytest.mark.slow)])
def test_the_bound_is_exact_on_a_linear_net(version):
    model, data = two_classes(Gap(), GAPS)
    found = measure.evaluate(model, data, Auto(0.1, version=version))
    assert found.success.tolist() == [True, True, True, False, False, False, False, False]
    assert (found.robust_accuracy.hits, found.robust_accuracy.n) == (5, 8)
    assert found.flags == ()
    assert found.ended in ("finished", "stopped by rule")
    assert (found.distance <= 0.1 + 1e-6).all()
    assert all(found.breaker(row) is not None for row in range(3))
    assert found.breaker(4) is None


def test_the_first_break_is_counted_over_all_parts():
    model, data = two_classes(Gap(), GAPS)
    found = measure.evaluate(model, data, Auto(0.1))
    broken = found.success
    assert (found.first_break[~broken] == -1).all()
    assert (found.first_break[broken] >= 1).all()
    assert (found.first_break[broken] <= found.passes[broken, 0]).all()


class Ways(nn.Module):
    """Three classes; the third wins only where the second pixel falls below 0.2."""

    def forward(self, x):
        first, second = x[:, 0, 0, 0], x[:, 0, 0, 1]
        return 10 * torch.stack([first - 0.5, 0.5 - first, 2 * (0.2 - second) + (first - 0.5).abs()], 1)


def test_targets_are_the_same_call_and_unreachable_ones_end_with_the_fact_stated():
    images = torch.tensor([[[[0.55, 0.25]]], [[[0.45, 0.25]]], [[[0.55, 0.9]]]])
    model = models.wrap(Ways(), classes=3, input_shape=(1, 1, 2)).eval()
    data = Dataset("ways", images, torch.tensor([0, 1, 0]), ("a", "b", "c"))
    targets = torch.tensor([2, 2, 2])
    found = measure.evaluate(model, data, Auto(0.1), targets=targets)
    assert found.success.tolist() == [True, True, False]
    assert model.predict(found.images).argmax(1)[:2].tolist() == [2, 2]
    assert torch.equal(found.targets, targets)
    untargeted = measure.evaluate(model, data, Auto(0.1))
    assert untargeted.success.all()
    assert untargeted.targets is None
    with pytest.raises(BadInput, match="target must differ"):
        measure.evaluate(model, data, Auto(0.1), targets=data.labels)
    far = measure.evaluate(model, data, Auto(1e-4), targets=targets)
    assert far.robust_accuracy.hits == 3
    assert far.ended in ("finished", "stopped by rule")


def test_a_model_that_produces_nan_is_named():
    class Broken(Gap):
        def forward(self, x):
            logits = super().forward(x)
            return torch.where(x[:, 0, 0, :1] > 0.7, float("nan"), logits)

    model, data = two_classes(Gap(), GAPS[:4])
    model.net = Broken()
    with pytest.raises(BadInput, match=f"{model.card.name}: must return finite logits"):
        measure.evaluate(model, data, Auto(0.3))


def test_misclassified_images_count_as_lost_but_are_not_attacked():
    model, data = two_classes(Gap(), GAPS)
    wrong = Dataset("gaps", data.images, data.labels ^ torch.tensor([1, 0, 0, 0, 0, 0, 0, 0]), data.classes)
    found = measure.evaluate(model, wrong, Auto(0.1))
    assert len(found) == 7
    assert found.robust_accuracy.n == found.clean_accuracy.n == 8
    assert found.clean_accuracy.hits == 7


def test_the_bound_falls_and_is_told_while_it_falls():
    model, data = two_classes(Gap(), GAPS)
    heard = []
    found = measure.evaluate(model, data, Auto(0.1), tell=heard.append)
    hits = [live.bound.hits for live in heard]
    assert hits[0] == 8
    assert hits == sorted(hits, reverse=True)
    assert hits[-1] == found.robust_accuracy.hits
    assert found.after(0.0).hits == 8
    assert found.after(found.seconds).hits == found.robust_accuracy.hits


def test_an_evaluation_cut_short_goes_on_to_the_same_result(tmp_path):
    model, data = two_classes(Gap(), GAPS)
    whole = measure.evaluate(model, data, Auto(0.1), seed=3)
    run = Run.create(tmp_path / "run", {"evaluate": "gaps"})

    class Stop(Exception):
        pass

    for stop_at in (1, 2, 1):
        calls = 0

        def tell(_live, stop_at=stop_at):
            nonlocal calls
            calls += 1
            if calls > stop_at:
                raise Stop

        with pytest.raises(Stop):
            measure.evaluate(model, data, Auto(0.1), seed=3, run=run, tell=tell)
    resumed = measure.evaluate(model, data, Auto(0.1), seed=3, run=run)
    assert torch.equal(resumed.images, whole.images)
    assert torch.equal(resumed.broken_by, whole.broken_by)
    assert [(part.spec, part.attacked, part.broke) for part in resumed.parts] == [
        (part.spec, part.attacked, part.broke) for part in whole.parts
    ]
    loaded = run.load("evaluation", measure.Evaluation)
    assert torch.equal(loaded.success, whole.success)


def test_other_images_than_the_saved_ones_are_refused(tmp_path):
    model, data = two_classes(Gap(), GAPS)
    run = Run.create(tmp_path / "run", {"evaluate": "gaps"})
    measure.evaluate(model, data, Auto(0.1), run=run)
    with pytest.raises(BadInput, match="same images"):
        measure.evaluate(model, data[:5], Auto(0.1), run=run)
    with pytest.raises(BadInput, match=r"same attack auto:eps=0.2.*eps=0.1"):
        measure.evaluate(model, data, Auto(0.2), run=run)
    with pytest.raises(BadInput, match="same seed 4"):
        measure.evaluate(model, data, Auto(0.1), run=run, seed=4)
    with pytest.raises(BadInput, match="same targets"):
        measure.evaluate(model, data, Auto(0.1), run=run, targets=1 - data.labels)


def test_a_spent_budget_ends_the_evaluation_with_the_bound_so_far():
    class Slow(Gap):
        def forward(self, x):
            time.sleep(0.02)
            return super().forward(x)

    model, data = two_classes(Slow(), GAPS)
    found = measure.evaluate(model, data, Auto(0.1, version="standard"), budget=0.2)
    assert found.ended == "out of time"
    assert found.robust_accuracy.hits >= 5
    with pytest.raises(BadInput, match="positive"):
        measure.evaluate(model, data, Auto(0.1), budget=0.0)


def test_a_model_that_hides_its_gradient_is_flagged_and_falls_to_square():
    model, data = two_classes(Rounded(), GAPS)
    found = measure.evaluate(model, data, Auto(0.12))
    assert any(flag.startswith(flags.NO_GRADIENT) for flag in found.flags)
    assert any(flag.startswith(flags.BLACK_BOX) for flag in found.flags) or found.broken_by.max() <= 1
    assert found.success[:3].all()


def test_a_random_model_is_found_and_judged_as_a_rate():
    model, data = two_classes(Noisy(), [0.02, 0.6, -0.6, 0.5])
    before = torch.get_rng_state()
    found = measure.evaluate(model, data, Auto(0.1), seed=1)
    assert flags.RANDOMISED in found.flags
    assert found.rate[-1] < 0.05  # far from the boundary: noise hardly ever flips it
    assert ((found.rate > 0.5) == found.success).all()
    assert {part.spec.split(":")[0] for part in found.parts} <= {"apgd", "margin-pgd"}
    assert torch.equal(before, torch.get_rng_state())
    near = replace(found, rate=torch.tensor([0.40, 0.41, 0.59, 0.60]))  # Wilson: 41 to 59 of 100 may be one half
    assert near.undecided == 2
    assert replace(near, flags=()).undecided == 0


def test_what_seemed_to_break_a_random_model_must_do_so_again(monkeypatch):
    module = sys.modules["pixelproof.measure.evaluate"]
    draws = iter([torch.full((2,), 0.6)])
    honest = module.fooling_rates

    class Lucky:
        """The first judgement of both images is luck; every later one is a count."""

        def __init__(self, *given, **more):
            self.per_image = next(draws, None)
            if self.per_image is None:
                self.per_image = honest(*given, **more).per_image

    monkeypatch.setattr(module, "fooling_rates", Lucky)
    model, data = two_classes(Noisy(), [0.6, -0.6])
    found = measure.evaluate(model, data, Auto(0.001))
    assert not found.success.any()
    assert found.robust_accuracy.hits == found.after(found.seconds).hits == 2
    assert found.bounds[-2].standing == 0
    assert found.broken_by.tolist() == found.first_break.tolist() == [-1, -1]
    assert sum(part.broke for part in found.parts) == 0
    assert found.ended != "nothing left standing"


def test_opposite_logits_that_keep_their_sign_are_seen_to_differ():
    model, data = two_classes(Noisy(), [0.4, 0.5, 0.6])
    torch.manual_seed(0)
    assert torch.stack([model.predict(data.images).argmax(1) for _ in range(20)]).unique(dim=0).shape[0] == 1
    assert unsteady(model, data.images).all()
    fixed, same = two_classes(Gap(), GAPS)
    assert not unsteady(fixed, same.images).any()


class Centred(Gap):
    """Subtracts the mean over the batch, as a batch norm does that keeps no running statistics."""

    def forward(self, x):
        logits = super().forward(x)
        return logits - logits.mean(0)


def test_answers_that_depend_on_the_batch_are_flagged():
    with pytest.warns(UserWarning, match="depend on the other images"):
        model, data = two_classes(Centred(), GAPS)
    assert flags.BATCH in measure.evaluate(model, data, Auto(0.01)).flags


def test_autograd_inside_the_forward_pass_is_flagged():
    model, data = two_classes(Dreaming(), GAPS)
    assert flags.before(model, data.images, data.labels, random=False) == (flags.INFERENCE,)
    model, data = two_classes(Gap(), GAPS)
    assert flags.before(model, data.images, data.labels, random=False) == ()


def test_probabilities_are_flagged():
    class Softmax(Gap):
        def forward(self, x):
            return super().forward(x).softmax(1)

    model, data = two_classes(Gap(), GAPS)
    model.net = Softmax()
    assert flags.PROBABILITIES in flags.before(model, data.images, data.labels, random=False)
