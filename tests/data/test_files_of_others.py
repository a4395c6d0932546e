"""Files from elsewhere: what they start, what they leave open, and what is said of them at once."""

import io
import os
import zipfile

import numpy as np
import pytest
import torch
from PIL import Image

from pixelproof import data, models
from pixelproof.data import read_images
from pixelproof.errors import BadInput, CorruptFile

IMAGES = (
    np.arange(60 * 16, dtype=np.uint16).astype(np.uint8).reshape(60, 4, 4)
    ^ np.arange(60, dtype=np.uint8)[:, None, None]
)


def npz(folder, name="own.npz", **arrays):
    np.savez(folder / name, **arrays)
    return folder / name


def pictures(folder, *, classes=("a", "b"), n=4, mode="L"):
    for k, name in enumerate(classes):
        (folder / name).mkdir(parents=True)
        for row in range(n):
            Image.fromarray(IMAGES[k * n + row]).convert(mode).save(folder / name / f"{row}.png")
    return folder


OTHERS = {"postscript": b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 4 4\nshowpage\n"}
for kind in ("GIF", "BMP", "TIFF", "PPM", "ICO"):
    stream = io.BytesIO()
    Image.fromarray(IMAGES[0]).save(stream, kind)
    OTHERS[kind] = stream.getvalue()


@pytest.mark.parametrize("kind", OTHERS)
def test_pictures_are_opened_by_the_accepted_formats_only(tmp_path, monkeypatch, kind):
    tools = tmp_path / "tools"
    tools.mkdir()
    for name in ("gs", "gswin64c"):
        (tools / name).write_text(f"#!/bin/sh\ntouch {tmp_path}/started\n")
        (tools / name).chmod(0o755)
    monkeypatch.setenv("PATH", f"{tools}{os.pathsep}{os.environ['PATH']}")
    folder = pictures(tmp_path / "pics")
    (folder / "a" / "odd.png").write_bytes(OTHERS[kind])
    for read in (lambda: data.load(folder), lambda: read_images(folder / "a" / "odd.png")):
        with pytest.raises(CorruptFile, match=r"odd\.png: expected a whole image; got no content of PNG, JPEG, WEBP"):
            read()
    assert not (tmp_path / "started").exists()


@pytest.mark.parametrize(
    ("labels", "says"),
    [
        (np.arange(60) % 10 + 1, r"labels up to 10 must all occur; got no image of 0\. .*labels - 1"),
        (np.arange(60) % 3 * 2, r"labels up to 4 must all occur; got no image of 1, 3\. .*array 'classes'"),
        (np.arange(60) % 6 * 10, r"no image of 1, 2, 3, 4, 5, \.\.\."),
    ],
)
def test_labels_that_skip_a_number_are_said_at_once(tmp_path, labels, says):
    with pytest.raises(BadInput, match=says):
        data.load(npz(tmp_path, images=IMAGES, labels=labels))
    names = np.array([f"class {k}" for k in range(labels.max() + 1)])
    path = npz(tmp_path, "named.npz", images=IMAGES, labels=labels, classes=names)
    with pytest.warns(UserWarning, match=r"no training image: 'class (0|1)'"):
        assert len(data.load(path).classes) == len(names)
    assert len(data.load(path, "test").classes) == len(names)


def test_a_name_for_two_classes_is_said_at_once(tmp_path):
    path = npz(tmp_path, images=IMAGES, labels=np.arange(60) % 3, classes=np.array(["a", "b", "a"]))
    with pytest.raises(BadInput, match="every class needs a name of its own; got 'a' twice"):
        data.load(path)


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"images": IMAGES.astype(np.float32)}, r"got float32 up to 255\. Save them as uint8: images\.round\(\)"),
        ({"images": IMAGES / np.float32(255)}, r"got float32 up to 1\. Save \(255 \* images\)\.round\(\) as uint8"),
        (
            {"labels": np.array(["cat", "dog"] * 30)},
            "Number the classes from 0 and give their names in the array 'classes'",
        ),
    ],
)
def test_the_advice_fits_the_values(tmp_path, changes, says):
    with pytest.raises(BadInput, match=says):
        data.load(npz(tmp_path, **({"images": IMAGES, "labels": np.arange(60) % 2} | changes)))


def forged(folder, member, content):
    """An archive whose `images` or `labels` is other bytes."""
    good = npz(folder, images=IMAGES, labels=np.arange(60) % 2)
    path = folder / "forged.npz"
    with zipfile.ZipFile(good) as old, zipfile.ZipFile(path, "w") as new:
        for name in old.namelist():
            new.writestr(name, content if name == member else old.read(name))
    return path


def header(text):
    """A .npy file of version 1 with this header and nothing else."""
    padded = text.encode().ljust(118) + b"\n"
    return b"\x93NUMPY\x01\x00" + len(padded).to_bytes(2, "little") + padded


FORGED = {
    "cut syntax": header("{'descr': '|u1', 'fortran_order': False, 'shape': (60, "),
    "huge": header("{'descr': '|u1', 'fortran_order': False, 'shape': (2**60, 2**60), }".replace("2**60", str(2**60))),
    "negative": header("{'descr': '|u1', 'fortran_order': False, 'shape': (-5, 4, 4), }"),
    "objects": header("{'descr': '|O', 'fortran_order': False, 'shape': (60,), }"),
    "no such type": header("{'descr': 'zz', 'fortran_order': False, 'shape': (60,), }"),
    "text in place of numbers": header("{'descr': '|u1', 'fortran_order': False, 'shape': ('a',), }"),
    "no header": b"\x93NUMPY\x01\x00",
    "no array": b"not an array at all",
    "nothing": b"",
}


@pytest.mark.parametrize("name", FORGED)
def test_forged_arrays_are_named_in_one_sentence(tmp_path, name):
    path = forged(tmp_path, "images.npy", FORGED[name])
    for read in (data.load, read_images):
        with pytest.raises((CorruptFile, BadInput), match=r"forged\.npz: ") as caught:
            read(path)
        assert "\n" not in str(caught.value)


def test_pipes_and_devices_are_refused_and_not_read(tmp_path):
    for name in ("own.npz", "model.safetensors", "net.pt2", "net.py", "weights.pt", "weights.safetensors"):
        os.mkfifo(tmp_path / name)
    test = data.load("digits", "test")
    for read in (
        lambda: data.load(tmp_path / "own.npz"),
        lambda: read_images(tmp_path / "own.npz"),
        lambda: models.load(f"{tmp_path}/model.safetensors"),
        lambda: models.load(f"{tmp_path}/net.pt2", data=test),
        lambda: models.load(f"{tmp_path}/net.py:Net", data=test),
        lambda: models.load("mlp", data=test, weights=tmp_path / "weights.pt"),
        lambda: models.load("mlp", data=test, weights=tmp_path / "weights.safetensors"),
        lambda: models.load("mlp", data=test, weights="/dev/zero"),
    ):
        with pytest.raises(BadInput, match="expected a file; got a pipe or a device"):
            read()
    folder = pictures(tmp_path / "pics")
    os.mkfifo(folder / "a" / "x.png")
    with pytest.raises(BadInput, match=r"holds its images directly; got the pipe or device x\.png"):
        data.load(folder)


def test_a_link_to_nothing_is_named_as_one(tmp_path):
    folder = pictures(tmp_path / "pics")
    (folder / "a" / "x.png").symlink_to("gone.png")
    with pytest.raises(BadInput, match=r"got the link to nothing x\.png"):
        data.load(folder)


def test_a_folder_inside_a_class_folder_is_not_passed_over(tmp_path):
    folder = pictures(tmp_path / "pics")
    (folder / "b" / "more").mkdir()
    with pytest.raises(BadInput, match="b: a class folder holds its images directly; got the folder more"):
        data.load(folder)
    (folder / "b" / "more").rename(folder / "b" / ".hidden")
    assert len(data.load(folder, "train+val")) == 6


def test_grey_pictures_become_colour_ones_where_the_model_wants_colour(tmp_path):
    folder = pictures(tmp_path / "pics")
    grey, names = read_images(folder)
    colour, same = read_images(folder, channels=3)
    assert names == same
    assert grey.shape[1:] == (1, 4, 4)
    assert torch.equal(colour, grey.repeat(1, 3, 1, 1))
    assert read_images(folder, channels=1)[0].shape == grey.shape
