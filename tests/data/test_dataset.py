"""Data sets keep images, labels and positions together; draws keep every class's share."""

import re

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from pixelproof.data import Dataset, load, stratified
from pixelproof.data.dataset import warn_of_twins
from pixelproof.errors import BadInput
from pixelproof.models import wrap
from pixelproof.models.classes import check_same

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


TWINS = [
    ("cat", "cat "),
    ("cat", "\u200bcat"),
    ("caf\u00e9", "cafe\u0301"),
    ("big cat", "big\u00a0cat"),
    ("big cat", "big  cat"),
    ("big cat", "big\tcat"),
    ("cat", "c\x07at"),
    ("\u2764", "\u2764\ufe0e"),
    ("cat", "cat\u202c"),
]


@pytest.mark.parametrize("twins", TWINS)
def test_class_names_that_look_the_same_are_named_at_the_door(twins, tmp_path):
    names = np.array(["dog", *twins])
    said = re.escape(f"{twins[0]!a} and {twins[1]!a} look the same")
    pixels = np.random.default_rng(0).integers(0, 256, (60, 4, 4), np.uint8)
    np.savez(tmp_path / "mine.npz", images=pixels, labels=np.arange(60) % 3, classes=names)
    with pytest.warns(UserWarning, match=said):
        found = load(tmp_path / "mine.npz", "test")
    assert found.classes == tuple(names)  # as they were given
    net = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(16, 3))
    with pytest.warns(UserWarning, match=said):
        model = wrap(net, classes=tuple(names), input_shape=(1, 4, 4))
    other = Dataset("mine", found.pixels, found.labels, ("dog", "cow", twins[1]))
    with pytest.raises(BadInput, match="must have the classes of mine"):
        check_same(model, other)
    one = Dataset("mine", found.pixels, found.labels, ("dog", twins[1], "cow"))
    own = wrap(net, classes=("dog", twins[0], "cow"), input_shape=(1, 4, 4))
    with pytest.raises(BadInput, match=re.escape(f"{twins[0]!a} and {twins[1]!a} only look the same")):
        check_same(own, one)


@pytest.mark.parametrize("names", [("cat", "Cat"), ("a", "b"), ("0", "O"), ("cat", "cats"), ("e", "\u00e9")])
def test_names_that_differ_to_the_eye_are_not(names, recwarn):
    warn_of_twins("mine", names)
    assert not recwarn


def test_the_same_picture_in_two_classes_is_said_with_count_and_examples(tmp_path):
    pixels = np.random.default_rng(0).integers(0, 256, (60, 4, 4), np.uint8)
    labels = np.arange(60) % 2
    pixels[[1, 21, 31]], pixels[41] = pixels[[0, 20, 30]], pixels[0]
    pixels[2] = pixels[4]  # twice in one class
    np.savez(tmp_path / "mine.npz", images=pixels, labels=labels)
    said = re.escape("3 pictures lie in more than one class (images[0] = images[1], images[20] = images[21])")
    with pytest.warns(UserWarning, match=said):
        load(tmp_path / "mine.npz")
    for row, (image, label) in enumerate(zip(pixels, labels, strict=True)):
        folder = tmp_path / "folder" / "ab"[label]
        folder.mkdir(parents=True, exist_ok=True)
        Image.fromarray(image).save(folder / f"{row:02d}.{'webp' if row == 20 else 'png'}", lossless=True)
    said = re.escape("3 pictures lie in more than one class (a/00.png = b/01.png, a/20.webp = b/21.png)")
    with pytest.warns(UserWarning, match=said):
        load(tmp_path / "folder")


def test_folders_of_a_split_whose_names_only_look_the_same_are_told_apart(tmp_path):
    for place, name in (("train", "caf\u00e9"), ("train", "b"), ("test", "cafe\u0301"), ("test", "b")):
        folder = tmp_path / place / name
        folder.mkdir(parents=True)
        Image.fromarray(np.full((4, 4), len(place), np.uint8)).save(folder / "1.png")
    with pytest.raises(BadInput, match=re.escape("'caf\\xe9'")):
        load(tmp_path)
