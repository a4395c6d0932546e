"""Image folders: every kind of PNG, JPEG and WebP comes out as the right 8-bit pixels, or is named in an error."""

import struct
import zlib

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from pixelproof.data import load
from pixelproof.data.folder import decode, read_folder
from pixelproof.errors import BadInput, CorruptFile

RANDOM = np.random.default_rng(0)
GREY = RANDOM.integers(0, 256, (4, 6), np.uint8)
COLOUR = RANDOM.integers(0, 256, (4, 6, 3), np.uint8)


def save(path, array, **settings):
    path.parent.mkdir(parents=True, exist_ok=True)
    image = array if isinstance(array, Image.Image) else Image.fromarray(array)
    image.save(path, **settings)
    return path


def flat(value):
    return np.full((4, 6), value, np.uint8)


def test_classes_and_files_are_sorted_by_name(tmp_path):
    for number, place in enumerate(["dog/b.png", "cat/z.PNG", "dog/a.webp", "cat/10.png", "cat/9.png"]):
        save(tmp_path / place, flat(10 * number), **({"lossless": True} if place.endswith("webp") else {}))
    (tmp_path / "dog" / "notes.txt").write_text("not an image")
    (tmp_path / "dog" / ".hidden.png").write_text("not an image")
    (tmp_path / ".git").mkdir()
    (tmp_path / "__MACOSX").mkdir()
    content = read_folder(tmp_path)
    assert content.classes == ("cat", "dog")
    assert content.labels.tolist() == [0, 0, 0, 1, 1]
    assert content.pixels[:, :, 0, 0].flatten(1)[:, 0].tolist() == [30, 40, 10, 20, 0]
    assert content.place is None


def test_grey_folders_keep_one_channel_and_one_coloured_image_makes_all_rgb(tmp_path):
    save(tmp_path / "a" / "1.png", GREY)
    save(tmp_path / "b" / "1.png", 255 - GREY)
    assert read_folder(tmp_path).pixels.tolist() == [[GREY.tolist()], [(255 - GREY).tolist()]]
    save(tmp_path / "b" / "2.png", COLOUR)
    pixels = read_folder(tmp_path).pixels.numpy()
    assert np.array_equal(pixels[0], np.stack([GREY] * 3))
    assert np.array_equal(pixels[2], COLOUR.transpose(2, 0, 1))


def test_sixteen_bit_greys_are_scaled_not_clipped(tmp_path):
    deep = (GREY.astype(np.uint16) * 257).clip(100) - 100
    expected = (deep / 257).round().astype(np.uint8)
    assert expected.max() > 200
    assert np.array_equal(decode(save(tmp_path / "deep.png", deep)), expected)


def test_sixteen_bit_colours_keep_their_upper_byte(tmp_path):
    deep = np.random.default_rng(2).integers(0, 1 << 16, (4, 6, 3)).astype(">u2")
    rows = b"".join(b"\0" + row.tobytes() for row in deep)
    chunks = [
        (b"IHDR", struct.pack(">2I5B", 6, 4, 16, 2, 0, 0, 0)),
        (b"IDAT", zlib.compress(rows)),
        (b"IEND", b""),
    ]
    path = tmp_path / "deep.png"
    path.write_bytes(
        b"\x89PNG\r\n\x1a\n"
        + b"".join(
            struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))
            for kind, body in chunks
        )
    )
    assert np.array_equal(decode(path), deep >> 8)


def test_an_animation_gives_its_first_frame(tmp_path):
    frames = [Image.fromarray(np.stack([flat(value)] * 3, 2)) for value in (10, 200)]
    frames[0].save(tmp_path / "moving.png", save_all=True, append_images=frames[1:])
    assert (decode(tmp_path / "moving.png") == 10).all()


def test_palettes_one_bit_and_cmyk_become_what_they_look_like(tmp_path):
    palette = Image.new("P", (6, 4), 1)
    palette.putpalette([0, 0, 0, 250, 120, 3])
    assert (decode(save(tmp_path / "palette.png", palette)) == [250, 120, 3]).all()
    bits = Image.fromarray(flat(255)).convert("1")
    assert np.array_equal(decode(save(tmp_path / "bits.png", bits)), flat(255))
    cyan = Image.new("CMYK", (6, 4), (255, 0, 0, 0))
    assert decode(save(tmp_path / "cyan.jpg", cyan))[0, 0].tolist() == pytest.approx([0, 255, 255], abs=3)


@pytest.mark.parametrize("grey", [True, False])
def test_opaque_alpha_is_dropped_and_real_transparency_is_refused(tmp_path, grey):
    base = GREY[..., None] if grey else COLOUR
    opaque = np.concatenate([base, flat(255)[..., None]], 2)
    assert np.array_equal(decode(save(tmp_path / "opaque.png", opaque)), GREY if grey else COLOUR)
    opaque[2, 3, -1] = 254
    with pytest.raises(BadInput, match=r"clear\.png: expected an opaque image; got alpha down to 254"):
        decode(save(tmp_path / "clear.png", opaque))


@pytest.mark.parametrize("mode", ["L", "RGB", "P"])
def test_a_transparent_colour_counts_as_transparency(tmp_path, mode):
    image = Image.new(mode, (6, 4), 0)
    colour = (0, 0, 0) if mode == "RGB" else 0
    with pytest.raises(BadInput, match="expected an opaque image; got alpha down to 0"):
        decode(save(tmp_path / "keyed.png", image, transparency=colour))


@pytest.mark.parametrize("name", ["turned.png", "turned.jpg", "turned.webp"])
def test_exif_rotation_is_applied(tmp_path, name):
    bright_left = np.zeros((8, 16), np.uint8)
    bright_left[:, :8] = 255
    exif = Image.Exif()
    exif[0x0112] = 6
    image = decode(save(tmp_path / name, np.stack([bright_left] * 3, 2), exif=exif))
    assert image.shape[:2] == (16, 8)
    assert image[:7].min() > 240
    assert image[9:].max() < 15


def test_images_of_another_size_are_named(tmp_path):
    save(tmp_path / "a" / "1.png", GREY)
    save(tmp_path / "b" / "odd.png", GREY.T)
    with pytest.raises(BadInput, match=r"b/odd\.png: all images must have one size, 6×4 as in .*a/1\.png; got 4×6"):
        read_folder(tmp_path)


@given(cut=st.floats(0, 1, exclude_max=True))
def test_an_image_cut_anywhere_is_named_or_whole(tmp_path_factory, cut):
    folder = tmp_path_factory.getbasetemp()
    whole = save(folder / "whole.png", COLOUR).read_bytes()
    path = folder / "cut.png"
    path.write_bytes(whole[: int(cut * len(whole))])
    try:
        image = decode(path)
    except CorruptFile as error:
        image = str(error)
    if isinstance(image, str):
        assert image.startswith(f"{path}: expected a whole image; got ")
        assert "\n" not in image
    else:
        assert np.array_equal(image, COLOUR)


@pytest.mark.parametrize("suffix", ["png", "jpg", "webp"])
def test_a_damaged_image_is_named(tmp_path, suffix):
    path = save(tmp_path / f"damaged.{suffix}", RANDOM.integers(0, 256, (32, 32, 3), np.uint8))
    content = bytearray(path.read_bytes())
    path.write_bytes(content[: len(content) // 2])
    with pytest.raises(CorruptFile, match=rf"damaged\.{suffix}: expected a whole image"):
        decode(path)
    path.write_text("<html>not found</html>")
    with pytest.raises(CorruptFile, match=rf"damaged\.{suffix}: expected a whole image"):
        decode(path)


def test_a_flipped_pixel_byte_of_a_png_is_caught_by_its_checksum(tmp_path):
    path = save(tmp_path / "flipped.png", RANDOM.integers(0, 256, (32, 32), np.uint8))
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)
    with pytest.raises(CorruptFile, match=r"flipped\.png: expected a whole image"):
        decode(path)


@pytest.mark.parametrize(
    ("files", "message"),
    [
        ([], "expected one folder of images per class; got no folders"),
        (["loose.png"], "expected one folder of images per class; got no folders"),
        (["a/1.png", "b/"], r"b: expected images \(\.png, \.jpg, \.jpeg, \.webp\) of the class 'b'; got none"),
        (["a/1.png", "b/deeper/1.png"], "of the class 'b'; got none"),
        (["a/1.png", "b/1.png", "b/2.bmp"], r"b/2\.bmp: images must be .*; got \.bmp\. Convert it to PNG"),
        (["train/a/1.png", "val/a/1.png"], "expected test/ beside train/; got only val/"),
        (["train/a/1.png", "train/b/1.png", "test/a/2.png"], "same class folders; got a difference in b"),
        (["train/1.png", "test/1.png"], "same class folders; got none"),
    ],
)
def test_a_layout_that_leaves_a_choice_open_is_refused(tmp_path, files, message):
    for name in files:
        if name.endswith("/"):
            (tmp_path / name).mkdir()
        else:
            save(tmp_path / name, RANDOM.integers(0, 256, (4, 6), np.uint8))
    with pytest.raises(BadInput, match=message):
        read_folder(tmp_path)


def test_given_train_val_and_test_folders_are_kept(tmp_path):
    for number, name in enumerate(["train/a/1", "train/b/1", "val/a/1", "val/b/1", "test/a/1", "test/b/1"]):
        save(tmp_path / f"{name}.png", flat(number))
    content = read_folder(tmp_path)
    assert content.classes == ("a", "b")
    assert content.place is not None
    rows = content.pixels[:, 0, 0, 0].tolist()
    place = dict(zip(rows, content.place.tolist(), strict=True))
    assert place == {0: 0, 1: 0, 2: 1, 3: 1, 4: 2, 5: 2}
    assert dict(zip(rows, content.labels.tolist(), strict=True)) == {0: 0, 1: 1, 2: 0, 3: 1, 4: 0, 5: 1}


def test_a_test_folder_alone_is_all_tested(tmp_path):
    """As somebody has it who got the test pictures of a model and nothing else: all are tested, not a quarter."""
    for number, name in enumerate(["test/a/1", "test/a/2", "test/b/1"]):
        save(tmp_path / f"{name}.png", flat(number))
    found = load(tmp_path, "test")
    assert (found.classes, len(found)) == (("a", "b"), 3)
    for split in ("train", "val", "train+val"):
        with pytest.raises(
            BadInput, match=r"expected images of the split '.*'; got test/ alone\. Add train/ beside it"
        ):
            load(tmp_path, split)


def test_a_given_division_that_shares_an_image_is_refused(tmp_path):
    for number, name in enumerate(["train/a/1", "train/a/2", "train/b/1", "test/a/1", "test/b/1"]):
        save(tmp_path / f"{name}.png", flat(number))
    save(tmp_path / "train" / "a" / "twin.png", flat(0))
    assert len(read_folder(tmp_path).labels) == 6
    save(tmp_path / "test" / "b" / "leak.png", flat(1))
    with pytest.raises(BadInput, match=r"share no image; got 1 in both \(first: test/b/leak\.png = train/a/2\.png\)"):
        read_folder(tmp_path)


def test_classes_may_be_called_train_when_there_is_no_test(tmp_path):
    for name in ("train", "bus"):
        save(tmp_path / name / "1.png", RANDOM.integers(0, 256, (4, 6), np.uint8))
    content = read_folder(tmp_path)
    assert content.classes == ("bus", "train")
    assert torch.equal(content.labels, torch.tensor([0, 1]))
