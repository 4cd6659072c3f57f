"""Image files as arrays, and operations on arrays of images."""
