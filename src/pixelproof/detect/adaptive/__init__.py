"""Attacks that know the detector: a detector is worth what is left of it here."""
