"""pixelproof: how is an image classifier fooled, why, can we notice, can we resist — with evidence.

Importing this package runs nothing; the submodules (`data`, `models`, `attacks`, ...) are imported where they are used.
"""

from importlib.metadata import version

__version__ = version("pixelproof")
