"""Nearest training images: which layers, how their activations are kept and searched, and what is counted from them."""
