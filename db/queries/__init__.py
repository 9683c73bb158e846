"""Set-based SQL of the engine and of heavy screens."""
