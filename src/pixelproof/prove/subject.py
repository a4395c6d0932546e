"""What a bound is about: which networks, their clean activations, and the margin as rows of the last dense layer."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import torch
from torch import Tensor

from pixelproof.attacks.pixel.ops import (
    Add,
    Affine,
    Conv,
    GraphStep,
    Linear,
    Mean,
    Op,
    Other,
    Pointwise,
    Pool,
    Relu,
    run,
)
from pixelproof.attacks.pixel.plan import Plan
from pixelproof.attacks.pixel.words import in_words, moves
from pixelproof.prove.linear import Weights


def unsupported(plan: Plan) -> list[str]:
    """What no bound is implemented for, in words; empty when the whole network can be bounded."""
    local, tail = ([plan.steps[at] for at in places] for places in (plan.local, plan.tail))
    names = [in_words(step) for step in local if not isinstance(step.op, Conv | Pool | Affine | Relu | Add)]
    names += ["global average pooling" for entry in plan.entries if entry.kind == "mean"]
    beyond = [step for step in tail if not isinstance(step.op, Relu | Linear)]
    names += [in_words(step) for step in sorted(beyond, key=moves) if isinstance(step.op, Mean | Pointwise | Other)]
    names = names or [in_words(step) for step in beyond]  # what only comes after one of those needs no word
    if not names and [entry.kind for entry in plan.entries] != ["linear"]:
        names.append("several ways from the image to the dense layers")
    return names


def precise(steps: Sequence[GraphStep], image: Tensor) -> list[Tensor]:
    """The clean activations computed in float64 and rounded once."""
    double = [replace(step, op=_double(step.op)) for step in steps]
    with torch.no_grad():
        return [value.float() for value in run(double, image.double())]


def _double(op: Op) -> Op:
    if isinstance(op, Conv | Linear):
        return replace(op, weight=op.weight.double(), bias=None if op.bias is None else op.bias.double())
    if isinstance(op, Affine):
        return replace(op, scale=op.scale.double(), shift=op.shift.double())
    return op


class Margin:
    """The part of a network after its last window: dense layers, ending in the differences label - rival."""

    def __init__(self, plan: Plan, label: int) -> None:
        self.plan = plan
        self.entry = plan.entries[0]
        self.label = label
        ops = [plan.steps[position].op for position in plan.tail]
        classes = plan.shapes[-1][1]
        self.rivals = [rival for rival in range(classes) if rival != label]
        unit = torch.eye(classes, dtype=torch.float64)
        difference = unit[label] - unit[self.rivals]
        last = ops.pop() if ops and isinstance(ops[-1], Linear) else None
        weight = difference if last is None else difference @ last.weight.double()  # type: ignore[union-attr]
        bias = torch.zeros(len(self.rivals), dtype=torch.float64)
        if isinstance(last, Linear) and last.bias is not None:
            bias = difference @ last.bias.double()
        self.ops: list[Op] = [*ops, Linear(weight.float(), bias.float())]
        self.weights = [Weights.of(op.weight) if isinstance(op, Linear) else None for op in self.ops]
