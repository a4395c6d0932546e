"""What an attack shows is what ran: settings that follow from others, from the device, or of another library."""

from dataclasses import fields

import pytest
import torch
from attack_toys import linear
from test_awkward_networks import toy as wrapped
from test_awkward_networks import usual
from test_hard_models import every

from pixelproof import models, specs
from pixelproof.attacks import ATTACKS, BIM, PGD, Foolbox, mount, parse
from pixelproof.attacks.attack import used
from pixelproof.errors import BadInput, UnknownName

CPU = torch.device("cpu")
DEFAULTS = [
    kind(**({"attack": "LinfPGD"} if kind is Foolbox else {}), **({} if kind.kind == "fixed" else {"eps": 0.1}))
    for kind in ATTACKS.values()
]


@pytest.mark.parametrize("attack", DEFAULTS, ids=lambda attack: attack.name)
def test_no_setting_that_is_used_is_left_open(attack):
    shown = used(attack, CPU)
    open_ = {field.name for field in fields(shown) if getattr(shown, field.name) is None}
    assert open_ <= {"eps"}  # no budget is none
    assert getattr(shown, "precision", "float32") in ("float32", "bf16")
    assert used(shown, CPU) == shown
    assert parse(specs.write(shown)) == shown


@every
def test_what_is_shown_does_the_same(attack):
    net, images = usual()
    model, data = wrapped(net, images)
    first = mount(attack, model, data)
    again = mount(parse(first.used), model, data)
    assert first.attack == specs.write(attack)
    assert torch.equal(first.success, again.success)
    torch.testing.assert_close(first.images, again.images, atol=1e-5, rtol=0)


def test_steps_are_shares_of_the_budget_and_precision_is_the_devices():
    assert "step_size=0.00625" in specs.write(used(PGD(0.1), CPU))
    assert "step_size=0.02" in specs.write(used(BIM(0.1), CPU))
    assert "step_size=0.03" in specs.write(used(PGD(0.1, step_size=0.03), CPU))
    assert used(PGD(0.1, random_start=False), CPU).precision == "float32"
    native = models.native_bf16(CPU)
    assert used(PGD(0.1), CPU).precision == ("bf16" if native else "float32")
    assert used(PGD(0.0), CPU).step_size is None


def test_foolbox_takes_its_own_settings_and_names_those_it_has_not():
    few, many = (parse(f"foolbox:LinfPGD,eps=0.1,steps={steps},random_start=false") for steps in (1, 12))
    assert few == Foolbox("LinfPGD", 0.1, ("steps=1", "random_start=false"))
    assert specs.write(few) == "foolbox:attack=LinfPGD,eps=0.1,steps=1,random_start=false"
    assert parse(specs.write(few)) == few
    assert specs.write(parse("foolbox:LinfPGD,eps=0.1")) == "foolbox:attack=LinfPGD,eps=0.1"
    model, _, data = linear(classes=4)
    assert (mount(few, model, data).backwards == 1).all()
    assert (mount(many, model, data).backwards == 12).all()
    with pytest.raises(UnknownName, match="Did you mean 'rel_stepsize'"):
        _ = Foolbox("LinfPGD", 0.1, ("rel_step_size=0.1",)).norm
    with pytest.raises(UnknownName, match="Did you mean 'steps'"):
        parse("pgd:eps=0.1,step=3")


@pytest.mark.usefixtures("unchecked")
def test_what_is_no_attack_no_classifier_and_no_data_set_is_said_at_once():
    model, _, data = linear()
    pair = (data.images, data.labels)
    with pytest.raises(BadInput, match=r"got the text 'pgd:eps=0\.1'\. Write attacks\.parse\('pgd:eps=0\.1'\)"):
        mount("pgd:eps=0.1", model, data)
    with pytest.raises(BadInput, match=r"expected an attack; got type.*attacks\.PGD\(eps=0\.1\)"):
        mount(PGD, model, data)
    with pytest.raises(BadInput, match=r"got Sequential\. Wrap it with models\.wrap"):
        mount(PGD(0.1), model.net, data)
    with pytest.raises(BadInput, match=r"expected a Dataset; got a tuple\. Write data\.Dataset"):
        mount(PGD(0.1), model, pair)
