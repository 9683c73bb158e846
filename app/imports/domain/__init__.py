"""Reads a file of contacts, in this order: its text (`encoding`), its table (`csv_reader`), its columns
(`columns`), and the verdict on each row (`row_matching`). Pure."""
