"""`scripts/bench list`: lists, searches and counts of an account with a million contacts, through HTTP."""
