"""IDX, CIFAR-10 and .npz files: what is in them comes out; what is broken is named."""

import gzip
import io
import pickle
import struct

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from pixelproof.data.files import CIFAR_RECORD, read_cifar10, read_idx, read_npz
from pixelproof.errors import BadInput, CorruptFile

IMAGES = np.random.default_rng(0).integers(0, 256, (5, 4, 3), np.uint8)
LABELS = np.array([2, 0, 1, 1, 0])


def idx(array, magic=None):
    header = magic or bytes((0, 0, 8, array.ndim))
    return header + struct.pack(f">{array.ndim}I", *array.shape) + array.tobytes()


def write(folder, content, name="file"):
    path = folder / name
    path.write_bytes(content)
    return path


@pytest.fixture(scope="module")
def scratch(tmp_path_factory):
    return tmp_path_factory.mktemp("scratch")


@given(
    shape=st.lists(st.integers(1, 5), min_size=1, max_size=3),
    pack=st.sampled_from([bytes, gzip.compress]),
    seed=st.integers(0, 99),
)
def test_an_idx_array_comes_back_whether_zipped_or_not(scratch, shape, pack, seed):
    array = np.random.default_rng(seed).integers(0, 256, shape, np.uint8)
    read = read_idx(write(scratch, pack(idx(array))), len(shape))
    assert read.dtype == torch.uint8
    assert np.array_equal(read.numpy(), array)


@given(length=st.integers(0, len(idx(IMAGES)) - 1), zipped=st.booleans())
def test_an_idx_file_cut_anywhere_is_named(scratch, length, zipped):
    content = gzip.compress(idx(IMAGES)) if zipped else idx(IMAGES)
    with pytest.raises(CorruptFile, match=str(scratch / "file")):
        read_idx(write(scratch, content[: min(length, len(content) - 1)]), 3)


@given(position=st.integers(0, len(gzip.compress(idx(IMAGES))) - 1), value=st.integers(0, 255))
def test_a_damaged_gzip_never_yields_other_pixels(scratch, position, value):
    content = bytearray(gzip.compress(idx(IMAGES)))
    content[position] = value
    path = write(scratch, bytes(content))
    try:
        read = read_idx(path, 3)
    except CorruptFile as error:
        read = str(error)
    assert str(path) in read if isinstance(read, str) else np.array_equal(read.numpy(), IMAGES)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "00 00 08 03; got an empty file"),
        (b"<html>404</html>", "got 3c 68 74 6d"),
        (idx(IMAGES, magic=bytes((0, 0, 13, 3))), "got 00 00 0d 03"),
        (idx(IMAGES[0]), "uint8 array with 3 axes"),
        (idx(IMAGES) + b"x", "expected 60 bytes"),
        (idx(IMAGES[:0]), "at least one; got 0 bytes"),
        (bytes((0, 0, 8, 3)) + b"\xff" * 12, "expected [0-9,]+ bytes"),
    ],
)
def test_a_wrong_idx_header_is_named(tmp_path, content, message):
    with pytest.raises(CorruptFile, match=message):
        read_idx(write(tmp_path, content), 3)


def test_a_file_that_is_not_there_is_named(tmp_path):
    with pytest.raises(BadInput, match="expected a readable file; got No such file"):
        read_idx(tmp_path / "absent", 3)


def cifar(labels, seed=0):
    pixels = np.random.default_rng(seed).integers(0, 256, (len(labels), CIFAR_RECORD - 1), np.uint8)
    return np.concatenate([np.array(labels, np.uint8)[:, None], pixels], 1)


@given(st.lists(st.integers(0, 9), min_size=1, max_size=6), st.randoms(use_true_random=False))
def test_cifar_records_come_back_in_their_order(scratch, labels, random):
    records = cifar(labels)
    order = random.sample(range(len(labels)), len(labels))
    pixels, read = read_cifar10(write(scratch, records[order].tobytes()))
    assert read.tolist() == [labels[row] for row in order]
    assert np.array_equal(pixels.numpy(), records[order, 1:].reshape(-1, 3, 32, 32))


def test_cifar_pixels_are_red_then_green_then_blue_row_by_row(tmp_path):
    record = bytes([7]) + bytes([200]) + bytes(1023) + bytes(32) + bytes([100]) + bytes(991) + bytes(1023) + bytes([50])
    pixels, labels = read_cifar10(write(tmp_path, record))
    assert labels.tolist() == [7]
    assert (pixels[0, 0, 0, 0], pixels[0, 1, 1, 0], pixels[0, 2, 31, 31]) == (200, 100, 50)


@pytest.mark.parametrize("length", [0, 1, CIFAR_RECORD - 1, CIFAR_RECORD + 1, 2 * CIFAR_RECORD - 7])
def test_a_cifar_file_of_broken_length_is_named(tmp_path, length):
    with pytest.raises(CorruptFile, match=f"whole CIFAR-10 records of 3073 bytes; got {length:,} bytes"):
        read_cifar10(write(tmp_path, bytes(length)))


def test_a_cifar_label_beyond_the_classes_is_named(tmp_path):
    with pytest.raises(CorruptFile, match=r"label bytes 0\.\.9; got 10 in record 2"):
        read_cifar10(write(tmp_path, cifar([0, 9, 10]).tobytes()))


def npz(folder, **arrays):
    np.savez(folder / "own.npz", **arrays)
    return folder / "own.npz"


def test_an_npz_of_grey_images_needs_no_channel_axis_and_no_class_names(tmp_path):
    content = read_npz(npz(tmp_path, images=IMAGES, labels=LABELS))
    assert np.array_equal(content.pixels.numpy(), IMAGES[:, None])
    assert content.labels.tolist() == LABELS.tolist()
    assert content.classes == ("0", "1", "2")


def test_an_npz_of_colour_images_is_read_channels_last(tmp_path):
    images = np.random.default_rng(1).integers(0, 256, (5, 4, 6, 3), np.uint8)
    names = np.array(["cat", "dog", "frog", "hen"])
    content = read_npz(npz(tmp_path, images=images, labels=LABELS.astype(np.uint8), classes=names))
    assert content.pixels.shape == (5, 3, 4, 6)
    assert torch.equal(content.pixels[:, 2], torch.from_numpy(images[..., 2]))
    assert content.classes == ("cat", "dog", "frog", "hen")


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"images": IMAGES / 255}, r"images must be uint8, 0 to 255; got float64"),
        ({"images": IMAGES[0]}, r"n×h×w or n×h×w×c with 1 or 3 channels; got shape \(4, 3\)"),
        ({"images": np.zeros((5, 3, 4, 4), np.uint8)}, r"got shape \(5, 3, 4, 4\)\. Put the channels last"),
        ({"images": IMAGES[:0], "labels": LABELS[:0]}, r"got shape \(0, 4, 3, 1\)"),
        ({"labels": LABELS[:4]}, r"labels must be 5 integers, one per image; got int64 with shape \(4,\)"),
        ({"labels": LABELS[:, None]}, r"got int64 with shape \(5, 1\)"),
        ({"labels": LABELS.astype(float)}, "got float64"),
        ({"labels": np.array([0, 1, 2, -1, 0])}, r"labels must lie in 0\.\.4; got -1"),
        ({"labels": np.array([0, 1, 2, 10**12, 0])}, r"labels must lie in 0\.\.4; got 1000000000000"),
        ({"classes": np.array(["a", "b"])}, r"labels must lie in 0\.\.1; got 2"),
        ({"classes": np.array([1, 2, 3])}, "classes must be a list of names; got int64"),
    ],
)
def test_arrays_that_cannot_be_a_data_set_are_named(tmp_path, changes, message):
    with pytest.raises(BadInput, match=message):
        read_npz(npz(tmp_path, **({"images": IMAGES, "labels": LABELS} | changes)))


def test_missing_arrays_are_named_with_those_that_are_there(tmp_path):
    with pytest.raises(BadInput, match="expected the arrays 'images' and 'labels'; got images, y"):
        read_npz(npz(tmp_path, images=IMAGES, y=LABELS))


class Trap:
    def __reduce__(self):
        return pytest.fail, ("something was unpickled",)


@pytest.mark.parametrize("kind", ["pickled array", "bare pickle", "bare npy", "text", "empty"])
def test_nothing_is_unpickled_and_other_files_are_named(tmp_path, kind):
    path = tmp_path / "own.npz"
    if kind == "pickled array":
        np.savez(path, images=np.array([Trap], dtype=object), labels=LABELS)
    else:
        bare = io.BytesIO()
        np.save(bare, IMAGES)
        path.write_bytes(
            {"bare pickle": pickle.dumps(Trap()), "bare npy": bare.getvalue(), "text": b"hello", "empty": b""}[kind]
        )
    with pytest.raises(CorruptFile, match=r"own\.npz: expected a NumPy \.npz archive of plain arrays"):
        read_npz(path)


@given(cut=st.floats(0, 1, exclude_max=True))
def test_an_npz_cut_anywhere_is_named(scratch, cut):
    whole = npz(scratch, images=IMAGES, labels=LABELS).read_bytes()
    with pytest.raises(CorruptFile, match="cut"):
        read_npz(write(scratch, whole[: int(cut * len(whole))], "cut"))
