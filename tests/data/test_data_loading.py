"""What `data.load` gives: the right images in the right split, drawn once and for all by the seed."""

import struct
from inspect import unwrap

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from pixelproof import data
from pixelproof.data.files import Content, read_npz
from pixelproof.data.loading import _places
from pixelproof.data.sources import SOURCES
from pixelproof.errors import BadInput, CorruptFile, PixelproofError, UnknownName
from real_images import real_data

PARTS = ("train", "val", "test")


@st.composite
def arrays(draw):
    """Images and labels of 2 to 4 classes with 4 to 30 distinct images each and up to 10 pairs of twins, shuffled."""
    counts = draw(st.lists(st.integers(4, 30), min_size=2, max_size=4))
    labels = np.repeat(np.arange(len(counts)), counts)
    copies = draw(st.lists(st.integers(0, len(labels) - 1), max_size=10))
    # Copied originals come on top, so that every class keeps its distinct images.
    pixels = np.arange(len(labels) + len(copies), dtype=np.uint16).view(np.uint8).reshape(-1, 1, 1, 2)
    rows = [*range(len(pixels)), *range(len(labels), len(pixels))]
    every = np.concatenate([labels, labels[copies], labels[copies]]).astype(np.int64)
    order = np.argsort(draw(st.lists(st.integers(0, 999), min_size=len(rows), max_size=len(rows))))
    return pixels[rows][order], every[order]


@settings(max_examples=50)
@given(arrays(), st.integers(0, 5))
def test_a_drawn_division_is_stratified_repeatable_and_parts_no_copies(arrays, seed):
    images, labels = map(torch.from_numpy, arrays)
    content = Content(images, labels, tuple("abcd"[: int(labels.max()) + 1]))
    place = _places("toy", content, seed)
    assert torch.equal(place, _places("toy", content, seed))
    assert set(place.tolist()) == {0, 1, 2}
    keys = [image.tobytes() for image in content.pixels.numpy()]
    sides = {key: {part for other, part in zip(keys, place.tolist(), strict=True) if other == key} for key in keys}
    assert all(len(parts) == 1 for parts in sides.values())
    single = torch.tensor([keys.count(key) == 1 for key in keys])
    assert (place[~single] == 0).all()
    counts = torch.bincount(content.labels[single])
    test = torch.bincount(content.labels[place == 2], minlength=len(counts))
    val = torch.bincount(content.labels[place == 1], minlength=len(counts))
    n = int(counts.sum())
    assert int(test.sum()) == round(0.25 * n)
    assert int(val.sum()) == round(0.2 * (n - round(0.25 * n)))
    assert ((test - counts * int(test.sum()) / n).abs() < 1).all()
    assert ((val - (counts - test) * int(val.sum()) / int((counts - test).sum())).abs() < 1).all()


@pytest.fixture(scope="module")
def digits():
    return {part: data.load("digits", part) for part in (*PARTS, "train+val")}


def test_digits_are_those_of_scikit_learn_with_17_levels_spread_over_a_byte(digits):
    from sklearn.datasets import load_digits

    bunch = load_digits()
    for part in digits.values():
        levels = (part.pixels[:, 0].double() * 16 / 255).round()
        assert torch.equal(levels, torch.from_numpy(bunch.images)[part.index])
        assert torch.equal(part.labels, torch.from_numpy(bunch.target)[part.index])
    assert int(digits["train"].pixels.max()) == 255
    assert digits["test"].classes == tuple("0123456789")


def test_digits_are_divided_60_15_25_without_overlap(digits):
    assert {part: len(digits[part]) for part in PARTS} == {"train": 1078, "val": 270, "test": 449}
    every = torch.cat([digits[part].index for part in PARTS])
    assert sorted(every.tolist()) == list(range(1797))
    both = torch.cat([digits["train"].index, digits["val"].index]).sort().values
    assert torch.equal(digits["train+val"].index, both)
    assert [digits[part].split for part in digits] == [*PARTS, "train+val"]
    assert all(part.index.tolist() == sorted(part.index.tolist()) for part in digits.values())


def test_the_seed_decides_the_division(digits):
    assert data.load("digits", "test").digest() == digits["test"].digest()
    assert data.load("digits", "test", seed=1).digest() != digits["test"].digest()


@pytest.fixture
def own(tmp_path):
    """The same 60 images in 3 classes as an image folder and as an .npz."""
    random = np.random.default_rng(0)
    images, labels = random.integers(0, 256, (60, 5, 4), np.uint8), np.repeat([0, 1, 2], 20)
    for row, (image, label) in enumerate(zip(images, labels, strict=True)):
        place = tmp_path / "folder" / "abc"[label]
        place.mkdir(parents=True, exist_ok=True)
        Image.fromarray(image).save(place / f"{row:02}.png")
    np.savez(tmp_path / "own.npz", images=images, labels=labels, classes=np.array(["a", "b", "c"]))
    return tmp_path


@pytest.mark.parametrize("split", [*PARTS, "train+val"])
def test_a_folder_and_an_npz_of_the_same_images_are_the_same_set(own, split):
    one, other = data.load(own / "folder", split), data.load(str(own / "own.npz"), split)
    assert one.digest() == other.digest()
    assert one.classes == other.classes == ("a", "b", "c")
    assert len(one) == {"train": 36, "val": 9, "test": 15, "train+val": 45}[split]
    assert (one.name, other.name) == ("folder", "own.npz")
    assert torch.equal(one.pixels, read_npz(own / "own.npz").pixels[one.index])


def test_a_home_relative_path_is_understood(own, monkeypatch):
    monkeypatch.setenv("HOME", str(own))
    assert len(data.load("~/own.npz", "test")) == 15


def test_given_folders_are_kept_and_a_missing_val_is_drawn_from_train(tmp_path):
    random = np.random.default_rng(0)
    for split, n in (("train", 10), ("test", 3)):
        for name in ("a", "b"):
            (tmp_path / split / name).mkdir(parents=True)
            for row in range(n):
                image = Image.fromarray(random.integers(0, 256, (4, 4), np.uint8))
                image.save(tmp_path / split / name / f"{row}.png")
    found = {part: data.load(tmp_path, part) for part in PARTS}
    assert {part: found[part].class_counts() for part in PARTS} == {
        "train": {"a": 8, "b": 8},
        "val": {"a": 2, "b": 2},
        "test": {"a": 3, "b": 3},
    }
    # Sorted paths: the 6 images under test/ come before the 20 under train/.
    assert found["test"].index.tolist() == list(range(6))
    assert sorted(torch.cat([found["train"].index, found["val"].index]).tolist()) == list(range(6, 26))
    assert data.load(tmp_path, "test", seed=5).digest() == found["test"].digest()


@pytest.mark.parametrize(
    ("name", "kind", "message"),
    [
        (
            "minst",
            UnknownName,
            r"expected a known data set, folder or \.npz file; got 'minst'\. Did you mean 'mnist'\?",
        ),
        ("cifar-10", UnknownName, "Did you mean 'cifar10'"),
        ("fashion_mnist", UnknownName, "Did you mean 'fashion-mnist'"),
        ("./mnist-photos", BadInput, r"folder or \.npz file; got './mnist-photos', which does not exist"),
        ("digits.npz", BadInput, r"'digits\.npz', which does not exist"),
        ("pyproject.toml", BadInput, r"expected a folder of images or an \.npz file; got 'pyproject\.toml'"),
    ],
)
def test_a_name_or_path_that_is_not_there_is_said_to_be_so(name, kind, message):
    with pytest.raises(kind, match=message) as caught:
        data.load(name)
    assert type(caught.value) is kind


def test_an_unknown_split_is_named():
    with pytest.raises(UnknownName, match=r"expected a known split; got 'tests'\. Did you mean 'test'"):
        unwrap(data.load)("digits", "tests")  # without the type check of the test run


@pytest.mark.parametrize(
    ("labels", "message"),
    [
        ([0] * 12, "expected images of at least two classes; got one"),
        ([0] * 9 + [1] * 3, r"needs 4 distinct images in each class; got 3 in '1'"),
    ],
)
def test_a_set_that_cannot_be_divided_is_refused(tmp_path, labels, message):
    images = np.random.default_rng(0).integers(0, 256, (len(labels), 4, 4), np.uint8)
    np.savez(tmp_path / "few.npz", images=images, labels=np.array(labels))
    with pytest.raises(BadInput, match=message):
        data.load(tmp_path / "few.npz")


def test_a_set_of_copies_of_one_image_is_refused(tmp_path):
    np.savez(tmp_path / "same.npz", images=np.zeros((40, 4, 4), np.uint8), labels=np.arange(40) % 2)
    with pytest.raises(BadInput, match="got 0 in '0'"):
        data.load(tmp_path / "same.npz")


@pytest.fixture
def damaged(tmp_path):
    """A copy of MNIST's layout with wrong content."""

    def write(images=(60_000, 28, 28), labels=60_000, top=9):
        folder = tmp_path / "mnist"
        folder.mkdir()
        for stem in ("train", "t10k"):
            header = bytes((0, 0, 8, 3)) + struct.pack(">3I", *images)
            (folder / f"{stem}-images-idx3-ubyte").write_bytes(header + bytes(int(np.prod(images))))
            content = bytes((0, 0, 8, 1)) + struct.pack(">I", labels) + bytes(labels - 1) + bytes([top])
            (folder / f"{stem}-labels-idx1-ubyte").write_bytes(content)
        return tmp_path

    return write


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"images": (100, 28, 28)}, r"images of shape \(60000, 1, 28, 28\); got \(100, 1, 28, 28\)"),
        ({"images": (60_000, 14, 14)}, r"got \(60000, 1, 14, 14\)"),
        ({"labels": 59_999}, "expected 60000 labels beside it; got 59999"),
        ({"top": 10}, r"expected labels 0\.\.9 beside it; got 10"),
    ],
)
def test_files_that_are_not_the_named_set_are_refused(damaged, changes, message):
    with pytest.raises(CorruptFile, match=message):
        data.load("mnist", root=damaged(**changes))


OFFICIAL = {
    "mnist": {
        "mean": [0.1307],
        "std": [0.3081],
        "test": [980, 1135, 1032, 1010, 982, 892, 958, 1028, 974, 1009],
        "train": [5923, 6742, 5958, 6131, 5842, 5421, 5918, 6265, 5851, 5949],
    },
    "cifar10": {
        "mean": [0.4914, 0.4822, 0.4465],
        "std": [0.2470, 0.2435, 0.2616],
        "test": [1000] * 10,
        "train": [5000] * 10,
    },
}


@pytest.mark.real
@pytest.mark.parametrize("name", OFFICIAL)
def test_the_real_sets_have_their_published_counts_and_statistics(name):
    root, known = real_data(name), OFFICIAL[name]
    every, test = data.load(name, "train+val", root), data.load(name, "test", root)
    assert list(every.class_counts().values()) == known["train"]
    assert list(test.class_counts().values()) == known["test"]
    assert every.classes == SOURCES[name].classes
    levels = torch.arange(256) / 255
    for channel, (mean, std) in enumerate(zip(known["mean"], known["std"], strict=True)):
        share = torch.bincount(every.pixels[:, channel].flatten(), minlength=256) / every.pixels[:, channel].numel()
        found = float(share @ levels)
        assert found == pytest.approx(mean, abs=5e-5)
        assert float(share @ (levels - found) ** 2) ** 0.5 == pytest.approx(std, abs=5e-5)


@pytest.mark.real
@pytest.mark.parametrize("name", OFFICIAL)
def test_train_and_val_divide_the_real_training_file(name):
    root = real_data(name)
    every, train, val, test = (data.load(name, split, root) for split in ("train+val", "train", "val", "test"))
    assert len(val) == 5000
    assert sorted(torch.cat([train.index, val.index]).tolist()) == list(range(len(every)))
    for part in (train, val):
        assert torch.equal(part.pixels, every.pixels[part.index])
        assert torch.equal(part.labels, every.labels[part.index])
    shares = torch.bincount(every.labels) * 5000 / len(every)
    assert ((torch.bincount(val.labels) - shares).abs() < 1).all()
    prints = [{image.tobytes() for image in part.pixels.numpy()} for part in (train, val, test)]
    assert len(set.union(*prints)) == sum(map(len, prints))
    assert data.load(name, "val", root).digest() == val.digest()
    assert data.load(name, "val", root, seed=1).digest() != val.digest()


@pytest.mark.real
def test_the_first_mnist_test_images_are_the_famous_7_2_1_0_4():
    assert data.load("mnist", "test", real_data("mnist")).labels[:5].tolist() == [7, 2, 1, 0, 4]


def test_every_error_is_one_line(own):
    (own / "folder" / "a" / "00.png").write_text("two\nlines")
    with pytest.raises(PixelproofError) as caught:
        data.load(own / "folder")
    assert "\n" not in str(caught.value)
    assert "00.png" in str(caught.value)
