"""The jobs of commands and flows: a sweep, a study, the labelling of a folder, prediction."""
