"""Training images that are mirrored and shifted at random."""

from __future__ import annotations

import torch
import torch.nn.functional as F

from pixelproof.types import Images


def augment(images: Images, kind: str) -> Images:
    """Images mirrored and shifted at random, as the training settings ask; drawn from the global generator."""
    if kind in ("flip", "both"):
        mirrored = torch.rand(len(images)) < 0.5
        images = torch.where(mirrored.to(images.device).view(-1, 1, 1, 1), images.flip(3), images)
    if kind in ("shift", "both"):
        images = shift(images, images.shape[3] // 8)
    return images


def shift(images: Images, reach: int) -> Images:
    """Each image moved by up to `reach` pixels in both directions, what comes in being black."""
    height, width = images.shape[2:]
    padded = F.pad(images, (reach, reach, reach, reach))
    down, right = torch.randint(0, 2 * reach + 1, (2, len(images))).to(images.device)
    rows = (down[:, None] + torch.arange(height, device=images.device))[:, :, None]
    columns = (right[:, None] + torch.arange(width, device=images.device))[:, None, :]
    batch = torch.arange(len(images), device=images.device)[:, None, None]
    return padded.permute(0, 2, 3, 1)[batch, rows, columns].permute(0, 3, 1, 2)
