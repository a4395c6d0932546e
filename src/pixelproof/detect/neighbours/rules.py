"""How the layers' answers become one score."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, TypeAlias

import numpy as np
import torch
from jaxtyping import Float
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score
from torch import Tensor

from pixelproof.errors import BadInput
from pixelproof.types import PerImage

RuleName: TypeAlias = Literal["composed", "any", "majority", "weighted", "logistic", "credibility"]
Strangers: TypeAlias = Float[Tensor, "n spaces"]

BETWEEN = 0.75  # a count c plus up to one half lies below t + 0.75 exactly when c <= t


@dataclass(frozen=True, eq=False)
class Rule:
    """A linear scale per layer (the last column is the composed layer) and how the columns are joined.

    With `thresholds` the scale is the distance from them in shares of k, so that a score above 0 is an alarm of the
    rule; else it is standard deviations above what reference images have. For "logistic" and "weighted" the columns
    are summed with `weights`.
    """

    name: RuleName
    centre: Float[Tensor, " spaces"]
    spread: Float[Tensor, " spaces"]
    weights: Float[Tensor, " spaces"]
    thresholds: tuple[int, ...] | None = None

    def score(self, strangers: Strangers) -> PerImage:
        """One score per image: higher is stranger."""
        scaled = (strangers - self.centre) / self.spread
        layers = scaled[:, :-1]
        if self.name == "any":
            return layers.amax(1)
        if self.name == "majority":  # more than half of the layers lie at or above this value
            return layers.sort(1, descending=True).values[:, layers.shape[1] // 2]
        if self.name in ("weighted", "logistic"):
            return (scaled * self.weights).sum(1)
        return scaled[:, -1]


def learn(
    name: RuleName,
    reference: Strangers,
    attacked: Float[Tensor, "m spaces"] | None,
    thresholds: tuple[int, ...] | None,
    k: tuple[int, ...],
) -> Rule:
    """The rule, scaled on clean reference images and, where it needs them, weighted by successful attacks.

    "weighted": each layer by 2 AUROC - 1 on the attacks (at least 0), equally without attacks. "logistic": a logistic
    regression of attacks against reference images; raises BadInput without attacks.
    """
    spaces = reference.shape[1]
    centre, spread = reference.mean(0), reference.std(0).clamp_min(1e-6)
    if thresholds is not None:
        centre, spread = torch.tensor(thresholds) + BETWEEN, torch.tensor(k).float()
    weights = torch.zeros(spaces)
    weights[:-1] = 1.0
    if name == "logistic" and attacked is None:
        expected = "rule 'logistic' learns from successful adversarial images"
        raise BadInput("neighbours", expected, "none", "Pass an attack's result, or use another rule.")
    if attacked is not None and name in ("weighted", "logistic"):
        table = ((torch.cat([reference, attacked]) - centre) / spread).numpy()
        truth = np.r_[np.zeros(len(reference)), np.ones(len(attacked))]
        if name == "logistic":
            fitted = LogisticRegression(class_weight="balanced", max_iter=1000).fit(table, truth)
            weights = torch.tensor(fitted.coef_[0], dtype=torch.float32)
        else:
            worth = [max(2 * roc_auc_score(truth, column) - 1, 0.0) for column in table.T[:-1]]
            weights[:-1] = torch.tensor(worth if any(worth) else [1.0] * (spaces - 1), dtype=torch.float32)
    return Rule(name, centre, spread, weights, thresholds)
