"""Scores against scikit-learn, on random classifications and on classes that are never met or predicted."""

import numpy as np
import torch
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import accuracy_score, confusion_matrix, precision_recall_fscore_support

from pixelproof.scores import Scores, confusion

CLASSES = 5


@given(st.lists(st.tuples(st.integers(0, CLASSES - 1), st.integers(0, CLASSES - 1)), min_size=1, max_size=60))
def test_scores_are_those_of_scikit_learn(pairs):
    labels, predicted = torch.tensor(pairs).T
    counts = confusion(labels, predicted, CLASSES)
    names = list(range(CLASSES))
    np.testing.assert_array_equal(counts.numpy(), confusion_matrix(labels, predicted, labels=names))
    scores = Scores.of(counts)
    precision, recall, f1, _ = precision_recall_fscore_support(labels, predicted, labels=names, zero_division=0)
    np.testing.assert_allclose(scores.precision.numpy(), precision)
    np.testing.assert_allclose(scores.recall.numpy(), recall)
    np.testing.assert_allclose(scores.f1.numpy(), f1)
    assert abs(scores.accuracy - accuracy_score(labels, predicted)) < 1e-12
    np.testing.assert_allclose(list(scores.macro.values()), [precision.mean(), recall.mean(), f1.mean()])


def test_nothing_classified_scores_zero():
    scores = Scores.of(torch.zeros(3, 3, dtype=torch.long))
    assert scores.accuracy == 0
    assert scores.macro == {"precision": 0.0, "recall": 0.0, "f1": 0.0}
