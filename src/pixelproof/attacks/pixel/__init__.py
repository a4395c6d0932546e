"""Attacks that change one pixel or a few."""
