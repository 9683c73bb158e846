"""Reads a file of contacts: its text, its table, its columns and the verdict on each row. Pure."""
