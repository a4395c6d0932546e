"""The check on every call: wrong shapes, types and fields are noticed, in the package and by name of the axis."""

from dataclasses import dataclass
from pathlib import Path

import pytest
import torch
from beartype.roar import BeartypeDecorHintException
from jaxtyping import Float
from torch import Tensor

from checked import check
from pixelproof import lp
from pixelproof.types import Goal, Rate


@check
def scaled(rows: "Float[Tensor, 'n d']", by: "Float[Tensor, ' n']", turned: bool = False) -> "Float[Tensor, 'n d']":
    found = rows * by[:, None]
    return found.T if turned else found


def test_axis_names_mean_one_size_per_call_and_any_in_the_next():
    for n, d in ((2, 3), (4, 1)):
        assert scaled(torch.ones(n, d), torch.ones(n)).shape == (n, d)
    with pytest.raises(TypeError, match="violates type hint"):
        scaled(torch.ones(2, 3), torch.ones(3))


def test_results_are_held_against_the_arguments():
    assert scaled(torch.ones(2, 2), torch.ones(2), True).shape == (2, 2)
    with pytest.raises(TypeError, match=r"scaled\(\) return"):
        scaled(torch.ones(2, 3), torch.ones(2), True)


@pytest.mark.parametrize("rows", [torch.ones(2, 3, dtype=torch.long), torch.ones(2), [[1.0]]])
def test_types_are_checked(rows):
    with pytest.raises(TypeError, match="violates type hint"):
        scaled(rows, torch.ones(2))


def test_fields_of_dataclasses_are_checked():
    @check
    @dataclass(frozen=True)
    class Pair:
        path: Path
        n: int = 0

    assert Pair(Path("a"), n=2).n == 2
    with pytest.raises(TypeError, match="violates type hint"):
        Pair(Path("a"), n="2")


def test_a_hint_that_is_none_is_refused():
    with pytest.raises((BeartypeDecorHintException, AttributeError)):

        @check
        def broken(images) -> "Float[Tensor, ...]":
            return images


def test_the_package_is_checked():
    with pytest.raises(TypeError, match="violates type hint"):
        lp.norm(torch.ones(2, 1, 3, 3), "l7")
    with pytest.raises(TypeError, match="violates type hint"):
        Goal(torch.ones(3))
    with pytest.raises(TypeError, match="violates type hint"):
        Rate("1", 2)
