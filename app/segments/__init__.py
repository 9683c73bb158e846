"""Segments: filters that were saved under a name."""
