"""Studies: one small TOML file, its stages in order, one run folder."""

from pixelproof.results import AttackRecord, CleanRecord
from pixelproof.study.conduct import Event, conduct
from pixelproof.study.spec import PaperFigure, Study, bundled, load, parse

__all__ = ["AttackRecord", "CleanRecord", "Event", "PaperFigure", "Study", "bundled", "conduct", "load", "parse"]
