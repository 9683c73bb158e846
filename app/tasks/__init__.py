"""Tasks about contacts, created by members and workflow steps."""
