"""Workflows: the draft that people edit, its versions, and (in `domain`) the engine that moves people."""
