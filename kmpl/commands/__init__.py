"""The commands of ``kmpl``: one file each."""
