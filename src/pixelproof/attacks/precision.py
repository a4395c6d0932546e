"""In which precision gradients are taken: float32, bfloat16, or what suits the device."""

from __future__ import annotations

from typing import Literal

import torch

from pixelproof.models import native_bf16

Precision = Literal["auto", "float32", "bf16"]


def settled(precision: Precision, device: torch.device) -> Precision:
    """The precision of the gradients on a device: what "auto" means there."""
    return "bf16" if in_half(precision, device) else "float32"


def in_half(precision: Precision, device: torch.device) -> bool:
    """Whether gradients are to be taken in bfloat16: always, never, or ("auto") where the processor has it."""
    return precision == "bf16" or (precision == "auto" and native_bf16(device))
