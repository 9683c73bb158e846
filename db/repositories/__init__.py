"""Repositories: the ordinary rows of one table each, as models, within the account of the session. Most of
their methods are Advanced Alchemy's own (`db.tenancy.TenantRepository`). Joins, totals, pages of lists and
batches are functions of `db/queries`."""
