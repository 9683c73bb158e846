"""Migrations: Alembic runs env.py and the revisions in versions/, which share the other modules."""
