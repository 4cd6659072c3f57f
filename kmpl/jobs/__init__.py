"""What a command or a flow does: a sweep, a study, a folder labelled."""
