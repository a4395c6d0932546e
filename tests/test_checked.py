"""The check of types that the other tests run under."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import jaxtyping
import pytest
import torch
from jaxtyping import Float, TypeCheckError
from torch import Tensor

from checked import checked


@checked
def product(left: Float[Tensor, "a b"], right: Float[Tensor, "b c"]) -> Float[Tensor, "a c"]:
    return left @ right


@checked
def transposed(images: Float[Tensor, "a b"]) -> Float[Tensor, "a b"]:
    return images.T


@checked
def half(number: float, *, of: "str | None" = None) -> float:
    return number / 2 if of is None else of


@checked
def counted(upto: int) -> Iterator[int]:
    yield from range(upto)


@checked
def later(thing: "Later") -> "Later":
    return thing


class Later:
    """Defined after the function that names it."""


@checked
@dataclass(frozen=True)
class Pair:
    left: Float[Tensor, "n"]
    right: Float[Tensor, "n"]
    name: str = ""


def plus(size: int) -> Callable:
    @checked
    def inner(images: Float[Tensor, "n"], times: int = 1) -> Float[Tensor, "n"]:
        return images + size * times

    return inner


@pytest.mark.parametrize(
    "call",
    [
        lambda: product(torch.zeros(2, 3), torch.zeros(2, 3)),
        lambda: product(torch.zeros(2, 3), torch.zeros(3, 2, dtype=torch.int64)),
        lambda: product(torch.zeros(2), torch.zeros(3, 2)),
        lambda: transposed(torch.zeros(2, 3)),
        lambda: half(1),
        lambda: half(1.0, of=b""),
        lambda: half(1.0, of="no number"),
        lambda: counted(1.5),
        lambda: later(object()),
        lambda: Pair(torch.zeros(2), torch.zeros(3)),
        lambda: Pair(torch.zeros(2), torch.zeros(2), name=3),
        lambda: plus(1)(torch.zeros(2, 2)),
        lambda: plus(1)(torch.zeros(2), times=1.5),
    ],
)
def test_what_an_annotation_excludes_is_refused(call):
    with pytest.raises(TypeCheckError):
        call()


def test_what_it_allows_passes_and_nothing_is_kept_between_calls():
    for size in (2, 4):
        assert product(torch.zeros(size, 3), torch.zeros(3, size)).shape == (size, size)
        assert transposed(torch.zeros(size, size)).shape == (size, size)
        assert Pair(torch.zeros(size), torch.zeros(size)).name == ""
        assert later(last := Later()) is last
        assert list(counted(size)) == list(range(size))
        assert plus(size)(torch.zeros(3), times=2).tolist() == [2 * size] * 3
    assert half(3.0) == 1.5
    assert half.__name__ == "half"


def test_inner_calls_do_not_bind_the_sizes_of_outer_ones():
    @checked
    def outer(images: Float[Tensor, "a b"]) -> Float[Tensor, "a a"]:
        return product(images, images.T)

    assert outer(torch.zeros(2, 3)).shape == (2, 2)


def test_errors_of_the_function_itself_come_through():
    @checked
    def broken(number: int) -> int:
        raise KeyError(number)

    with pytest.raises(KeyError):
        broken(1)


def test_a_test_may_call_as_users_do():
    jaxtyping.config.update("jaxtyping_disable", True)
    try:
        assert half(2) == 1
    finally:
        jaxtyping.config.update("jaxtyping_disable", False)
    with pytest.raises(TypeCheckError):
        half(2)
