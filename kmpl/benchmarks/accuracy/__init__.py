"""Tables of accuracy: kmpl beside other methods and beside published numbers."""
