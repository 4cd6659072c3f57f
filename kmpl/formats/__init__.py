"""Label files → labels."""
