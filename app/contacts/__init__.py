"""Contacts: the list, the contact page, and bulk edits."""
