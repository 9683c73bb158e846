"""Imports of contacts from files."""
