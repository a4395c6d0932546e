"""From rows of numbers to one score: paper 1's small network, and a logistic regression; both can be differentiated."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TypeAlias

import torch
from jaxtyping import Bool, Float
from sklearn.linear_model import LogisticRegression
from torch import Tensor, nn

from pixelproof.draws import seeded
from pixelproof.types import PerImage

Rows: TypeAlias = Float[Tensor, "n d"]
Wanted: TypeAlias = Bool[Tensor, " n"]

HIDDEN = 64
BATCH = 32
RATE = 1e-3
STRENGTH = 0.3  # inverse of the l2 penalty of the logistic regression
REACH = 8.0  # standardised values stay below this, so that one unheard-of number cannot decide alone


@dataclass(frozen=True, eq=False)
class Scale:
    """Rows as logarithms of their size, standardised by the rows it was made from."""

    mean: Float[Tensor, " d"]
    std: Float[Tensor, " d"]

    @classmethod
    def of(cls, rows: Rows) -> Scale:
        """Mean and standard deviation of the logarithms; a constant column stays 0."""
        logs = signed_log(rows)
        return cls(logs.mean(0), logs.std(0).clamp_min(1e-6))

    def __call__(self, rows: Rows) -> Rows:
        """Standardised rows."""
        spread = (signed_log(rows) - self.mean.to(rows.device)) / self.std.to(rows.device)
        return soft_clamp(spread)


@dataclass(frozen=True, eq=False)
class Head:
    """A fitted network on standardised rows; its score is the logit of "attacked"."""

    scale: Scale
    net: nn.Module = field(repr=False)

    def __call__(self, rows: Rows) -> PerImage:
        """One score per row, higher = stranger."""
        score: Tensor = self.net(self.scale(rows))[:, 0]
        return score


@dataclass(frozen=True, eq=False)
class HeadHistory:
    """Accuracy per epoch on the rows that were fitted and on held-out ones (empty without any)."""

    training: Float[Tensor, " e"]
    validation: Float[Tensor, " _"]


def soft_clamp(values: Tensor) -> Tensor:
    """x / sqrt(1 + (x / REACH)^2): nearly x near 0, below REACH everywhere, and never without a slope.

    A hard cut would leave an attacker no gradient just where a detector is surest, and hide how easily it is evaded.
    """
    return values / (1 + (values / REACH).square()).sqrt()


def signed_log(rows: Rows) -> Rows:
    """sign(x) log(1 + |x|): statistics that span orders of magnitude become comparable."""
    return rows.sign() * rows.abs().log1p()


def fit_line(rows: Rows, attacked: Wanted) -> Head:
    """Logistic regression (scikit-learn), both sides weighted equally."""
    scale = Scale.of(rows)
    line = LogisticRegression(C=STRENGTH, class_weight="balanced", max_iter=2000)
    line.fit(scale(rows).numpy(), attacked.numpy())
    net = nn.Linear(rows.shape[1], 1)
    with torch.no_grad():
        net.weight.copy_(torch.from_numpy(line.coef_))
        net.bias.copy_(torch.from_numpy(line.intercept_))
    return Head(scale, net.requires_grad_(False))


def fit_network(
    rows: Rows, attacked: Wanted, *, epochs: int, rng: torch.Generator, held: tuple[Tensor, Tensor] | None = None
) -> tuple[Head, HeadHistory]:
    """Paper 1's kind of classifier: one hidden layer of 64 units, Adam, cross-entropy, `epochs` epochs.

    `held` rows are only looked at, for the history. The paper does not describe its network any further.
    """
    with seeded(int(torch.randint(2**31, (1,), generator=rng))):
        net = nn.Sequential(nn.Linear(rows.shape[1], HIDDEN), nn.ReLU(), nn.Linear(HIDDEN, 1))
    head = Head(Scale.of(rows), net)
    inputs, wanted = head.scale(rows), attacked.float()
    optimiser = torch.optim.Adam(net.parameters(), lr=RATE)
    balance = (~attacked).sum() / attacked.sum()
    training, validation = [], []
    for _ in range(epochs):
        for part in torch.split(torch.randperm(len(rows), generator=rng), BATCH):
            loss = nn.functional.binary_cross_entropy_with_logits(
                net(inputs[part])[:, 0], wanted[part], pos_weight=balance
            )
            optimiser.zero_grad(set_to_none=True)
            loss.backward()  # type: ignore[no-untyped-call]
            optimiser.step()
        training.append(accuracy(head, rows, attacked))
        if held is not None:
            validation.append(accuracy(head, *held))
    net.requires_grad_(False)
    return head, HeadHistory(torch.tensor(training), torch.tensor(validation))


def accuracy(head: Head, rows: Rows, attacked: Wanted) -> float:
    """The share of rows on the right side of even odds."""
    with torch.no_grad():
        return float(((head(rows) > 0) == attacked).float().mean())
