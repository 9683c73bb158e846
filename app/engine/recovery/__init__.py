"""Keeps one failure from becoming many.

In: batches that fail, marks of dead workers, a database that was restored from a backup, expired data.
Out: rows parked with their reason, an engine on hold, expired data deleted.
Entry points: `batch_runner.run_marked` runs every batch; `restore_guard.RestoreGuard` watches the database.
"""
