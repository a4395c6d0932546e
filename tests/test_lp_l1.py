"""The l1 ball in the box, the l0 projection and the plane in the box, against their definitions."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy.optimize import linprog

from pixelproof import lp

SEEDS = st.integers(0, 10_000)
RADII = st.floats(0.01, 6.0)
SHAPE = (4, 2, 3, 3)


def drawn(seed: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Images in [0, 1], some values on the walls, and perturbations of them."""
    generator = torch.Generator().manual_seed(seed)
    images = (torch.rand(SHAPE, generator=generator) * 1.4 - 0.2).clamp(0, 1)
    return images, torch.randn(SHAPE, generator=generator)


def inside(seed: int, images: torch.Tensor, radius: float) -> torch.Tensor:
    """Some perturbation that respects ball and box: cut to the box, then shrunk towards the image."""
    generator = torch.Generator().manual_seed(seed + 1)
    delta = torch.rand(SHAPE, generator=generator) - images
    sizes = lp.norm(delta, "l1")
    return delta * lp.per_image((radius / sizes).clamp_max(1))


@given(SEEDS, RADII, st.booleans())
def test_l1_projection_lands_inside_and_is_idempotent(seed, radius, boxed):
    images, delta = drawn(seed)
    eps, box = torch.full((4,), radius), images if boxed else None
    once = lp.project_l1(delta, eps, box)
    assert (lp.norm(once, "l1") <= radius * (1 + 2e-6)).all()
    torch.testing.assert_close(lp.project_l1(once, eps, box), once, rtol=1e-5, atol=1e-6)
    if boxed:
        assert ((images + once >= -1e-6) & (images + once <= 1 + 1e-6)).all()


@given(SEEDS)
def test_l1_projection_leaves_points_inside_where_they_are(seed):
    images, _ = drawn(seed)
    delta = inside(seed, images, 2.0)
    torch.testing.assert_close(lp.project_l1(delta, torch.full((4,), 2.01), images), delta, rtol=1e-6, atol=1e-7)


@given(SEEDS, RADII, st.booleans())
def test_l1_projection_is_the_nearest_point_of_the_convex_set(seed, radius, boxed):
    images, delta = drawn(seed)
    nearest = lp.project_l1(delta, torch.full((4,), radius), images if boxed else None)
    other = inside(seed, images, radius)
    assert (((delta - nearest) * (other - nearest)).sum((1, 2, 3)) <= 1e-4).all()


@given(SEEDS, RADII)
def test_l1_projection_spends_the_whole_budget_when_the_box_allows_it(seed, radius):
    images, delta = drawn(seed)
    moved = lp.project_l1(delta, torch.full((4,), radius), images)
    reachable = lp.norm((images + delta).clamp(0, 1) - images, "l1").clamp_max(radius)
    torch.testing.assert_close(lp.norm(moved, "l1"), reachable, rtol=1e-4, atol=1e-5)


@given(SEEDS, st.integers(0, 9))
def test_l0_projection_keeps_the_strongest_pixels_whole(seed, pixels):
    _, delta = drawn(seed)
    kept = lp.keep_strongest(delta, torch.full((4,), pixels))
    assert (lp.norm(kept, "l0") == pixels).all()
    assert (lp.norm(delta - kept, "l0") == 9 - pixels).all()
    if 0 < pixels < 9:
        weakest = kept.abs().amax(1).flatten(1).masked_fill((kept == 0).all(1).flatten(1), torch.inf).amin(1)
        assert (weakest >= (delta - kept).abs().amax(1).flatten(1).amax(1)).all()


def smallest(images, normal, gap, ball):
    """The size of the smallest move onto the plane, by linear programming (linf, l1)."""
    x, w = images.flatten().double().numpy(), normal.flatten().double().numpy()
    d = len(x)
    if ball == "linf":
        cost = [0.0] * d + [1.0]
        above = [[*(float(i == k) * sign for i in range(d)), -1.0] for k in range(d) for sign in (1, -1)]
        bounds = [(-v, 1 - v) for v in x] + [(0, None)]
        solved = linprog(cost, A_ub=above, b_ub=[0] * (2 * d), A_eq=[[*w, 0.0]], b_eq=[gap], bounds=bounds)
    else:
        bounds = [(0, 1 - v) for v in x] + [(0, v) for v in x]
        solved = linprog([1.0] * (2 * d), A_eq=[[*w, *(-w)]], b_eq=[gap], bounds=bounds)
    return solved.fun if solved.success else None


@pytest.mark.parametrize("ball", ["linf", "l1"])
@pytest.mark.parametrize("seed", range(8))
def test_the_move_onto_a_plane_is_as_small_as_linear_programming_finds(ball, seed):
    images, normal = drawn(seed)
    gap = torch.randn(4, generator=torch.Generator().manual_seed(seed)) * 2
    moves = lp.onto_plane(images, normal, gap, ball)
    assert ((images + moves >= -1e-6) & (images + moves <= 1 + 1e-6)).all()
    for k in range(4):
        best = smallest(images[k], normal[k], float(gap[k]), ball)
        if best is not None:
            assert float((moves[k] * normal[k]).sum()) == pytest.approx(float(gap[k]), abs=1e-4)
            assert float(lp.norm(moves[k : k + 1], ball)) == pytest.approx(best, rel=1e-4, abs=1e-5)


@given(SEEDS)
def test_the_l2_move_onto_a_plane_meets_it_and_is_no_longer_than_others(seed):
    """Any other point of the plane in the box lies at least as far: the move is a projection onto a convex set."""
    images, normal = drawn(seed)
    other = torch.rand(SHAPE, generator=torch.Generator().manual_seed(seed + 7)) - images
    gap = (other * normal).sum((1, 2, 3))
    move = lp.onto_plane(images, normal, gap, "l2")
    torch.testing.assert_close((move * normal).sum((1, 2, 3)), gap, rtol=1e-4, atol=1e-4)
    assert (lp.norm(move, "l2") <= lp.norm(other, "l2") * (1 + 1e-5) + 1e-6).all()
    assert ((move * (other - move)).sum((1, 2, 3)) >= -1e-3).all()


@pytest.mark.parametrize("ball", ["linf", "l2", "l1"])
def test_a_plane_out_of_reach_is_approached_as_far_as_the_box_allows(ball):
    images, normal = drawn(0)
    move = lp.onto_plane(images, normal, torch.full((4,), 1e6), ball)
    torch.testing.assert_close(images + move, torch.where(normal > 0, 1.0, 0.0), rtol=0, atol=1e-5)


def test_confine_meets_ball_and_box_at_once():
    images, delta = drawn(3)
    for ball in ("linf", "l2", "l1"):
        moved = lp.confine(images, images + 3 * delta, torch.full((4,), 0.5), ball)
        assert (lp.norm(moved - images, ball) <= 0.5 + 1e-6).all()
        assert ((moved >= 0) & (moved <= 1)).all()
