"""The penultimate layer, projections and the randomisation check, on networks that can be worked out by hand."""

from __future__ import annotations

import pytest
import torch
from architectures import build, sample
from scipy import stats
from torch import nn

from pixelproof.errors import BadInput
from pixelproof.explain import DeepShap, InputGradient
from pixelproof.explain.penultimate import drift, penultimate_layer, separability, shift
from pixelproof.explain.projection import PCA, PROJECTIONS, UMAP
from pixelproof.explain.sanity import randomisation, rank_correlation
from pixelproof.models import wrap


def identity():
    """Two dense layers; the first passes the four pixels on."""
    net = nn.Sequential(nn.Flatten(), nn.Linear(4, 4, bias=False), nn.Linear(4, 3))
    net[1].weight.data = torch.eye(4)
    return wrap(net, classes=3, input_shape=(1, 2, 2))


MODEL = identity()
CLEAN = torch.rand(60, 1, 2, 2, generator=torch.Generator().manual_seed(0)) * 0.5
PUSH = torch.tensor([0.0, 0.3, 0.0, 0.0]).view(1, 1, 2, 2) + 0.01 * torch.rand(60, 1, 2, 2)
LABELS = torch.arange(60) % 2


def test_shift_in_closed_form():
    assert penultimate_layer(MODEL) == "1"
    found = shift(MODEL, CLEAN, CLEAN + PUSH, LABELS, layer="1")
    change = PUSH.flatten(1)
    torch.testing.assert_close(found.mean, change.mean(0), rtol=1e-4, atol=1e-6)
    assert found.units[0] == 1
    torch.testing.assert_close(found.by_class[0], change[::2].mean(0), rtol=1e-4, atol=1e-6)
    assert not found.by_class[2].any()
    assert not shift(MODEL, CLEAN, CLEAN, LABELS, layer="1").d_z.any()


def test_drift_in_closed_form():
    (longer,) = drift(MODEL, CLEAN, CLEAN * 2, layers=("1",))
    torch.testing.assert_close(longer.norm, torch.ones(60))
    torch.testing.assert_close(longer.cosine, torch.zeros(60), rtol=0, atol=1e-6)


def test_separability_finds_a_shift_and_nothing_in_nothing():
    held_out = torch.arange(60) % 3 == 0
    far, n = separability(MODEL, CLEAN, CLEAN + PUSH, layer="1", held_out=held_out)
    none, _ = separability(MODEL, CLEAN, CLEAN, layer="1", held_out=held_out)
    assert n == 20
    assert far > 0.8
    assert none == pytest.approx(0.5)
    with pytest.raises(BadInput, match="at least 10"):
        separability(MODEL, CLEAN, CLEAN, layer="1", held_out=torch.arange(60) < 5)


def test_pca_finds_the_plane_and_never_flips():
    generator = torch.Generator().manual_seed(0)
    plane = torch.linalg.qr(torch.randn(6, 2, generator=generator)).Q
    rows = (torch.randn(50, 2, generator=generator) * torch.tensor([3.0, 1.0])) @ plane.T + 2
    fitted = PCA().fit(rows)
    back = fitted(rows) @ fitted.axes + fitted.mean
    torch.testing.assert_close(back, rows, rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(PCA().fit(2 * rows.mean(0) - rows)(rows), fitted(rows), rtol=1e-3, atol=1e-3)
    assert fitted(rows)[:, 0].std() > fitted(rows)[:, 1].std()
    with pytest.raises(BadInput):
        PCA().fit(rows[:2])


def test_umap_says_what_is_missing(monkeypatch):
    def absent(name):
        raise ImportError(name)

    monkeypatch.setattr("importlib.import_module", absent)
    with pytest.raises(BadInput, match="umap-learn"):
        PROJECTIONS["umap"]().fit(torch.rand(5, 3))
    assert UMAP().name == "umap"


@pytest.mark.slow  # numba compiles for seconds
def test_umap_keeps_neighbours_together_and_places_new_rows_among_the_old_ones():
    pytest.importorskip("umap", reason="umap-learn is not installed: pip install 'pixelproof[umap]'")
    generator = torch.Generator().manual_seed(0)
    group = torch.arange(60) % 3
    rows = 0.05 * torch.randn(60, 8, generator=generator) + 5 * torch.eye(8)[group]
    place = UMAP(neighbours=8).fit(rows)
    points = place(rows)
    assert points.shape == (60, 2)
    near = torch.cdist(points, points) + 1e9 * torch.eye(60)
    assert torch.equal(group[near.argmin(1)], group)
    centres = torch.stack([points[group == k].mean(0) for k in range(3)])
    fresh = place(5 * torch.eye(8)[:3])
    assert torch.equal(torch.cdist(fresh, centres).argmin(1), torch.arange(3))


@pytest.mark.slow  # numba compiles for seconds
@pytest.mark.filterwarnings("ignore:n_jobs value:UserWarning")
def test_three_rows_are_enough_for_umap():
    pytest.importorskip("umap", reason="umap-learn is not installed: pip install 'pixelproof[umap]'")
    place = UMAP().fit(torch.eye(3))
    assert torch.isfinite(place(torch.eye(3))).all()
    with pytest.raises(BadInput, match="at least 3 rows"):
        UMAP().fit(torch.eye(3)[:2])


@pytest.mark.parametrize("settings", [{"neighbours": 1}, {"min_dist": -0.1}, {"min_dist": float("nan")}])
def test_settings_of_umap_that_cannot_be_right(settings):
    with pytest.raises(BadInput, match="umap: "):
        UMAP(**settings)


def test_ranks_over_pixels_with_mass_are_not_flattered_by_a_common_background():
    generator = torch.Generator().manual_seed(0)
    ours, theirs = torch.rand(2, 30, 100, generator=generator)
    ours[:, 40:], theirs[:, 40:] = 0, 0  # a border that is black for both
    everywhere = rank_correlation(ours, theirs, torch.ones_like(ours, dtype=torch.bool))
    with_mass = rank_correlation(ours, theirs, (ours > 0) | (theirs > 0))
    assert float(everywhere.mean()) > 0.6
    assert abs(float(with_mass.mean())) < 0.15
    expected = [stats.spearmanr(a[:40], b[:40]).statistic for a, b in zip(ours, theirs, strict=True)]
    assert with_mass.tolist() == pytest.approx(expected, abs=1e-5)
    assert not rank_correlation(ours, torch.zeros_like(ours), torch.ones_like(ours, dtype=torch.bool)).any()


def test_randomisation_tells_a_map_of_the_model_from_one_of_the_image():
    model, (images, background) = build("GELU"), sample(4, 5)
    before = model.digest()
    found = randomisation(DeepShap(background), model, images, torch.Generator(), k=4)
    assert found.layers == tuple(reversed(model.layers))
    assert found.correlation[-1].mean() < 0.6
    assert found.with_mass[-1].mean() < 0.6
    assert found.overlap[-1].mean() < 0.8
    assert len(found.correlation) == len(found.with_mass) == len(found.overlap) == len(found.layers)
    assert model.digest() == before

    class Edges(InputGradient):
        def __call__(self, model, images, classes, rng):
            kept = super().__call__(model, images, classes, rng)
            return type(kept)(images, kept.classes, kept.base, kept.gap)

    blind = randomisation(Edges(), model, images, torch.Generator())
    for rows in (blind.correlation, blind.with_mass, blind.overlap):
        assert all((row > 0.999).all() for row in rows)
