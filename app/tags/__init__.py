"""Tags of an account."""
