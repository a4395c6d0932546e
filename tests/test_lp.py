"""Norms, projections and starts against their definitions."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from pixelproof import lp
from pixelproof.draws import Draws

BALLS = st.sampled_from(["linf", "l2"])
SEEDS = st.integers(0, 10_000)
RADII = st.floats(0.01, 3.0)


def perturbations(seed: int, n: int = 4) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    sizes = torch.rand(n, 1, 1, 1, generator=generator) * 2
    return torch.randn(n, 2, 3, 3, generator=generator) * sizes


def test_norms_of_a_perturbation_written_by_hand():
    delta = torch.zeros(1, 2, 2, 2)
    delta[0, 0, 0, 0], delta[0, 1, 0, 0], delta[0, 0, 1, 1] = 3.0, -4.0, 12.0
    sizes = {kind: float(lp.norm(delta, kind)) for kind in ("l0", "l1", "l2", "linf")}
    assert sizes == {"l0": 2.0, "l1": 19.0, "l2": 13.0, "linf": 12.0}  # two pixels, whatever the channels


def test_distances_are_norms_of_the_difference():
    clean, moved = perturbations(0), perturbations(1)
    found = lp.distances(clean, moved)
    assert set(found) == {"l0", "l1", "l2", "linf"}
    for kind, size in found.items():
        assert torch.equal(size, lp.norm(moved - clean, kind))


@given(SEEDS, RADII, BALLS)
def test_projection_lands_inside_and_is_idempotent(seed, radius, ball):
    eps = torch.full((4,), radius)
    once = lp.project(perturbations(seed), eps, ball)
    assert (lp.norm(once, ball) <= radius * (1 + 1e-6)).all()
    torch.testing.assert_close(lp.project(once, eps, ball), once, rtol=1e-6, atol=0)


@given(SEEDS, BALLS)
def test_projection_returns_points_inside_bit_by_bit(seed, ball):
    delta = perturbations(seed)
    eps = lp.norm(delta, ball) * 1.001
    assert torch.equal(lp.project(delta, eps, ball), delta)


@given(SEEDS, RADII, BALLS)
def test_projection_is_the_nearest_point_of_the_ball(seed, radius, ball):
    """The angle from the projection to any point of the ball is at least a right one (it is a convex set)."""
    delta, eps = perturbations(seed), torch.full((4,), radius)
    nearest = lp.project(delta, eps, ball)
    other = lp.random_start(Draws.keyed(seed, torch.arange(4)), (2, 3, 3), eps, ball)
    assert (((delta - nearest) * (other - nearest)).sum((1, 2, 3)) <= 1e-4).all()


def test_projection_takes_a_radius_per_image():
    delta = torch.ones(2, 1, 1, 4)
    assert lp.norm(lp.project(delta, torch.tensor([0.5, 9.0]), "l2"), "l2").tolist() == [0.5, 2.0]
    assert lp.norm(lp.project(delta, torch.tensor([0.5, 9.0]), "linf"), "linf").tolist() == [0.5, 1.0]


@given(SEEDS, RADII, BALLS)
def test_clipping_keeps_range_and_budget_and_what_is_inside(seed, radius, ball):
    clean, eps = torch.rand(4, 2, 3, 3, generator=torch.Generator().manual_seed(seed)), torch.full((4,), radius)
    images = lp.clip(clean + perturbations(seed), clean, eps, ball)
    assert images.min() >= 0
    assert images.max() <= 1
    assert (lp.norm(images - clean, ball) <= radius * (1 + 1e-5)).all()
    torch.testing.assert_close(lp.clip(images, clean, eps, ball), images, atol=1e-6, rtol=0)


@pytest.mark.parametrize("ball", ["linf", "l2"])
def test_a_ball_of_radius_zero_is_its_centre(ball):
    assert not lp.project(perturbations(3), torch.zeros(4), ball).any()


@given(SEEDS, BALLS)
def test_ascent_raises_a_linear_function_most_per_unit(seed, ball):
    gradient = perturbations(seed) + 1e-3
    dual = {"linf": "l1", "l2": "l2"}[ball]
    step = lp.ascent(gradient, ball)
    torch.testing.assert_close((step * gradient).sum((1, 2, 3)), lp.norm(gradient, dual), rtol=1e-5, atol=1e-6)
    torch.testing.assert_close(lp.norm(step, ball), torch.ones(4))


def test_ascent_stays_put_where_there_is_no_gradient():
    assert not lp.ascent(torch.zeros(2, 1, 3, 3), "l2").any()


@given(SEEDS, RADII, BALLS)
def test_random_starts_lie_inside_the_ball(seed, radius, ball):
    start = lp.random_start(Draws.keyed(seed, torch.arange(5)), (1, 3, 3), torch.full((5,), radius), ball)
    assert start.shape == (5, 1, 3, 3)
    assert (lp.norm(start, ball) <= radius * (1 + 1e-6)).all()


def test_l2_starts_fill_the_ball_evenly():
    """In d dimensions the share of starts inside r is r**d: half of them lie within 2 ** (-1 / d)."""
    n, dimension = 4000, 3
    start = lp.random_start(Draws.keyed(0, torch.arange(n)), (1, 1, dimension), torch.ones(n), "l2")
    share = (lp.norm(start, "l2") <= 0.5 ** (1 / dimension)).float().mean()
    assert abs(float(share) - 0.5) < 3.3 * (0.25 / n) ** 0.5
    assert start.mean((0, 1, 2)).abs().max() < 0.05  # no direction is preferred
