"""Budgets that cannot be right are refused wherever one is given; parts of a pixel are none."""

from dataclasses import replace

import pytest
import torch
from attack_toys import ALL, linear

from pixelproof import measure, specs
from pixelproof.attacks import ATTACKS, FGSM, FMN, PGD, SigmaZero, SignNoise, UniformNoise, mount, parse, sweep
from pixelproof.errors import BadInput

HINT = r"eps must lie in 0\.\.1 in linf; got 8.*write 8/255, not 8"
SETTABLE = [attack for attack in ALL if attack.kind != "fixed"]


@pytest.mark.parametrize("attack", [attack for attack in SETTABLE if attack.norm == "linf"], ids=specs.write)
def test_a_linf_budget_above_one_is_refused_with_the_hint(attack):
    model, _, data = linear()
    with pytest.raises(BadInput, match=HINT):
        mount(replace(attack, eps=8.0), model, data)
    assert replace(attack, eps=1.0).eps == 1.0


@pytest.mark.parametrize("attack", [attack for attack in SETTABLE if attack.norm != "linf"], ids=specs.write)
def test_other_norms_may_be_larger_than_one(attack):
    assert replace(attack, eps=8.0).eps == 8.0


@pytest.mark.parametrize(
    "ask",
    [
        lambda model, data: sweep(PGD(0.1), model, data, [0.2, 8.0]),
        lambda model, data: sweep(FMN("linf"), model, data, [0.5, 8.0]),
        lambda model, data: mount(PGD(0.1), model, data, eps=torch.full((len(data),), 8.0)),
        lambda model, data: measure.curve(model, data, norm="linf", eps=[0.1, 8.0]),
        lambda _model, _data: (UniformNoise(0.1), UniformNoise(8.0)),
        lambda _model, _data: SignNoise(8.0),
    ],
)
def test_wherever_it_is_given(ask):
    model, _, data = linear()
    with pytest.raises(BadInput, match=HINT):
        ask(model, data)


@pytest.mark.usefixtures("unchecked")
@pytest.mark.parametrize("name", sorted(name for name, kind in ATTACKS.items() if "eps" in kind.__dataclass_fields__))
def test_a_budget_written_as_text_is_refused_with_what_reads_it(name):
    given = {"attack": "LinfPGD"} if name == "foolbox" else {}
    with pytest.raises(BadInput, match=r"eps must be a number; got the text '8/255'\. attacks\.parse"):
        ATTACKS[name](eps="8/255", **given)


@pytest.mark.parametrize("attack", [FMN("l0", steps=30, precision="float32"), SigmaZero(steps=40)], ids=specs.write)
def test_a_part_of_a_pixel_is_none(attack):
    model, _, data = linear()
    found = {eps: mount(replace(attack, eps=eps), model, data) for eps in (0.9, 2.0, 2.5)}
    assert (found[2.5].distance["l0"] <= 2).all()
    assert torch.equal(found[2.5].images, found[2.0].images)
    assert torch.equal(found[0.9].images, found[0.9].clean)
    swept = sweep(attack, model, data, [0.9, 2.5])
    assert (swept[1].distance["l0"] <= 2).all()


def test_the_hint_is_given_for_numbers_that_are_none_as_well():
    for spec in ("fgsm:eps=-1", "fgsm:eps=inf", "fgsm:eps=255"):
        with pytest.raises(BadInput, match="8/255"):
            parse(spec)
    assert FGSM(0.0).eps == 0
