"""Attacks: how a classifier is fooled."""
