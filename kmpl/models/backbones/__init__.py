"""Backbones: networks that learnt elsewhere, whose features are clustered as they are."""
