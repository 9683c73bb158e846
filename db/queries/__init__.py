"""Set-based SQL of the engine and of heavy screens. Constants are statements, named by what they do."""
