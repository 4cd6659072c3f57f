"""Tables of time and memory."""
