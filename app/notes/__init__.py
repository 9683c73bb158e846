"""Notes: what people and steps write down about a contact."""
