"""A digest covers all that decides an answer; what earlier builds wrote down is compared by their own rule."""

import pytest
import torch
from torch import nn

from pixelproof import data, models, specs
from pixelproof.errors import BadInput, RunError
from pixelproof.models import Card, Classifier, wrap
from pixelproof.models.identity import first_digest
from pixelproof.models.nets import build
from pixelproof.models.preprocessors import PREPROCESSORS, Features
from pixelproof.prove.journal import Journal, Proof, identity, kept, resumed

SHAPE = (1, 8, 8)
TEST = data.load("digits", "test")
FIRST = "0123456789abcdef"


def mlp(seed=0):
    return Classifier(build("mlp", SHAPE, 10, seed), Card("mlp", TEST.classes, SHAPE)).eval()


def written(folder, middle, extra=""):
    """The digest of one network of a .py file, whose forward pass has `middle`."""
    folder.mkdir(exist_ok=True)
    code = f"""
import torch
from torch import nn
{extra}
class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.fc = nn.Linear(64, 10)
        nn.init.constant_(self.fc.bias, 0.5)
        with torch.no_grad():
            self.fc.weight.copy_(torch.linspace(-1, 1, 640).view(10, 64))
    def forward(self, x):
        {middle}
        return self.fc(x.flatten(1))
"""
    (folder / "net.py").write_text(code)
    return models.load(f"{folder}/net.py:Net", data=TEST).digest()


def test_code_is_part_of_the_digest(tmp_path):
    plain = written(tmp_path / "a", "pass")
    assert written(tmp_path / "b", "pass") == plain, "a copy is the same model"
    assert written(tmp_path / "c", "x = (x * 16).round() / 16") != plain
    assert written(tmp_path / "d", "x = 0.5 * x + 0.5 * nn.functional.avg_pool2d(x, 3, 1, 1)") != plain
    assert written(tmp_path / "e", "x = x + 1e-9") != plain, "too little for the logits, but other code"


def test_functions_and_constants_that_the_code_names_are_part_of_it(tmp_path):
    """Brightest pixels alone, or a shift of 1e-9: no rounded logits of fixed images show these."""

    def helped(helper):
        return written(tmp_path / "net", "x = outer(x)", f"TOP = 0.99\ndef outer(x):\n    return inner(x)\n{helper}")

    plain = helped("def inner(x):\n    return x + 0.0 * (x > TOP)\n")
    assert helped("def inner(x):\n    return x + 0.0 * (x > TOP)\n") == plain
    assert helped("def inner(x):\n    return x + 0.1 * (x > TOP)\n") != plain
    assert helped("def inner(x):\n    return x + 0.0 * (x > TOP)\nTOP = 0.98\n") != plain


def test_a_class_without_a_source_counts_as_it_was_compiled():
    def typed(shift):
        names = {"nn": nn}
        body = f"return nn.Linear.forward(self, x.flatten(1)) + {shift}"
        exec(f"class Net(nn.Linear):\n    def forward(self, x):\n        {body}", names)
        torch.manual_seed(0)
        return wrap(names["Net"](64, 3).eval(), classes=3, input_shape=SHAPE).digest()

    assert typed(1e-9) == typed(1e-9) != typed(2e-9)


def dense(middle=None, **settings):
    torch.manual_seed(0)
    layers = [nn.Conv2d(1, 4, 3, padding=1), nn.BatchNorm2d(4, **settings), middle or nn.GELU(), nn.Flatten()]
    return nn.Sequential(*layers, nn.Linear(256, 3))


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (dense(), dense(eps=1.1e-5)),
        (dense(nn.GELU()), dense(nn.GELU("tanh"))),
        (dense(nn.LeakyReLU(0.01)), dense(nn.LeakyReLU(0.010001))),
        (dense(nn.Hardtanh(-1, 1)), dense(nn.Hardtanh(-1, 0.999))),
        (dense(nn.Softplus(1)), dense(nn.Softplus(1, threshold=19))),
    ],
)
def test_settings_of_layers_are_part_of_it(one, other):
    digests = [wrap(net.eval(), classes=3, input_shape=SHAPE).digest() for net in (one, one, other)]
    assert digests[0] == digests[1] != digests[2]


def test_what_was_attached_to_a_module_is_part_of_it():
    net = dense().eval()
    digests = [wrap(net, classes=3, input_shape=SHAPE).digest()]
    handle = net[0].register_forward_hook(lambda _module, _inputs, output: output + 1e-9)
    digests.append(wrap(net, classes=3, input_shape=SHAPE).digest())
    handle.remove()
    digests.append(wrap(net, classes=3, input_shape=SHAPE).digest())
    forward = net[0].forward
    net[0].forward = lambda x: forward(x) + 1e-9
    digests.append(wrap(net, classes=3, input_shape=SHAPE).digest())
    assert digests[0] == digests[2]
    assert len(set(digests)) == 3


class Counting(nn.Module):
    """Counts its passes, and keeps the size of what it saw."""

    def __init__(self):
        super().__init__()
        self.fc = nn.Linear(64, 3)
        self.passes = 0

    def forward(self, x):
        self.passes += 1
        self.size = x.shape[-1]
        return self.fc(x.flatten(1))


def test_what_a_pass_leaves_behind_is_no_part_of_it():
    model = wrap(Counting().eval(), classes=3, input_shape=SHAPE)
    before = model.digest()
    model.predict(TEST.images[:5])
    assert model.digest() == before


def test_what_no_source_shows_is_seen_in_the_logits(tmp_path):
    def helped(body):
        return written(tmp_path / "net", "x = helper(x)", f"def helper(x):\n    return {body}\n" + " " * len(body))

    assert helped("x") != helped("x.round()")
    scaled = [wrap(Scaled(factor), classes=3, input_shape=SHAPE).digest() for factor in (1.0, 1.0, 1.5)]
    assert scaled[0] == scaled[1] != scaled[2]


class Scaled(nn.Module):
    """A setting that is neither weight nor code."""

    def __init__(self, factor):
        super().__init__()
        self.factor, self.fc = factor, nn.Linear(64, 3)
        nn.init.constant_(self.fc.bias, 0.1)
        with torch.no_grad():
            self.fc.weight.copy_(torch.linspace(-1, 1, 192).view(3, 64))

    def forward(self, images):
        return self.factor * self.fc(images.flatten(1))


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("bits:bits=2", "bits:bits=4"),
        ("bits:bits=8", "median:window=2"),
        ("jpeg:quality=10", "jpeg:quality=90"),
        ("tv:weight=0.1", "tv:weight=1"),
        ("smooth:noise=0.1", "smooth:noise=0.2"),
        ("masked:ratio=0.3,fill=0", "masked:ratio=0.3,fill=1"),
        ("masked:ratio=0.3,fill=0,draw=fresh", "masked:ratio=0.4,fill=0,draw=fresh"),
    ],
)
def test_what_stands_before_a_network_is_part_of_it(one, other):
    found = [specs.parse(spec, PREPROCESSORS).around(mlp()).digest() for spec in (one, one, other)]
    assert found[0] == found[1]
    assert len({mlp().digest(), *found}) == 3


def test_class_names_and_normalisation_are_part_of_it():
    model = mlp()
    before = model.digest()
    assert model.carrying(accuracy=0.5, data="toy", seed=3, parent="x").digest() == before
    assert model.carrying(classes=tuple(reversed(TEST.classes))).digest() != before
    other = mlp()
    other.set_normalisation((0.1,), ())
    assert other.digest() != before


def test_buffers_that_are_not_saved_are_part_of_it():
    masks = [torch.ones(SHAPE, dtype=torch.bool) for _ in range(2)]
    masks[1][0, 0, 0] = False  # a corner of the digits is black in every image, and seldom matters
    assert len({Features(0.0).keeping(mlp(), mask).digest() for mask in masks}) == 2


def test_the_digest_costs_no_randomness_and_leaves_the_model_alone():
    model = mlp().train()
    torch.manual_seed(3)
    before = torch.random.get_rng_state()
    assert model.digest() == mlp().digest()
    assert torch.equal(torch.random.get_rng_state(), before)
    assert model.training
    assert all(parameter.grad is None for parameter in model.parameters())


def test_a_digest_of_an_earlier_build_is_taken_only_where_it_says_enough(tmp_path):
    plain = mlp()
    assert plain.recognises(first_digest(plain))
    assert not plain.recognises(FIRST)
    assert not mlp(1).recognises(first_digest(plain))
    assert plain.recognises(plain.digest())
    behind = PREPROCESSORS["bits"](2).around(plain)
    assert not behind.recognises(first_digest(behind))
    written(tmp_path, "pass")
    own = models.load(f"{tmp_path}/net.py:Net", data=TEST)
    assert not own.recognises(first_digest(own))


def test_the_first_rule_is_what_earlier_builds_computed():
    """Both digests were printed by an earlier build."""
    model = mlp()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.copy_(torch.linspace(-1, 1, parameter.numel()).view(parameter.shape))
    assert first_digest(model) == "5df357561aeced8e"
    kept = torch.arange(64).view(SHAPE) % 3 > 0
    assert first_digest(Features(0.5).keeping(model, kept)) == "fccf34570c054d8b"


def test_a_proof_is_never_taken_up_for_the_same_weights_behind_something_else(tmp_path):
    image, journal = torch.zeros(SHAPE), Journal(folder=tmp_path)
    behind = PREPROCESSORS["bits"](2).around(mlp())
    kept(Proof(identity(behind.digest(), (), image, 3), verdict="certified"), 0, journal)
    assert resumed(identity(behind.digest(), (), image, 3), 0, journal).verdict == "certified"
    for other in (mlp(), PREPROCESSORS["bits"](3).around(mlp())):
        with pytest.raises(RunError, match="belong to this model"):
            resumed(identity(other.digest(), (), image, 3), 0, journal)


def test_the_digest_of_data_covers_names_and_shape():
    before = TEST.digest()
    same = data.Dataset("other name", TEST.pixels, TEST.labels, TEST.classes, TEST.index)
    assert same.digest() == before
    renamed = data.Dataset("digits", TEST.pixels, TEST.labels, tuple(reversed(TEST.classes)), TEST.index)
    turned = data.Dataset("digits", TEST.pixels.view(-1, 1, 4, 16), TEST.labels, TEST.classes, TEST.index)
    brighter = data.Dataset("digits", TEST.pixels.clamp_min(1), TEST.labels, TEST.classes, TEST.index)
    other = data.Dataset("digits", TEST.pixels, TEST.labels.roll(1), TEST.classes, TEST.index)
    assert len({before, *(each.digest() for each in (renamed, turned, brighter, other, TEST[1:]))}) == 6
    assert TEST.recognises(before)
    assert TEST.recognises("6fc83da7801890be"), "printed by an earlier build"
    assert not brighter.recognises(before)
    assert not brighter.recognises("6fc83da7801890be")


def test_double_names_of_classes_are_refused():
    with pytest.raises(BadInput, match="'0' twice"):
        data.Dataset("toy", TEST.pixels, TEST.labels, ("0",) * 10)
