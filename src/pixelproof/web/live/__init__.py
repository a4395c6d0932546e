"""The live page's work: judge an image, attack it where somebody watches, take an upload. Nothing of it is kept."""
