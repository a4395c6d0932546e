"""Every red flag: a model built to raise it, and one that must not."""

from dataclasses import replace
from functools import cache
from pathlib import Path

import pytest
import torch
from audit_toys import (
    Company,
    Decided,
    Detach,
    Dream,
    Forgetful,
    Jitter,
    Noise,
    Quantise,
    Root,
    Scale,
    Shatter,
    linear,
    profile,
    subject,
)
from torch import nn

from pixelproof.attacks import APGD, BIM, FGSM, PGD, parse
from pixelproof.data import Dataset
from pixelproof.errors import BadInput
from pixelproof.measure import RED_FLAGS, Effort
from pixelproof.measure.redflags import LOOKS
from pixelproof.measure.redflags.planted import LastFeatures, plant
from pixelproof.measure.redflags.search import falling, meaning
from pixelproof.measure.redflags.subject import Hits
from pixelproof.models import PREPROCESSORS
from pixelproof.models.preprocessors import Committee
from pixelproof.types import Goal

MOAT = ((-1.0, -1.0), (0.04, -1.0), (0.05, 3.0), (0.17, 1.0), (0.2, 2.0), (1.0, 5.0))  # fooled only below 0.05
POCKET = ((-1.0, 0.5), (0.12, 2.0), (0.121, -1.0), (0.14, -1.0), (0.141, 1.0), (0.2, 2.0), (1.0, 5.0))  # and only here
SAFE = ((-1.0, 1.0), (0.2, 2.0), (1.0, 5.0))  # fooled nowhere
CUTS = {
    "non-determinism": lambda: subject(linear(before=Noise())),
    "softmax given": lambda: subject(linear(after=nn.Softmax(1))),
    "zero gradient": lambda: hidden(),
    "black box beats white box": lambda: hidden(),
    "one step beats iterative": lambda: subject(profile(*MOAT), 0.1),
    "single step only": lambda: subject(profile(*POCKET), 0.1),
    "budget not monotone": lambda: subject(profile(*POCKET), 0.1),
    "unbounded attack fails": lambda: subject(profile(*SAFE), 0.1),
    "not converged": lambda: subject(linear(), missed=True),
    "silent success": lambda: subject(linear(), reported=Forgetful(0.05)),
    "noisy loss surface": lambda: subject(linear(after=Jitter())),
    "transfer failure": lambda: subject(linear(), surrogate=linear(seed=1)[0]),
    "optimisation in the forward pass": lambda: subject(linear(before=Dream())),
    "noise beats gradient": lambda: subject(linear(), 0.3, missed=True),
    "weak DLR": lambda: subject(linear(classes=2)),
    "train and test attack identical": lambda: subject(linear(), trained_with=PGD(0.05, 7), reported=PGD(0.05, 7)),
    "planted images missed": lambda: subject(shattered()),
    "margin off its gradient": lambda: subject(decided()),
    "answers depend on the batch": lambda: subject(accompanied()),
}


@cache
def hidden():
    """A net that hides its gradient."""
    return subject(linear(before=Quantise()))


def decided(slope=1e-4):
    """A linear net that shows its decision alone, with a slope from elsewhere."""
    model, data = linear()
    model.net = Decided(model.net, linear(seed=1)[0].net, slope)
    return model, data


def accompanied():
    """A linear net that subtracts the mean of its batch, where that is more than one image."""
    model, data = linear()
    model.net = nn.Sequential(Company(), *model.net)  # put there after the probe, which warns of it
    return model, type(data)("toy", data.images, model.predict(data.images).argmax(1), data.classes, data.index)


def shattered():
    """A linear net behind features in which no search finds its way."""
    model, data = linear()
    rest = nn.Linear(120, 5)
    model.net = nn.Sequential(Shatter(), nn.Flatten(), rest)
    labels = model.predict(data.images).argmax(1)
    return model, type(data)("shattered", data.images, labels, data.classes, data.index)


@pytest.fixture(scope="module")
def honest():
    """A linear net with everything said about it, at a budget that breaks some of its images."""
    return subject(linear(), trained_with=FGSM(0.05), surrogate=linear()[0])


def test_every_row_of_the_table_is_tested():
    assert len(RED_FLAGS) == 19
    assert list(LOOKS) == [flag.name for flag in RED_FLAGS], "a flag and its test stand in two tables in one order"
    assert set(CUTS) == set(LOOKS)
    assert all(flag.test and flag.threshold and flag.source for flag in RED_FLAGS)


@pytest.mark.parametrize("name", CUTS)
def test_a_model_built_for_it_raises_the_flag(name):
    found = LOOKS[name](CUTS[name]())
    assert found.raised, found.detail
    assert found.status == "raised"
    assert found.reason


@pytest.mark.parametrize("name", CUTS)
def test_a_linear_net_raises_no_flag(name, honest):
    found = LOOKS[name](honest)
    assert found.raised is False, found.detail


def test_images_are_named_by_their_position_in_the_original_file():
    found = LOOKS["black box beats white box"](hidden())
    assert len(found.images)
    assert ((found.images >= 1000) & (found.images < 1030)).all()
    assert found.value == pytest.approx(len(found.images) / 30)


def test_a_cross_entropy_that_underflows_is_no_accusation():
    found = LOOKS["zero gradient"](subject(linear(scale=4000.0), 1e-6))
    assert found.raised is False
    assert "underflows" in found.detail


def test_a_model_without_a_way_back_to_the_image_is_audited_and_flagged():
    blind = subject(linear(before=Detach()), 0.3)
    assert LOOKS["zero gradient"](blind).value == 1.0
    assert blind.evaluation.success.any()  # Square needs no gradient
    assert LOOKS["black box beats white box"](blind).raised
    assert LOOKS["planted images missed"](blind).raised is not None


def test_a_transfer_that_beats_the_evaluation_is_a_black_box_that_beats_it():
    missed = subject(linear(), 0.3, surrogate=linear()[0], missed=True)
    found = LOOKS["black box beats white box"](missed)
    assert found.raised
    assert "transfer" in found.reason
    assert LOOKS["black box beats white box"](subject(linear(), 0.3, surrogate=linear()[0])).raised is False


def test_one_reported_step_is_enough_for_the_flag(honest):
    found = LOOKS["single step only"](subject(linear(), reported=FGSM(0.05)))
    assert found.raised
    assert "one step" in found.reason


@pytest.mark.parametrize(("of", "only", "raised"), [(94, 2, False), (100, 2, False), (150, 2, False), (150, 6, True)])
def test_two_images_that_one_step_alone_breaks_are_chance(of, only, raised):
    """FGSM alone breaks two of a hundred images of an ordinary network; six of 150 it does not break by chance."""
    found = subject(linear())
    rates = torch.zeros(of)
    images = torch.zeros(of, 1, 4, 4)
    forty = Hits(images, rates, rates.bool())
    one = Hits(images, torch.where(torch.arange(of) < only, 1.0, 0.0), rates.bool())
    data = Dataset("many", images, rates.long(), found.field.data.classes)
    probes = replace(found.field, data=data, goal=Goal(data.labels))
    vars(found).update(one_step=one, iterated=forty, probes=probes)  # as if they had been computed
    assert LOOKS["one step beats iterative"](found).raised is raised


@pytest.mark.parametrize("slope", [0.0, 1e-6, 1e-4, 1e-2, 1.0, 10.0])
def test_hard_decisions_are_caught_whatever_slope_is_laid_over_them(slope):
    assert LOOKS["margin off its gradient"](subject(decided(slope))).raised


@pytest.mark.parametrize("factor", [1e-6, 1.0, 1e6])
def test_the_scale_of_the_logits_says_nothing_about_the_margin_and_its_gradient(factor):
    found = LOOKS["margin off its gradient"](subject(linear(after=Scale(factor))))
    assert found.raised is False, found.detail


def test_queries_meet_what_stands_whatever_the_ensembles_rule_says():
    """The evaluation broke nothing; decisions alone tell which images are near the boundary."""
    flag = LOOKS["black box beats white box"](subject(decided(0.0), missed=True))
    assert flag.raised
    assert "of 20 images that stood" in flag.detail
    assert len(flag.images) >= 10


def test_gradients_that_are_not_finite_in_places_are_told_and_are_no_accusation():
    model, data = linear(before=Root())
    images = data.images.clone()
    images[:, :, 0, :2] = 0
    dark = Dataset("dark", images, model.predict(images).argmax(1), data.classes, data.index)
    found = LOOKS["zero gradient"](subject((model, dark)))
    assert found.raised is False
    assert "infinite or NaN at 30" in found.detail


def test_what_was_not_given_is_not_run():
    bare = subject(linear())
    assert LOOKS["transfer failure"](bare).status == "not run"
    assert LOOKS["train and test attack identical"](bare).status == "not run"


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ("pgd:eps=0.1,steps=7", "pgd:steps=7,eps=1/10", True),
        ("pgd:eps=0.1,steps=10", "pgd:eps=0.1,steps=10,step_size=0.025,precision=float32,early_stop=false", True),
        ("pgd:eps=0.1,steps=1,random_start=false", "fgsm:eps=0.1", True),
        ("bim:eps=0.1,steps=1", "fgsm:eps=0.1", True),
        ("bim:eps=0.1,steps=5", "pgd:eps=0.1,steps=5,step_size=0.04,random_start=false", True),
        ("bim:eps=0.1,steps=5", "pgd:eps=0.1,steps=5,step_size=0.04", False),
        ("pgd:eps=0.1,steps=1", "fgsm:eps=0.1", False),
        ("pgd:eps=0.1,steps=7", "pgd:eps=0.1,steps=8", False),
        ("pgd:eps=0.1", "pgd:eps=0.1,norm=l2", False),
        ("pgd:eps=0.1", "pgd:eps=0.2", False),
        ("pgd:eps=0.1", "pgd:eps=0.1,restarts=2", False),
        ("apgd:eps=0.1", "apgd:loss=ce,eps=0.10", True),
        ("apgd:eps=0.1", "apgd:loss=dlr,eps=0.1", False),
    ],
)
def test_attacks_are_compared_by_what_they_do_and_not_by_how_they_are_written(one, other, same):
    assert (meaning(parse(one)) == meaning(parse(other))) is same


def test_attacks_that_mean_the_same_give_the_same_images():
    model, data = linear()
    goal = Goal(data.labels)
    same = (FGSM(0.05), BIM(0.05, 1), PGD(0.05, 1, random_start=False))
    found = [attack(model, data.images, goal, torch.Generator()) for attack in same]
    assert torch.equal(found[0], found[1])
    assert torch.equal(found[0], found[2])


def test_both_attacks_are_told_by_their_steps():
    found = LOOKS["train and test attack identical"](subject(linear(), trained_with=FGSM(0.05), reported=PGD(0.05, 7)))
    assert found.raised is False
    assert found.detail == (
        "trained with fgsm, linf eps 0.05, 1 step of 1.0 eps from the image; "
        "reported pgd, linf eps 0.05, 7 steps of 0.357143 eps from a random start"
    )


def test_an_attack_that_is_not_in_the_table_is_not_called_another_one():
    found = LOOKS["train and test attack identical"](subject(linear(), trained_with="trades:eps=0.05"))
    assert found.status == "not run"
    assert "trades:eps=0.05" in found.detail


def test_a_random_model_keeps_to_tests_that_mean_something():
    random = subject(linear(before=Noise()))
    assert random.random
    names = ("silent success", "planted images missed", "black box beats white box", "noisy loss surface")
    assert [LOOKS[name](random).status for name in names] == ["not run"] * 4
    assert LOOKS["one step beats iterative"](random).status != "not run"


def test_the_loss_of_short_steps_is_still_falling():
    short, whole = (
        falling(subject(linear()).field, PGD(0.05, step_size=size, random_start=False), 0) for size in (0.0005, None)
    )
    assert ((short > 0.2) & (short < 0.4)).all()  # the last ten of forty equal steps
    assert (whole < 0.05).all()


def test_the_trap_holds_inside_the_ball_and_springs_at_its_edge(honest):
    one = honest.field.data[3]
    trap = plant(honest, one)
    assert trap is not None
    inside = (one.images + 0.05 * 0.5 * (2 * torch.rand(200, 1, 4, 4) - 1)).clamp(0, 1)
    assert (trap.predict(inside).argmax(1) == 0).all()
    found = APGD(0.05, loss="margin")(trap, one.images, Goal(torch.zeros(1, dtype=torch.long)), torch.Generator())
    assert (found - one.images).abs().max() <= 0.05 + 1e-6
    assert trap.predict(found).argmax(1).tolist() == [1]
    own = Goal(one.labels).margin(honest.model.predict(one.images))
    planted = Goal(torch.zeros(1, dtype=torch.long)).margin(trap.predict(one.images))
    assert torch.allclose(own, planted, rtol=1e-3)  # as sure of the clean image as the model is
    assert LastFeatures(honest.field.model)(one.images).shape == (1, 16)


def test_effort_is_checked():
    with pytest.raises(BadInput, match="planted"):
        Effort(planted=0)
    with pytest.raises(BadInput, match="width"):
        Effort(width=0.0)


def test_the_documents_print_the_same_table():
    page = (Path(__file__).parents[2] / "docs" / "audit.md").read_text()
    for number, flag in enumerate(RED_FLAGS, 1):
        blocks = "yes" if flag.blocks else "no"
        assert f"| {number} | {flag.name} | {flag.test} | {flag.threshold} | {blocks} | {flag.source} |" in page


def test_features_are_one_row_per_image_for_copies_and_committees():
    """The last dense layer sees three rows per image; of a committee it is the last member's."""
    model, data = linear()
    copies = PREPROCESSORS["masked"](0.3, fill=0.0, copies=3).around(model)
    members = Committee(2).of([linear(seed=1)[0], model])
    torch.testing.assert_close(LastFeatures(copies)(data.images), copies(data.images))
    for other in (members, model):
        assert LastFeatures(other)(data.images).shape == (len(data), 16)
