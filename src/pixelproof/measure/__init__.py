"""Numbers, made apart from the code they judge."""

from pixelproof.measure.records import AttackRecord, CleanRecord

__all__ = ["AttackRecord", "CleanRecord"]
