"""Results compared, and shown as text, figures and pages."""
