"""Data sets: where bytes, order, splits and the original index are owned."""

from pixelproof.data.dataset import Dataset, stratified
from pixelproof.data.loading import NAMES, Split, load
from pixelproof.data.storage import cache_folder, fetch
from pixelproof.data.unlabelled import read_images

__all__ = ["NAMES", "Dataset", "Split", "cache_folder", "fetch", "load", "read_images", "stratified"]
