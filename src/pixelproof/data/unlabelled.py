"""Images to be judged: a file, a folder of files, or an archive; labels are neither needed nor read."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from jaxtyping import UInt8
from torch import Tensor

from pixelproof.data.files import check_plain, read_arrays
from pixelproof.data.folder import READ, decode, stacked
from pixelproof.errors import BadInput


def read_images(path: str | Path, *, channels: int | None = None) -> tuple[UInt8[Tensor, "n c h w"], tuple[str, ...]]:
    """8-bit images and a name for each: of one picture, of every picture under a folder, or of `images` in an .npz.

    With `channels` 3, grey images are repeated into three channels, as they are among colour ones.

    Floats in an archive, as `pixelproof attack --save` writes them (n, c, h, w), are rounded to 8 bits. Raises BadInput
    when there is nothing to read, and CorruptFile for what cannot be decoded; nothing is unpickled.
    """
    path = Path(path).expanduser()
    if not path.exists():
        expected = "expected a picture, a folder of pictures or an .npz file"
        raise BadInput("images", expected, f"'{path}', which is not there", "Check the path.")
    if not path.is_dir():
        check_plain(path, "images")
    if path.suffix == ".npz":
        pixels = _archive(path)
        names = tuple(f"{path.name}[{row}]" for row in range(len(pixels)))
    else:
        files = [path] if path.is_file() else sorted(one for one in path.rglob("*") if one.suffix.lower() in READ)
        if not files or files[0].suffix.lower() not in READ:
            raise BadInput(str(path), f"expected pictures ({', '.join(READ)})", "none", "Convert them to PNG.")
        names = tuple(str(one.relative_to(path)) if path.is_dir() else one.name for one in files)
        pixels = torch.from_numpy(stacked([decode(one) for one in files], files))
    return pixels.repeat(1, 3, 1, 1) if channels == 3 and pixels.shape[1] == 1 else pixels, names


def _archive(path: Path) -> UInt8[Tensor, "n c h w"]:
    found = read_arrays(path, ("images",))[0].get("images")
    if found is None or found.ndim not in (3, 4) or not found.size:
        got = "no array 'images'" if found is None else f"shape {found.shape}"
        raise BadInput(str(path), "expected 'images': uint8 n×h×w(×c), or floats n×c×h×w in [0, 1]", got)
    if np.issubdtype(found.dtype, np.floating) and found.ndim == 4:
        values = torch.from_numpy(found)
        if not (torch.isfinite(values).all() and values.min() >= 0 and values.max() <= 1):
            raise BadInput(str(path), "float images must lie in [0, 1]", "other values", "Divide by 255 first.")
        return (values * 255).round().to(torch.uint8)
    if found.dtype != np.uint8:
        raise BadInput(str(path), "images must be uint8, or floats n×c×h×w in [0, 1]", found.dtype)
    pixels = found[..., None] if found.ndim == 3 else found
    if pixels.shape[3] not in (1, 3):
        raise BadInput(str(path), "uint8 images must be n×h×w or n×h×w×c with 1 or 3 channels", f"shape {found.shape}")
    return torch.from_numpy(np.ascontiguousarray(pixels.transpose(0, 3, 1, 2)))
