"""Custom fields: the fields that an account adds to its contacts."""
