"""Which layers are looked at, what they cost before they are computed, and what is said when none can be had."""

from types import SimpleNamespace

import pytest
import torch
from torch import nn

from pixelproof import models
from pixelproof.data import Dataset
from pixelproof.detect import DeepNeighbours, Mahalanobis, Store
from pixelproof.detect.neighbours import layers as layers_module
from pixelproof.detect.neighbours.layers import activations, batch_of, default_layers, hidden_layer, widths
from pixelproof.errors import BadInput
from pixelproof.study import guarding

from .toys import blobs, generator, network

SHAPE = (1, 4, 4)


class Encoder(nn.Module):
    """A transformer over the rows of an image; attention's out_proj is a dense layer that is never called."""

    def __init__(self) -> None:
        super().__init__()
        layer = nn.TransformerEncoderLayer(4, 2, dim_feedforward=8, batch_first=True)
        self.enc = nn.TransformerEncoder(layer, 1, enable_nested_tensor=False)
        self.head = nn.Linear(16, 3)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return self.head(self.enc(images[:, 0]).flatten(1))


class Recurrent(nn.Module):
    """An LSTM over the rows, which puts out a tuple."""

    def __init__(self) -> None:
        super().__init__()
        self.lstm = nn.LSTM(4, 5, batch_first=True)
        self.head = nn.Linear(20, 3)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return self.head(self.lstm(images[:, 0])[0].flatten(1))


class Functional(nn.Module):
    """No module that puts anything out."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.eye(3, 16))

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return images.flatten(1) @ self.weight.T


def wrapped(net: nn.Module) -> models.Classifier:
    return models.wrap(net, classes=("a", "b", "c"), input_shape=SHAPE).eval()


def images(n: int = 12) -> torch.Tensor:
    return torch.rand((n, *SHAPE), generator=generator())


@pytest.mark.parametrize(
    ("net", "expected"),
    [(Encoder, ("enc.layers.0.linear1", "enc.layers.0.linear2", "head")), (Recurrent, ("head",))],
)
def test_default_layers_are_such_that_run(net, expected):
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = wrapped(net())
    assert default_layers(model) == expected
    rows, logits = activations(model, images(), default_layers(model))
    assert {row.ndim for row in rows.values()} == {2}
    assert torch.allclose(logits, model.predict(images()), atol=1e-5)
    assert hidden_layer(model) in expected


@pytest.mark.parametrize(("net", "layer"), [(Encoder, "enc.layers.0.self_attn"), (Recurrent, "lstm")])
def test_a_module_that_puts_out_a_tuple_gives_its_first_tensor(net, layer):
    rows, _ = activations(wrapped(net()), images(), [layer])
    assert rows[layer].shape[0] == 12


def test_a_network_without_layers_is_told_what_it_can_use():
    for detector in (DeepNeighbours(k=3), Mahalanobis()):
        with pytest.raises(BadInput, match=r"whose layers can be tapped.*such as margin"):
            detector.fit(wrapped(Functional()), toy_data(), None, generator())


def test_an_exported_program_is_told_what_it_can_use(tmp_path):
    """Its one part is the whole program, which is no layer to look at."""
    net = nn.Sequential(nn.Flatten(), nn.Linear(16, 3)).eval()
    program = torch.export.export(net, (torch.rand(4, *SHAPE),), dynamic_shapes=({0: torch.export.Dim("batch")},))
    torch.export.save(program, tmp_path / "net.pt2")
    model = models.load(str(tmp_path / "net.pt2"), data=toy_data())
    with pytest.raises(BadInput, match=r"whose layers can be tapped.*such as margin"):
        DeepNeighbours(k=3).fit(model, toy_data(), None, generator())


def test_a_network_without_dense_layers_is_told_how_to_name_some():
    net = nn.Sequential(nn.Conv2d(1, 3, 4), nn.ReLU(), nn.Flatten())
    with pytest.raises(BadInput, match=r"layers=1\|2"):
        default_layers(wrapped(net))


def toy_data() -> Dataset:
    return Dataset("rows", images(60), torch.arange(60) % 3, ("a", "b", "c"))


def test_default_layers_are_the_last_ones_that_fit_into_memory(monkeypatch):
    """A row per token and image: 49 dense layers of a small ViT would take 304 GiB for 10,000 images."""
    model = wrapped(Encoder())
    width = widths(model, default_layers(model))
    assert width == {"enc.layers.0.linear1": 32, "enc.layers.0.linear2": 16, "head": 3}
    monkeypatch.setattr(layers_module, "FITS", 4 * 100 * (16 + 3))
    assert default_layers(model, rows=100) == ("enc.layers.0.linear2", "head")
    assert default_layers(model, rows=100_000) == ("head",)
    assert len(default_layers(model)) == 3


def test_an_index_that_this_machine_cannot_hold_is_refused_before_it_is_built(monkeypatch):
    model = network()
    monkeypatch.setattr(layers_module, "installed_memory", lambda: 4 * 100 * 18)
    monkeypatch.setattr(models.Classifier, "taps", lambda *_: pytest.fail("it must not start"))
    with pytest.raises(BadInput, match=r"activations of 100 images must fit into memory.*16 values an image in '1'"):
        Store.build(model, blobs(100), ("1", "3"))


def test_batches_are_smaller_for_large_images_and_wide_layers():
    assert batch_of(28 * 28) == batch_of(3 * 32 * 32) == 250
    assert batch_of(3 * 224 * 224) == 53
    assert batch_of(10**9) == 1


def test_activations_do_not_depend_on_the_batch(monkeypatch):
    model, pictures = network(), blobs(50).images
    rows, logits = activations(model, pictures, ("1", "3"))
    monkeypatch.setattr(layers_module, "AT_ONCE", 60)  # 15 images of 4 values, then 3 rows of 19
    again, logits_again = activations(model, pictures, ("1", "3"))
    assert torch.allclose(logits, logits_again, atol=1e-6)
    assert all(torch.allclose(rows[layer], again[layer], atol=1e-6) for layer in rows)


def many_classes(absent: tuple[int, ...] = ()) -> tuple[models.Classifier, Dataset]:
    """A network of a thousand classes that answers by the first of them for every image."""
    net = nn.Sequential(nn.Flatten(), nn.Linear(4, 1000))
    with torch.no_grad():
        net[1].weight.mul_(0.001)
        net[1].bias.copy_(-torch.arange(1000.0))
    names = tuple(f"class{k:04d}" for k in range(1000))
    model = models.wrap(net, classes=names, input_shape=(1, 2, 2)).eval()
    labels = torch.tensor([k for k in range(1000) if k not in absent])
    return model, Dataset("many", torch.rand((len(labels), 1, 2, 2), generator=generator()), labels, names)


def test_an_error_of_a_thousand_classes_stays_short():
    model, data = many_classes()
    with pytest.raises(BadInput, match=r"none of 'class0001', .* and 991 more classes") as refusal:
        Store.build(model, data, ("1",))
    assert len(str(refusal.value)) < 300


def test_a_class_without_any_image_is_named_as_such():
    """Labels 1 to 10, or 0, 10, 20, ...: training longer cannot help."""
    model, data = many_classes(absent=(0, 7))
    with pytest.raises(BadInput, match=r"no image at all of 'class0000', 'class0007'.*leave such classes out"):
        Store.build(model, data, ("1",))


@pytest.mark.parametrize("spec", ["neighbours:k=5000", "distance:k=5000", "lid:k=5000"])
def test_more_neighbours_than_images_are_refused_before_the_work(spec, monkeypatch):
    from pixelproof.detect import parse

    monkeypatch.setattr(models.Classifier, "taps", lambda *_: pytest.fail("it must not start"))
    with pytest.raises(BadInput, match=r"k must be at most \d+, .*training images"):
        parse(spec).fit(network(), blobs(300), None, generator())


@pytest.mark.usefixtures("unchecked")  # a context of which only what is asked for is there
def test_a_study_takes_default_layers_that_fit_as_the_command_does(monkeypatch):
    data = toy_data()
    section = SimpleNamespace(layers=(), metric="euclidean", index=None)
    context = SimpleNamespace(study=SimpleNamespace(guards=section), model=wrapped(Encoder()), tell=None)
    monkeypatch.setattr(guarding, "training", lambda _context: data)
    monkeypatch.setattr(Store, "build", lambda _model, _images, layers, **_: layers)
    assert len(guarding.built(context, data, "")) == 3
    monkeypatch.setattr(layers_module, "FITS", 4 * len(data) * (16 + 3))
    assert guarding.built(context, data, "") == ("enc.layers.0.linear2", "head")
    assert guarding.built(context, data[:10], "") == ("enc.layers.0.linear2", "head")  # one run, one set of layers
