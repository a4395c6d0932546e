"""What an examination fits on and judges on: by image, successes only, and noise left out where it says so."""

import pytest
import torch

from pixelproof.detect.evaluation.noise import KINDS
from pixelproof.measure.signature_detectors import (
    CLEAN,
    FIT,
    JUDGE,
    OTHERS,
    Candidate,
    Examination,
    Split,
    fitting_rows,
    twin,
)
from pixelproof.results import RowTable

N = 180
ATTACKS = ("a", "b")


def case():
    """Rows that say what they are: column 0 the state's number, column 1 the image, column 2 a useful score."""
    states = [CLEAN, *ATTACKS, *(twin(kind, attack) for attack in ATTACKS for kind in KINDS)]
    generator = torch.Generator().manual_seed(0)
    rows = {}
    for number, state in enumerate(states):
        strength = 2.0 if state in ATTACKS else 0.0
        score = strength + torch.randn(N, generator=generator)
        rows[state] = torch.stack([torch.full((N,), float(number)), torch.arange(N).float(), score], 1)
    part = torch.arange(N) % 3
    success = {"a": torch.arange(N) % 5 != 0, "b": torch.arange(N) % 7 != 0}
    return states, RowTable(rows), Split(part, success)


def examined(noise, *, sign=1.0, fitted=True):
    states, table, split = case()
    seen = []

    def fit(rows, wanted, held):
        seen.append((rows, wanted))
        return (lambda asked: sign * asked[:, 2]), None

    record = Examination("a", 0.05, 0)(Candidate("toy", fit, noise, fitted), table, split)
    return states, split, seen, record


def test_only_fitting_images_and_successes_are_fitted_on():
    states, split, seen, record = examined(("sign", "shuffled"))
    assert len(seen) == 3 * len(ATTACKS)
    for rows, wanted in seen:
        assert (split.part[rows[:, 1].long()] == FIT).all()
        number = rows[:, 0].unique().tolist()
        (attack,) = (name for name in ATTACKS if states.index(name) in number)
        assert torch.equal(wanted, rows[:, 0] == states.index(attack))
        noisy = rows[rows[:, 0] > len(ATTACKS)]
        assert split.success[attack][noisy[:, 1].long()].all()
        assert split.success[attack][rows[wanted][:, 1].long()].all()
    assert record.judged.tolist() == [int((split.success[a] & (split.part == JUDGE)).sum()) for a in ATTACKS]


def test_noise_that_is_judged_on_is_left_out_of_the_fit():
    states, _, seen, _ = examined(("sign", "shuffled"))
    kinds = []
    for rows, _ in seen:
        names = [states[int(number)] for number in rows[:, 0].unique()]
        kinds.append({kind for kind in KINDS if any(name.startswith(kind) for name in names)})
    assert kinds == [{"sign", "shuffled"}] * 2 + [{"sign"}] * 2 + [set(OTHERS)] * 2


def test_means_are_those_of_the_matrices():
    _, _, _, record = examined(("sign",))
    off = ~torch.eye(2, dtype=torch.bool)
    for key, matrix in record.against.items():
        assert float(record.cross[key]) == pytest.approx(float(matrix[off].mean()), abs=1e-6)
        assert record.cross[key].low < float(record.cross[key]) < record.cross[key].high
    four = torch.stack([record.against[kind][off] for kind in KINDS]).mean()
    assert float(record.cross["noise"]) == pytest.approx(float(four), abs=1e-6)
    assert 0.85 < float(record.cross["left out"]) < 1


def test_only_unfitted_numbers_are_turned_around():
    _, _, _, fitted = examined((), sign=-1.0)
    _, _, _, plain = examined((), sign=-1.0, fitted=False)
    assert float(fitted.cross["left out"]) < 0.15
    assert float(plain.cross["left out"]) == pytest.approx(1 - float(fitted.cross["left out"]))
    assert float(plain.figures_noise.auroc) == pytest.approx(1 - float(fitted.figures_noise.auroc))
    assert float(plain.cross["clean"]) > 0.85


def test_a_detector_that_sees_no_noise_is_fitted_once_per_attack():
    _, _, seen, record = examined(())
    assert len(seen) == len(ATTACKS)
    assert record.noise == ()


def test_a_single_attack_has_no_pairs():
    _, table, split = case()
    alone = Split(split.part, {"a": split.success["a"]})
    record = Examination("a", 0.05, 0)(Candidate("toy", lambda *_: (lambda asked: asked[:, 2], None)), table, alone)
    assert record.cross == {}
    assert record.against["left out"].shape == (1, 1)


def test_the_rows_of_a_fit_are_those_of_the_guard():
    _, table, split = case()
    rows, wanted = fitting_rows(table, split, "a", ("sign",))
    assert int(wanted.sum()) == int((split.success["a"] & (split.part == FIT)).sum())
    assert len(rows) == int((split.part == FIT).sum()) + 2 * int(wanted.sum())
