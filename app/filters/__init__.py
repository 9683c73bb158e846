"""The filter language: `ast` defines it, `evaluate` compiles it to Python, `db.filters` to SQL."""
