"""list: attacks, detectors, defences and networks."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

from rich.text import Text

from pixelproof.cli.options import AsJson
from pixelproof.cli.screen import emit, out


def components(as_json: AsJson = False) -> None:
    """List attacks, detectors, defences and networks with their settings and defaults."""
    from pixelproof import attacks, defend, detect, models

    rows, hardening = _table(attacks.ATTACKS), _table(defend.DEFENCES)
    guards = _table({**detect.DETECTORS, **detect.SUPERVISED})
    nets = [(name, _first_line(net)) for name, net in models.NETS.items()]
    if as_json:
        emit(
            {
                "attacks": [dict(zip(("name", "settings", "about"), row, strict=True)) for row in rows],
                "detectors": [dict(zip(("name", "settings", "about"), row, strict=True)) for row in guards],
                "defences": [dict(zip(("name", "settings", "about"), row, strict=True)) for row in hardening],
                "networks": dict(nets),
            }
        )
        return
    for title, entries in (("Attacks", rows), ("Detectors", guards), ("Defences", hardening), ("Networks", nets)):
        out.print(title, style="bold")
        for entry in entries:
            out.print(Text.assemble("  ", (entry[0], "bold"), f"  {entry[-1]}"))
            if len(entry) == 3:
                out.print(f"      settings: {entry[1]}", highlight=False)


def _table(table: Mapping[str, Any]) -> list[tuple[str, str, str]]:
    """Name, settings with defaults, and first line of every component of a table."""
    rows = []
    for name, kind in table.items():
        fields = [
            field.name if field.default is dataclasses.MISSING else f"{field.name}={field.default}"
            for field in dataclasses.fields(kind)
        ]
        rows.append((name, ", ".join(fields), _first_line(kind)))
    return rows


def _first_line(thing: object) -> str:
    return (thing.__doc__ or "").strip().splitlines()[0]
