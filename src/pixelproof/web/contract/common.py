"""What several answers share."""

from pixelproof.views.answer import Answer, Atlas, Estimate, Missing, Numbers, Rate, Refusal

__all__ = ["Answer", "Atlas", "Estimate", "Missing", "Numbers", "Rate", "Refusal"]
