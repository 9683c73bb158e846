"""What the builder reads (`inputs`) and what it shows (`pages`)."""
