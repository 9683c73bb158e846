"""Renames tables, columns and what is named after them. Migrations call these; nothing else does."""

import re
from collections.abc import Mapping

from alembic import op

# Constraints bring their indexes with them; indexes without a constraint have names of their own.
_CONSTRAINTS = """
select c.conrelid::regclass::text, c.conname from pg_constraint c
 where c.connamespace = 'public'::regnamespace and c.conrelid <> 0 order by 1, 2
"""
_INDEXES = """
select i.indexrelid::regclass::text from pg_index i
  join pg_class c on c.oid = i.indexrelid and c.relnamespace = 'public'::regnamespace
 where not exists (select from pg_constraint k where k.conindid = i.indexrelid and k.contype in ('p', 'u'))
 order by 1
"""


def rename_tables(tables: Mapping[str, str]) -> None:
    """Policies, grants and references follow by themselves."""
    for old, new in tables.items():
        op.execute(f"alter table {old} rename to {new}")


def rename_columns(table: str, columns: Mapping[str, str]) -> None:
    for old, new in columns.items():
        op.execute(f"alter table {table} rename column {old} to {new}")


def rename_parts(parts: Mapping[str, str]) -> None:
    """Renames constraints and indexes that have one of these names of tables or columns in theirs."""
    connection = op.get_bind()
    for table, name in connection.exec_driver_sql(_CONSTRAINTS).all():
        if (new := _replace(name, parts)) != name:
            op.execute(f"alter table {table} rename constraint {name} to {new}")
    for (name,) in connection.exec_driver_sql(_INDEXES).all():
        if (new := _replace(name, parts)) != name:
            op.execute(f"alter index {name} rename to {new}")


def rename_function(signature: str, new: str) -> None:
    """Policies that call the function follow by themselves."""
    op.execute(f"alter function {signature} rename to {new}")


def _replace(name: str, parts: Mapping[str, str]) -> str:
    """The name with each part replaced that stands between underscores."""
    pattern = "|".join(sorted(map(re.escape, parts), key=len, reverse=True))
    return re.sub(rf"(?<![a-z0-9])({pattern})(?![a-z0-9])", lambda part: parts[part[1]], name)
