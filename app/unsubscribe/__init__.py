"""The unsubscribe link of emails: the worker writes it, and it opens without signing in."""
