"""The JSON that the builder reads (`inputs`) and returns (`pages`, `publication`)."""
