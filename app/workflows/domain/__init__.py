"""The pure part of the builder: lint, the draft as rows, and what a version refers to."""
