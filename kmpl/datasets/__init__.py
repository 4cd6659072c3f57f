"""Data sets: reading images and labels, the pool, the test set."""
