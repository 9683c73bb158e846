"""What keeps one failure from becoming many.

In: batches that fail, marks that dead workers left, a database that is older than its workers, old data.
Out: rows parked with their reason, an engine on hold, data deleted. `batch_runner` runs every batch.
"""
