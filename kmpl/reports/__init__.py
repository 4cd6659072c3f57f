"""Comparison of results, and reports as text, figures and pages."""
