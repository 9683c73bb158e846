"""Set-based SQL of the engine and of heavy screens. A constant is a statement and is named for what the
statement does."""
