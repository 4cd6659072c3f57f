"""Semi-supervised image classification by K-means pseudo-labelling."""

__version__ = "0.1.0"
