"""What a file of contacts means: its text, its table, its columns and the verdict on each row."""
