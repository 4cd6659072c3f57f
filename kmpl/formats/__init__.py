"""Labels from files: a CSV, or the names of sub-folders."""
