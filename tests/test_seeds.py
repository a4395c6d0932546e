"""One rule for seeds: any whole number from 0 to 2**63 - 1 works everywhere, anything else is refused in a sentence."""

import re
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from pixelproof import attacks, data, defend, measure, models
from pixelproof.attacks.stochastic import expect
from pixelproof.data import Dataset
from pixelproof.detect.evaluation.curves import difference, figures
from pixelproof.draws import Draws, check_seed, numpy_rng, rng_of, seeded
from pixelproof.errors import BadInput
from pixelproof.explain.projection import UMAP
from pixelproof.models.preprocessors.masked import Masked

SOURCE = Path(__file__).parents[1] / "src" / "pixelproof"
LARGEST = 2**63 - 1
NO_SEEDS = (2**63, 2**64, 2**70, -1, 1.5, "1", True, None)
ATTACK = attacks.PGD(0.1, steps=2, precision="float32")


def linear():
    with seeded(0):
        return models.wrap(nn.Sequential(nn.Flatten(), nn.Linear(64, 3)), classes=3, input_shape=(1, 8, 8)).eval()


def toy(n=40):
    model = linear()
    images = 0.3 + 0.4 * torch.rand((n, 1, 8, 8), generator=rng_of(0))
    return Dataset("toy", images, model.predict(images).argmax(1), model.card.classes)


CALLS = {
    "mount": lambda seed: attacks.mount(ATTACK, linear(), toy(), seed=seed),
    "sweep": lambda seed: attacks.sweep(ATTACK, linear(), toy(), [0.1, 0.2], seed=seed),
    "random": lambda seed: attacks.mount(ATTACK, expect(noisy(), 3), toy(), seed=seed),
    "transfer": lambda seed: attacks.transfer(ATTACK, linear(), linear(), toy(), seed=seed),
    "evaluate": lambda seed: measure.evaluate(linear(), toy(), attacks.Auto(0.05), seed=seed),
    "predictions": lambda seed: measure.predictions(linear(), toy(), [ATTACK], [0.1], seed=seed),
    "train": lambda seed: models.train(linear(), toy(), None, models.Training(epochs=1, batch=32, seed=seed)),
    "harden": lambda seed: hardened("fgsm-rs:eps=0.1", seed),
    "committee": lambda seed: hardened("ensemble:members=2", seed),
    "sample": lambda seed: toy().sample(10, seed),
    "load": lambda seed: data.load("digits", seed=seed),
    "masked": lambda seed: Masked(0.2, "noise", seed=seed).around(linear()).predict(toy().images),
    "figures": lambda seed: figures(torch.rand(9), torch.rand(9), seed=seed, resamples=5),
    "difference": lambda seed: difference((torch.rand(9), torch.rand(9)), (torch.rand(9), torch.rand(9)), seed=seed),
    "draws": lambda seed: Draws.keyed(seed, torch.arange(3)).uniform(2),
    "umap": lambda seed: UMAP(seed=seed),
    "seeded": lambda seed: seeded(seed).__enter__(),
    "rng": rng_of,
    "numpy": numpy_rng,
}


def noisy():
    return Masked(0.2, "noise", draw="fresh").around(linear())


@pytest.mark.parametrize("call", CALLS)
def test_the_largest_seed_works_everywhere(call):
    CALLS[call](LARGEST)


@pytest.mark.parametrize("seed", NO_SEEDS[:4])
@pytest.mark.parametrize("call", [name for name in CALLS if name not in ("umap",)])
def test_what_is_no_seed_is_refused_everywhere_in_one_sentence(call, seed):
    with pytest.raises(BadInput, match=r"seed: must be a whole number from 0 to 2\*\*63 - 1; got"):
        CALLS[call](seed)


@pytest.mark.usefixtures("unchecked")
@pytest.mark.parametrize("seed", NO_SEEDS)
def test_only_whole_numbers_are_seeds(seed):
    with pytest.raises(BadInput, match="seed"):
        check_seed(seed)


def test_numbers_of_numpy_and_torch_are_seeds():
    assert check_seed(np.int64(3)) == check_seed(torch.tensor(3)) == 3


def test_random_numbers_are_seeded_in_one_place():
    """Whatever makes or seeds a generator elsewhere would have a rule of its own."""
    makes = re.compile(r"manual_seed\(|default_rng\(|RandomState\(|fork_rng\(|np\.random\.seed|Generator\(np\.")
    found = [str(path.relative_to(SOURCE)) for path in SOURCE.rglob("*.py") if makes.search(path.read_text())]
    assert found == ["draws.py"]


def hardened(spec, seed):
    training = models.Training(epochs=1, batch=32)
    return defend.Hardening(defend.parse([spec]), training).conduct(linear(), toy(200), seed=seed)
