"""What the commands in `scripts/` share. Modules that run before `.venv` exists use the standard library only."""
