"""Every row of the table: it hardens, it composes, it repeats, and the model it is given stays as it is."""

import pytest
import torch

from pixelproof import data, defend, models, specs
from pixelproof.defend import DEFENCES, Hardening
from pixelproof.defend.defence import Defence, TrainingDefence
from pixelproof.errors import BadInput
from pixelproof.models import Card, Classifier, Training
from pixelproof.models.nets import build

TRAIN, VAL = data.load("digits").sample(500), data.load("digits", "val")
SPECS = {
    "mask": "mask:ratio=0.3,fill=noise,when=both",
    "gradient-clip": "gradient-clip:norm=1",
    "masked": "masked:ratio=0.2,fill=0.5",
    "pgd-at": "pgd-at:steps=2",
    "trades": "trades:steps=2",
    "ibp": "ibp:eps=0.02",
    "ensemble": "ensemble:members=2",
}
SHORT = Training(epochs=2, batch=64)


def fresh(name="mlp", seed=0):
    return Classifier(build(name, (1, 8, 8), 10, seed), Card(name, TRAIN.classes, (1, 8, 8))).eval()


@pytest.mark.parametrize("name", sorted(DEFENCES))
def test_every_defence_gives_a_classifier_that_remembers_and_returns(name, tmp_path):
    spec = SPECS.get(name, name)
    (defence,) = defend.parse([spec])
    assert isinstance(defence, Defence)
    assert specs.parse(specs.write(defence), DEFENCES) == defence
    model = fresh()
    before, weights = model.card, model.digest()
    torch.manual_seed(3)
    state = torch.random.get_rng_state()
    first = Hardening((defence,), SHORT).conduct(model, TRAIN, validation=VAL, seed=1)
    again = Hardening((defence,), SHORT).conduct(model, TRAIN, validation=VAL, seed=1)
    assert torch.equal(torch.random.get_rng_state(), state)
    assert (model.card, model.digest()) == (before, weights)
    assert first.model.digest() == again.model.digest()
    assert first.model.card.defences == (specs.write(defence),)
    assert first.model.card.parent == weights
    assert first.model.card.cost >= 0
    assert not first.model.training
    models.save(first.model, tmp_path / "m.safetensors")
    back = models.load(str(tmp_path / "m.safetensors"))
    assert back.card == first.model.card
    assert torch.equal(back.predict(VAL.images), first.model.predict(VAL.images))
    if isinstance(defence, TrainingDefence) and name != "ensemble":
        assert len(first.histories) == 1


@pytest.mark.parametrize("name", sorted(DEFENCES))
def test_called_as_the_protocol_says(name):
    (defence,) = defend.parse([SPECS.get(name, name)])
    hardened = defence(fresh(), TRAIN[torch.arange(200)], torch.Generator().manual_seed(0))
    assert isinstance(hardened, Classifier)
    assert hardened.predict(VAL.images[:5]).shape == (5, 10)


def test_ingredients_of_several_defences_all_act():
    wanted = ["mask:ratio=0.2,fill=noise,when=both", "gradient-noise", "gradient-clip:norm=1", "fgsm-rs", "dropout"]
    wanted += ["weight-average", "median:window=2", "bits:bits=4", "ensemble:members=2"]
    whole = Hardening(defend.parse(wanted), SHORT).conduct(fresh(), TRAIN, validation=VAL)
    assert [spec.partition(":")[0] for spec in whole.model.card.defences] == [w.partition(":")[0] for w in wanted]
    before = [spec.partition(":")[0] for spec in whole.model.card.preprocessors]
    assert before == ["median", "bits", "committee", "masked"]
    assert len(whole.histories) == 2
    digests = {whole.model.net.inner.net.inner.net.members[k].digest() for k in (0, 1)}
    assert len(digests) == 2, "members differ in their seed"
    for left_out in ("gradient-noise", "fgsm-rs", "dropout", "weight-average"):
        rest = [spec for spec in wanted if spec != left_out]
        other = Hardening(defend.parse(rest), SHORT).conduct(fresh(), TRAIN, validation=VAL)
        assert other.model.digest() != whole.model.digest(), f"{left_out} changed nothing"


def test_a_squeezer_is_there_while_the_network_learns_if_asked(tmp_path):
    weights = {}
    for when, order in (("test", ["bits", "median"]), ("both", ["median", "bits"])):
        wanted = ["gradient-clip:norm=1", f"bits:bits=1,when={when}", "median:window=2"]
        made = Hardening(defend.parse(wanted), SHORT).conduct(fresh(), TRAIN, validation=VAL).model
        assert [spec.partition(":")[0] for spec in made.card.preprocessors] == order
        models.save(made, tmp_path / f"{when}.safetensors")
        again = models.load(str(tmp_path / f"{when}.safetensors"))
        torch.testing.assert_close(again.predict(VAL.images), made.predict(VAL.images))
        weights[when] = made.net.inner.net.inner.net.fc1.weight
    assert not torch.equal(weights["test"], weights["both"])
    alone = Hardening(defend.parse(["bits:bits=1,when=both"]), SHORT).conduct(fresh(), TRAIN, validation=VAL)
    assert len(alone.histories) == 1, "trained without any other defence"


def test_hardening_goes_on_from_given_weights_or_begins_anew():
    trained = models.load("mlp", data=TRAIN, training=Training(epochs=8, batch=32))
    still = Training(epochs=1, batch=500, learning_rate=1e-9)
    (defence,) = defend.parse(["gradient-clip:norm=1"])
    given = Hardening((defence,), still, "given").conduct(trained, TRAIN, validation=VAL).model
    anew = Hardening((defence,), still).conduct(trained, TRAIN, validation=VAL).model
    weight = trained.net.fc1.weight
    torch.testing.assert_close(given.net.fc1.weight, weight)
    assert not torch.allclose(anew.net.fc1.weight, weight)
    twice = Hardening(defend.parse(["weight-decay"]), still, "given").conduct(given, TRAIN, validation=VAL).model
    assert [spec.partition(":")[0] for spec in twice.card.defences] == ["gradient-clip", "weight-decay"]
    assert twice.card.parent == given.digest()
    assert twice.card.cost > given.card.cost
    behind = Hardening(defend.parse(["median:window=2"])).conduct(twice, TRAIN).model
    assert len(behind.card.defences) == 3


def test_validation_images_are_held_out_where_none_are_given():
    hardened = Hardening(defend.parse(["fgsm-rs:eps=0.05"]), SHORT).conduct(fresh(), TRAIN)
    assert hardened.histories[0].judged is not None
    with pytest.raises(BadInput, match="too few images to hold some out"):
        Hardening(defend.parse(["fgsm-rs"]), SHORT).conduct(fresh(), TRAIN[torch.arange(50)])


@pytest.mark.parametrize(
    ("wanted", "message"),
    [
        ([], "at least one defence"),
        (["fgsm-rs", "pgd-at"], "fgsm-rs and pgd-at contradict each other"),
        (["trades", "ibp"], "trades and ibp contradict"),
        (["distillation", "trades"], "each sets the loss"),
        (["label-smoothing", "ibp"], "each sets the loss"),
        (["learned-mask", "mask:ratio=0.1,fill=0,when=train"], "which features are seen"),
        (["learned-mask", "ibp:eps=0.1"], "interval bounds do not see the mask"),
        (["masked:ratio=0.1,fill=0", "mask:ratio=0.1,fill=0,when=both"], "which features are seen"),
        (["median", "median:window=2"], "each defence once"),
        (["fgsm-sr"], "Did you mean 'fgsm-rs'"),
        (["gradient-clip"], "either norm or value"),
        (["gradient-clip:norm=1,value=1"], "either norm or value"),
        (["gradient-noise:scale=0"], "scale must be a positive"),
        (["fgsm-rs:eps=8"], "write 8/255, not 8"),
        (["pgd-at:steps=0"], "steps must be at least 1"),
        (["ibp:begin=0.6,ramp=0.6"], "must fit into the training"),
        (["dropout:rate=1"], "rate must lie between"),
        (["augment:crop=0"], "needs crop or jitter"),
        (["ensemble:members=1"], "members must be at least 2"),
        (["weight-average:decay=1"], "decay must lie between"),
        (["distillation:temperature=-1"], "temperature must be a positive"),
    ],
)
def test_what_contradicts_or_cannot_be_is_one_clear_error(wanted, message):
    with pytest.raises(BadInput, match=message):
        Hardening(defend.parse(wanted))


def test_a_network_that_is_not_ours_cannot_begin_anew():
    own = models.wrap(
        torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(64, 10)), classes=10, input_shape=(1, 8, 8)
    )
    with pytest.raises(BadInput, match="Use start=given"):
        Hardening(defend.parse(["dropout"]), SHORT, "fresh").conduct(own, TRAIN, validation=VAL)
    hardened = Hardening(defend.parse(["gradient-noise"]), SHORT).conduct(own, TRAIN, validation=VAL)
    assert hardened.model.digest() != own.digest()
    for parameter in own.parameters():
        parameter.requires_grad_(False)
    with pytest.raises(BadInput, match="weights to train"):
        Hardening(defend.parse(["gradient-noise"]), SHORT).conduct(own, TRAIN, validation=VAL)


class MLP(torch.nn.Module):
    """A user's own network that has the name of one of ours."""

    def __init__(self):
        super().__init__()
        self.fc = torch.nn.Linear(64, 10)

    def forward(self, images):
        return self.fc(images.flatten(1))


def test_a_network_that_only_has_our_name_is_never_replaced():
    torch.manual_seed(0)
    own = models.wrap(MLP(), classes=TRAIN.classes, input_shape=(1, 8, 8), mean=[0.3], std=[0.2])
    (defence,) = defend.parse(["weight-decay"])
    found = Hardening((defence,), SHORT).conduct(own, TRAIN, validation=VAL).model
    assert isinstance(found.net, MLP)
    with pytest.raises(BadInput, match="start=given"):
        Hardening((defence,), SHORT, "fresh").conduct(own, TRAIN, validation=VAL)
    ours = Classifier(build("mlp", (1, 8, 8), 10, 0), own.card, mean=[0.3], std=[0.2])
    anew = Hardening((defence,), SHORT).conduct(ours, TRAIN, validation=VAL).model
    assert anew.normalisation == ours.normalisation
    assert anew.normalised
