"""Data sets keep images, labels and positions together; draws keep every class's share."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from pixelproof.data import Dataset, stratified
from pixelproof.errors import BadInput

labels_and_n = st.lists(st.integers(0, 4), min_size=1, max_size=60).flatmap(
    lambda labels: st.tuples(st.just(torch.tensor(labels)), st.integers(0, len(labels)))
)


def small(n=6, **changes):
    settings = {
        "images": torch.arange(n * 4, dtype=torch.uint8).reshape(n, 1, 2, 2),
        "labels": torch.arange(n) % 3,
        "classes": ("a", "b", "c"),
    }
    return Dataset("small", **(settings | changes))


@given(labels_and_n, st.integers(0, 9))
def test_a_stratified_draw_has_n_sorted_positions_and_each_class_within_one_of_its_share(drawn, seed):
    labels, n = drawn
    rows = stratified(labels, n, seed)
    assert rows.tolist() == sorted(set(rows.tolist()))
    assert len(rows) == n
    share = torch.bincount(labels, minlength=5) * n / len(labels)
    assert ((torch.bincount(labels[rows], minlength=5) - share).abs() < 1).all()
    assert torch.equal(rows, stratified(labels, n, seed))


def test_another_seed_draws_other_images():
    labels = torch.arange(100) % 2
    assert not torch.equal(stratified(labels, 50, 0), stratified(labels, 50, 1))


@pytest.mark.parametrize("n", [-1, 4])
def test_more_images_than_there_are_cannot_be_drawn(n):
    with pytest.raises(BadInput, match=r"stratified: n must lie in 0\.\.3"):
        stratified(torch.tensor([0, 1, 1]), n, 0)


def test_eight_bit_pixels_stay_eight_bit_and_are_seen_as_floats():
    data = small()
    assert data.pixels.dtype == torch.uint8
    assert torch.equal(data.images, data.pixels.float() / 255)
    assert data.shape == (1, 2, 2)
    assert data.class_counts() == {"a": 2, "b": 2, "c": 2}


@pytest.mark.parametrize(
    ("rows", "expected"),
    [
        (torch.tensor([4, 1]), [4, 1]),
        (slice(2, 4), [2, 3]),
        ([5], [5]),
        ([True, False, False, False, False, True], [0, 5]),
        (torch.tensor([0, 0, 0, 1, 0, 0]).bool(), [3]),
        (-1, [5]),
    ],
)
def test_rows_carry_pixels_labels_and_positions(rows, expected):
    data = small()
    part = data[rows][:]
    assert part.index.tolist() == expected
    assert torch.equal(part.pixels, data.pixels[part.index])
    assert torch.equal(part.labels, data.labels[part.index])


def test_positions_survive_repeated_subsetting_and_batches_cover_all():
    data = small()[[5, 3, 1]]
    assert data[[2, 0]].index.tolist() == [1, 5]
    assert [part.index.tolist() for part in small().batches(4)] == [[0, 1, 2, 3], [4, 5]]


def test_a_sample_keeps_shares_and_order():
    data = small(60)
    sample = data.sample(30, seed=1)
    assert sample.class_counts() == {"a": 10, "b": 10, "c": 10}
    assert sample.index.tolist() == sorted(sample.index.tolist())
    assert data.sample(60) is data


def test_the_digest_changes_with_any_pixel_label_or_position():
    data = small()
    pixels = data.pixels.clone()
    pixels[3, 0, 1, 1] += 1
    others = [
        small(images=pixels),
        small(labels=torch.tensor([0, 1, 2, 0, 1, 0])),
        small(index=torch.tensor([0, 1, 2, 3, 4, 6])),
    ]
    digests = {data.digest(), *(other.digest() for other in others)}
    assert len(digests) == 4
    assert data.digest() == small().digest()


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"labels": torch.tensor([0, 1, 2, 0, 1, 3])}, r"labels must lie in 0\.\.2; got 3"),
        ({"labels": torch.tensor([0, 1, 2, 0, 1, -1])}, r"labels must lie in 0\.\.2; got -1"),
        ({"labels": torch.tensor([0, 1])}, r"one label per image is needed \(6\)"),
        ({"index": torch.tensor([0, 1])}, r"one index per image is needed \(6\)"),
        ({"images": torch.full((6, 1, 2, 2), 255.0)}, r"got max 255\. Divide by 255 first"),
        ({"images": torch.full((6, 1, 2, 2), -0.5)}, r"got min -0\.5"),
        ({"images": torch.full((6, 1, 2, 2), float("nan"))}, "must be finite"),
        ({"images": torch.zeros(6, 2, 2)}, r"shape \(n, c, h, w\); got \(6, 2, 2\)"),
        ({"images": torch.zeros(6, 2, 2, dtype=torch.uint8)}, r"shape \(n, c, h, w\); got \(6, 2, 2\)"),
        ({"images": torch.zeros(6, 1, 2, 2).int()}, "images must be floats"),
    ],
)
def test_what_cannot_be_a_data_set_is_refused(changes, message):
    with pytest.raises(BadInput, match=message):
        small(**changes)


@pytest.mark.parametrize("rows", [slice(0, 0), [], torch.zeros(6, dtype=torch.bool)])
def test_an_empty_set_is_refused(rows):
    with pytest.raises(BadInput, match="at least one image is needed"):
        small()[rows]


def test_a_sample_of_nothing_is_refused():
    with pytest.raises(BadInput, match="at least one image"):
        small().sample(0)
