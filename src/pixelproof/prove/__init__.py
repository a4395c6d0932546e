"""What can be proven: that no one-pixel attack exists, or that no change within linf eps crosses interval bounds."""

from pixelproof.prove.certificate import OnePixelCertificate, certify_one_pixel
from pixelproof.prove.interval import certified, has_bounds
from pixelproof.prove.journal import Journal

__all__ = ["Journal", "OnePixelCertificate", "certified", "certify_one_pixel", "has_bounds"]
