"""What every attack promises, whatever it does inside."""

from dataclasses import MISSING, fields, replace
from functools import lru_cache

import pytest
import torch
from attack_toys import ALL, digits_net, linear

from pixelproof import attacks, lp, specs
from pixelproof.attacks import (
    ATTACKS,
    FAB,
    FGSM,
    PGD,
    Attack,
    Critical,
    DeepFool,
    Foolbox,
    SigmaZero,
    mount,
    parse,
    sweep,
)
from pixelproof.draws import Draws
from pixelproof.errors import BadInput, UnknownName
from pixelproof.models import evaluating
from pixelproof.types import Goal

every = pytest.mark.parametrize("attack", ALL, ids=specs.write)


def few(n):
    """The trained network, and the first n of its test images: what is promised is promised for each."""
    model, test = digits_net()
    return model, test[:n]


@lru_cache
def mounted(attack):
    """What the attack finds for the first 30 images, once for all tests that ask; to be read only."""
    return mount(attack, *few(30))


def test_every_attack_of_the_table_is_tried_here():
    assert {attack.name for attack in ALL} == set(ATTACKS)
    assert all(isinstance(attack, Attack) for attack in ALL)


@pytest.mark.parametrize("name", ATTACKS)
def test_what_an_attack_says_of_itself_is_what_its_settings_say(name):
    kind = ATTACKS[name]
    eps = {field.name: field.default for field in fields(kind)}.get("eps", "none")
    assert {"none": "fixed", MISSING: "budget", None: "minimal"}[eps] == kind.kind
    assert kind.name == name
    assert isinstance(kind.draws, bool)
    assert isinstance(kind.targetable, bool)


@every
def test_the_spec_reads_back(attack):
    assert parse(specs.write(attack)) == attack


@every
def test_range_budget_shape_and_success(attack):
    model, test = few(60)
    found = mount(attack, model, test)
    assert found.images.shape == found.clean.shape
    assert found.images.min() >= 0
    assert found.images.max() <= 1
    if attack.eps is not None:
        assert (found.distance[attack.norm] <= attack.eps * (1 + 1e-5)).all()
    assert torch.equal(found.success, model.predict(found.images).argmax(1) != found.labels)
    blind = not found.forwards.any()  # noise aims at nothing, and is all chance
    assert attack.draws or not blind
    if not blind and attack.eps != 0.05:
        assert found.success.float().mean() > (0.1 if attack.eps == 1 else 0.3)  # one pixel is little
    assert torch.equal((found.forwards > 0), torch.full_like(found.success, not blind))


@every
def test_the_model_comes_back_as_it_was(attack):
    model, test = few(20)
    model.net.conv1.weight.requires_grad_(False)
    model.net.fc1.train()
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    wants = [parameter.requires_grad for parameter in model.parameters()]
    modes = [part.training for part in model.modules()]
    state = torch.random.get_rng_state()
    try:
        mount(attack, model, test)
        assert [parameter.requires_grad for parameter in model.parameters()] == wants
        assert [part.training for part in model.modules()] == modes
        assert all(parameter.grad is None for parameter in model.parameters())
        assert all(torch.equal(before[name], tensor) for name, tensor in model.state_dict().items())
        assert not any(part._forward_hooks or part._backward_hooks for part in model.modules())
        assert torch.equal(torch.random.get_rng_state(), state)
    finally:
        model.net.conv1.weight.requires_grad_(True)
        model.eval()


@every
def test_batch_size_and_order_change_nothing(attack):
    model, test = few(30)
    whole = mounted(attack)
    order = torch.randperm(len(test), generator=torch.Generator().manual_seed(0))
    # no batch of fewer than four: torch takes other kernels for them, whose rounding may decide a tie in a pool
    for other in (mount(attack, model, test, batch=16), mount(attack, model, test[order], batch=8)):
        place = {position: row for row, position in enumerate(other.index.tolist())}
        rows = torch.tensor([place[position] for position in whole.index.tolist()])
        assert torch.equal(other.success[rows], whole.success)
        if getattr(attack, "precision", "float32") == "float32":
            # sigma-zero divides by the largest gradient of an image, which carries float32 noise further
            tolerance = 1e-4 if isinstance(attack, SigmaZero) else 2e-5
            torch.testing.assert_close(other.images[rows], whole.images, atol=tolerance, rtol=0)


@every
def test_an_image_alone_is_what_it_is_among_others(attack):
    """On a network whose rounding decides nothing: the seeds belong to the image, and no sum is over the batch."""
    model, _, toy = linear(classes=4, seed=1)
    attack = replace(attack, k=8) if isinstance(attack, Critical) else attack
    whole = mount(attack, model, toy[:12])
    for row in range(0, 12, 3):
        alone = mount(attack, model, toy[[row]])
        assert alone.success[0] == whole.success[row]
        if getattr(attack, "precision", "float32") == "float32":
            torch.testing.assert_close(alone.images[0], whole.images[row], atol=1e-4, rtol=0)


@pytest.mark.parametrize("attack", [attack for attack in ALL if not attack.draws], ids=specs.write)
def test_seeds_matter_only_to_attacks_that_draw(attack):
    model, test = few(20)
    first, second = (mount(attack, model, test, seed=seed) for seed in (1, 2))
    assert torch.equal(first.images, second.images)


@pytest.mark.parametrize("name", [name for name, kind in ATTACKS.items() if kind.draws])
def test_attacks_that_say_so_do_draw(name):
    model, test = few(20)
    drawing = {"fab": FAB(steps=3, targets=2, restarts=3, norm="l2"), "foolbox": Foolbox("LinfPGD", 0.1, ("steps=2",))}
    attack = drawing.get(name) or next(attack for attack in ALL if attack.name == name)
    first, second = (mount(attack, model, test, seed=seed) for seed in (1, 2))
    assert not torch.equal(first.images, second.images)


@every
def test_a_budget_of_zero_changes_nothing_or_a_budget_of_its_own_cannot_be_swept(attack):
    model, test = few(10)
    if attack.kind == "fixed":
        with pytest.raises(BadInput, match="Mount it instead"):
            sweep(attack, model, test, [0.0])
        return
    found = mount(replace(attack, eps=0.0), model, test)
    assert torch.equal(found.images, found.clean)
    assert not found.success.any()


@every
def test_every_image_may_have_its_own_budget(attack):
    """A budget of zero, half of the attack's and the whole, side by side, are what each would be alone."""
    model, test = few(30)
    whole = attack.eps or {"linf": 0.15, "l2": 1.0, "l1": 6.0, "l0": 4.0}[attack.norm]
    budgets = torch.tensor([0.0, whole / 2, whole]).repeat(10)
    if attack.kind == "fixed" or isinstance(attack, Foolbox):
        with pytest.raises(BadInput, match=r"one budget for all|other settings"):
            mount(attack, model, test, eps=budgets)
        return
    found = mount(attack, model, test, eps=budgets)
    kept = budgets[torch.isin(test.index, found.index)]
    assert (found.distance[attack.norm] <= kept * (1 + 1e-5) + 1e-6).all()
    assert torch.equal(found.images[kept == 0], found.clean[kept == 0])
    alone = mounted(replace(attack, eps=whole))
    rows = kept == whole
    assert torch.equal(found.success[rows], alone.success[rows])
    with pytest.raises(BadInput, match="one finite number"):
        mount(attack, model, test, eps=budgets[:5])


@every
def test_targets_are_aimed_at_or_refused(attack):
    model, test = few(60)
    targets = (test.labels + 1) % 10
    if not attack.targetable:
        with pytest.raises(BadInput, match="is untargeted"):
            mount(attack, model, test, targets=targets)
        return
    found = mount(attack, model, test, targets=targets)
    assert torch.equal(found.success, model.predict(found.images).argmax(1) == found.goal.labels)
    if found.forwards.any():
        rows = found.goal.labels[:, None]
        chances = [model.predict(images).softmax(1).gather(1, rows).mean() for images in (found.clean, found.images)]
        assert chances[1] > chances[0]


@every
def test_images_that_are_fooled_already_are_left_in_range_and_budget(attack):
    """Called without the harness, an attack may be given images that the model gets wrong."""
    model, test = few(60)
    goal = Goal((model.predict(test.images).argmax(1) + 1) % 10)
    images = attack(model, test.images, goal, Draws.keyed(0, test.index))
    assert goal.reached(model.predict(images)).float().mean() > 0.9
    if attack.eps is not None:
        assert (lp.norm(images - test.images, attack.norm) <= attack.eps * (1 + 1e-5)).all()


@every
def test_a_generator_serves_as_well_as_streams(attack):
    model, test = few(10)
    goal = Goal(test.labels)
    first, second = (attack(model, test.images, goal, torch.Generator().manual_seed(5)) for _ in range(2))
    assert torch.equal(first, second)


@pytest.mark.parametrize(
    ("spec", "error", "says"),
    [
        ("pgd:eps=-0.1", BadInput, "eps must be a finite number >= 0; got -0.1"),
        ("fgsm:eps=inf", BadInput, "finite"),
        ("fgsm:eps=nan", BadInput, "finite"),
        ("deepfool:eps=-1", BadInput, "eps"),
        ("uniform-noise:eps=-1", BadInput, "eps"),
        ("sign-noise:eps=-1", BadInput, "eps"),
        ("foolbox:LinfPGD,eps=-1", BadInput, "eps"),
        ("pgd:eps=0.1,steps=0", BadInput, "steps must be at least 1"),
        ("bim:eps=0.1,step_size=0", BadInput, "step_size must be positive"),
        ("pgd:eps=0.1,restarts=2,random_start=false", BadInput, "restarts need a random start"),
        ("deepfool:candidates=1", BadInput, "candidates must be at least 2"),
        ("deepfool:overshoot=-1", BadInput, "overshoot must be >= 0"),
        ("fgms:eps=0.1", UnknownName, "Did you mean 'fgsm'"),
        ("pgd:esp=0.1", UnknownName, "Did you mean 'eps'"),
        ("pgd:eps=0.1,norm=l3", UnknownName, "Known: l2, linf"),
    ],
)
def test_settings_that_cannot_be_right_are_refused(spec, error, says):
    with pytest.raises(error, match=says):
        parse(spec)


def test_a_model_that_learns_or_is_none_is_refused():
    model, test = digits_net()

    class Other:
        device, card = model.device, model.card

        def __call__(self, images):
            return model(images)

    with pytest.raises(BadInput, match="Wrap it with"):
        FGSM(0.1)(Other(), test.images, Goal(test.labels), torch.Generator())
    with evaluating(model):
        model.train()
        with pytest.raises(BadInput, match="evaluation mode"):
            FGSM(0.1)(model, test.images, Goal(test.labels), torch.Generator())


def test_restarts_only_add_successes():
    model, test = digits_net()
    one, six = (mount(PGD(0.08, steps=2, restarts=k, precision="float32"), model, test) for k in (1, 6))
    assert (six.success | ~one.success).all()
    assert six.success.sum() > one.success.sum()
    held = ~six.success
    assert (six.backwards[held] == 12).all()


def test_a_step_of_its_own_is_taken():
    model, test = digits_net()
    goal = Goal(test.labels)
    images = attacks.BIM(0.3, steps=1, step_size=0.02)(model, test.images, goal, torch.Generator())
    assert float((images - test.images).abs().max()) == pytest.approx(0.02, abs=1e-6)


def test_deepfool_needs_fewer_gradients_than_rivals():
    """Leaving rivals out changes nothing but the number of passes: one per rival would be nine for every step."""
    model, test = digits_net()
    found = mount(DeepFool(), model, test)
    assert found.success.all()
    assert (found.backwards < 9 * (found.forwards - 1)).float().mean() > 0.3
