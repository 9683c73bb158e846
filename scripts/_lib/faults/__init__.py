"""`scripts/faults`: real processes, a seeded killer, and a sink that is the judge."""
