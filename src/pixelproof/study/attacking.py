"""The stage that attacks: every attack of a study at every budget."""

from __future__ import annotations

from collections.abc import Sequence

from pixelproof import attacks, specs
from pixelproof.attacks import Attack
from pixelproof.results import AttackRecord, catalogue
from pixelproof.study.context import Context
from pixelproof.study.spec import AttackSection


def attack(context: Context, section: AttackSection) -> None:
    """Every attack at every budget; attacks with their own eps run at that one."""
    for number, spec in enumerate(section.specs):
        own = specs.given(spec, attacks.ATTACKS, "attack").get("eps")
        chosen = specs.parse(spec, attacks.ATTACKS, "attack", {"eps": section.eps[-1]})
        if chosen.kind == "fixed":
            own = chosen.eps
        budgets = list(section.eps) if own is None else [own]
        if all(catalogue.ATTACKED.has(context.run, attack=spec, eps=eps) for eps in budgets):
            continue
        label = f"{spec.partition(':')[0]} ({number + 1} of {len(section.specs)})"
        _mount(context, chosen, budgets, spec, label)


def _mount(context: Context, attack: Attack, budgets: Sequence[float], spec: str, label: str) -> None:
    """One attack over its budgets: all in one sweep, or one by one when they are independent."""
    independent = context.study.attacks.independent
    groups = [[eps] for eps in budgets] if independent and attack.kind != "minimal" else [list(budgets)]
    for position, group in enumerate(groups):
        if all(catalogue.ATTACKED.has(context.run, attack=spec, eps=eps) for eps in group):
            continue

        def tell(done: int, total: int, position: int = position) -> None:
            context.tell(f"attack {label}", position * total + done, len(groups) * total)

        if attack.kind == "fixed":
            found = [attacks.mount(attack, context.model, context.test, seed=context.study.seed, progress=tell)]
        else:
            found = attacks.sweep(
                attack,
                context.model,
                context.test,
                group,
                independent=independent,
                seed=context.study.seed,
                progress=tell,
            )
        for adversarial, eps in zip(found, group, strict=True):
            examples = context.study.attacks.examples
            record = AttackRecord.of(adversarial, spec, examples, shared_cost=len(group) > 1)
            catalogue.ATTACKED.save(context.run, record, attack=spec, eps=eps)
