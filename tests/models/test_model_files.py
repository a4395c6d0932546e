"""Model files from elsewhere: checkpoints as people have them, programs as they export them, cards that lie."""

import io
import json
import os
import sys
import zipfile

import pytest
import safetensors
import safetensors.torch
import torch
from torch import nn

from pixelproof import data, defend, models
from pixelproof.data import Dataset
from pixelproof.defend import Hardening
from pixelproof.errors import BadInput, CorruptFile, UnknownName
from pixelproof.models import Card, Classifier, Training, load, save, wrap
from pixelproof.models.exported import read_program
from pixelproof.models.nets import build

SHAPE = (1, 8, 8)
TEST = data.load("digits", "test")
CODE = """
import torch
from torch import nn

class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.features = nn.Sequential(nn.Flatten(), nn.Linear(64, 10))
    def forward(self, x):
        return self.features(x)
"""


@pytest.fixture
def net():
    with torch.random.fork_rng():
        torch.manual_seed(1)
        namespace = {}
        exec(CODE, namespace)
        return namespace["Net"]().eval()


@pytest.fixture
def code(tmp_path):
    (tmp_path / "net.py").write_text(CODE)
    return f"{tmp_path}/net.py:Net"


def exported(path, net, *, dynamic=True, images=4):
    shapes = ({0: torch.export.Dim("batch", max=dynamic if dynamic is not True else None)},) if dynamic else None
    torch.export.save(torch.export.export(net, (torch.rand(images, *SHAPE),), dynamic_shapes=shapes), path)
    return path


# weights


NESTED = {
    "lightning": lambda state: {
        "state_dict": {f"model.{k}": v for k, v in state.items()},
        "epoch": 3,
        "loops": {"a": 1},
    },
    "trainer": lambda state: {"model": state, "optimizer": {"state": {}, "param_groups": [{"lr": 0.1}]}, "epoch": 3},
    "parallel": lambda state: {f"module.{k}": v for k, v in state.items()},
    "compiled": lambda state: {"model_state_dict": {f"_orig_mod.module.{k}": v for k, v in state.items()}},
    "plain": lambda state: state,
}


FOURIER = """
import torch
from torch import nn

class Net(nn.Module):
    def __init__(self):
        super().__init__()
        drawn = torch.randn(8, 8, 2, generator=torch.Generator().manual_seed(0))
        self.weight = nn.Parameter(torch.view_as_complex(drawn).conj())  # conjugated lazily: only a flag is set
        self.head = nn.Linear(64, 10)
    def forward(self, x):
        return self.head(torch.fft.ifft2(torch.fft.fft2(x) * self.weight).real.flatten(1))
"""


def test_weights_that_are_conjugated_lazily_come_back_conjugated(tmp_path):
    # safetensors 0.8.0 writes the memory of such a tensor, which is that of the tensor before conj()
    (tmp_path / "net.py").write_text(FOURIER)
    model = load(f"{tmp_path}/net.py:Net", data=TEST)
    plain = model.net.weight
    assert plain.is_conj()
    digest = model.digest()
    save(model, tmp_path / "own.safetensors")
    back = load(f"{tmp_path}/net.py:Net", data=TEST, weights=tmp_path / "own.safetensors")
    torch.testing.assert_close(back.predict(TEST.images[:20]), model.predict(TEST.images[:20]))
    assert back.digest() == digest
    with torch.no_grad():
        plain.copy_(plain.conj().clone())
    assert model.digest() != digest


@pytest.mark.parametrize("name", NESTED)
def test_checkpoints_as_training_scripts_keep_them_are_read(net, code, tmp_path, name):
    torch.save(NESTED[name](net.state_dict()), tmp_path / "w.ckpt")
    model = load(code, data=TEST, weights=tmp_path / "w.ckpt")
    torch.testing.assert_close(model.predict(TEST.images[:5]), net(TEST.images[:5]).detach())


@pytest.mark.parametrize(
    ("content", "says"),
    [
        ({"epoch": 3, "best": {"lr": torch.ones(1), "name": "x"}}, "got the keys 'epoch', 'best'. Save the network's"),
        ({3: torch.ones(1)}, "expected a state dict.*got the keys 3"),
        ({}, "expected a state dict"),
        ([1, 2], "expected a state dict.*got list"),
        (nn.Linear(2, 2), r"got a pickled object.*torch\.save\(net\.state_dict\(\), path\)"),
    ],
)
def test_what_is_no_state_dict_says_what_it_holds(code, tmp_path, content, says):
    torch.save(content, tmp_path / "w.pt")
    with pytest.raises(CorruptFile, match=says) as caught:
        load(code, data=TEST, weights=tmp_path / "w.pt")
    assert "\x1b" not in str(caught.value)


def test_weights_go_into_a_network_that_the_file_wraps_itself(net, tmp_path):
    wrapped = "\nfrom pixelproof import models\ndef build():\n    net = models.wrap"
    wrapped += "(Net().eval(), classes=10, input_shape=(1, 8, 8), mean=(0.5,), std=(0.25,))\n    return net\n"
    behind = "\nclass Normalise(nn.Module):\n    def forward(self, x):\n        return (x - 0.5) / 0.25\n"
    behind += "def chain():\n    return nn.Sequential(Normalise(), Net())\n"
    (tmp_path / "net.py").write_text(CODE + wrapped + behind)
    torch.save(net.state_dict(), tmp_path / "w.pt")
    expected = net((TEST.images[:5] - 0.5) / 0.25).detach()
    for name in ("build", "chain"):
        model = load(f"{tmp_path}/net.py:{name}", data=TEST, weights=tmp_path / "w.pt")
        torch.testing.assert_close(model.predict(TEST.images[:5]), expected)
    model = load(f"{tmp_path}/net.py:build", data=TEST, weights=tmp_path / "w.pt")
    assert model.layers == ("features.1",)
    save(model, tmp_path / "whole.safetensors")
    again = load(f"{tmp_path}/net.py:build", data=TEST, weights=tmp_path / "whole.safetensors")
    torch.testing.assert_close(again.predict(TEST.images[:5]), expected)


def test_weights_beside_a_saved_model_are_refused_and_those_of_a_program_used(net, tmp_path):
    path = str(exported(tmp_path / "net.pt2", net))
    model = load(path, data=TEST)
    labels = model.predict(TEST.images).argmax(1)
    labelled = Dataset("digits", TEST.pixels, labels, TEST.classes, TEST.index)
    training = Training(epochs=1, learning_rate=0.05)
    hardened = Hardening(defend.parse(["fgsm-rs:eps=0.1"]), training).conduct(model, labelled, validation=labelled)
    save(hardened.model, tmp_path / "h.safetensors")
    back = load(path, data=TEST, weights=tmp_path / "h.safetensors")
    torch.testing.assert_close(back.predict(TEST.images[:9]), hardened.model.predict(TEST.images[:9]))
    assert back.digest() != model.digest()
    with pytest.raises(BadInput, match="the file must exist"):
        load(path, data=TEST, weights=tmp_path / "nowhere.safetensors")
    (tmp_path / "w.py").write_text("")
    with pytest.raises(CorruptFile, match=r"w\.py"):
        load(path, data=TEST, weights=tmp_path / "w.py")
    own = Classifier(build("mlp", SHAPE, 10, 0), Card("mlp", TEST.classes, SHAPE))
    save(own, tmp_path / "mlp.safetensors")
    for given in ("h.safetensors", "nowhere.safetensors"):
        with pytest.raises(BadInput, match=r"mlp\.safetensors: holds its own weights; got others in .*Leave out one"):
            load(str(tmp_path / "mlp.safetensors"), data=TEST, weights=tmp_path / given)


# programs


@pytest.mark.parametrize(("dynamic", "images"), [(False, 4), (False, 8), (16, 4), (2000, 4)])
def test_programs_for_a_limited_number_of_images_are_refused_with_the_line_that_helps(net, tmp_path, dynamic, images):
    path = exported(tmp_path / "net.pt2", net, dynamic=dynamic, images=images)
    with pytest.raises(BadInput, match=r"net\.pt2: must take any number of images; got .*torch\.export\.Dim"):
        load(str(path), data=TEST)


def normed(*, track):
    kinds = nn.Conv2d(1, 2, 3), nn.BatchNorm2d(2, track_running_stats=track), nn.Dropout(0.5)
    return nn.Sequential(*kinds, nn.Flatten(), nn.Linear(72, 10))


def test_programs_in_training_mode_are_refused_and_others_are_not(tmp_path):
    for name, made in (
        ("dropout", nn.Sequential(nn.Flatten(), nn.Dropout(0.5), nn.Linear(64, 10))),
        ("batch_norm", normed(track=True)),
    ):
        path = exported(tmp_path / f"{name}.pt2", made.train())
        with pytest.raises(BadInput, match=f"exported in evaluation mode; got {name} in training mode"):
            load(str(path), data=TEST)
    read_program(exported(tmp_path / "eval.pt2", normed(track=True).eval()))
    read_program(
        exported(tmp_path / "none.pt2", nn.Sequential(nn.Dropout(0.0), nn.Flatten(), nn.Linear(64, 10)).train())
    )
    with pytest.warns(UserWarning, match="depend on the other images"):
        assert load(str(exported(tmp_path / "own.pt2", normed(track=False).eval())), data=TEST).card.batch_dependent


def forged(path, changes, *, packed=zipfile.ZIP_STORED, flip=False):
    made = io.BytesIO()
    with zipfile.ZipFile(path) as old, zipfile.ZipFile(made, "w", packed) as new:
        for name in old.namelist():
            new.writestr(name, changes.get(name.partition("/")[2], old.read(name)))
    content = bytearray(made.getvalue())
    if flip:
        with zipfile.ZipFile(path) as old:
            weight = old.read(next(name for name in old.namelist() if name.endswith("weights/weight_0")))
        content[content.index(weight) + 5] ^= 64
    path.write_bytes(bytes(content))


@pytest.mark.parametrize(
    ("changes", "more", "says"),
    [
        ({"data/weights/weight_0": b""}, {}, r"expected \d+ bytes of 'features.1.weight'; got 0"),
        ({"data/weights/weight_0": bytes(40)}, {}, r"expected \d+ bytes of 'features.1.weight'; got 40"),
        ({}, {"packed": zipfile.ZIP_DEFLATED}, "records that are not compressed"),
        ({}, {"flip": True}, "whole records; got another checksum"),
    ],
)
def test_programs_with_emptied_cut_or_flipped_weights_are_refused(net, tmp_path, changes, more, says):
    path = exported(tmp_path / "net.pt2", net)
    forged(path, changes, **more)
    with pytest.raises(CorruptFile, match=says):
        read_program(path)


def test_a_program_of_another_version_is_refused_without_torchs_traceback(net, tmp_path, caplog, capfd):
    path = exported(tmp_path / "net.pt2", net)
    with zipfile.ZipFile(path) as file:
        told = file.read(next(name for name in file.namelist() if name.endswith("models/model.json"))).decode()
    forged(path, {"models/model.json": told.replace('"schema_version": {"major": 8', '"schema_version": {"major": 99')})
    with pytest.raises(CorruptFile, match=r"expected a torch\.export program"):
        read_program(path)
    assert not [record for record in caplog.records if record.levelname not in ("DEBUG", "INFO")]
    said = capfd.readouterr()
    assert not said.out + said.err


# cards


def carded(path, change):
    """A saved network whose card is another."""
    save(Classifier(build("mlp", SHAPE, 10, 0), Card("mlp", TEST.classes, SHAPE)), path)
    with safetensors.safe_open(path, framework="pt") as file:
        card = json.loads(file.metadata()["card"])
        tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    notes = {"card": change(card) if callable(change) else change, "normalisation": "{}"}
    safetensors.torch.save_file(tensors, path, notes)
    return str(path)


def but(**changes):
    return lambda card: json.dumps(card | changes)


LIES = {
    "a list": "[]",
    "text": '"card"',
    "null": "null",
    "deep": "[" * 100_000 + "]" * 100_000,
    "unknown entry": but(colour="red"),
    "no classes": but(classes=5),
    "numbers for names": but(classes=[1, 2]),
    "one class": but(classes=["a"]),
    "shape of text": but(input_shape="1x8x8"),
    "shape of two": but(input_shape=[8, 8]),
    "negative shape": but(input_shape=[1, -8, 8]),
    "huge shape": but(input_shape=[1, 100_000, 100_000]),
    "larger than its weights": but(input_shape=[1, 1000, 1000]),
    "name of a number": but(name=3),
    "seed of text": but(seed="x"),
    "stochastic text": but(stochastic="yes"),
    "preprocessors no list": but(preprocessors="bits:bits=1"),
    "preprocessors of numbers": but(preprocessors=[1]),
    "unknown preprocessor": but(preprocessors=["os.system:rm"]),
    "huge committee": but(preprocessors=["committee:members=100000000"]),
    "committee of too many": but(preprocessors=["committee:members=3"]),
    "endless preprocessors": but(preprocessors=["bits:bits=1"] * 1000),
    "wrong setting": but(preprocessors=["bits:bits=99"]),
}


@pytest.mark.parametrize("name", LIES)
def test_cards_that_cannot_be_right_are_refused_before_anything_is_built(tmp_path, name):
    path = carded(tmp_path / "m.safetensors", LIES[name])
    with pytest.raises(CorruptFile, match=r"m\.safetensors: expected") as caught:
        load(path)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "scales", ["[]", '{"": 3}', '{"": [[0.5]]}', '{"": [["a"], [1]]}', '{"": [[0.5, 0.5, 0.5], []]}']
)
def test_a_normalisation_that_cannot_be_right_is_refused(tmp_path, scales):
    path = tmp_path / "m.safetensors"
    save(Classifier(build("mlp", SHAPE, 10, 0), Card("mlp", TEST.classes, SHAPE)), path)
    with safetensors.safe_open(path, framework="pt") as file:
        notes = {"card": file.metadata()["card"], "normalisation": scales}
        tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    safetensors.torch.save_file(tensors, path, notes)
    with pytest.raises((CorruptFile, BadInput), match=r"m\.safetensors|one value per channel"):
        load(str(path))


# classes


def ships(order):
    """Three classes of images with one bright row each, and code whose logits are in another order."""
    names = ("airplane", "ship", "truck")
    images = torch.zeros(60, *SHAPE)
    labels = torch.arange(60) % 3
    for row, label in enumerate(labels.tolist()):
        images[row, 0, label] = 0.5 + row / 120
    rows = [names.index(name) for name in order]
    code = f"""
import torch
from torch import nn
from pixelproof import models
class Rows(nn.Module):
    def forward(self, x):
        return x[:, 0].mean(2)[:, {rows}]
def build():
    return models.wrap(Rows().eval(), classes={list(order)}, input_shape=(1, 8, 8))
def counted():
    return models.wrap(Rows().eval(), classes=3, input_shape=(1, 8, 8))
"""
    return Dataset("split", images, labels, names), code


@pytest.mark.parametrize("order", [("truck", "airplane", "ship"), ("airplane", "ship", "truck")])
def test_logits_are_put_into_the_order_of_the_data(tmp_path, order):
    found, code = ships(order)
    (tmp_path / "order.py").write_text(code)
    model = load(f"{tmp_path}/order.py:build", data=found)
    assert model.card.classes == found.classes
    assert torch.equal(model.predict(found.images).argmax(1), found.labels)
    save(model, tmp_path / "m.safetensors")
    back = load(f"{tmp_path}/order.py:build", data=found, weights=tmp_path / "m.safetensors")
    assert torch.equal(back.predict(found.images).argmax(1), found.labels)
    assert load(f"{tmp_path}/order.py:counted", data=found).card.classes == found.classes


@pytest.mark.parametrize(
    "names", [("plane", "ship", "truck"), ("airplane", "ship"), ("airplane", "car", "ship", "truck")]
)
def test_other_classes_are_refused_with_both_lists(tmp_path, names):
    found, code = ships(("truck", "airplane", "ship"))
    (tmp_path / "order.py").write_text(code)
    keep = found.labels < min(3, len(names))
    other = Dataset("other", found.images[keep], found.labels[keep], names)
    with pytest.raises(
        BadInput, match=rf"classes of other, {len(names)} \({names[0]}.*got 3 \(truck, airplane, ship\)"
    ):
        load(f"{tmp_path}/order.py:build", data=other)


def test_a_saved_model_and_a_training_compare_classes_too(tmp_path):
    named = Dataset("digits", TEST.pixels, TEST.labels, tuple("abcdefghij"), TEST.index)
    model = Classifier(build("mlp", SHAPE, 10, 0), Card("mlp", named.classes, SHAPE))
    save(model, tmp_path / "m.safetensors")
    turned = Dataset("digits", TEST.pixels, 9 - TEST.labels, tuple("jihgfedcba"), TEST.index)
    back = load(str(tmp_path / "m.safetensors"), data=turned)
    torch.testing.assert_close(back.predict(TEST.images[:5]), model.predict(TEST.images[:5]).flip(1))
    with pytest.raises(BadInput, match=r"got 10 \(a, b"):
        load(str(tmp_path / "m.safetensors"), data=Dataset("x", TEST.pixels, TEST.labels, tuple("klmnopqrst")))
    with pytest.raises(BadInput, match=r"got 10 \(a, b"):
        models.train(model, turned, None, Training(epochs=1))


# code


def test_code_is_read_as_it_stands_and_leaves_nothing_beside_it(tmp_path, monkeypatch):
    """Python's kept bytecode is taken for that of a changed file with the same size, written in the same second."""
    monkeypatch.setattr(sys, "dont_write_bytecode", False)
    path, digests = tmp_path / "net.py", []
    (tmp_path / "parts.py").write_text("SIZE = 10\n")
    for number in (1, 2):
        seeded = CODE.replace("super().__init__()", f"super().__init__(); torch.manual_seed({number})")
        path.write_text(seeded + "from parts import SIZE\n")
        os.utime(path, (1_700_000_000, 1_700_000_000))
        digests.append(load(f"{path}:Net", data=TEST).digest())
    assert digests[0] != digests[1]
    assert sorted(file.name for file in tmp_path.iterdir()) == ["net.py", "parts.py"]
    assert not sys.dont_write_bytecode


def test_files_beside_a_model_can_be_imported_each_folder_its_own(tmp_path):
    for name, factor in (("one", 1.0), ("two", 2.0)):
        folder = tmp_path / name
        (folder / "parts").mkdir(parents=True)
        (folder / "layers.py").write_text(f"FACTOR = {factor}\n")
        (folder / "parts" / "__init__.py").write_text("from layers import FACTOR\nTWICE = 2 * FACTOR\n")
        code = "import torch\nfrom torch import nn\nfrom parts import TWICE\nclass Net(nn.Module):\n"
        code += "    def forward(self, x):\n        return TWICE * x.flatten(1)[:, :10] + torch.arange(10.0)\n"
        (folder / "net.py").write_text(code)
    zeros = torch.ones(1, *SHAPE)
    for name, first in (("one", 2.0), ("two", 4.0), ("one", 2.0)):
        model = load(f"{tmp_path}/{name}/net.py:Net", data=TEST)
        assert float(model.predict(zeros)[0, 0]) == first


@pytest.mark.parametrize(
    ("spec", "error", "says"),
    [
        ("net.pt", BadInput, r"--model my_model\.py:build --weights FILE; TorchScript"),
        ("net.ckpt", BadInput, r"--model my_model\.py:build --weights FILE"),
        ("net.onnx", BadInput, r"torch\.export to a \.pt2 file"),
        ("net.py", BadInput, r"Write net\.py:build"),
        ("cnnn", UnknownName, "Did you mean 'cnn'"),
    ],
)
def test_files_of_another_kind_are_told_the_way(spec, error, says):
    with pytest.raises(error, match=says):
        load(spec, data=TEST)


def test_a_wrapped_network_of_another_shape_says_which(tmp_path):
    _, code = ships(("truck", "airplane", "ship"))
    (tmp_path / "order.py").write_text(code)
    wide = Dataset("wide", torch.rand(60, 3, 8, 8), torch.arange(60) % 3, ("airplane", "ship", "truck"))
    with pytest.raises(BadInput, match=r"the images of wide must have its shape \(1, 8, 8\); got \(3, 8, 8\)"):
        load(f"{tmp_path}/order.py:build", data=wide)


def test_wrapping_twice_is_wrapping_once(net):
    once = wrap(net, classes=10, input_shape=SHAPE, mean=(0.5,))
    assert torch.equal(
        wrap(once, classes=10, input_shape=SHAPE).predict(TEST.images[:3]), once.predict(TEST.images[:3])
    )
