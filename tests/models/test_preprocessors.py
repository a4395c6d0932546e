"""What stands before a network: it does what it says, passes gradients, and comes back from a file."""

import io
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from pixelproof import data, models, specs
from pixelproof.errors import BadInput, CorruptFile
from pixelproof.models import PREPROCESSORS, Card, Classifier, Preprocessor
from pixelproof.models.nets import build
from pixelproof.models.preprocessors import AdaptiveSmoothing, Committee, Features, Jpeg, Masked, TotalVariation
from pixelproof.models.preprocessors.jpeg import Compression
from pixelproof.models.preprocessors.smoothing import Local, Variation, divergence, gradient

TEST = data.load("digits", "test")
IMAGES = TEST.images[:40]
EARLIER = Path(__file__).parents[1] / "old" / "preprocessed-model.safetensors"
SETTINGS = {"masked": "masked:ratio=0.3,fill=0.5"}


def fresh(seed=0):
    return Classifier(build("mlp", (1, 8, 8), 10, seed), Card("mlp", TEST.classes, (1, 8, 8))).eval()


@pytest.fixture(params=sorted(PREPROCESSORS))
def preprocessor(request):
    made = specs.parse(SETTINGS.get(request.param, request.param), PREPROCESSORS, "preprocessor")
    assert isinstance(made, Preprocessor)
    return made


def test_a_preprocessor_keeps_the_model_and_is_on_the_card(preprocessor):
    model = fresh()
    before, card = model.digest(), model.card
    changed = preprocessor.around(model)
    assert (model.digest(), model.card) == (before, card)
    assert changed.card.preprocessors == (specs.write(preprocessor),)
    assert changed.predict(IMAGES).shape == (40, 10)
    assert specs.parse(specs.write(preprocessor), PREPROCESSORS, "preprocessor") == preprocessor


def test_saved_and_loaded_it_answers_the_same(preprocessor, tmp_path):
    changed = preprocessor.around(fresh())
    models.save(changed, tmp_path / "m.safetensors")
    back = models.load(str(tmp_path / "m.safetensors"))
    assert back.card == changed.card
    assert torch.equal(back.predict(IMAGES), changed.predict(IMAGES))
    assert back.digest() == changed.digest()


def test_the_gradient_reaches_the_image(preprocessor):
    x = IMAGES.clone().requires_grad_()
    loss = preprocessor.around(fresh())(x).square().sum()
    found = torch.autograd.grad(loss, x)[0]
    assert (found.flatten(1).abs().sum(1) > 0).all()


def test_preprocessors_see_the_image_in_the_order_of_the_card(tmp_path):
    inner, outer = Masked(0.5, 0.0), specs.parse("bits:bits=1", PREPROCESSORS)
    both = outer.around(inner.around(fresh()))
    assert both.card.preprocessors == (specs.write(outer), specs.write(inner))
    expected = fresh()((IMAGES > 0.5).float() * inner.masks((1, 8, 8)))
    torch.testing.assert_close(both(IMAGES), expected)
    models.save(both, tmp_path / "m.safetensors")
    torch.testing.assert_close(models.load(str(tmp_path / "m.safetensors"))(IMAGES), expected)


def test_your_own_network_comes_back_with_its_preprocessors(tmp_path):
    code = "from torch import nn\ndef build():\n    return nn.Sequential(nn.Flatten(), nn.Linear(64, 10))\n"
    (tmp_path / "own.py").write_text(code)
    spec = f"{tmp_path}/own.py:build"
    changed = Masked(0.3, "noise", seed=3).around(models.load(spec, data=TEST))
    models.save(changed, tmp_path / "own.safetensors")
    back = models.load(spec, data=TEST, weights=tmp_path / "own.safetensors")
    assert torch.equal(back.predict(IMAGES), changed.predict(IMAGES))
    assert back.card.preprocessors == changed.card.preprocessors
    with pytest.raises(BadInput, match=r"network of your own.*--model .*own\.py:build --weights"):
        models.load(str(tmp_path / "own.safetensors"))


def test_a_file_of_an_earlier_build_opens_with_what_stood_before_the_network(tmp_path):
    """An earlier build wrote the file: bits behind a mask of features before a linear network that sees 2 x."""
    code = "from torch import nn\ndef build():\n    return nn.Sequential(nn.Flatten(), nn.Linear(64, 10, bias=False))\n"
    (tmp_path / "own.py").write_text(code)
    back = models.load(f"{tmp_path}/own.py:build", data=TEST, weights=EARLIER)
    assert back.card.preprocessors == ("bits:bits=3,when=test", "features:fill=0.5")
    kept = torch.arange(64).view(1, 8, 8) % 3 > 0
    seen = torch.where(kept, (IMAGES * 7).round() / 7, 0.5)
    weight = torch.linspace(-1, 1, 640).view(10, 64)
    torch.testing.assert_close(back.predict(IMAGES), (2 * seen).flatten(1) @ weight.T)


def test_a_file_with_an_unknown_preprocessor_is_refused(tmp_path):
    changed = fresh().carrying(preprocessors=("os.system:rm",))
    models.save(changed, tmp_path / "m.safetensors")
    with pytest.raises((BadInput, CorruptFile), match="known preprocessor"):
        models.load(str(tmp_path / "m.safetensors"))


def test_a_consistent_mask_is_one_and_a_fresh_one_is_not():
    same, new = Masked(0.5, 0.0).around(fresh()), Masked(0.5, 0.0, draw="fresh").around(fresh())
    assert torch.equal(same.predict(IMAGES), same.predict(IMAGES))
    assert not torch.equal(new.predict(IMAGES), new.predict(IMAGES))
    assert (same.card.stochastic, new.card.stochastic) == (False, True)


def test_copies_are_averaged_as_probabilities():
    settings = Masked(0.5, 0.25, copies=4, seed=2)
    model = fresh()
    kept = settings.masks((1, 8, 8))
    assert len({mask.numpy().tobytes() for mask in kept}) == 4
    each = torch.stack([model(torch.where(mask, IMAGES, 0.25)).softmax(1) for mask in kept])
    torch.testing.assert_close(settings.around(model)(IMAGES).softmax(1), each.mean(0))


@pytest.mark.parametrize("pattern", ["random", "block", "filter"])
def test_fresh_masks_of_every_pattern(pattern):
    fill = "blur" if pattern == "filter" else 0.0
    model = Masked(0.4, fill, pattern=pattern, draw="fresh", copies=3).around(fresh())
    assert model.predict(IMAGES).shape == (40, 10)


def test_chosen_features_are_all_that_matters():
    kept = torch.zeros(1, 8, 8, dtype=torch.bool)
    kept[:, 2:6, 2:6] = True
    model = Features(0.5).keeping(fresh(), kept)
    other = torch.where(kept, IMAGES, torch.rand_like(IMAGES))
    assert torch.equal(model(IMAGES), model(other))
    with pytest.raises(BadInput, match=r"mask must be boolean and of shape \(1, 8, 8\)"):
        Features().keeping(fresh(), torch.ones(1, 9, 8, dtype=torch.bool))


def test_a_committee_is_the_mean_of_its_members():
    members = [fresh(seed) for seed in range(3)]
    together = Committee(3).of(members)
    expected = torch.stack([member(IMAGES).softmax(1) for member in members]).mean(0)
    torch.testing.assert_close(together(IMAGES).softmax(1), expected)


@pytest.mark.parametrize("quality", [20, 75, 95])
def test_grey_images_become_what_pillow_makes_of_them(quality):
    pixels = (torch.rand(3, 1, 16, 24, generator=torch.Generator().manual_seed(1)) * 255).round()
    smooth = torch.nn.functional.avg_pool2d(pixels, 3, 1, 1).round()
    ours = Compression(quality)(smooth / 255) * 255
    for image, mine in zip(smooth, ours, strict=True):
        buffer = io.BytesIO()
        Image.fromarray(image[0].numpy().astype(np.uint8)).save(buffer, "JPEG", quality=quality)
        theirs = np.asarray(Image.open(buffer)).astype(np.float32)
        far = np.abs(mine[0].numpy() - theirs)
        assert far.mean() < 0.5
        assert (far > 1).mean() < 0.15, "libjpeg's integer transform rounds a few coefficients the other way"


def test_adaptive_smoothing_flattens_noise_and_keeps_edges():
    generator = torch.Generator().manual_seed(0)
    edge = torch.full((1, 1, 20, 20), 0.2)
    edge[..., 10:] = 0.8
    noisy = (edge + 0.05 * torch.randn(edge.shape, generator=generator)).clamp(0, 1)
    smooth = Local(0.1)(noisy)
    flat = (..., slice(3, 17), slice(2, 7))
    assert float((smooth - edge)[flat].abs().mean()) < 0.5 * float((noisy - edge)[flat].abs().mean())
    assert float((smooth[..., 10] - smooth[..., 9]).mean()) > 0.5


def test_total_variation_falls_and_the_dual_pair_is_a_transpose():
    generator = torch.Generator().manual_seed(0)
    images, field = torch.rand(2, 1, 9, 7, generator=generator), torch.rand(2, 2, 1, 9, 7, generator=generator)
    torch.testing.assert_close((gradient(images) * field).sum(), -(images * divergence(field)).sum())

    def energy(z):
        return float((z - images).square().sum() / 2 + 0.2 * gradient(z).norm(dim=0).sum())

    few, many = Variation(0.2, 5)(images), Variation(0.2, 400)(images)
    assert energy(many) <= energy(few) < energy(images)
    nudged = [energy(many + 0.01 * torch.randn(images.shape, generator=generator)) for _ in range(20)]
    assert energy(many) < min(nudged)


@pytest.mark.parametrize(
    "build_it",
    [
        lambda: Masked(0.3, 1.5),
        lambda: Masked(1.0, 0.0),
        lambda: Masked(0.3, 0.0, copies=0),
        lambda: Masked(0.3, 0.0, pattern="filter"),
        lambda: Masked(0.3, 0.0, pattern="fixed", draw="fresh"),
        lambda: Jpeg(0),
        lambda: TotalVariation(0.0),
        lambda: AdaptiveSmoothing(-1.0),
        lambda: Committee(1),
        lambda: Committee()(fresh(), TEST, torch.Generator()),
        lambda: Features()(fresh(), TEST, torch.Generator()),
    ],
)
def test_settings_that_cannot_be_right_are_refused(build_it):
    with pytest.raises(BadInput):
        build_it()
