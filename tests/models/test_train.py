"""The training loop: it learns, it says what happened, it repeats, and it stops when it must."""

import sys

import pytest
import torch
from sklearn.metrics import accuracy_score, precision_recall_fscore_support
from torch import nn

from pixelproof import data
from pixelproof.data import Dataset
from pixelproof.errors import BadInput
from pixelproof.models import Card, Classifier, Training, train
from pixelproof.models.nets import build
from pixelproof.models.train import augment, evaluate

DIGITS = data.load("digits")
VALIDATION = data.load("digits", "val")


def fresh(name="mlp", seed=0):
    card = Card(name, DIGITS.classes, DIGITS.shape)
    return Classifier(build(name, DIGITS.shape, 10, seed), card)


@pytest.mark.parametrize(("name", "bar"), [("mlp", 0.93), ("cnn", 0.96)])
def test_digits_are_learned(name, bar):
    model = fresh(name)
    history = train(model, DIGITS, VALIDATION, Training(epochs=12, batch=64))
    test = data.load("digits", "test")
    accuracy = (model.predict(test.images).argmax(1) == test.labels).float().mean()
    assert accuracy >= bar  # n = 449, seed 0
    assert not model.training
    assert model.card.data == "digits"
    assert model.card.accuracy == pytest.approx(float(history.validation[history.kept, 1]))
    assert history.training[-1, 0] < history.training[0, 0]


def test_history_is_that_of_scikit_learn():
    model = fresh()
    history = train(model, DIGITS, VALIDATION, Training(epochs=2))
    assert history.training.shape == history.validation.shape == (2, len(history.COLUMNS))
    assert history.seconds.shape == (2,)
    assert (history.seconds > 0).all()
    logits = model.predict(VALIDATION.images)
    predicted = logits.argmax(1)
    macro = precision_recall_fscore_support(VALIDATION.labels, predicted, average="macro", zero_division=0)[:3]
    loss = float(nn.functional.cross_entropy(logits, VALIDATION.labels))
    expected = torch.tensor([loss, accuracy_score(VALIDATION.labels, predicted), *macro])
    torch.testing.assert_close(history.validation[history.kept], expected, atol=1e-5, rtol=0)


def test_without_validation_the_last_epoch_stays():
    model = fresh()
    history = train(model, DIGITS, None, Training(epochs=2))
    assert history.kept == 1
    assert history.validation.numel() == 0
    assert all(parameter.grad is None for parameter in model.parameters())
    assert model.card.accuracy is None


def test_early_stop_keeps_the_best_epoch():
    """A rate that first learns and then wrecks the weights: the epoch before the wreck is what remains."""

    class Wreck(nn.Module):
        """Logits of a net, multiplied by -1 once `after` training passes are over."""

        def __init__(self, after):
            super().__init__()
            self.net, self.left = build("mlp", DIGITS.shape, 10, 0), after

        def forward(self, images):
            if self.training:
                self.left -= 1
            return self.net(images) * (-1 if self.left < 0 and not self.training else 1)

    passes = -(-len(DIGITS) // 128)
    model = Classifier(Wreck(2 * passes), Card("wreck", DIGITS.classes, DIGITS.shape))
    history = train(model, DIGITS, VALIDATION, Training(epochs=9, patience=2))
    assert history.kept == 1
    assert len(history.training) == 4  # two good epochs, two without a better one
    assert history.validation[1, 1] == history.validation[:, 1].max()
    model.net.left = 0
    assert evaluate(model, VALIDATION)[1] == pytest.approx(float(history.validation[1, 1]))


def test_the_seed_decides_everything_and_the_global_state_is_left_alone():
    before = torch.random.get_rng_state()
    digests = []
    for seed in (1, 1, 2):
        model = fresh("cnn")
        train(model, DIGITS.sample(256), None, Training(epochs=1, augment="both", seed=seed))
        digests.append(model.digest())
    assert digests[0] == digests[1] != digests[2]
    assert torch.equal(torch.random.get_rng_state(), before)


@pytest.mark.parametrize("precision", ["float32", "bf16"])
@pytest.mark.parametrize("optimiser", ["adam", "sgd"])
@pytest.mark.parametrize("schedule", ["triangular", "cosine", "constant"])
def test_every_setting_lowers_the_loss(precision, optimiser, schedule):
    rate = {"adam": 2e-3, "sgd": 0.05}[optimiser]
    settings = Training(
        epochs=5, batch=32, optimiser=optimiser, schedule=schedule, precision=precision, learning_rate=rate
    )
    history = train(fresh(), DIGITS, None, settings)
    assert history.training[-1, 0] < 0.7 * history.training[0, 0]


def test_a_loss_that_is_not_finite_stops_with_its_batch():
    class Breaks(nn.Module):
        def __init__(self):
            super().__init__()
            self.fc, self.calls = nn.Linear(64, 10), 0

        def forward(self, images):
            self.calls += 1
            return self.fc(images.flatten(1)) * (float("nan") if self.calls == 7 else 1.0)

    model = Classifier(Breaks(), Card("breaks", DIGITS.classes, DIGITS.shape))
    with pytest.raises(BadInput, match="nan at batch 7"):
        train(model, DIGITS, None, Training(epochs=1, batch=64))


def test_data_of_another_shape_is_refused():
    other = Dataset("other", torch.rand(4, 3, 8, 8), torch.zeros(4, dtype=torch.long), DIGITS.classes)
    with pytest.raises(BadInput, match=r"expects images \(1, 8, 8\); got \(3, 8, 8\)"):
        train(fresh(), other, None, Training(epochs=1))


@pytest.mark.parametrize("settings", [{"epochs": 0}, {"batch": 0}, {"learning_rate": 0.0}, {"learning_rate": -1.0}])
def test_settings_that_cannot_be_right_are_refused(settings):
    with pytest.raises(BadInput, match=next(iter(settings))):
        Training(**settings)


def test_schedules_start_rise_and_end_where_they_say():
    rate = Training(schedule="triangular").rate
    assert [rate(0.0), rate(0.1), rate(0.2), rate(0.6), rate(1.0)] == pytest.approx([0, 0.5, 1, 0.5, 0])
    assert [Training(schedule="cosine").rate(part) for part in (0.0, 0.5, 1.0)] == pytest.approx([1, 0.5, 0])
    assert Training(schedule="constant").rate(0.9) == 1


def test_augmented_images_are_mirrored_and_moved_copies():
    images = torch.rand(64, 2, 5, 8, generator=torch.Generator().manual_seed(0))
    assert augment(images, "none") is images
    with torch.random.fork_rng():
        torch.manual_seed(0)
        flipped, shifted = augment(images, "flip"), augment(images, "shift")
    mirrored = torch.tensor([torch.equal(new, old.flip(2)) for new, old in zip(flipped, images, strict=True)])
    same = torch.tensor([torch.equal(new, old) for new, old in zip(flipped, images, strict=True)])
    assert (mirrored | same).all()
    assert 16 < int(mirrored.sum()) < 48
    padded = nn.functional.pad(images, (1, 1, 1, 1))
    for new, old in zip(shifted, padded, strict=True):
        windows = [old[:, down : down + 5, right : right + 8] for down in range(3) for right in range(3)]
        assert any(torch.equal(new, window) for window in windows)


@pytest.mark.parametrize("native", [True, False])
def test_precision_auto_follows_the_processor(monkeypatch, native):
    module = sys.modules["pixelproof.models.train"]
    monkeypatch.setattr(module, "native_bf16", lambda device: native)
    auto, chosen = fresh("cnn"), fresh("cnn")
    train(auto, DIGITS[:64], None, Training(epochs=1, batch=32))
    train(chosen, DIGITS[:64], None, Training(epochs=1, batch=32, precision="bf16" if native else "float32"))
    other = fresh("cnn")
    train(other, DIGITS[:64], None, Training(epochs=1, batch=32, precision="float32" if native else "bf16"))
    assert auto.digest() == chosen.digest() != other.digest()
