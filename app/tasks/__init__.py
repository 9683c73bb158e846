"""Tasks: what people and steps ask to be done about a contact."""
