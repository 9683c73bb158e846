"""Rewrites values of stored rows in a migration, in every account.

Row-level security is forced for the owner too: an UPDATE of the owner would find no rows and say nothing. So
each statement lifts FORCE, counts, updates, counts again and restores FORCE, in one transaction: whatever
goes wrong, or a kill in the middle, leaves row-level security forced.
"""

from typing import NamedTuple

from alembic import op

BATCH = 20_000  # rows looked at in one transaction

_SETTING = "switchyard.rewritten_to"  # of this session: the key of the last row of the last batch
_FIRST = {"uuid": "00000000-0000-0000-0000-000000000000", "int": "-1", "text": ""}

# `old` finds the rows that still have an old value; a row that was rewritten does not match it anymore, so
# each batch may run again.
_STATEMENT = """
do $rewrite$
declare
  batch_end text[];
  total_before bigint; old_before bigint; total_after bigint; old_after bigint; changed bigint;
begin
  alter table {table} no force row level security;
  {find_end}
  select count(*), count(*) filter (where {old}) into total_before, old_before from {table} where {inside};
  update {table} set {new} where {inside} and {old};
  get diagnostics changed = row_count;
  select count(*), count(*) filter (where {old}) into total_after, old_after from {table} where {inside};
  if changed <> old_before or old_after <> 0 or total_after <> total_before then
    raise exception '{table}: % of % rows rewritten, % left, % rows before and % after',
      changed, old_before, old_after, total_before, total_after;
  end if;
  alter table {table} force row level security;
  perform set_config('{setting}', coalesce(batch_end::text, ''), false);
end
$rewrite$
"""
_FIND_END = """
  select array[{texts}] into batch_end from {table} where ({names}) > ({after})
   order by {names} offset {last} limit 1;
"""


class Rewrite(NamedTuple):
    """`old` is the condition of rows to rewrite, `new` the assignments; `key` the primary key, by name and
    type. `new` must make `old` false."""

    table: str
    key: tuple[tuple[str, str], ...]
    old: str
    new: str


def rewrite_in_batches(rewrite: Rewrite) -> None:
    """Rewrites a table in transactions of `BATCH` rows each. Commits what the migration did before."""
    with op.get_context().autocommit_block():
        after = [_FIRST[kind] for _, kind in rewrite.key]
        while after:
            after = _rewrite(rewrite, after, BATCH)


def rewrite_all(rewrite: Rewrite) -> None:
    """Rewrites a table within the current transaction."""
    _rewrite(rewrite, [], 0)


def _rewrite(rewrite: Rewrite, after: list[str], batch: int) -> list[str]:
    """One statement; returns the key of the batch's last row, empty when it was the last batch."""
    names = ", ".join(name for name, _ in rewrite.key)
    start = ", ".join(
        f"{_quoted(value)}::{kind}" for value, (_, kind) in zip(after, rewrite.key, strict=False)
    )
    end = ", ".join(f"batch_end[{place}]::{kind}" for place, (_, kind) in enumerate(rewrite.key, 1))
    inside, find_end = "true", ""
    if batch:
        texts = ", ".join(f"{name}::text" for name, _ in rewrite.key)
        find_end = _FIND_END.format(
            table=rewrite.table, texts=texts, names=names, after=start, last=batch - 1
        )
        inside = f"({names}) > ({start}) and (batch_end is null or ({names}) <= ({end}))"
    statement = _STATEMENT.format(
        **rewrite._asdict() | {"inside": inside, "find_end": find_end, "setting": _SETTING}
    )
    connection = op.get_bind()
    connection.exec_driver_sql(statement)
    reached = connection.exec_driver_sql(
        f"select cast(nullif(current_setting('{_SETTING}'), '') as text[])"
    ).scalar()
    return list(reached or ())


def _quoted(value: str) -> str:
    return "'" + value.replace("'", "''") + "'"
