"""audit: its verdict, what it refuses, what it keeps, and random models."""

from dataclasses import replace

import pytest
import torch
from audit_toys import SMALL, Noise, Quantise, Short, linear

from pixelproof import measure
from pixelproof.attacks import PGD, Auto
from pixelproof.data import Dataset
from pixelproof.errors import BadInput
from pixelproof.measure import RED_FLAGS, Effort
from pixelproof.run import Run

QUICK = replace(SMALL, planted=2, noisy=1)


@pytest.fixture(scope="module", autouse=True)
def short():
    """Audits with a short ensemble."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Auto, "stages", Short.stages)
        yield


@pytest.fixture(scope="module")
def honest(short):
    model, data = linear()
    return measure.audit(model, data, eps=0.03, effort=QUICK, trained_with="pgd-at", surrogate=model)


def test_an_honest_model_gets_its_bound(honest):
    assert honest.raised == ()
    assert honest.believable
    assert honest.evaluation.robust_accuracy.hits
    assert honest.verdict.startswith(f"robust accuracy <= {honest.evaluation.robust_accuracy} under auto:eps=0.03")
    assert len(honest.findings) == len(RED_FLAGS)
    assert honest["weak DLR"].value == 5.0


def test_an_audit_kept_before_the_last_flags_were_added_can_be_read(honest):
    older = replace(honest, findings=honest.findings[:17])
    assert [flag.name for flag, _ in older.flags] == [flag.name for flag in RED_FLAGS[:17]]
    assert older.believable


def test_a_model_that_hides_its_gradient_is_not_shown_robust():
    model, data = linear(before=Quantise())
    found = measure.audit(model, data, eps=0.03, effort=QUICK)
    assert not found.believable
    assert found.verdict.startswith("not shown robust, because the margin has no gradient at")
    assert f"robust accuracy <= {found.evaluation.robust_accuracy}" in found.verdict


def test_where_nothing_stands_nothing_is_claimed():
    model, data = linear(before=Quantise())
    found = measure.audit(model, data, eps=0.9, effort=QUICK)
    assert found["zero gradient"].raised
    assert found.verdict.startswith("robust accuracy <= 0.0 %")


def test_a_random_model_gets_eot_and_is_told_so():
    model, data = linear(before=Noise())
    runs = [measure.audit(model, data[:12], eps=0.03, effort=QUICK, seed=2) for _ in range(2)]
    assert runs[0].random
    assert runs[0]["non-determinism"].raised
    assert "EOT over 20 draws, scored over 100 draws" in runs[0].verdict
    assert runs[0].verdict == runs[1].verdict


def test_a_flag_that_does_not_block_leaves_the_bound():
    model, data = linear(classes=2)
    found = measure.audit(model, data, eps=0.03, effort=QUICK, trained_with=PGD(0.03))
    assert {flag.name for flag in found.raised} == {"weak DLR", "train and test attack identical"}
    assert found.verdict.startswith("robust accuracy <=")


def test_too_few_images_for_the_interval_are_refused():
    model, data = linear()
    with pytest.raises(BadInput, match=r"needs at least 93 images .* got 30, whose interval is up to 34 pp wide"):
        measure.audit(model, data, eps=0.03)
    more = Dataset("more", data.images.repeat(4, 1, 1, 1)[:92], data.labels.repeat(4)[:92], data.classes)
    with pytest.raises(BadInput, match="93"):
        measure.audit(model, more, eps=0.03, effort=Effort(width=0.2))


def test_an_audit_cut_short_goes_on_and_is_kept(tmp_path, honest):
    model, data = linear()
    run = Run.create(tmp_path / "audit", {"audit": "toy"})

    class Stop(Exception):
        pass

    def tell(what, done, total, note):
        if what == "red flags" and done == 6:
            raise Stop

    call = {"eps": 0.03, "effort": QUICK, "trained_with": "pgd-at", "surrogate": model, "run": run}
    with pytest.raises(Stop):
        measure.audit(model, data, **call, tell=tell)
    assert len(run.names("flag/")) == 6
    heard = []
    again = measure.audit(model, data, **call, tell=lambda *what: heard.append(what))
    kept = run.load("audit", measure.Audit)
    for found in (again, kept):
        assert found.verdict == honest.verdict
        assert [finding.detail for finding in found.findings] == [finding.detail for finding in honest.findings]
    assert heard[-1][:3] == ("red flags", 19, 19)


def test_an_audit_out_of_time_claims_nothing_and_goes_on(tmp_path, honest):
    model, data = linear()
    run = Run.create(tmp_path / "audit", {"audit": "toy"})
    call = {"eps": 0.03, "effort": QUICK, "trained_with": "pgd-at", "surrogate": model, "run": run}
    cut = measure.audit(model, data, **call, budget=1e-6)
    assert not cut.believable
    assert len(cut.late) == len(RED_FLAGS)
    assert "the time was up before the tests of softmax given" in cut.verdict
    assert not run.has("audit")
    assert not run.names("flag/"), "a test on images that may still fall says nothing of those that will stand"
    whole = measure.audit(model, data, **call, budget=600.0)
    assert whole.verdict == honest.verdict
    assert not whole.late
    assert run.has("audit")
    with pytest.raises(BadInput, match="must be positive"):
        measure.audit(model, data, eps=0.03, budget=0.0)


def test_the_model_and_its_random_numbers_are_left_alone():
    model, data = linear()
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    state = torch.get_rng_state()
    measure.audit(model, data, eps=0.03, effort=QUICK)
    assert torch.equal(state, torch.get_rng_state())
    assert all(torch.equal(before[name], tensor) for name, tensor in model.state_dict().items())
    assert not any(part._forward_hooks or part._forward_pre_hooks for part in model.modules())
    assert all(parameter.requires_grad and parameter.grad is None for parameter in model.parameters())
