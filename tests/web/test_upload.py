"""Uploads: every kind of picture fits, and everything that is none is refused before it can do harm."""

import io
import struct
import zlib

import numpy as np
import pytest
import torch
from PIL import Image

from pixelproof.errors import BadInput
from pixelproof.web.live.upload import BYTES, PIXELS, TooLarge, WrongType, picture

RGB, GREY = (3, 32, 32), (1, 8, 8)


def saved(image, kind="PNG", **settings):
    buffer = io.BytesIO()
    image.save(buffer, format=kind, **settings)
    return buffer.getvalue()


def gradient(width=32, height=32):
    """A picture whose red grows to the right and whose green grows downwards."""
    red, green = np.meshgrid(np.linspace(0, 255, width), np.linspace(0, 255, height))
    return Image.fromarray(np.stack([red, green, np.zeros_like(red)], 2).round().astype(np.uint8))


def header(width, height):
    """A PNG that claims a size and holds nothing."""
    body = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    chunk = struct.pack(">I", len(body)) + b"IHDR" + body + struct.pack(">I", zlib.crc32(b"IHDR" + body))
    data = zlib.compress(b"\0" * 1000)
    idat = struct.pack(">I", len(data)) + b"IDAT" + data + struct.pack(">I", zlib.crc32(b"IDAT" + data))
    return b"\x89PNG\r\n\x1a\n" + chunk + idat + b"\0\0\0\0IEND\xaeB`\x82"


@pytest.mark.parametrize("kind", ["PNG", "BMP", "GIF", "WEBP", "JPEG"])
def test_every_format_keeps_its_content(kind):
    settings = {"lossless": True} if kind == "WEBP" else {"quality": 100, "subsampling": 0} if kind == "JPEG" else {}
    source = gradient()
    found = picture(saved(source, kind, **settings), RGB)
    expected = torch.from_numpy(np.asarray(source).copy()).permute(2, 0, 1) / 255
    exact = kind in ("PNG", "BMP", "WEBP")
    assert torch.equal(found.image, expected) if exact else (found.image - expected).abs().max() < 0.15
    assert (found.format, found.was) == (kind, (32, 32))


def test_the_largest_centred_square_is_averaged():
    wide = Image.new("RGB", (96, 64), "black")
    wide.paste("white", (16, 0, 80, 64))
    assert picture(saved(wide), RGB).image.min() == 1
    fine = np.indices((64, 64)).sum(0) % 2 * 255
    assert picture(saved(Image.fromarray(fine.astype(np.uint8))), RGB).image.unique().tolist() == pytest.approx(
        [0.5], abs=0.01
    )


def test_colour_becomes_grey_for_one_channel_and_grey_becomes_colour_for_three():
    found = picture(saved(Image.new("RGB", (8, 8), (255, 0, 0))), GREY)
    assert found.image.unique().tolist() == pytest.approx([0.299], abs=0.005)
    assert any("luminance" in note for note in found.notes)
    assert picture(saved(Image.new("L", (8, 8), 51)), RGB).image.unique().tolist() == pytest.approx([0.2])


@pytest.mark.parametrize(("turn", "corner"), [(1, (0, 0)), (3, (-1, -1)), (6, (0, -1)), (8, (-1, 0))])
def test_cameras_that_were_turned_are_turned_back(turn, corner):
    image = Image.new("RGB", (32, 32), "black")
    image.paste("white", (0, 0, 8, 8))
    exif = Image.Exif()
    exif[0x0112] = turn
    found = picture(saved(image, "PNG", exif=exif), RGB).image
    assert found[0][corner] == 1
    assert found.mean() < 0.1


def test_sixteen_bits_are_scaled():
    deep = Image.fromarray(np.full((8, 8), 32768, dtype=np.uint16))
    found = picture(saved(deep), GREY)
    assert found.image.unique().tolist() == pytest.approx([128 / 255], abs=0.003)
    assert any("16-bit" in note for note in found.notes)


def test_palettes_and_transparency_are_laid_over_white():
    palette = Image.new("P", (8, 8), 1)
    palette.putpalette([0, 0, 0, 255, 0, 0] + [0] * 762)
    assert picture(saved(palette), RGB).image[:, 0, 0].tolist() == [1, 0, 0]
    clear = picture(saved(palette, transparency=1), RGB)
    assert clear.image.min() == 1
    assert any("Transparent" in note for note in clear.notes)
    assert picture(saved(Image.new("RGBA", (8, 8), (0, 0, 0, 0))), RGB).image.min() == 1
    assert picture(saved(Image.new("LA", (8, 8), (0, 255))), GREY).image.max() == 0
    assert picture(saved(Image.new("1", (8, 8), 1)), GREY).image.min() == 1
    assert picture(saved(Image.new("CMYK", (8, 8), (0, 0, 0, 0)), "JPEG"), RGB).image.min() > 0.95


def test_only_the_first_frame_is_used():
    frames = [Image.new("L", (8, 8), level) for level in (0, 255)]
    found = picture(saved(frames[0], "GIF", save_all=True, append_images=frames[1:]), GREY)
    assert found.image.max() == 0
    assert any("first frame" in note for note in found.notes)


@pytest.mark.parametrize("size", [(100_000, 100_000), (PIXELS, 2), (2**31 - 1, 2**31 - 1), (9000, 9000)])
def test_bombs_are_refused_before_they_are_unpacked(size):
    with pytest.raises(TooLarge, match="pixels"):
        picture(header(*size), RGB)


def test_large_files_are_refused():
    with pytest.raises(TooLarge, match="10 MiB"):
        picture(b"\x89PNG" + b"\0" * BYTES, RGB)


@pytest.mark.parametrize(
    "content", [b"", b"hello", b"%PDF-1.4", b"\x80\x04\x95pickle", b"<svg xmlns='x'/>", b"II*\0tiff"]
)
def test_other_files_are_refused(content):
    with pytest.raises(WrongType, match="expected a picture"):
        picture(content, RGB)


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "GIF", "BMP", "WEBP"])
def test_truncated_files_are_refused(kind):
    noise = Image.fromarray(np.random.default_rng(0).integers(0, 256, (64, 64, 3), dtype=np.uint8))
    whole = saved(noise, kind)
    for share in (0.1, 0.5, 0.9):
        with pytest.raises(BadInput):
            picture(whole[: int(share * len(whole))], RGB)


def sealed(content):
    """A PNG with the checksum of every chunk made right again, so that damage reaches the decoder."""
    out, at = content[:8], 8
    while at + 12 <= len(content):
        size = struct.unpack(">I", content[at : at + 4])[0]
        body = content[at + 4 : at + 8 + size]
        out += content[at : at + 4] + body + struct.pack(">I", zlib.crc32(body))
        at += 12 + size
    return out


def damaged(content, rng):
    """A few bytes changed, taken away or put in, more often near the beginning."""
    found = bytearray(content)
    for _ in range(rng.integers(1, 8)):
        at = int(rng.integers(min(len(found), 200 if rng.random() < 0.6 else len(found))))
        how = rng.integers(3)
        few = rng.integers(0, 256, rng.integers(1, 9), dtype=np.uint8).tobytes()
        found[at : at + (1, len(few), 0)[how]] = (few[:1], b"", few)[how]
    return bytes(found)


@pytest.mark.parametrize("kind", ["PNG", "palette", "deep", "JPEG", "GIF", "frames", "BMP", "WEBP"])
def test_damaged_files_are_pictures_or_refused_and_never_a_fault(kind):
    rng = np.random.default_rng(0)
    noise = Image.fromarray(rng.integers(0, 256, (24, 24, 3), dtype=np.uint8))
    exif = Image.Exif()
    exif[0x0112], exif[0x010E] = 6, "a description"
    whole = {
        "PNG": lambda: saved(noise, exif=exif),
        "palette": lambda: saved(noise.convert("P"), transparency=1),
        "deep": lambda: saved(Image.fromarray(rng.integers(0, 65536, (9, 9), dtype=np.uint16))),
        "JPEG": lambda: saved(noise, "JPEG", exif=exif),
        "frames": lambda: saved(noise, "GIF", save_all=True, append_images=[noise.rotate(90)]),
        "WEBP": lambda: saved(noise, "WEBP", lossless=True, exif=exif),
    }.get(kind, lambda: saved(noise, kind))()
    taken = 0
    for _ in range(400):
        content = damaged(whole, rng)
        try:
            found = picture(sealed(content) if whole.startswith(b"\x89PNG") else content, RGB)
        except BadInput:
            continue
        taken += 1
        assert found.image.shape == RGB
        assert 0 <= found.image.min() <= found.image.max() <= 1
    assert taken < 400


def test_a_decoders_own_fault_is_a_refusal(monkeypatch):
    """Pillow's GIF reader raises IndexError on some damaged files; no decoder's exception may become a fault."""

    def fail(*_):
        raise IndexError("index out of range")

    monkeypatch.setattr(Image.Image, "load", fail)
    with pytest.raises(BadInput, match="must be whole"):
        picture(header(8, 8), RGB)


def test_classifiers_of_other_channels_take_no_pictures():
    with pytest.raises(BadInput, match="4 channels"):
        picture(saved(gradient()), (4, 8, 8))


@pytest.mark.parametrize(
    ("content", "status"),
    [(header(99_999, 99_999), 413), (b"x" * (BYTES + 1), 413), (b"text", 415), (saved(gradient())[:99], 400)],
    ids=["bomb", "large", "text", "truncated"],
)
def test_the_route_says_what_is_wrong(client, content, status):
    answer = client.post("/api/runs/explored/live/upload", content=content)
    assert answer.status_code == status
    assert answer.json()["error"].startswith("upload: ")


def test_an_upload_can_be_judged_and_is_not_kept(client, tmp_path):
    found = client.post("/api/runs/explored/live/upload", content=saved(gradient(50, 30))).json()
    assert found["was"] == [50, 30]
    judged = client.post(
        "/api/runs/explored/live/judge", json={"session": "up", "sequence": 0, "pixels": found["pixels"]}
    )
    assert judged.status_code == 200
