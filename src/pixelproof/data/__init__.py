"""Data sets: where bytes, order, splits and the original index are owned."""

from pixelproof.data.dataset import Dataset, stratified

__all__ = ["Dataset", "stratified"]
