"""Audits of a run's classifier: folders that `pixelproof audit ... --out RUN/NAME` wrote into the run's own."""

from __future__ import annotations

from pydantic import Field

from pixelproof import specs
from pixelproof.errors import CorruptFile, RunError
from pixelproof.run import Run
from pixelproof.views.answer import Answer, Lacking
from pixelproof.views.open_run import OpenRun


class Audited(Answer):
    """What an audit said of this classifier at one norm and budget."""

    norm: str = Field(description="Of the budget.")
    eps: float = Field(description="The budget in that norm.")
    seed: int = Field(description="That the audit's random numbers were drawn with.")
    verdict: str = Field(description="In one sentence.")
    believable: bool = Field(description="Whether no red flag blocks the bound.")


def audits(opened: OpenRun) -> tuple[Audited, ...]:
    """Every finished audit of this very classifier, by norm and budget; Lacking where there is none.

    Lacking as well where one of them does not say whether its bound is believable: a verdict left out would mislead.
    """
    found, older = [], []
    for path in sorted(opened.run.folder.glob("*/spec.json")):
        try:
            run = Run.open(path.parent)
        except (RunError, CorruptFile):
            continue
        spec, facts = run.spec, run.facts
        if spec.get("command") == "audit" and spec.get("model") == opened.clean.digest and "verdict" in facts:
            if "believable" in facts:
                where = {key: spec[key] for key in ("norm", "eps", "seed")}
                found.append(Audited(**where, verdict=str(facts["verdict"]), believable=bool(facts["believable"])))
            else:
                older.append(path.parent.name)
    if older:
        why = f"An older version kept {', '.join(older)} without whether the bound is believable."
        raise Lacking("audit", why, "Repeat its command with another --out.")
    if not found:
        raise _lacking(opened)
    return tuple(sorted(found, key=lambda each: (each.norm, each.eps)))


def _lacking(opened: OpenRun) -> Lacking:
    spec = opened.run.spec
    guards = spec.get("guards") or {}
    eps = max(spec["attacks"]["eps"], default=0.1) if spec["attacks"]["specs"] else guards.get("eps", 0.1)
    name, given = spec["data"]["name"], specs.decimal(eps)
    command = f"pixelproof audit RUN/model.safetensors {name} --eps {given} --out RUN/audit"
    add = f"Run '{command}', RUN being this run's folder."
    return Lacking("audit", "No audit of this classifier lies in the run.", add)
