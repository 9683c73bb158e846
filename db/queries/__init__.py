"""SQL of the engine and of the screens where Advanced Alchemy's methods do not reach: joins, totals, pages of
lists, and rows by the batch.

A query is a function with typed parameters. It returns structs, models or scalars, and its statement is
private to its module. `statements` runs one and returns typed rows; `batch_statements` writes the rows of a
batch, with one array per column."""
