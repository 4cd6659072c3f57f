"""Settings: their ranges, defaults and presets."""
