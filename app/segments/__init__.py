"""Segments: saved filters. A contact is in a segment while it matches the filter."""
