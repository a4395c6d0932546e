"""Masks: what they hide, how much, where, and that nothing else changes."""

import numpy as np
import pytest
import torch

from pixelproof import masks
from pixelproof.errors import BadInput
from pixelproof.masks import Noise, Tape, generate_mask, hide

IMAGES = torch.rand(6, 3, 12, 10, generator=torch.Generator().manual_seed(0))


def rng(seed=0):
    return np.random.default_rng(seed)


@pytest.mark.parametrize("ratio", [0.0, 0.1, 0.3, 0.5, 0.9])
def test_a_random_mask_hides_its_share(ratio):
    mask = generate_mask((1, 200, 200), ratio, rng=rng())
    deviation = (ratio * (1 - ratio) / 40_000) ** 0.5
    assert abs(float((~mask).float().mean()) - ratio) <= 4 * deviation
    assert torch.equal(mask, generate_mask((1, 200, 200), ratio, rng=rng()))
    assert ratio == 0 or not torch.equal(mask, generate_mask((1, 200, 200), ratio, rng=rng(1)))


def test_per_pixel_hides_all_channels_and_per_channel_each_by_itself():
    pixel = generate_mask((3, 40, 40), 0.5, rng=rng())
    assert torch.equal(pixel[0], pixel[1])
    channel = generate_mask((3, 40, 40), 0.5, per="channel", rng=rng())
    assert 0.4 < float((channel[0] == channel[1]).float().mean()) < 0.6


@pytest.mark.parametrize("ratio", [0.1, 0.3, 0.5])
def test_blocks_are_single_rectangles_of_their_share_at_different_places(ratio):
    kept = masks.blocks(50, (3, 28, 28), ratio, rng())
    assert kept.shape == (50, 1, 28, 28)
    side = round(ratio**0.5 * 28)
    places = set()
    for mask in ~kept[:, 0]:
        rows, columns = mask.any(1).nonzero()[:, 0], mask.any(0).nonzero()[:, 0]
        assert len(rows) == len(columns) == side
        assert mask[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1].all()
        assert int(mask.sum()) == side * side
        places.add((int(rows[0]), int(columns[0])))
    assert len(places) > 20


def test_a_tape_gives_new_masks_of_the_right_share_and_the_same_at_the_same_place():
    tape = Tape((1, 20, 20), 0.3, per="pixel", batch=64, rng=rng())
    first, second = tape.window(64), tape.window(64)
    assert first.shape == (64, 1, 20, 20)
    assert abs(float((first == 0).float().mean()) - 0.3) < 0.02
    assert set(first.unique().tolist()) == {0.0, 1.0}
    assert len({mask.numpy().tobytes() for mask in torch.cat([first, second])}) == 128
    assert abs(float((first == second).float().mean()) - (0.3**2 + 0.7**2)) < 0.02  # independent, not related
    places = torch.tensor([5, 5, 900_000])
    assert torch.equal(tape.at(places)[0], tape.at(places)[1])
    before = tape.at(places)
    tape.renew()
    assert not torch.equal(before, tape.at(places))


def test_a_tape_per_channel_has_a_mask_for_each():
    assert Tape((3, 6, 6), 0.5, per="channel", batch=4, rng=rng()).window(4).shape == (4, 3, 6, 6)
    assert Tape((3, 6, 6), 0.5, per="pixel", batch=4, rng=rng()).window(4).shape == (4, 1, 6, 6)


@pytest.mark.parametrize("fill", [0.0, 0.5, 1.0, "mean", "noise", "blur", "distort"])
def test_what_is_kept_is_untouched_and_the_rest_is_the_fill(fill):
    kept = torch.stack([generate_mask((3, 12, 10), 0.5, per="channel", rng=rng(k)) for k in range(6)])
    noise = Noise((3, 12, 10), batch=8, rng=rng()).window(6) if fill == "noise" else None
    result = hide(IMAGES, kept, fill, noise)
    assert torch.equal(result, hide(IMAGES, kept.float(), fill, noise))
    assert torch.equal(result[kept], IMAGES[kept])
    assert result.min() >= 0
    assert result.max() <= 1
    if fill == "noise":
        assert torch.equal(result[~kept], noise[~kept])
        assert 0.45 < float(noise.mean()) < 0.55
    elif fill == "mean":
        expected = IMAGES.mean((2, 3), keepdim=True).expand_as(IMAGES)
        torch.testing.assert_close(result[~kept], expected[~kept])
    elif fill == "distort":
        moved = torch.from_numpy(np.pad(IMAGES.numpy(), ((0, 0), (0, 0), (3, 0), (3, 0)), mode="edge"))[..., :12, :10]
        assert torch.equal(result[~kept], moved[~kept])
    elif fill == "blur":
        padded = np.pad(IMAGES.numpy(), ((0, 0), (0, 0), (2, 2), (2, 2)), mode="edge")
        box = np.lib.stride_tricks.sliding_window_view(padded, (5, 5), axis=(2, 3)).mean((4, 5))
        torch.testing.assert_close(result[~kept], torch.from_numpy(box.astype(np.float32))[~kept])
    else:
        assert (result[~kept] == fill).all()


@pytest.mark.parametrize("ratio", [-0.1, 1.0, 30.0, float("nan")])
def test_a_ratio_that_is_no_share_is_refused(ratio):
    with pytest.raises(BadInput, match=r"ratio must lie in \[0, 1\)"):
        generate_mask((1, 4, 4), ratio, rng=rng())
