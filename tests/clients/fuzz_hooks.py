"""Hooks of Schemathesis, which loads this module: real ids instead of invented ones, and the check that no
answer contains what belongs to another account.

`FUZZ_SEEDS` is a file with the ids of the own account and of the other one by parameter, and the canary: a
text that every row of the other account contains."""

import json
import os
import re
import zlib
from pathlib import Path
from typing import Any

import schemathesis

SEEDS: dict[str, Any] = json.loads(Path(os.environ["FUZZ_SEEDS"]).read_text())
UUID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", re.IGNORECASE)
KEYS = {"fields": "city", "triggers": "t1", "steps": "s1"}  # the `key` in a path, by the folder before it
OWN, FOREIGN = 6, 8  # of ten ids


def pick(name: str, invented: str, salt: str) -> str:
    """An id of the own account, of the other one or the invented one: the same for the same request."""
    chance = zlib.crc32(f"{name} {invented} {salt}".encode()) % 10
    ids = SEEDS["own"] if chance < OWN else SEEDS["foreign"] if chance < FOREIGN else {}
    return str(ids.get(name, invented))


def real(value: Any, name: str, salt: str) -> Any:
    """The value with real ids instead of invented ones, at any depth."""
    if isinstance(value, dict):
        return {key: real(inner, key, salt) for key, inner in value.items()}
    if isinstance(value, list):
        return [real(inner, name, salt) for inner in value]
    if isinstance(value, str) and UUID.fullmatch(value):
        return pick(alias(name), value, salt)
    return value


def alias(name: str) -> str:
    """The parameter whose ids a field holds: `ids` and `after` those of contacts."""
    singular = name.removesuffix("s")
    ids = SEEDS["own"]
    return next((key for key in (name, f"{singular}_id", singular) if key in ids), "contact_id")


@schemathesis.hook
def before_call(context: Any, case: Any, kwargs: Any) -> None:
    salt = case.operation.label
    if case.meta and any(
        part.mode.is_negative for place, part in case.meta.components.items() if place.name == "PATH"
    ):
        return  # made up to be refused
    for name, value in list((case.path_parameters or {}).items()):
        if name == "key":
            folder = case.path.split("/{key}")[0].rpartition("/")[2]
            case.path_parameters[name] = pick_key(folder, str(value), salt)
        else:
            case.path_parameters[name] = pick(name, str(value), salt)
    if isinstance(case.query, dict):
        case.query = real(case.query, "", salt)
    if isinstance(case.body, dict):
        case.body = real(case.body, "", salt)


def pick_key(folder: str, invented: str, salt: str) -> str:
    return (
        KEYS[folder] if folder in KEYS and zlib.crc32(f"{invented} {salt}".encode()) % 10 < OWN else invented
    )


@schemathesis.hook
def filter_failure(context: Any, failure: Any, case: Any, response: Any) -> bool:
    """An empty parameter counts as not sent, as forms send it, and so does `null`; both are accepted."""
    values = case.query.values() if isinstance(case.query, dict) else ()
    blank = any(value in ("", "null", None) for value in values)
    return not (blank and type(failure).__name__ == "AcceptedNegativeData")


@schemathesis.check
def no_foreign_canary(context: Any, response: Any, case: Any) -> None:
    """Nothing of the other account is in the answer, its headers included."""
    answer = f"{response.headers} {response.content.decode(errors='replace')}"
    assert SEEDS["canary"] not in answer, "the answer contains data of another account"
