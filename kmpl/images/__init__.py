"""Image files → arrays, and what is done to arrays of images."""
