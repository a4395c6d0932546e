"""Signatures: shapes, their rows, and the dispersion of a map in closed form."""

from __future__ import annotations

import pytest
import torch
from architectures import build, sample

from pixelproof.errors import UnknownName
from pixelproof.explain import DeepShap, InputGradient, Signature, dispersion

IMAGES, BACKGROUND = sample(3, 4)


@pytest.mark.parametrize("explainer", [DeepShap(BACKGROUND), InputGradient()], ids=lambda explainer: explainer.name)
def test_rows_are_the_maps(explainer):
    model, rng = build("GELU"), torch.Generator()
    predicted = explainer(model, IMAGES, None, rng)
    torch.testing.assert_close(Signature(explainer)(model, IMAGES, rng), predicted.values.flatten(1))
    every = Signature(explainer, of="all")(model, IMAGES, rng).view(3, 10, -1)
    mine = every[torch.arange(3), predicted.classes]
    torch.testing.assert_close(mine, predicted.values.flatten(1), rtol=1e-4, atol=1e-6)
    short = Signature(explainer, of="all", form="dispersion")(model, IMAGES, rng)
    torch.testing.assert_close(short.view(3, 10, 8), dispersion(every))


def test_dispersion_in_closed_form():
    row = torch.tensor([[0.0, 1.0, 2.0, 3.0, -4.0]])
    found = dispersion(row)[0]
    expected = [-3.2, 0.0, 2.0, 2.8, float(row.std()), 3.0, 10.0, 0.8]
    torch.testing.assert_close(found, torch.tensor(expected))
    assert not dispersion(torch.zeros(1, 5)).any()


@pytest.mark.parametrize("wrong", [{"of": "both"}, {"form": "pixel"}])
def test_unknown_settings(wrong, monkeypatch):
    with pytest.raises((UnknownName, TypeError)):
        Signature(InputGradient(), **wrong)
