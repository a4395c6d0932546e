"""A network that fails at a chosen call, and everything about a model that an explainer must leave as it was."""

from __future__ import annotations

from architectures import build
from torch import nn


class Broken(nn.Module):
    def __init__(self, after: int) -> None:
        super().__init__()
        self.inner = build("torchvision block (in-place ReLU used three times)").net
        self.calls, self.after = 0, after

    def forward(self, x):
        self.calls += 1
        if self.calls > self.after:
            raise KeyError("broken")
        return self.inner(x)


def state(model):
    hooks = [
        len(part._forward_hooks) + len(part._backward_hooks) + len(part._forward_pre_hooks) for part in model.modules()
    ]
    tensors = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    modes = [part.training for part in model.modules()]
    needs = [(parameter.requires_grad, parameter.grad) for parameter in model.parameters()]
    return hooks, modes, needs, [set(vars(part)) for part in model.modules()], tensors
