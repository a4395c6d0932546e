"""Pictures show what the tensors hold."""

import io
from itertools import pairwise

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from pixelproof.report.pictures import NEGATIVE, POSITIVE, ZERO, diverging, heat, photo, signed
from pixelproof.report.robustness import apart


def pixels(png):
    return np.asarray(Image.open(io.BytesIO(png)))


def test_a_photo_holds_the_image_in_8_bits():
    image = torch.rand(3, 4, 5)
    assert (pixels(photo(image)) == (image * 255).round().permute(1, 2, 0).numpy()).all()
    grey = torch.rand(1, 4, 5)
    assert (pixels(photo(grey))[..., 1] == (grey[0] * 255).round().numpy()).all()


def test_zero_is_in_the_middle_and_the_ends_are_the_budget():
    values = torch.tensor([[-0.2, 0.0, 0.2], [-9.0, 9.0, 0.1]])
    shown = diverging(values, 0.2)
    assert shown[0].tolist() == [list(NEGATIVE), list(ZERO), list(POSITIVE)]
    assert shown[1, :2].tolist() == [list(NEGATIVE), list(POSITIVE)]
    assert torch.allclose(shown[1, 2], (shown[0, 1] + shown[0, 2]) / 2)


def test_no_change_is_one_colour():
    assert (pixels(heat(torch.zeros(1, 2, 2), 0.0)) == ZERO).all()


def test_the_channel_that_changed_most_is_shown():
    change = torch.tensor([[[0.1]], [[-0.3]], [[0.2]]])
    assert signed(change).tolist() == [[pytest.approx(-0.3)]]


@given(st.lists(st.floats(0, 100), min_size=1, max_size=12))
def test_names_stay_apart_and_in_order(values):
    places = apart(sorted(values), step=6.0, top=101.0)
    assert all(high - low >= 6.0 - 1e-9 for low, high in pairwise(places))
    assert max(places) <= 101.0
