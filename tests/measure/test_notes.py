"""What an attack notes of how it went is said everywhere: in sets, evaluations, records, reports and JSON."""

import html
import json

import pytest
import torch
from torch import nn

from pixelproof import measure, report, views
from pixelproof.attacks import APGD, FGSM, PGD, Auto, Square, mount
from pixelproof.attacks.gradient_pass import FLAT, VANISHED
from pixelproof.attacks.watch import RESCALED
from pixelproof.cli.evaluate_shown import show
from pixelproof.data import Dataset
from pixelproof.models import wrap
from pixelproof.report.commands.bounds import evaluation_sections
from pixelproof.report.page import Prose
from pixelproof.results import AttackRecord, catalogue
from pixelproof.run import Run
from pixelproof.views import OpenRun
from pixelproof.views.commands.evaluated import evaluated
from tiny_runs import forge

PGD5 = PGD(0.02, steps=5, precision="float32")


def saturated(scale):
    """A linear network whose margins are some `scale`, and images that it gets right."""
    generator = torch.Generator().manual_seed(0)
    dense = nn.Linear(16, 3)
    with torch.no_grad():
        dense.weight.copy_(scale * torch.randn(3, 16, generator=generator))
        dense.bias.copy_(-dense.weight.sum(1) / 2)
    model = wrap(nn.Sequential(nn.Flatten(), dense), classes=3, input_shape=(1, 4, 4)).eval()
    images = 0.3 + 0.4 * torch.rand(60, 1, 4, 4, generator=generator)
    return model, Dataset("toy", images, model.predict(images).argmax(1), model.card.classes)


@pytest.mark.parametrize(("attack", "noted"), [(PGD5, True), (APGD(0.02, steps=5), True), (Square(0.02), False)])
def test_an_attack_says_that_the_margin_took_over(attack, noted):
    assert (VANISHED in mount(attack, *saturated(30.0)).notes) == noted
    assert VANISHED not in mount(attack, *saturated(1.0)).notes


def test_losses_that_cannot_vanish_say_nothing():
    model, toy = saturated(30.0)
    assert VANISHED not in mount(APGD(0.02, steps=5, loss="dlr"), model, toy).notes
    assert VANISHED not in mount(PGD5, model, toy, targets=(toy.labels + 1) % 3).notes


@pytest.mark.parametrize(("scale", "note"), [(30.0, VANISHED), (1e-5, RESCALED)])
def test_evaluations_keep_and_report_what_their_parts_noted(scale, note, tmp_path):
    model, toy = saturated(scale)
    run = Run.create(tmp_path / "run", {"command": "evaluate"})
    found = measure.evaluate(model, toy, Auto(0.02), run=run)
    assert note in found.notes
    assert note in run.load("evaluation", measure.Evaluation).notes
    assert measure.evaluate(model, toy, Auto(0.02), run=run).notes == found.notes  # taken up where it stopped
    assert note in evaluated(found).notes
    text = "".join(
        block.text for each in evaluation_sections(evaluated(found)) for block in each.blocks if prose(block)
    )
    assert f"Noted: {note}." in text


def prose(block):
    return isinstance(block, Prose)


def test_studies_keep_and_report_what_their_attacks_noted(tmp_path):
    found = mount(PGD5, *saturated(30.0))
    run = forge(tmp_path / "run")
    record = AttackRecord.of(found, "pgd", 5, shared_cost=False)
    catalogue.ATTACKED.save(run, record, attack="pgd", eps=0.1)
    assert catalogue.ATTACKED.load(run, attack="pgd", eps=0.1).notes == (VANISHED,)
    (row,) = [row for row in views.robustness(OpenRun(run, "run")).rows if row.notes]
    assert row.notes == (VANISHED,)
    assert f"Noted by pgd: {VANISHED}." in html.unescape(report.write(run).read_text())
    assert VANISHED in (run.folder / "tables" / "robustness.csv").read_text()


def test_the_command_says_it(tmp_path, capsys):
    model, toy = saturated(30.0)
    found = measure.evaluate(model, toy, Auto(0.02))
    answer = evaluated(found)
    assert VANISHED in json.loads(answer.model_dump_json())["notes"]
    show(answer)
    assert "note: the cross-entropy" in capsys.readouterr().out


class Rounds(nn.Module):
    def forward(self, x):
        return (16 * x).round() / 16


def test_an_attack_that_has_no_gradient_to_follow_says_so():
    model, toy = saturated(1.0)
    flat = wrap(nn.Sequential(Rounds(), model.net), classes=3, input_shape=(1, 4, 4)).eval()
    data = Dataset("toy", toy.images, flat.predict(toy.images).argmax(1), flat.card.classes)
    for attack in (PGD5, APGD(0.02, steps=5), FGSM(0.02)):
        assert FLAT in mount(attack, flat, data).notes
        assert FLAT not in mount(attack, model, toy).notes
