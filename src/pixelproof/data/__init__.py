"""Data sets: where bytes, order, splits and the original index are owned."""

from pixelproof.data.dataset import Dataset, stratified
from pixelproof.data.sources import cache_folder, load

__all__ = ["Dataset", "cache_folder", "load", "stratified"]
