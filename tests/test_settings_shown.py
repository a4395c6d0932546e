"""What is shown is what runs: settings and defaults as `list` and the live page show them, and what then runs."""

import json
from dataclasses import MISSING

import pytest
import torch
from typer.testing import CliRunner

from pixelproof import attacks, defend, detect, specs
from pixelproof.attacks.attack import used
from pixelproof.cli.main import app
from pixelproof.web.live import offer

CPU = torch.device("cpu")
TABLES = {
    "attacks": dict(attacks.ATTACKS),
    "detectors": {**detect.DETECTORS, **detect.SUPERVISED},
    "defences": dict(defend.DEFENCES),
}
KINDS = [(table, name) for table, kinds in TABLES.items() for name in kinds]
OPEN = (None, "auto", ())  # defaults that say nothing of what runs
OFFERS = {each.name: each for each in offer.offered((1, 8, 8))}


@pytest.fixture(scope="module")
def listed():
    shown = json.loads(CliRunner().invoke(app, ["list", "--json"]).stdout)
    return {(table, row["name"]): row for table in TABLES for row in shown[table]}


@pytest.mark.parametrize(("table", "name"), KINDS)
def test_every_default_is_shown_or_what_it_follows_from(listed, table, name):
    row = listed[table, name]
    shown = dict(part.partition("=")[::2] for part in row["settings"].split(", ") if part)
    assert "None" not in row["settings"]
    for each in specs.settings(TABLES[table][name]):
        if not each.init:
            continue
        if each.default is not MISSING and each.default in OPEN:
            assert row["derived"][each.name], f"{each.name}: what does it follow from?"
        elif each.default is MISSING:
            assert shown[each.name] == "", "it must be given"
        else:
            assert shown[each.name] == specs.as_text(each.default)
    assert set(row["derived"]) <= set(shown)


@pytest.mark.parametrize("name", [name for name in attacks.ATTACKS if name not in ("foolbox", "auto")])
def test_an_attack_runs_with_the_defaults_that_are_listed(listed, name):
    row = listed["attacks", name]
    needed = [each.name for each in specs.settings(attacks.ATTACKS[name]) if each.init and each.default is MISSING]
    asked = f"{name}:{','.join(f'{setting}=0.1' for setting in needed)}"
    running = used(attacks.parse(asked), CPU)
    for part in row["settings"].split(", "):
        setting, given, default = part.partition("=")
        value = getattr(running, setting)
        if setting in row["derived"]:
            nothing = row["derived"][setting].startswith("none")
            assert (value is None) == nothing
            assert setting == "executor" or value != "auto", "chosen for each image's graph, which the result names"
        elif given:
            assert specs.as_text(value) == default


@pytest.mark.parametrize("name", OFFERS)
def test_the_live_page_runs_an_attack_with_the_settings_that_it_shows(name):
    shown = OFFERS[name]
    asked = offer.asked(name, (1, 8, 8))
    written = offer.written(asked, CPU)
    ran = dict(part.partition("=")[::2] for part in written.partition(":")[2].split(",") if part)
    for setting, default in shown.settings.items():
        value = getattr(asked, setting)
        assert ("none" if value is None else specs.as_text(value)) == default
        if setting in shown.derived:
            assert (setting not in ran) == shown.derived[setting].startswith("none")
        else:
            assert ran[setting] == default
    assert set(ran) <= set(shown.settings)
    by_name = offer.asked(f"{name}:{','.join(f'{key}={value}' for key, value in shown.settings.items())}", (1, 8, 8))
    assert by_name == asked, "all settings written out are the same question"
