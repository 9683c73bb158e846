"""Custom fields of an account."""
