"""The report as one self-contained HTML file."""

from __future__ import annotations

import base64
from collections.abc import Sequence

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from pixelproof.report.draw import inline
from pixelproof.report.page import Figure, Picture, ReportSection
from pixelproof.views.commands import CommandAnswer
from pixelproof.views.overview import Overview


def html(facts: Overview | CommandAnswer, sections: Sequence[ReportSection]) -> str:
    """The page: everything that comes from a run is escaped, everything it shows is inside it."""
    environment = Environment(
        loader=PackageLoader("pixelproof", "report"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["svg"] = _svg
    environment.filters["address"] = _address
    template = environment.get_template("template.html.j2")
    n = facts.n if isinstance(facts, CommandAnswer) else facts.clean_accuracy.n
    return template.render(facts=facts, n=n, sections=sections)


def _svg(figure: Figure) -> Markup:
    """Inline SVG; matplotlib has escaped every text in it."""
    return Markup(inline(figure))


def _address(picture: Picture) -> str:
    """A PNG as a data address."""
    return "data:image/png;base64," + base64.b64encode(picture.png).decode()
