"""Networks as other people write them: answered rightly, refused with their own sentence, or marked on the card."""

import inspect
import warnings

import numpy as np
import pytest
import torch
from torch import nn

from pixelproof import attacks, defend, detect, models
from pixelproof.data import Dataset
from pixelproof.defend import Hardening
from pixelproof.errors import BadInput, NoGradient
from pixelproof.models import Training, duplicate, train, wrap
from pixelproof.models.preprocessors import Committee
from pixelproof.models.saving import read_saved
from pixelproof.models.train import boundaries

SHAPE = (1, 8, 8)


def toy(n=40, shape=SHAPE):
    return 0.3 + 0.4 * torch.rand((n, *shape), generator=torch.Generator().manual_seed(0))


def seeded(make):
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return make().eval()


def labelled(model, images):
    return Dataset("toy", images, model.predict(images).argmax(1), model.card.classes)


class Does(nn.Module):
    """A dense layer behind something done to the images, and something done to its output."""

    def __init__(self, before=lambda x: x, after=lambda z: z):
        super().__init__()
        self.fc = nn.Linear(64, 3)
        self.before, self.after = before, after

    def forward(self, images):
        return self.after(self.fc(self.before(images).reshape(len(images), 64)))


class Viewing(nn.Module):
    """The well-known small network for colour images, which flattens with view."""

    def __init__(self, channels=3):
        super().__init__()
        self.conv, self.fc = nn.Conv2d(channels, 4, 3), nn.Linear(4 * 9, 3)

    def forward(self, images):
        hidden = torch.max_pool2d(self.conv(images).relu(), 2)
        return self.fc(hidden.view(-1, 4 * 9))


@pytest.mark.parametrize("channels", [1, 3])
def test_networks_that_flatten_with_view_are_trained_and_attacked(channels):
    shape = (channels, 8, 8)
    model = wrap(seeded(lambda: Viewing(channels)), classes=3, input_shape=shape)
    data = labelled(model, toy(20, shape))
    train(model, data, None, Training(epochs=1, batch=8))
    last = model.predict(data.images.contiguous(memory_format=torch.channels_last))
    torch.testing.assert_close(last, model.predict(data.images))
    for name in ("one-pixel", "one-pixel-de", "few-pixel"):
        attack = attacks.parse(f"{name}:k=2" if name == "few-pixel" else name)
        assert attacks.mount(attack, model, data[:2], seed=0).offered == 2


def test_a_crash_in_training_leaves_every_mode_as_it_was():
    model = wrap(seeded(Does), classes=3, input_shape=SHAPE)
    model.net.fc.train()
    before = [part.training for part in model.modules()]
    data = labelled(model, toy())

    def fail(images, step):
        raise KeyError("inside")

    with pytest.raises(KeyError):
        train(model, data, None, Training(epochs=1), recipe=models.Recipe(transforms=(fail,)))
    assert [part.training for part in model.modules()] == before


class Normed(nn.Sequential):
    def __init__(self):
        super().__init__(nn.Flatten(), nn.Linear(64, 16), nn.BatchNorm1d(16), nn.ReLU(), nn.Linear(16, 3))


@pytest.mark.parametrize(("n", "batch"), [(65, 32), (33, 32), (41, 2), (3, 2), (31, 3), (31, 30)])
def test_batch_normalisation_meets_no_batch_of_one(n, batch):
    model = wrap(seeded(Normed), classes=3, input_shape=SHAPE)
    history = train(model, labelled(model, toy(n)), None, Training(epochs=1, batch=batch))
    assert torch.isfinite(history.training).all()


@pytest.mark.parametrize("spec", ["trades:eps=0.05", "distillation", "ensemble:members=2", "fgsm-rs:eps=0.05"])
def test_no_defence_meets_a_batch_of_one(spec):
    model = wrap(seeded(Normed), classes=3, input_shape=SHAPE)
    data = labelled(model, toy(66))
    hardening = Hardening(defend.parse([spec]), Training(epochs=1, batch=13))
    made = hardening.conduct(model, data[:66], validation=data[:20])
    assert made.model.predict(data.images[:2]).shape == (2, 3)


@pytest.mark.parametrize(
    ("n", "batch", "ends"),
    [
        (64, 32, [0, 32, 64]),
        (65, 32, [0, 32, 49, 65]),
        (33, 32, [0, 17, 33]),
        (10, 32, [0, 10]),
        (7, 3, [0, 3, 5, 7]),
        (5, 2, [0, 2, 4]),
        (3, 1, [0, 1, 2, 3]),
        (1, 2, [0, 1]),
    ],
)
def test_a_last_batch_of_one_shares_with_the_one_before(n, batch, ends):
    assert boundaries(n, batch) == ends


IN_PLACE = {
    "scaled": lambda x: x.sub_(0.5).div_(0.25),
    "doubled": lambda x: x.mul_(2),
    "clipped": lambda x: nn.functional.hardtanh(x, 0.4, 0.6, inplace=True),
    "relu": lambda x: nn.functional.relu(x.sub_(0.5), inplace=True),
}


@pytest.mark.parametrize("name", IN_PLACE)
def test_what_a_network_does_in_place_never_reaches_the_callers_images(name):
    model = wrap(seeded(lambda: Does(IN_PLACE[name])), classes=3, input_shape=SHAPE)
    images = toy()
    data, before = labelled(model, images), images.clone()
    expected = model.predict(images)
    assert torch.equal(images, before)
    assert torch.equal(data.images, before)
    assert torch.equal(model.predict(images), expected)
    with torch.no_grad():
        model(images)
        model.taps(images, ["fc"])
    found = attacks.mount(attacks.parse("pgd:eps=0.02,steps=3"), model, data, seed=0)
    assert torch.equal(data.images, before)
    assert torch.equal(found.clean, before[: len(found.clean)])
    train(model, data, None, Training(epochs=1))
    assert torch.equal(data.images, before)


@pytest.mark.parametrize("kind", [torch.bfloat16, torch.float16, torch.float64])
def test_logits_of_any_precision_become_float32_once(kind):
    model = wrap(seeded(lambda: Does(after=lambda z: z.to(kind))), classes=3, input_shape=SHAPE)
    images = toy()
    assert model(images).dtype == torch.float32
    assert model.taps(images, ["fc"])["fc"].dtype == torch.float32
    data = labelled(model, images)
    for spec in ("bim:eps=0.05", "pgd:eps=0.05", "mi-fgsm:eps=0.05", "deepfool"):
        assert attacks.mount(attacks.parse(spec), model, data[:4], seed=0).images.dtype == torch.float32


def test_taps_of_a_network_in_half_precision_are_float32():
    half = seeded(lambda: Does(lambda x: x.to(torch.bfloat16)).to(torch.bfloat16))
    model = wrap(half, classes=3, input_shape=SHAPE)
    assert {value.dtype for value in model.taps(toy(), ["fc"]).values()} == {torch.float32}


class WithLogits:
    def __init__(self, logits):
        self.logits = logits


@pytest.mark.parametrize(
    "output",
    [lambda z: (z, z.sum()), lambda z: [z], lambda z: {"logits": z, "loss": None}, lambda z: {"out": z}, WithLogits],
    ids=["tuple", "list", "dict", "only value", "attribute"],
)
def test_logits_are_taken_out_of_what_holds_them(output):
    plain = wrap(seeded(Does), classes=3, input_shape=SHAPE)
    model = wrap(seeded(lambda: Does(after=output)), classes=3, input_shape=SHAPE)
    assert torch.equal(model.predict(toy()), plain.predict(toy()))


class Pair(nn.Module):
    """Its middle puts out a tuple, as attention and recurrent layers do."""

    def __init__(self):
        super().__init__()
        self.flat, self.lstm, self.fc = nn.Flatten(2), nn.LSTM(8, 5, batch_first=True), nn.Linear(5, 3)
        self.shape = Shape()

    def forward(self, images):
        hidden, _ = self.lstm(images[:, 0])
        return self.fc(hidden[:, -1]) + 0 * self.shape(images)[0]


class Shape(nn.Module):
    def forward(self, images):
        return torch.zeros(3), "no rows"


def test_taps_of_several_outputs_are_the_first_or_refused():
    model = wrap(seeded(Pair), classes=3, input_shape=SHAPE)
    expected = model.net.lstm(toy()[:, 0])[0].flatten(1)
    torch.testing.assert_close(model.taps(toy(), ["lstm"])["lstm"], expected)
    with pytest.raises(BadInput, match=r"layer 'shape' must put out one row per image \(40\)"):
        model.taps(toy(), ["shape"])
    assert not model.net.shape._forward_hooks


def checks(x):
    if x.min() < 0 or x.max() > 1:
        raise ValueError("images must lie in [0, 1]")
    return x


def test_networks_that_check_or_look_up_their_input_see_only_images():
    table = torch.linspace(0, 1, 256)
    checking, looking = (lambda: Does(checks)), (lambda: Does(lambda x: table[(x * 255).long()]))
    for make in (checking, looking):
        assert wrap(seeded(make), classes=3, input_shape=SHAPE).predict(toy()).shape == (40, 3)


def fails(kind, text):
    def before(x):
        raise kind(text)

    return before


def only(n):
    def before(x):
        assert len(x) == n, f"Guard failed: input.size()[0] == {n}"
        return x

    return before


@pytest.mark.parametrize(
    ("make", "says"),
    [
        (
            lambda: Does(fails(AssertionError, "side is not 224")),
            "must accept images.*AssertionError: side is not 224",
        ),
        (lambda: Does(fails(KeyError, "pixel_values")), "must accept images.*pixel_values"),
        (lambda: Does(fails(IndexError, "out of range")), "must accept images.*IndexError"),
        (lambda: Does(only(8)), "must accept 1 image as well as 8; got AssertionError: Guard failed"),
        (lambda: Does(lambda x: x if len(x) < 17 else x[:16]), "must accept 65 images as well as 8"),
        (lambda: Does(after=torch.squeeze), r"must return \(1, 3\) logits; got \(3,\).*squeeze\(1\) or flatten\(1\)"),
        (lambda: Does(after=torch.sigmoid), "looks like probabilities"),
        (lambda: Does(after=lambda z: z.softmax(1)), "looks like probabilities"),
        (lambda: Does(after=lambda z: nn.functional.one_hot(z.argmax(1), 3).float()), "looks like probabilities"),
        (lambda: Does(after=lambda z: z.argmax(1)[:, None].expand(-1, 3)), "logits; got torch.int64"),
        (lambda: Does(after=lambda z: {"a": z, "b": z}), "logits; got dict. Wrap it in a module"),
    ],
)
def test_what_cannot_be_a_classifier_is_refused_in_its_own_words(make, says):
    with pytest.raises(BadInput, match=says):
        wrap(seeded(make), classes=3, input_shape=SHAPE)


@pytest.mark.parametrize("classes", [2, ["no", "yes"]])
def test_one_output_for_two_classes_is_told_how_to_give_two(classes):
    with pytest.raises(BadInput, match=r"must return \(8, 2\) logits; got \(8, 1\).*torch.cat\(\[torch.zeros_like"):
        wrap(seeded(lambda: Does(after=lambda z: z[:, :1])), classes=classes, input_shape=SHAPE)


@pytest.mark.parametrize(("classes", "says"), [(1, "at least two classes"), (["a", "b", "a"], "'a' twice")])
def test_one_class_and_double_names_are_refused(classes, says):
    with pytest.raises(BadInput, match=says):
        wrap(seeded(Does), classes=classes, input_shape=SHAPE)


@pytest.mark.parametrize(
    ("mean", "std", "says"),
    [
        ((125.3,), (63.0,), r"mean and std must be those of images in \[0, 1\].*divide both by 255"),
        ((0.5,), (63.0,), "divide both by 255"),
        (0.5, (), r"mean needs one value per channel \(1\); got 0.5. Write mean=\(0.5,\)"),
        ((), 0.25, r"Write std=\(0.25,\)"),
    ],
)
def test_a_normalisation_on_another_scale_or_without_channels_is_told_how(mean, std, says):
    with pytest.raises(BadInput, match=says):
        wrap(seeded(Does), classes=3, input_shape=SHAPE, mean=mean, std=std)


def test_a_wrapped_network_is_in_the_mode_of_its_network():
    assert not wrap(seeded(Does), classes=3, input_shape=SHAPE).training
    assert wrap(seeded(Does).train(), classes=3, input_shape=SHAPE).training


BATCHWISE = {
    "no running statistics": lambda: nn.Sequential(
        nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4, track_running_stats=False), nn.ReLU(), nn.Flatten(), nn.Linear(144, 3)
    ),
    "normalised over the batch": lambda: Does(lambda x: (x - x.mean()) / x.std()),
    "ranked within the batch": lambda: Does(after=lambda z: z - z.mean(0)),
    "only within a large batch": lambda: Does(after=lambda z: z - z.mean(0) if len(z) > 32 else z),
}


@pytest.mark.parametrize("name", BATCHWISE)
def test_an_answer_that_depends_on_the_batch_is_warned_of_and_on_the_card(name, tmp_path):
    with pytest.warns(UserWarning, match="depend on the other images of its batch"):
        model = wrap(seeded(BATCHWISE[name]), classes=3, input_shape=SHAPE)
    assert model.card.batch_dependent
    models.save(model, tmp_path / "m.safetensors")
    assert read_saved(tmp_path / "m.safetensors")[0].batch_dependent


def shaken(x, size=0.3):
    return x + size * torch.randn_like(x)


class Shaking(nn.Module):
    def forward(self, x):
        return shaken(x)


RANDOM_BATCHWISE = {
    "noise before batch statistics": lambda: nn.Sequential(Shaking(), BATCHWISE["no running statistics"]()),
    "noise, ranked within the batch": lambda: Does(shaken, after=lambda z: z - z.mean(0)),
    "noise, divided by the size of the batch": lambda: Does(shaken, after=lambda z: z / len(z)),
    "noise, only within a large batch": lambda: Does(shaken, after=lambda z: z - z.mean(0) if len(z) > 32 else z),
    "draws of its own": lambda: Does(
        lambda x: x + 0.1 * torch.from_numpy(np.random.default_rng().random(x.shape, dtype=np.float32)),
        after=lambda z: z - z.mean(0),
    ),
    "as many draws as the pixels say": lambda: Does(
        lambda x: torch.poisson(50 * x) / 50, after=lambda z: z - z.mean(0)
    ),
}


@pytest.mark.parametrize("name", RANDOM_BATCHWISE)
def test_a_random_network_whose_answers_depend_on_the_batch_is_no_better(name):
    with pytest.warns(UserWarning, match="depend on the other images of its batch"):
        model = wrap(seeded(RANDOM_BATCHWISE[name]), classes=3, input_shape=SHAPE)
    assert model.card.batch_dependent


@pytest.mark.parametrize(
    "before",
    [
        shaken,
        lambda x: shaken(x, 3.0),
        lambda x: torch.poisson(50 * x) / 50,
        lambda x: x * (torch.rand_like(x) < 0.9),
        lambda x: x if torch.rand(()) < 0.8 else 1 - x,
        lambda x: x + 0.3 * torch.from_numpy(np.random.default_rng().random(x.shape, dtype=np.float32)),
        lambda x: x + 0.1 * torch.randn(1),
    ],
)
def test_randomness_alone_is_no_dependence_on_the_batch(before):
    for seed in range(5):
        with torch.random.fork_rng():
            torch.manual_seed(seed)
            assert not wrap(Does(before), classes=3, input_shape=SHAPE).card.batch_dependent


@pytest.mark.parametrize(
    "make",
    [
        Does,
        Normed,
        lambda: Does(lambda x: (x - x.mean((1, 2, 3), keepdim=True)) / x.std((1, 2, 3), keepdim=True)),
        lambda: Does(lambda x: x.to(torch.bfloat16)).to(torch.bfloat16),
        lambda: nn.Sequential(
            nn.Conv2d(1, 4, 3), nn.InstanceNorm2d(4), nn.GroupNorm(2, 4), nn.Flatten(), nn.Linear(144, 3)
        ),
        lambda: Does(lambda x: x + 0.1 * torch.rand_like(x)),
    ],
)
def test_an_answer_that_does_not_is_not(make):
    assert not wrap(seeded(make), classes=3, input_shape=SHAPE).card.batch_dependent


class Tied(nn.Module):
    def __init__(self):
        super().__init__()
        self.a, self.b = nn.Linear(64, 64), nn.Linear(64, 64)
        self.b.weight = self.a.weight
        self.body = nn.Sequential(nn.Linear(64, 3))
        self.head = self.body[0]
        self.register_buffer("whole", torch.arange(6.0))
        self.register_buffer("part", self.whole[:3])

    def forward(self, images):
        return self.head(self.b(self.a(images.flatten(1))))


def test_shared_weights_are_saved_and_stay_shared(tmp_path):
    model = wrap(seeded(Tied), classes=3, input_shape=SHAPE)
    data = labelled(model, toy(60))
    made = Hardening(defend.parse(["fgsm-rs:eps=0.02"]), Training(epochs=1)).conduct(model, data, validation=data).model
    assert made.net.a.weight is made.net.b.weight
    models.save(made, tmp_path / "tied.safetensors")
    (tmp_path / "tied.py").write_text("import torch\nfrom torch import nn\n" + inspect.getsource(Tied))
    back = models.load(f"{tmp_path}/tied.py:Tied", data=data, weights=tmp_path / "tied.safetensors")
    torch.testing.assert_close(back.predict(data.images), made.predict(data.images))


def old_weight_norm():
    net = nn.Sequential(nn.Flatten(), nn.utils.weight_norm(nn.Linear(64, 8)), nn.ReLU(), nn.Linear(8, 3))
    net[3] = nn.utils.spectral_norm(net[3])
    return net


class Remembers(nn.Module):
    """Keeps what it computed, in a list and by itself."""

    def __init__(self):
        super().__init__()
        self.fc, self.seen, self.last = nn.Linear(64, 3), [], None

    def forward(self, images):
        self.last = self.fc(images.flatten(1))
        self.seen[:] = [self.last, {"twice": 2 * self.last}]
        return self.last


def scripted():
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        return torch.jit.script(nn.Sequential(nn.Flatten(), nn.Linear(64, 3)))


UNCOPIED = {"old norms": old_weight_norm, "activations kept": Remembers, "scripted": scripted}


@pytest.mark.filterwarnings("ignore:.*weight_norm.*is deprecated")
@pytest.mark.parametrize("name", UNCOPIED)
def test_networks_that_deepcopy_refuses_are_copied_trained_and_left_alone(name):
    model = wrap(seeded(UNCOPIED[name]), classes=3, input_shape=SHAPE)
    data = labelled(model, toy(60))
    attacks.mount(attacks.parse("pgd:eps=0.05,steps=2,precision=float32"), model, data[:4], seed=0)
    model(data.images)  # with gradients: what it leaves on the modules has a history
    before, digest = model.predict(data.images), model.digest()
    twin = duplicate(model)
    torch.testing.assert_close(twin.predict(data.images), before)
    shared = {value.data_ptr() for value in model.parameters()} & {value.data_ptr() for value in twin.parameters()}
    assert not shared
    settings = Training(epochs=1, precision="float32")
    for spec in ("fgsm-rs:eps=0.05", "distillation"):
        made = Hardening(defend.parse([spec]), settings).conduct(model, data, validation=data).model
        assert not torch.equal(made.predict(data.images), before)
    assert torch.equal(model.predict(data.images), before)
    assert model.digest() == digest


def test_a_network_that_cannot_be_copied_is_refused_in_a_sentence(tmp_path):
    net = seeded(Does)
    with (tmp_path / "log").open("w") as net.log, pytest.raises(BadInput, match=r"can be copied.*outside the network"):
        duplicate(wrap(net, classes=3, input_shape=SHAPE))


def quantised():
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        net = nn.Sequential(nn.Flatten(), nn.Linear(64, 3)).eval()
        return torch.ao.quantization.quantize_dynamic(net, {nn.Linear}, dtype=torch.qint8)


def quantised_throughout():
    """Weights and activations in int8, with scales from a few images."""
    ao = torch.ao.quantization
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        net = nn.Sequential(ao.QuantStub(), nn.Flatten(), nn.Linear(64, 3), ao.DeQuantStub()).eval()
        net.qconfig = ao.get_default_qconfig(torch.backends.quantized.engine)
        prepared = ao.prepare(net)
        prepared(toy())
        return ao.convert(prepared)


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
@pytest.mark.filterwarnings("ignore::UserWarning")
@pytest.mark.parametrize("make", [quantised, quantised_throughout])
def test_a_quantised_network_has_a_digest_and_is_refused_before_a_training(make, tmp_path):
    model = wrap(seeded(make), classes=3, input_shape=SHAPE)
    assert model.digest() == wrap(seeded(make), classes=3, input_shape=SHAPE).digest()
    other = wrap(make(), classes=3, input_shape=SHAPE)
    assert other.digest() != model.digest()
    data = labelled(model, toy())
    assert attacks.mount(attacks.parse("square:eps=0.1,queries=20"), model, data[:4], seed=0).offered == 4
    assert attacks.mount(attacks.parse("one-pixel"), model, data[:2], seed=0).offered == 2
    with pytest.raises(NoGradient):
        attacks.mount(attacks.parse("pgd:eps=0.1"), model, data[:2], seed=0)
    guard = detect.parse("margin").fit(model, labelled(model, toy(200)), None, torch.Generator().manual_seed(0))
    assert len(guard(model, data.images).alarm) == len(data)
    with pytest.raises(BadInput, match=r"plain tensors to be saved; got .*before it is quantised"):
        models.save(model, tmp_path / "q.safetensors")
    with pytest.raises(BadInput, match="plain tensors to be saved"):
        Hardening(defend.parse(["fgsm-rs:eps=0.1"])).conduct(model, data, validation=data)
    with pytest.raises(BadInput, match="plain tensors to be saved"):
        train(model, data, None, Training(epochs=1))


def test_a_classifier_of_classifiers_gives_each_its_own_images():
    """What one member does in place is not what the next one sees."""
    members = [wrap(seeded(lambda: Does(IN_PLACE["doubled"])), classes=3, input_shape=SHAPE) for _ in range(2)]
    alone = members[0].predict(toy()).log_softmax(1)
    torch.testing.assert_close(Committee(2).of(members).predict(toy()), alone)
