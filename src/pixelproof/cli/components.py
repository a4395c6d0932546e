"""list: attacks, detectors, defences and networks."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import MISSING
from typing import Any

from rich.text import Text

from pixelproof.cli.options import AsJson
from pixelproof.cli.screen import emit, out


def components(as_json: AsJson = False) -> None:
    """List attacks, detectors, defences and networks with their settings and defaults."""
    from pixelproof import attacks, defend, detect, models

    tables = {
        "attacks": _table(attacks.ATTACKS),
        "detectors": _table({**detect.DETECTORS, **detect.SUPERVISED}),
        "defences": _table(defend.DEFENCES),
    }
    nets = {name: _first_line(net) for name, net in models.NETS.items()}
    if as_json:
        emit({**tables, "networks": nets})
        return
    for title, rows in tables.items():
        out.print(title.capitalize(), style="bold")
        for row in rows:
            out.print(Text.assemble("  ", (row["name"], "bold"), f"  {row['about']}"))
            if row["settings"]:
                out.print(f"      settings: {row['settings']}", highlight=False)
            for name, says in row["derived"].items():
                out.print(f"      {name}: {says}", highlight=False)
    out.print("Networks", style="bold")
    for name, about in nets.items():
        out.print(Text.assemble("  ", (name, "bold"), f"  {about}"))


def _table(table: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Every component of a table: name, settings with their defaults, what the others follow from, first line."""
    from pixelproof import specs

    rows = []
    for name, kind in table.items():
        settings, derived = [], {}
        for each in specs.settings(kind):
            if not each.init:
                continue
            says = specs.derivation(each)
            if says:
                derived[each.name] = says
            given = each.default is MISSING or (says and each.default is None)
            settings.append(each.name if given else f"{each.name}={specs.as_text(each.default)}")
        rows.append({"name": name, "settings": ", ".join(settings), "derived": derived, "about": _first_line(kind)})
    return rows


def _first_line(thing: object) -> str:
    return (thing.__doc__ or "").strip().splitlines()[0]
