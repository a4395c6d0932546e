"""Scores against scikit-learn, on random classifications and on classes that are never met or predicted."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import accuracy_score, confusion_matrix, precision_recall_fscore_support

from pixelproof.errors import BadInput
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
    macro = precision_recall_fscore_support(labels, predicted, average="macro", zero_division=0)[:3]
    np.testing.assert_allclose(list(scores.macro.values()), macro)
    met = set(labels.tolist()) | set(predicted.tolist())
    for k in names:
        expected = [precision[k], recall[k], f1[k]] if k in met else [None, None, None]
        assert list(scores.of_class(k).values()) == expected


def test_five_right_answers_of_ten_classes_score_one():
    labels = torch.tensor([0, 3, 3, 7, 9])
    assert Scores.of(confusion(labels, labels, 10)).macro == {"precision": 1.0, "recall": 1.0, "f1": 1.0}


@pytest.mark.parametrize(("labels", "predicted"), [([0, 1], [0, 3]), ([3, 1], [0, 1]), ([0, -1], [0, 1])])
def test_no_cell_is_counted_under_another_class(labels, predicted):
    with pytest.raises(BadInput, match=r"must lie in 0\.\.2; got (3|-1)"):
        confusion(torch.tensor(labels), torch.tensor(predicted), 3)


def test_nothing_classified_scores_zero():
    scores = Scores.of(torch.zeros(3, 3, dtype=torch.long))
    assert scores.accuracy == 0
    assert scores.macro == {"precision": 0.0, "recall": 0.0, "f1": 0.0}
