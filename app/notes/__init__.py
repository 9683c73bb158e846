"""Notes about contacts, written by members and workflow steps."""
