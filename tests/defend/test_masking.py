"""Masking while a network learns: the paper's algorithm, its variants, and the settings that cannot be."""

import pytest
import torch

from pixelproof import data, defend
from pixelproof.defend import Hardening, LearnedMask, Mask, kept_features
from pixelproof.defend.defence import Setting
from pixelproof.defend.learned import Relaxed
from pixelproof.defend.masking import Masking
from pixelproof.errors import BadInput
from pixelproof.models import Card, Classifier, Recipe, Step, Training, train
from pixelproof.models.nets import build

TRAIN, VAL = data.load("digits"), data.load("digits", "val")


def fresh(name="mlp", seed=0):
    return Classifier(build(name, (1, 8, 8), 10, seed), Card(name, TRAIN.classes, (1, 8, 8))).eval()


def masking(mask, batch=64):
    model = fresh()
    return Masking(mask, Setting(model, TRAIN, VAL, Training(batch=batch), True))


def step(rows, epoch=0, number=1):
    return Step(fresh(), rows, TRAIN.labels[rows], epoch, number, 0.5)


ROWS = torch.arange(64)
WHITE = torch.ones(64, 1, 8, 8)


def test_each_image_gets_a_new_mask_each_epoch():
    hide = masking(Mask(0.3, 0.0, "train"))
    first, second = hide(WHITE, step(ROWS)), hide(WHITE, step(ROWS, epoch=1, number=0))
    assert len({image.numpy().tobytes() for image in torch.cat([first, second])}) == 128
    assert abs(float((first == 0).float().mean()) - 0.3) < 0.03


def test_variability_is_the_share_of_images_with_a_new_mask():
    for share in (0.0, 0.5):
        hide = masking(Mask(0.3, 0.0, "train", variability=share))
        first, second = hide(WHITE, step(ROWS)), hide(WHITE, step(ROWS, epoch=1, number=0))
        same = (first == second).flatten(1).all(1).float().mean()
        assert abs(float(same) - (1 - share) ** 2) < 0.15
    hide = masking(Mask(0.3, 0.0, "train", variability=0.0))
    turned = hide(WHITE, step(ROWS.flip(0)))  # a mask belongs to the image, not to the place in the batch
    assert torch.equal(hide(WHITE, step(ROWS)), turned.flip(0))


def test_a_fixed_mask_is_one_for_all_and_the_one_that_stays_on_at_test():
    mask = Mask(0.3, 0.0, "both", pattern="fixed", seed=4)
    hide = masking(mask)
    hidden = hide(WHITE, step(ROWS)) == 0
    assert (hidden == hidden[0]).all()
    preprocessor = mask.preprocessor().masks((1, 8, 8))
    assert torch.equal(~hidden[0], preprocessor[0])


@pytest.mark.parametrize("pattern", ["block", "filter"])
def test_regions_move_from_image_to_image(pattern):
    hide = masking(Mask(0.25, "distort" if pattern == "filter" else 0.0, "train", pattern=pattern))
    images = torch.rand(64, 1, 8, 8)
    changed = hide(images, step(ROWS)) != images
    assert changed.flatten(1).sum(1).float().mean() <= 16
    assert len({image.numpy().tobytes() for image in changed}) > 10


def test_noise_fill_is_new_noise():
    hide = masking(Mask(0.5, "noise", "train"))
    first, second = hide(WHITE, step(ROWS)), hide(WHITE, step(ROWS))
    hidden = first[first != 1]
    assert 0.45 < float(hidden.mean()) < 0.55
    assert not torch.equal(first, second)


def test_a_mask_at_test_stands_before_the_network_and_one_in_training_does_not():
    settings = Training(epochs=2, batch=64)
    trained = Hardening((Mask(0.3, 0.5, "train"),), settings).conduct(fresh(), TRAIN, validation=VAL).model
    both = Hardening((Mask(0.3, 0.5, "both"),), settings).conduct(fresh(), TRAIN, validation=VAL).model
    assert trained.card.preprocessors == ()
    assert len(both.card.preprocessors) == 1
    assert torch.equal(trained.net.fc1.weight, both.net.inner.net.fc1.weight), "the mask at test changes no training"
    (alone,) = defend.parse(["mask:ratio=0.3,fill=0.5,when=test"])
    model = fresh()
    behind = alone(model, TRAIN, torch.Generator())
    assert torch.equal(behind.net.inner.net.fc1.weight, model.net.fc1.weight)


def test_a_learned_mask_drops_what_says_nothing_and_the_weight_decides_how_much():
    """Pixels that are the same in all digits must go first: on 8 x 8 digits the outermost columns are black."""
    kept = {}
    for weight in (1e-4, 3e-3, 0.05):
        defence = LearnedMask(weight)
        hardened = Hardening((defence,), Training(epochs=30, batch=64)).conduct(fresh(), TRAIN, validation=VAL, seed=1)
        kept[weight] = kept_features(hardened.model)
        assert hardened.model.card.preprocessors == ("features:fill=0",)
        if weight == 3e-3:
            mask = hardened.model.net.preprocessor.kept[0, 0]
            busy = TRAIN.images.std(0)[0]
            assert float(busy[mask].mean()) > 1.2 * float(busy[~mask].mean())
            accuracy = (hardened.model.predict(VAL.images).argmax(1) == VAL.labels).float().mean()
            assert accuracy > 0.85
    assert kept[1e-4] > kept[3e-3] > kept[0.05]
    assert kept_features(fresh()) == 64


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ("mask:ratio=0.3", "needs fill, when"),
        ("mask:ratio=0.3,fill=0", "needs when"),
        ("mask:ratio=1,fill=0,when=train", r"ratio must lie in \[0, 1\)"),
        ("mask:ratio=0.3,fill=1.2,when=train", r"fill must lie in \[0, 1\]"),
        ("mask:ratio=0.3,fill=grey,when=train", "fill"),
        ("mask:ratio=0.3,fill=0,when=always", "when"),
        ("mask:ratio=0.3,fill=0,when=train,weight=0.1", "constant on sampled masks.*no gradient.*learned-mask"),
        ("mask:ratio=0.3,fill=0,when=train,copies=3", "for masks at test"),
        ("mask:ratio=0.3,fill=0,when=both,pattern=fixed,draw=fresh", "fixed mask cannot be drawn anew"),
        ("mask:ratio=0.3,fill=0,when=train,pattern=filter", "needs fill=blur or fill=distort"),
        ("mask:ratio=0.3,fill=0,when=train,pattern=block,variability=0.5", "variability"),
        ("learned-mask:weight=0", "weight must be a positive number"),
    ],
)
def test_masks_that_cannot_be_are_refused_with_the_reason(spec, message):
    with pytest.raises(BadInput, match=message):
        defend.parse([spec])


def test_the_best_epoch_brings_its_mask_with_its_weights():
    """Scores that fall after the second epoch: weights and mask must both be those of the second."""
    seen = []

    def judge(model, validation):
        seen.append((model.net.fc1.weight.detach().clone(), relaxed.logits.detach().clone()))
        return float(len(seen) == 2)

    model = fresh()
    relaxed = Relaxed(LearnedMask(3e-3), model)
    ingredients = {"transforms": (relaxed,), "penalties": (relaxed.penalty,), "parameters": (relaxed.logits,)}
    recipe = Recipe(**ingredients, judge=judge, collapse=2.0)
    history = train(model, TRAIN, VAL, Training(epochs=4, batch=64), recipe=recipe)
    assert history.kept == 1
    assert not torch.equal(seen[1][1], seen[3][1]), "the mask went on moving"
    assert torch.equal(model.net.fc1.weight, seen[1][0])
    assert torch.equal(relaxed.logits.detach(), seen[1][1])


def test_weight_decay_and_treatments_leave_the_mask_alone():
    """A mask that nothing pulls must stay where it is, however strongly the weights are pulled."""
    model = fresh()
    before = model.net.fc1.weight.detach().clone()
    logits = torch.nn.Parameter(torch.full((1, 8, 8), 0.2))
    touched = []

    def treatment(gradients, step):
        touched.append(len(gradients))

    def penalty(images, step):
        return 0 * logits.sum()

    recipe = Recipe(parameters=(logits,), penalties=(penalty,), treatments=(treatment,), weight_decay=10.0)
    train(model, TRAIN, VAL, Training(epochs=1, batch=64, optimiser="sgd", learning_rate=1e-3), recipe=recipe)
    assert torch.equal(logits.detach(), torch.full((1, 8, 8), 0.2))
    assert model.net.fc1.weight.norm() < 0.9 * before.norm()
    assert set(touched) == {len(list(model.parameters()))}


def test_epochs_are_judged_behind_the_mask_that_will_be_kept():
    """Validation accuracy of the kept epoch is that of the finished classifier, which sees the kept features only."""
    hardened = Hardening((LearnedMask(3e-3),), Training(epochs=12, batch=64)).conduct(fresh(), TRAIN, validation=VAL)
    history = hardened.histories[0]
    right = (hardened.model.predict(VAL.images).argmax(1) == VAL.labels).float().mean()
    assert float(right) == pytest.approx(float(history.validation[history.kept, 1]))
    loss = float(torch.nn.functional.cross_entropy(hardened.model.predict(VAL.images), VAL.labels))
    score = -(loss + 3e-3 * kept_features(hardened.model))
    assert float(history.judged[history.kept]) == pytest.approx(score, rel=1e-4)
    assert history.kept == int(history.judged.argmax())
    assert kept_features(hardened.model) < 64


@pytest.mark.parametrize("order", [0, 1])
def test_where_an_adversary_judges_epochs_its_judge_decides(order):
    wanted = defend.parse(["learned-mask:weight=0.01", "fgsm-rs:eps=0.05"][:: 1 - 2 * order])
    found = Hardening(wanted, Training(epochs=2, batch=64)).conduct(fresh(), TRAIN, validation=VAL)
    assert ((found.histories[0].judged >= 0) & (found.histories[0].judged <= 1)).all()


def test_a_second_mask_before_a_masked_model_is_refused():
    masked = defend.parse(["masked:ratio=0.3,fill=0"])[0](fresh(), TRAIN, torch.Generator())
    for spec in ("learned-mask", "mask:ratio=0.1,fill=0,when=train", "masked:ratio=0.1,fill=0.5"):
        with pytest.raises(BadInput, match=r"stands behind a mask already \(masked:ratio=0.3"):
            Hardening(defend.parse([spec]), Training(epochs=1)).conduct(masked, TRAIN, validation=VAL)
