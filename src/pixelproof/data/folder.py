"""Reader for image folders: one subfolder per class, or these in train/, val/ and test/, or in test/ alone."""

from __future__ import annotations

import io
import struct
import zlib
from pathlib import Path

import numpy as np
import torch
from jaxtyping import UInt8
from numpy import ndarray
from PIL import Image, ImageOps, UnidentifiedImageError

from pixelproof.data.dataset import fingerprints, on_screen
from pixelproof.data.files import Content, read_bytes
from pixelproof.errors import BadInput, CorruptFile

READ = (".png", ".jpg", ".jpeg", ".webp")
REFUSED = (".bmp", ".gif", ".tif", ".tiff", ".avif", ".heic", ".jp2", ".ppm", ".pgm")
FORMATS = ("PNG", "JPEG", "WEBP")  # the content; Pillow starts other programs for some of its formats
PLACES = ("train", "val", "test")
BROKEN = (OSError, SyntaxError, ValueError, EOFError, struct.error, zlib.error, Image.DecompressionBombError)


def read_folder(folder: Path) -> Content:
    """The images under `folder`, in the order of their sorted paths; the class names are the folders' names.

    Grey images keep one channel unless some image of the folder has colour; then all are RGB. 16-bit greys are scaled
    to 8 bits, EXIF rotation is applied, opaque alpha is dropped. Raises BadInput for a layout, a size or a
    transparency that leaves a choice open, and CorruptFile (with the file's path) for an image that cannot be decoded.
    """
    tops = _subfolders(folder)
    names = [top.name for top in tops]
    given = {"train", "test"} <= set(names) <= set(PLACES) or (names == ["test"] and bool(_subfolders(tops[0])))
    if set(names) == {"train", "val"}:
        raise BadInput(str(folder), "expected test/ beside train/", "only val/", "Add test/, or rename val/ to test/.")
    if not tops:
        do = "Put the images of each class into a folder with the class's name."
        raise BadInput(str(folder), "expected one folder of images per class", "no folders", do)
    files = {top: _class_files(top) if given else {top.name: _image_files(top)} for top in tops}
    classes = tuple(files[tops[0]]) if given else tuple(names)
    if given:
        _check_same_classes(folder, {top.name: tuple(files[top]) for top in tops})
    paths = [path for top in tops for group in files[top].values() for path in group]
    labels = [classes.index(name) for top in tops for name, group in files[top].items() for _ in group]
    pixels = torch.from_numpy(stacked([decode(path) for path in paths], paths))
    found = tuple(str(path.relative_to(folder)) for path in paths)
    if not given:
        return Content(pixels, torch.tensor(labels), classes, names=found)
    places = [PLACES.index(top.name) for top in tops for group in files[top].values() for _ in group]
    _check_apart(folder, paths, fingerprints(pixels), places)
    return Content(pixels, torch.tensor(labels), classes, torch.tensor(places), found)


def decode(path: Path) -> UInt8[ndarray, "h w"] | UInt8[ndarray, "h w 3"]:
    """One image file as 8-bit grey or RGB, upright."""
    content = read_bytes(path)
    try:
        with Image.open(io.BytesIO(content), formats=FORMATS) as opened:
            opened.load()
            image = ImageOps.exif_transpose(opened)
    except UnidentifiedImageError as problem:
        do = "Its name says so; convert it to PNG, or remove the file."
        raise CorruptFile(str(path), "expected a whole image", f"no content of {', '.join(FORMATS)}", do) from problem
    except BROKEN as problem:
        got = str(problem).replace("\n", " ").rstrip(".") or type(problem).__name__
        raise CorruptFile(str(path), "expected a whole image", got, "Replace or remove the file.") from problem
    if image.mode.startswith("I"):
        # Pillow's own conversion clips 16-bit greys at 255 instead of scaling them.
        return (np.asarray(image).astype(np.float64) / 257).round().astype(np.uint8)
    grey = image.mode in ("1", "L", "LA", "La")
    if image.mode in ("LA", "La", "PA", "RGBA", "RGBa") or "transparency" in image.info:
        image = image.convert("LA" if grey else "RGBA")
        lowest = image.getchannel("A").getextrema()[0]
        if lowest != 255:
            do = "Flatten it onto the background that the model is meant to see."
            raise BadInput(str(path), "expected an opaque image", f"alpha down to {lowest}", do)
    return np.asarray(image.convert("L" if grey else "RGB"))


def _subfolders(folder: Path) -> list[Path]:
    """Visible subfolders by name; archive programs' own folders are not classes."""
    return sorted(path for path in folder.iterdir() if path.is_dir() and not path.name.startswith((".", "__MACOSX")))


def _class_files(top: Path) -> dict[str, list[Path]]:
    return {child.name: _image_files(child) for child in _subfolders(top)}


def _image_files(folder: Path) -> list[Path]:
    """The images directly in a class folder, by name; BadInput when there are none or some would be passed over."""
    entries = sorted(path for path in folder.iterdir() if not path.name.startswith((".", "__MACOSX")))
    visible = [path for path in entries if path.is_file()]
    refused = [path for path in visible if path.suffix.lower() in REFUSED]
    if refused:
        raise BadInput(str(refused[0]), f"images must be {', '.join(READ)}", refused[0].suffix, "Convert it to PNG.")
    found = [path for path in visible if path.suffix.lower() in READ]
    odd = [path for path in entries if path not in visible] if found else []
    if odd:
        kind = "folder" if odd[0].is_dir() else "pipe or device" if odd[0].exists() else "link to nothing"
        got = f"the {kind} {odd[0].name}"
        do = "Move its images into the class folder, or remove it."
        raise BadInput(str(folder), "a class folder holds its images directly", got, do)
    if not found:
        do = "Fill or remove the folder; each class folder holds its images directly."
        raise BadInput(str(folder), f"expected images ({', '.join(READ)}) of the class '{folder.name}'", "none", do)
    return found


def _check_same_classes(folder: Path, classes: dict[str, tuple[str, ...]]) -> None:
    first = "train" if "train" in classes else "test"
    for name, found in classes.items():
        if found != classes[first] or not found:
            odd = sorted(set(found) ^ set(classes[first]))
            seen = len({on_screen(one) for one in odd}) == len(odd)
            got = f"a difference in {', '.join(odd if seen else map(ascii, odd))}" if odd else "none"
            raise BadInput(
                str(folder), f"{first}/ and {name}/ must have the same class folders", got, "Make them equal."
            )


def stacked(images: list[ndarray], paths: list[Path]) -> UInt8[ndarray, "n c h w"]:
    """All images as one array; BadInput names the first that differs in size from the first of all."""
    height, width = images[0].shape[:2]
    for image, path in zip(images, paths, strict=True):
        if image.shape[:2] != (height, width):
            got = f"{image.shape[1]}×{image.shape[0]}"
            expected = f"all images must have one size, {width}×{height} as in {paths[0]}"
            raise BadInput(str(path), expected, got, "Resize them to one size first.")
    colour = any(image.ndim == 3 for image in images)
    whole = np.empty((len(images), 3 if colour else 1, height, width), np.uint8)
    for row, image in enumerate(images):
        whole[row] = image.transpose(2, 0, 1) if image.ndim == 3 else image
    return whole


def _check_apart(folder: Path, paths: list[Path], prints: list[bytes], places: list[int]) -> None:
    """Refuse a given split in which the same image lies on two sides."""
    first: dict[bytes, int] = {}
    leaks = [
        (first[mark], row) for row, mark in enumerate(prints) if places[first.setdefault(mark, row)] != places[row]
    ]
    if leaks:
        one, other = (paths[row].relative_to(folder) for row in leaks[0])
        got = f"{len(leaks)} in both (first: {one} = {other})"
        raise BadInput(
            str(folder), "train, val and test must share no image", got, "Keep each image in one place only."
        )
