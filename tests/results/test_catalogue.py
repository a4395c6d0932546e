"""The catalogue of results: names, what belongs to a kind, and that no other module spells a name."""

import re
from dataclasses import is_dataclass
from pathlib import Path

import pytest
import torch

from pixelproof.models import Classifier
from pixelproof.results import RESULTS, catalogue
from pixelproof.run import Run

SOURCE = Path(__file__).parents[2] / "src" / "pixelproof"


@pytest.mark.parametrize("kind", RESULTS.values(), ids=RESULTS)
def test_a_name_tells_its_kind_and_its_parts(kind):
    places = re.findall(r"\{(\w+)\}", kind.pattern)
    name = kind.name(**{place: f"{place}7" for place in places})
    assert kind.parts(name) == {place: f"{place}7" for place in places}
    assert catalogue.which(name) is kind
    assert is_dataclass(kind.kind) or kind.kind in (Classifier, catalogue.INDEX.kind)
    assert kind.about.endswith(".")


def test_patterns_are_different():
    shapes = [re.sub(r"\{\w+\}", "{}", kind.pattern) for kind in RESULTS.values()]
    assert len(set(shapes)) == len(shapes)


def test_a_record_is_saved_listed_and_found_by_its_parts(tmp_path):
    run = Run.create(tmp_path, {"name": "x"})
    table = catalogue.ROWS.kind({"clean": torch.arange(3.0)})
    assert catalogue.ROWS.find(run, space="pixels") is None
    catalogue.ROWS.save(run, table, space="pixels")
    catalogue.ROWS.save(run, table, space="top row")
    assert catalogue.ROWS.names(run) == ["signatures/rows/pixels", "signatures/rows/top-row"]
    assert [len(each.rows["clean"]) for each in catalogue.ROWS.all(run)] == [3, 3]
    assert torch.equal(catalogue.ROWS.load(run, space="top row").rows["clean"], torch.arange(3.0))
    assert catalogue.TWINS.names(run) == []


def test_a_mask_on_at_test_is_another_kind_of_result():
    name = catalogue.audits(mask_on=True).name(net="mlp", row="masked 30 %")
    assert name == "defences/audit/mlp/masked-30---mask-on"
    assert catalogue.which(name) is catalogue.AUDITS_MASKED


def test_budgets_are_written_with_six_digits():
    assert catalogue.ATTACKED.name(attack="pgd:steps=4", eps=8 / 255) == "attack/pgd-steps-4/eps-0.0313725"
