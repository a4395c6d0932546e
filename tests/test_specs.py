"""Spec strings: what is written is read back, and what is wrong is named."""

from dataclasses import dataclass
from typing import ClassVar, Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pixelproof import specs
from pixelproof.errors import BadInput, UnknownName


@dataclass(frozen=True)
class Thing:
    eps: float
    steps: int = 40
    size: float | None = None
    ball: Literal["linf", "l2"] = "linf"
    quick: bool = False
    layers: tuple[str, ...] = ()
    note: str = "plain"

    name: ClassVar[str] = "thing"


@dataclass(frozen=True)
class Bare:
    name: ClassVar[str] = "bare"


TABLE = {"thing": Thing, "bare": Bare}
WORDS = st.text("abcxyz-_0123", min_size=1, max_size=6)


@given(
    st.builds(
        Thing,
        eps=st.floats(0, 10, width=32, allow_subnormal=False),
        steps=st.integers(-5, 10**6),
        size=st.none() | st.floats(1e-3, 10),
        ball=st.sampled_from(["linf", "l2"]),
        quick=st.booleans(),
        layers=st.lists(WORDS, min_size=1, max_size=3).map(tuple),
        note=WORDS,
    )
)
def test_what_is_written_is_read_back(thing):
    assert specs.parse(specs.write(thing), TABLE) == thing


def test_an_empty_tuple_is_written_and_read_back():
    assert specs.parse(specs.write(Thing(0.1)), TABLE) == Thing(0.1)


def test_budgets_are_written_as_people_write_them():
    assert [specs.write(Thing(eps)).split(",")[0] for eps in (0.1, 8 / 255, 1 / 7)] == [
        "thing:eps=0.1",
        "thing:eps=8/255",
        "thing:eps=0.14285714285714285",
    ]


@pytest.mark.parametrize(
    ("eps", "text"),
    [
        (2 / 255, "2/255"),
        (8 / 255, "8/255"),
        (0.5 / 255, "0.5/255"),
        (0.2, "0.2"),
        (0.05, "0.05"),
        (1.0, "1"),
        (0.0, "0"),
        (128 / 255, "128/255"),
        (1 / 3, "85/255"),
        (0.0234371, "0.02344"),
        (3072**0.5, "55.43"),
    ],
)
def test_a_budget_is_shown_as_it_was_given(eps, text):
    """frontend/src/draw/figures.test.ts holds the explorer to the same list."""
    assert specs.budget(eps) == text


def test_values_without_a_key_bind_in_order_and_spaces_do_not_matter():
    assert specs.parse(" thing:0.5, 3 , quick = true ", TABLE) == Thing(0.5, 3, quick=True)
    assert specs.parse("bare", TABLE) == specs.parse("bare:", TABLE) == Bare()
    assert specs.write(Bare()) == "bare"


@pytest.mark.parametrize("value", ["1e308", "-1e308", "1e39", "1e-40", "1e-308"])
def test_numbers_that_float32_does_not_hold_are_refused(value):
    with pytest.raises(BadInput, match="thing: eps must be a number that float32 holds"):
        specs.parse(f"thing:eps={value}", TABLE)
    specs.check_single(Thing(float("inf"), size=0.0))  # what means "no limit" and "nothing" is meant


@pytest.mark.parametrize(("text", "value"), [("8/255", 8 / 255), ("0.03", 0.03), ("1e-3", 1e-3), ("2", 2.0)])
def test_fractions_and_floats(text, value):
    assert specs.number(text) == value
    assert specs.parse(f"thing:eps={text}", TABLE).eps == value


@pytest.mark.parametrize(
    ("spec", "error", "says"),
    [
        ("thng:eps=1", UnknownName, "Did you mean 'thing'"),
        ("thing:esp=1", UnknownName, "Did you mean 'eps'"),
        ("thing:eps=1,ball=l3", UnknownName, "Known: l2, linf"),
        ("thing", BadInput, "needs eps"),
        ("thing:eps=big", BadInput, "eps must be float; got 'big'"),
        ("thing:eps=1/0", BadInput, "eps must be float"),
        ("thing:eps=1,steps=1.5", BadInput, "steps must be int"),
        ("thing:eps=1,quick=1", BadInput, "quick must be bool"),
        ("thing:eps=1,eps=2", BadInput, "each setting once"),
        ("thing:0.1,eps=2", BadInput, "each setting once"),
        ("bare:1", BadInput, "takes at most 0 settings"),
        ("", UnknownName, "expected a known attack"),
    ],
)
def test_what_is_wrong_is_named(spec, error, says):
    with pytest.raises(error, match=says.replace("(", r"\(")):
        specs.parse(spec, TABLE, "attack")


def test_none_can_be_written_out():
    assert specs.parse("thing:1,size=none", TABLE).size is None


def test_defaults_fill_only_what_is_missing():
    assert specs.parse("thing:steps=3", TABLE, defaults={"eps": 0.1, "steps": 9}) == Thing(0.1, steps=3)
    assert specs.parse("thing:0.2", TABLE, defaults={"eps": 0.1}) == Thing(0.2)
    assert specs.parse("thing:quick=false", TABLE, defaults={"eps": 0.25, "unknown": 1}) == Thing(0.25)


def test_given_tells_what_a_spec_says_itself():
    assert specs.given("thing:steps=3", TABLE) == {"steps": 3}
    assert specs.given("thing:0.2", TABLE) == {"eps": 0.2}
    assert specs.given("thing", TABLE) == {}
