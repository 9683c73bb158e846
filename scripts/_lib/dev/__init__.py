"""What the commands share. Modules that run before `.venv` exists use the standard library only."""
