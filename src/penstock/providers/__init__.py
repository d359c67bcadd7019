"""Where nodes come from, one module each. They say what should be so; the engine does it."""
