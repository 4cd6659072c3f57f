"""Tables beside what others printed: which sweep makes them, and how its report reads then."""
