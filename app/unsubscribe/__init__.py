"""The unsubscribe link of emails: made by the worker, followed without signing in."""
