"""Models by name: our networks, a saved model, your own code and weights; and nothing in a file is ever run."""

import io
import os
import pickle
import sys
import types
import zipfile

import pytest
import safetensors.torch
import torch
from torch import nn

from pixelproof import data, models
from pixelproof.errors import BadInput, CorruptFile, UnknownName
from pixelproof.models import Training, load, open_saved, save
from pixelproof.models.exported import read_program

QUICK = Training(epochs=1, batch=256)

CODE = """
from __future__ import annotations
from dataclasses import dataclass
from torch import nn

@dataclass
class Sizes:
    hidden: int = 5

def build():
    return nn.Sequential(nn.Flatten(), nn.Linear(64, Sizes().hidden), nn.Linear(5, 10))

ready = nn.Sequential(nn.Flatten(), nn.Linear(64, 10))
number = 3

def broken():
    raise OSError("no such weights")
"""


class Malicious:
    """Unpickling this creates a folder: the proof that code was run."""

    def __init__(self, proof):
        self.proof = str(proof)

    def __reduce__(self):
        return os.mkdir, (self.proof,)


@pytest.fixture(scope="module")
def digits():
    return data.load("digits")


@pytest.fixture
def code(tmp_path):
    path = tmp_path / "my_model.py"
    path.write_text(CODE)
    return path


@pytest.fixture(scope="module")
def program(tmp_path_factory):
    path = tmp_path_factory.mktemp("pt2") / "net.pt2"
    net = nn.Sequential(nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.Flatten(), nn.Linear(144, 10)).eval()
    images = torch.rand(2, 1, 8, 8)
    torch.export.save(torch.export.export(net, (images,), dynamic_shapes=({0: torch.export.Dim("batch")},)), path)
    return path, net


def test_our_network_is_trained_once_and_kept(digits, monkeypatch, tmp_path):
    monkeypatch.setenv("PIXELPROOF_CACHE", str(tmp_path))
    steps = []
    first = load("mlp", data=digits, training=QUICK, progress=lambda done, total, note: steps.append((done, total)))
    assert steps[-1] == (5, 5)  # 1078 images in batches of 256
    assert not first.training
    assert (first.card.name, first.card.data, first.card.seed) == ("mlp", "digits", 0)
    steps.clear()
    again = load("mlp", data=digits, training=QUICK, progress=lambda *_: steps.append(()))
    assert not steps
    assert again.digest() == first.digest()
    assert again.card == first.card
    other = load("mlp", data=digits, training=Training(epochs=1, batch=256, seed=1))
    assert other.digest() != first.digest()
    assert len(list((tmp_path / "models").iterdir())) == 2


def test_a_saved_model_comes_back_whole(digits, tmp_path):
    model = load("mlp", data=digits, training=QUICK).carrying(accuracy=0.5, defences=("masking",))
    path = tmp_path / "deep" / "model.safetensors"
    save(model, path)
    back = load(str(path))
    assert back.card == model.card
    assert back.digest() == model.digest()
    assert torch.equal(back.predict(digits.images[:9]), model.predict(digits.images[:9]))
    assert [file.name for file in path.parent.iterdir()] == ["model.safetensors"], "no partial file is left"


def test_a_network_of_your_own_needs_its_code_beside_the_file(tmp_path):
    net = models.wrap(nn.Sequential(nn.Flatten(), nn.Linear(4, 2)), classes=2, input_shape=(1, 2, 2))
    save(net, tmp_path / "net.safetensors")
    with pytest.raises(BadInput, match="holds the weights of a network of your own"):
        load(str(tmp_path / "net.safetensors"))


def test_weights_fill_a_named_network(digits, tmp_path):
    trained = load("mlp", data=digits, training=QUICK)
    safetensors.torch.save_file(trained.net.state_dict(), tmp_path / "w.safetensors")
    torch.save(trained.net.state_dict(), tmp_path / "w.pt")
    for name in ("w.safetensors", "w.pt"):
        filled = load("mlp", data=digits, weights=tmp_path / name)
        assert torch.equal(filled.predict(digits.images[:5]), trained.predict(digits.images[:5]))


def test_your_own_function_and_module(digits, code, tmp_path):
    built = load(f"{code}:build", data=digits)
    assert built.card.name == f"{code}:build"
    assert built.card.classes == digits.classes
    assert not built.training
    state = {name: torch.zeros_like(tensor) for name, tensor in built.net.state_dict().items()}
    safetensors.torch.save_file(state, tmp_path / "zero.safetensors")
    assert not load(f"{code}:build", data=digits, weights=tmp_path / "zero.safetensors").predict(digits.images).any()
    assert load(f"{code}:ready", data=digits).layers == ("1",)


@pytest.mark.parametrize(
    ("spec", "error", "says"),
    [
        ("nowhere.py:build", BadInput, "must exist"),
        ("{code}:bild", UnknownName, "Did you mean 'build'"),
        ("{code}:number", BadInput, "TypeError"),
        ("{code}:broken", BadInput, "OSError: no such weights"),
        ("cnnn", UnknownName, "Did you mean 'cnn'"),
        ("nowhere.safetensors", BadInput, "must exist"),
        ("nowhere.pt2", BadInput, "must exist"),
    ],
)
def test_models_that_do_not_exist_are_named(digits, code, spec, error, says):
    with pytest.raises(error, match=says):
        load(spec.format(code=code), data=digits)


def test_code_that_does_not_import_is_named(digits, tmp_path):
    (tmp_path / "bad.py").write_text("import a_module_that_is_not_there")
    with pytest.raises(BadInput, match="ModuleNotFoundError"):
        load(f"{tmp_path / 'bad.py'}:build", data=digits)


@pytest.mark.parametrize("spec", ["cnn", "{code}:build"])
def test_data_is_asked_for(code, spec):
    with pytest.raises(BadInput, match="needs data"):
        load(spec.format(code=code))


def test_weights_that_do_not_fit_are_named(digits, tmp_path):
    safetensors.torch.save_file({"fc1.weight": torch.zeros(2, 2)}, tmp_path / "small.safetensors")
    with pytest.raises(BadInput, match="weights must fit the network"):
        load("mlp", data=digits, weights=tmp_path / "small.safetensors")
    with pytest.raises(BadInput, match="must exist"):
        load("mlp", data=digits, weights=tmp_path / "none.safetensors")


@pytest.mark.parametrize("content", [b"", b"garbage", b"\xff" * 64, b"\x10" + bytes(7) + b"{not json at all}"])
def test_corrupt_weights_are_named(digits, tmp_path, content):
    for name in ("w.safetensors", "w.pt"):
        (tmp_path / name).write_bytes(content)
        with pytest.raises(CorruptFile, match=name):
            load("mlp", data=digits, weights=tmp_path / name)
    with pytest.raises(CorruptFile, match=r"w\.safetensors"):
        open_saved(tmp_path / "w.safetensors", torch.device("cpu"))


def test_a_saved_model_cut_short_or_without_a_card_is_named(digits, tmp_path):
    path = tmp_path / "model.safetensors"
    save(load("mlp", data=digits, training=QUICK), path)
    path.write_bytes(path.read_bytes()[:-100])
    with pytest.raises(CorruptFile):
        load(str(path))
    safetensors.torch.save_file({"a": torch.zeros(1)}, path)
    with pytest.raises(CorruptFile, match="expected weights with a card"):
        load(str(path))
    card = '{"name": "rnn", "classes": ["a", "b"], "input_shape": [1, 8, 8]}'
    safetensors.torch.save_file({"a": torch.zeros(1)}, path, metadata={"card": card})
    with pytest.raises(BadInput, match="rnn"):
        load(str(path))


def test_pickles_with_code_are_refused_and_not_run(digits, tmp_path):
    proof = tmp_path / "ran"
    torch.save({"fc1.weight": Malicious(proof)}, tmp_path / "evil.pt")
    (tmp_path / "evil.pkl").write_bytes(pickle.dumps(Malicious(proof)))
    for name in ("evil.pt", "evil.pkl"):
        with pytest.raises(CorruptFile, match="plain state dict"):
            load("mlp", data=digits, weights=tmp_path / name)
    torch.save([1, 2], tmp_path / "list.pt")
    with pytest.raises(CorruptFile, match="got list"):
        load("mlp", data=digits, weights=tmp_path / "list.pt")
    assert not proof.exists()
    torch.load(tmp_path / "evil.pt", weights_only=False)
    assert proof.exists(), "the file does run code where unpickling is allowed: the test above means something"


def test_an_exported_program_is_a_classifier(digits, program):
    path, net = program
    model = load(str(path), data=digits)
    torch.testing.assert_close(model.predict(digits.images[:7]), net(digits.images[:7]).detach())
    assert not model.training
    images = digits.images[:3].clone().requires_grad_()
    (gradient,) = torch.autograd.grad(model(images).sum(), images)
    assert gradient.any()
    model.train()
    torch.testing.assert_close(model(digits.images[:3]), net(digits.images[:3]))  # batch statistics stay frozen
    assert model.eval().training is False


def rewritten(path, changes, added=()):
    """The archive at `path` with entries replaced by `changes` (name -> function of the old bytes) and `added`."""
    parts = io.BytesIO()
    with zipfile.ZipFile(path) as old, zipfile.ZipFile(parts, "w") as new:
        for name in old.namelist():
            inner = name.partition("/")[2]
            new.writestr(name, changes[inner](old.read(name)) if inner in changes else old.read(name))
        for name, content in added:
            new.writestr(name, content)
    return parts.getvalue()


def swap(old, new):
    def change(content):
        assert old in content
        return content.replace(old, new)

    return change


def test_an_untouched_archive_survives_the_rewriting_of_these_tests(program, tmp_path):
    (tmp_path / "same.pt2").write_bytes(rewritten(program[0], {}))
    assert read_program(tmp_path / "same.pt2")(torch.rand(2, 1, 8, 8)).shape == (2, 10)


def evil_pickle(proof):
    buffer = io.BytesIO()
    torch.save((Malicious(proof),), buffer)
    return buffer.getvalue()


GRAPH, WEIGHTS = "models/model.json", "data/weights/model_weights_config.json"
HARM = {
    "pickled inputs": lambda proof: {"data/sample_inputs/model.pt": lambda _: evil_pickle(proof)},
    "pickled weight": lambda proof: {
        WEIGHTS: swap(b'"use_pickle": false', b'"use_pickle": true'),
        "data/weights/weight_0": lambda _: evil_pickle(proof),
    },
    "evaluated shape": lambda proof: {
        GRAPH: swap(b"Symbol('s", f"__import__('os').mkdir('{proof}') or Symbol('s".encode())
    },
    "guards": lambda proof: {
        GRAPH: swap(b'"guards_code": []', f"\"guards_code\": [\"__import__('os').mkdir('{proof}')\"]".encode())
    },
    "operator": lambda _: {GRAPH: swap(b"torch.ops.aten.relu.default", b"torch.os.system")},
    "file operator": lambda _: {GRAPH: swap(b"torch.ops.aten.relu.default", b"torch.ops.aten.from_file.default")},
    "argument name": lambda _: {GRAPH: swap(b'"forward_arg_names": ["input"', b'"forward_arg_names": ["x=print(1)"')},
    "tree": lambda _: {GRAPH: swap(rb"{\"type\": \"builtins.tuple\"", rb"{\"type\": \"collections.deque\"")},
    "not json": lambda _: {GRAPH: lambda _old: b"{"},
    "truncated weights": lambda _: {"data/weights/weight_0": lambda old: old[:5]},
}


@pytest.mark.parametrize("harm", HARM)
def test_an_exported_program_that_could_run_code_is_refused_and_not_run(program, tmp_path, harm):
    proof, path = tmp_path / "ran", tmp_path / "evil.pt2"
    path.write_bytes(rewritten(program[0], HARM[harm](proof)))
    with pytest.raises(CorruptFile):
        read_program(path)
    assert not proof.exists()


@pytest.mark.parametrize("name", ["net/data/aotinductor/model/x.so", "net/data/constants/custom_obj_0", "version"])
def test_an_exported_program_with_more_in_it_is_refused(program, tmp_path, name):
    path = tmp_path / "more.pt2"
    path.write_bytes(rewritten(program[0], {}, added=[(name, b"x")]))
    with pytest.raises(CorruptFile, match=r"more\.pt2|exported program"):
        read_program(path)


@pytest.mark.parametrize("content", [b"", b"not a zip", b"PK\x03\x04" + bytes(60)])
def test_a_file_that_is_no_program_is_named(tmp_path, content):
    (tmp_path / "bad.pt2").write_bytes(content)
    with pytest.raises(CorruptFile, match=r"bad\.pt2"):
        read_program(tmp_path / "bad.pt2")


def stand_in(monkeypatch):
    """A module that answers as timm does."""
    timm = types.ModuleType("timm")
    made = []

    def create_model(name, pretrained):
        made.append((name, pretrained))
        net = nn.Sequential(nn.Flatten(), nn.Linear(64, 10))
        net.pretrained_cfg = {"mean": (0.25,), "std": (0.5,)}
        return net

    timm.is_model = lambda name: name == "tiny"
    timm.list_models = lambda: ["tiny"]
    timm.create_model = create_model
    monkeypatch.setitem(sys.modules, "timm", timm)
    return made


def test_a_timm_model_brings_its_normalisation(digits, monkeypatch):
    made = stand_in(monkeypatch)
    model = load("timm:tiny", data=digits)
    assert made == [("tiny", True)]
    images = digits.images[:4]
    torch.testing.assert_close(model(images), model.net((images - 0.25) / 0.5))
    with pytest.raises(UnknownName, match="Did you mean 'tiny'"):
        load("timm:tinny", data=digits)


def test_own_weights_spare_the_download_of_timms(digits, monkeypatch, tmp_path):
    made = stand_in(monkeypatch)
    safetensors.torch.save_file({"1.weight": torch.ones(10, 64), "1.bias": torch.zeros(10)}, tmp_path / "w.safetensors")
    load("timm:tiny", data=digits, weights=tmp_path / "w.safetensors")
    assert made == [("tiny", False)]


def test_timm_is_an_extra(digits, monkeypatch):
    monkeypatch.setitem(sys.modules, "timm", None)
    with pytest.raises(BadInput, match=r"pixelproof\[timm\]"):
        load("timm:tiny", data=digits)


def test_devices():
    assert models.pick_device("cpu") == torch.device("cpu")
    assert models.pick_device("auto").type == ("cuda" if torch.cuda.is_available() else "cpu")
    with pytest.raises(UnknownName, match="Did you mean 'cpu'"):
        models.pick_device("cpus")
    if not torch.cuda.is_available():
        with pytest.raises(BadInput, match="--device cpu"):
            models.pick_device("cuda")


def test_the_normalisation_of_your_own_network_comes_back_with_its_weights(digits, code, tmp_path):
    """Also behind what stands before the network; the path may be text."""
    net = nn.Sequential(nn.Flatten(), nn.Linear(64, 5), nn.Linear(5, 10))
    plain = models.wrap(net, classes=digits.classes, input_shape=(1, 8, 8), mean=[0.3], std=[0.2])
    behind = models.PREPROCESSORS["bits"](4).around(plain)
    for number, model in enumerate((plain, behind)):
        path = str(tmp_path / f"{number}.safetensors")
        save(model.eval(), path)
        back = load(f"{code}:build", data=digits, weights=path)
        assert torch.equal(back.predict(digits.images[:20]), model.predict(digits.images[:20]))
