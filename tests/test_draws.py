"""Random numbers belong to the image: not to its batch, its neighbours or its place in the order."""

import torch
from hypothesis import given
from hypothesis import strategies as st

from pixelproof.draws import Draws


@given(st.integers(0, 2**40), st.permutations(range(6)), st.integers(1, 6))
def test_an_image_draws_the_same_in_any_order_and_batch(seed, order, size):
    whole = Draws.keyed(seed, torch.arange(6)).uniform(2, 3)
    shuffled = Draws.keyed(seed, torch.tensor(order))
    parts = [shuffled[torch.arange(start, min(start + size, 6))].uniform(2, 3) for start in range(0, 6, size)]
    assert torch.equal(torch.cat(parts), whole[torch.tensor(order)])


def test_a_stream_goes_on_where_it_stopped_whoever_has_left():
    index = torch.arange(5)
    together, alone = Draws.keyed(1, index), Draws.keyed(1, index)
    first, second = together.normal(4), together.normal(4)
    keep = torch.tensor([False, True, False, True, True])
    assert torch.equal(alone.normal(4), first)
    assert torch.equal(alone[keep].normal(4), second[keep])


def test_seeds_and_images_draw_different_numbers():
    numbers = torch.stack([Draws.keyed(seed, torch.arange(3)).uniform(50) for seed in range(3)]).view(9, 50)
    assert torch.corrcoef(numbers).fill_diagonal_(0).abs().max() < 0.5
    assert len(numbers.unique(dim=0)) == 9


def test_uniform_and_normal_have_their_moments():
    n = 20_000
    draws = Draws.keyed(0, torch.arange(2))
    uniform, normal = draws.uniform(n), draws.normal(n)
    assert uniform.dtype == normal.dtype == torch.float32
    assert uniform.min() >= 0
    assert uniform.max() < 1
    assert abs(float(uniform.mean()) - 0.5) < 0.01
    assert abs(float(normal.mean())) < 0.03
    assert abs(float(normal.std()) - 1) < 0.02


def test_a_generator_gives_one_stream_per_image_and_draws_pass_through():
    made = Draws.of(torch.Generator().manual_seed(3), 4)
    again = Draws.of(torch.Generator().manual_seed(3), 4)
    assert len(made) == 4
    assert torch.equal(made.uniform(2), again.uniform(2))
    assert Draws.of(made, 4) is made


def test_no_images_draw_nothing():
    assert Draws.keyed(0, torch.arange(0)).uniform(2, 3).shape == (0, 2, 3)


def test_the_global_random_state_is_left_alone():
    before = torch.random.get_rng_state()
    Draws.keyed(0, torch.arange(3)).normal(5)
    Draws.of(torch.Generator().manual_seed(0), 3)
    assert torch.equal(torch.random.get_rng_state(), before)
