"""Networks as people have them: explained rightly, or refused in one sentence that says what to do instead."""

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from pixelproof import models
from pixelproof.errors import BadInput
from pixelproof.explain import DeepShap, ExpectedGradients, InputGradient, IntegratedGradients, Occlusion, randomisation

SHAPE, CLASSES = (1, 6, 6), 3


def rand(n: int, seed: int = 0) -> Tensor:
    return torch.rand((n, *SHAPE), generator=torch.Generator().manual_seed(seed))


def rng() -> torch.Generator:
    return torch.Generator().manual_seed(0)


class Net(nn.Module):
    """Any function of the images, and a dense layer with fixed weights on what it gives."""

    def __init__(self, middle, features: int = 36, **parts: nn.Module) -> None:
        super().__init__()
        with torch.random.fork_rng():
            torch.manual_seed(1)
            self.parts = nn.ModuleDict({name: part.requires_grad_(False) for name, part in parts.items()})
            self.head = nn.Linear(features, CLASSES)
        self.middle = middle

    def forward(self, images: Tensor) -> Tensor:
        return self.head(self.middle(self, images).flatten(1))


def wrapped(middle, features: int = 36, **parts: nn.Module) -> models.Classifier:
    return models.wrap(Net(middle, features, **parts), classes=CLASSES, input_shape=SHAPE).eval()


def conv(**settings) -> nn.Conv2d:
    return nn.Conv2d(1, 4, 3, **settings)


@pytest.mark.parametrize(
    ("part", "features"),
    [
        (lambda: conv(padding="valid"), 64),
        (lambda: conv(padding="valid", stride=2), 16),
        (lambda: conv(padding="valid", dilation=2), 16),
        (lambda: nn.Conv2d(1, 40, 3, padding="valid"), 640),
        (lambda: conv(padding="same"), 144),
        (lambda: nn.ConvTranspose2d(1, 2, 3), 128),
    ],
    ids=["valid", "strided", "dilated", "wide", "same", "transposed"],
)
def test_convolutions_that_name_their_padding_add_up(part, features):
    model = wrapped(lambda net, x: F.relu(net.parts["conv"](x)), features, conv=part())
    found = DeepShap(rand(4, 1))(model, rand(3), None, rng())
    assert found.sound.all()


def black_rows(n: int, seed: int) -> Tensor:
    images = rand(n, seed)
    images[:, :, :2] = 0
    return images


STEEP = {
    "sqrt": lambda net, x: x.sqrt(),
    "gamma": lambda net, x: x**0.45,
    "normalised rows": lambda net, x: F.normalize(x, dim=-1),
    "norm": lambda net, x: torch.cat([x.flatten(1), x.norm(dim=-1).flatten(1)], 1)[:, :36],
    "spread of rows": lambda net, x: x * x.std(-1, keepdim=True),
}


@pytest.mark.parametrize("name", STEEP)
def test_nothing_is_shared_where_image_and_background_are_black(name):
    """The slope is infinite there and the difference 0: a share of 0, not NaN, and the rest still adds up."""
    model = wrapped(STEEP[name])
    images = black_rows(3, 0)
    found = DeepShap(black_rows(4, 1))(model, images, None, rng())
    assert torch.isfinite(found.values).all()
    assert found.sound.all()
    assert (found.values[:, :, :2] == 0).all()


@pytest.mark.parametrize("name", STEEP)
def test_gradients_that_are_infinite_leave_the_maps_finite(name):
    model, images = wrapped(STEEP[name]), black_rows(2, 0)
    for explainer in (InputGradient(), IntegratedGradients(steps=4), ExpectedGradients(black_rows(4, 1), samples=8)):
        found = explainer(model, images, None, rng())
        assert torch.isfinite(found.values).all(), explainer.name
        assert found.values.abs().sum() > 0


def test_a_root_next_to_black_shares_its_whole_change():
    """Between 0 and a value below the derivative's reach the ratio counts, for the derivative at 0 is infinite."""
    model = wrapped(lambda net, x: x.sqrt())
    images = torch.zeros((1, *SHAPE))
    background = torch.full((2, *SHAPE), 4e-7)
    background[1, 0, 0, 0] = 0
    found = DeepShap(background)(model, images, torch.tensor([0]), rng())
    assert float(found.gap[0]) < 1e-3


@pytest.mark.parametrize("kind", [torch.float16, torch.bfloat16, torch.float64])
def test_networks_of_another_precision_are_explained_as_in_float32(kind):
    def cast(net: Net, x: Tensor) -> Tensor:
        return F.relu(net.parts["conv"](x.to(kind))).to(torch.float32)

    def plain(net: Net, x: Tensor) -> Tensor:
        return F.relu(net.parts["conv"](x))

    with torch.random.fork_rng():
        torch.manual_seed(2)
        part = conv()
    single = wrapped(plain, 64, conv=part)
    other = wrapped(cast, 64, conv=part.__class__(1, 4, 3).to(kind))
    other.net.parts["conv"].load_state_dict({key: value.to(kind) for key, value in part.state_dict().items()})
    single.net.parts["conv"].load_state_dict(
        {key: value.float() for key, value in other.net.parts["conv"].state_dict().items()}
    )
    background, images = rand(4, 1), rand(3)
    ours, theirs = (DeepShap(background)(model, images, None, rng()) for model in (other, single))
    assert ours.values.dtype == torch.float32
    torch.testing.assert_close(ours.values, theirs.values, rtol=1e-4, atol=1e-6)


def ungraded(net: Net, x: Tensor) -> Tensor:
    with torch.no_grad():
        return x * 2


@pytest.mark.parametrize(
    "middle", [ungraded, lambda net, x: (x * 255).round() / 255], ids=["no_grad", "gradient 0 everywhere"]
)
def test_networks_without_a_gradient_are_refused_in_one_sentence_and_occlusion_goes_on(middle):
    model = wrapped(middle)
    for parameter in model.parameters():
        parameter.requires_grad_(False)
    images = rand(2)
    assert torch.isfinite(Occlusion()(model, images, None, rng()).values).all()
    if middle is not ungraded:  # a gradient of zeros is a gradient: the map is 0 and its gap says so
        assert not InputGradient()(model, images, None, rng()).sound.any()
        return
    for explainer in (InputGradient(), IntegratedGradients(steps=2), ExpectedGradients(rand(4, 1), samples=2)):
        with pytest.raises(BadInput, match=rf"{explainer.name}: the logits must have a gradient.*Use occlusion"):
            explainer(model, images, None, rng())


def numpy_inside(net: Net, x: Tensor) -> Tensor:
    return torch.from_numpy(x.detach().numpy() * 2)


@pytest.mark.parametrize(
    ("middle", "named"),
    [
        (lambda net, x: x.cumprod(-1), "cumprod"),
        (lambda net, x: (x * 255).round() / 255, "round"),
        (lambda net, x: net.parts["levels"]((x * 15).long()), "embedding"),
        (lambda net, x: F.grid_sample(x, torch.zeros(len(x), 6, 6, 2), align_corners=False) + x, "grid_sampler"),
        (numpy_inside, "cannot be recorded"),
    ],
    ids=["cumprod", "rounding", "embedding", "grid sample", "numpy"],
)
def test_deep_shap_names_what_it_cannot_follow_and_the_others_go_on(middle, named):
    features = 36
    parts = {"levels": nn.Embedding(16, 1)} if named == "embedding" else {}
    if named == "embedding":  # a thermometer of grey levels; what the check of `wrap` asks outside [0, 1] is cut
        inner = middle
        middle = lambda net, x: inner(net, x.clamp(0, 1))  # noqa: E731
    model = wrapped(middle, features, **parts)
    with pytest.raises(BadInput, match=named) as refusal:
        DeepShap(rand(4, 1))(model, rand(2), None, rng())
    assert "\n" not in str(refusal.value)
    assert torch.isfinite(Occlusion()(model, rand(2), None, rng()).values).all()


class Keeping(nn.Module):
    """Keeps what it computed, which a plain deep copy refuses after a backward pass."""

    def __init__(self) -> None:
        super().__init__()
        self.fc = nn.Linear(36, CLASSES)

    def forward(self, images: Tensor) -> Tensor:
        self.kept = self.fc(images.flatten(1))
        return self.kept * 2


def test_the_randomisation_check_copies_networks_that_keep_activations():
    model = models.wrap(Keeping(), classes=CLASSES, input_shape=SHAPE).eval()
    found = randomisation(ExpectedGradients(rand(4, 1), samples=2), model, rand(2), rng(), k=5)
    assert found.layers == ("fc",)
