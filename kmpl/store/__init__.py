"""Finished steps, kept by what determines them."""
