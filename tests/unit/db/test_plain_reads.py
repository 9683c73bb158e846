"""Which statements leave the catalogs of a transaction in the caches: those that neither write nor lock."""

from functools import lru_cache

import pytest

from db import connection
from db.connection import LONGEST_REMEMBERED, is_plain_read


@pytest.mark.parametrize(
    "statement",
    [
        "select id, updated_at, deleted_at from contacts",
        "\n with live as (select 1) SELECT * from live",
        "select bound.*, set_config('statement_timeout', $1, true) from bind_account($2, $3) bound",
    ],
)
def test_a_plain_read(statement: str) -> None:
    assert is_plain_read(statement)


@pytest.mark.parametrize(
    "statement",
    [
        "select 1 from contacts for update",
        "select 1 from contacts FOR NO KEY UPDATE skip locked",
        "select 1 from contacts for  share",
        "select 1 from contacts for key share",
        "select pg_try_advisory_xact_lock(1)",
        "with moved as (delete from tags returning id) select * from moved",
        "insert into tags values (1)",
        "merge into tags using t on true when matched then do nothing",
        "lock table tags",
        "set constraints all immediate",
    ],
)
def test_what_writes_or_locks(statement: str) -> None:
    assert not is_plain_read(statement)


def test_only_short_statements_are_remembered(monkeypatch: pytest.MonkeyPatch) -> None:
    remembered = lru_cache(connection._reads_only)
    monkeypatch.setattr(connection, "_short_reads_only", remembered)
    columns = ", ".join("city" for _ in range(LONGEST_REMEMBERED))
    assert is_plain_read(f"select {columns}")
    assert not is_plain_read(f"select {columns} for update")
    assert remembered.cache_info().currsize == 0
    assert is_plain_read("select city")
    assert remembered.cache_info().currsize == 1
