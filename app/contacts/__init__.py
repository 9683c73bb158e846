"""Contacts: the list, the record, and work on many at once."""
