"""The import rules: the table of the architecture. Exceptions are named here, with a reason."""

import sys
from dataclasses import dataclass
from fnmatch import fnmatch

import pytest

from tests.rules.files import imports, name, sources, within

OURS = ("app", "db", "jobs", "scripts", "tests")


@dataclass(frozen=True)
class Part:
    """Files by pattern; `may` are modules of ours (`{own}` is the feature), `only` other libraries (None:
    any but `never`)."""

    files: tuple[str, ...]
    may: tuple[str, ...]
    never: tuple[str, ...] = ()
    only: tuple[str, ...] | None = None


PARTS = {
    "domain": Part(
        ("app/engine/core/*.py", "app/*/domain.py", "app/*/domain/*.py", "app/filters/*.py"),
        may=("{own}.domain", "app.engine.core", "app.filters", "app.permissions", "app.email_addresses",
             "app.json_types"),
        only=("msgspec",),
    ),
    "engine": Part(
        ("app/engine/*.py",),
        may=("app.engine", "app.filters", "app.work", "app.ports", "app.errors", "app.runtime",
             "app.fault_hook", "app.permissions", "app.credentials", "app.redaction", "app.json_types", "db"),
        never=("litestar", "saq"),
    ),
    "schemas": Part(
        ("app/*/schemas.py", "app/*/schemas/*.py"),
        may=("{own}", "app.filters", "app.engine.core", "app.permissions", "app.web.actions",
             "app.patch", "app.json_types", "db.models"),
        never=("litestar", "saq", "sqlalchemy"),
    ),
    "use cases": Part(
        ("app/*/use_cases.py", "app/*/use_cases/*.py"),
        may=("{own}", "app.filters", "app.engine", "app.work", "app.ports", "app.errors",
             "app.permissions", "app.credentials", "app.email_addresses", "app.patch", "app.json_types",
             "db"),
        never=("litestar", "saq"),
    ),
    "controllers": Part(
        ("app/*/controllers.py", "app/*/controllers/*.py"),
        may=("{own}", "app.engine.core", "app.filters", "app.web", "app.work", "app.errors",
             "app.permissions", "app.credentials", "app.email_addresses", "app.json_types"),
        never=("sqlalchemy", "saq", "asyncpg", "advanced_alchemy"),
    ),
    "db": Part(
        ("db/*.py", "db/*/*.py", "db/*/*/*.py"),
        may=("db", "app.engine.core", "app.filters", "app.*.domain", "app.*.domain.*", "app.permissions",
             "app.json_types"),
        never=("litestar", "saq"),
    ),
    "jobs": Part(("jobs/*.py",), may=("jobs", "app", "db"), never=("litestar",)),
    "web kit": Part(
        ("app/web/*.py",),
        may=("app.web", "app.errors", "app.permissions", "app.work", "app.settings",
             "app.redaction", "app.credentials", "app.json_types", "db.ids"),
        never=("sqlalchemy", "saq", "asyncpg"),
    ),
}  # fmt: skip

# (file, module it imports): why. Nothing else may.
EXCEPTIONS: dict[tuple[str, str], str] = {
    ("app/web/problems.py", "sqlalchemy.exc"): "the one table that turns database errors into answers",
    ("app/web/problems.py", "sqlalchemy.orm.exc"): "the same",
    ("app/contacts/controllers.py", "app.accounts.domain"): "the list of time zones, pure data",
    (
        "app/contacts/schemas.py",
        "app.audit.schemas",
    ): "the record shows its audit rows as the Audit page does",
    ("app/enrollments/schemas.py", "app.approvals.schemas"): "its page shows the question it waits with",
    ("app/contacts/schemas.py", "app.notes.schemas"): "the record shows its notes",
    ("app/contacts/schemas.py", "app.tasks.schemas"): "and its tasks, as the Tasks page does",
    (
        "app/unsubscribe/controllers.py",
        "app.engine.effects.unsubscribe_links",
    ): "the engine writes the links that these pages read",
    ("app/contacts/use_cases.py", "app.tags.use_cases"): "a tag is named and, in the same commit, made",
    (
        "app/workflows/use_cases/input_reader.py",
        "app.tags.use_cases",
    ): "a step names a tag and, in the same commit, makes it",
    (
        "app/workflows/use_cases/version_migration.py",
        "app.enrollments.use_cases.progress",
    ): "and takes them from a step as a person does",
    ("db/seeds/__init__.py", "app.accounts.provisioning"): "the demo makes its accounts as the command does",
    ("db/seeds/__init__.py", "app.credentials"): "and hashes their passwords as everybody's",
    ("db/seeds/__init__.py", "app.runtime"): "the seed is a program of its own: it opens what it needs",
    ("db/seeds/__init__.py", "app.sessions.demo"): "the people that the sign-in page shows",
    ("db/seeds/__init__.py", "app.settings"): "it is given the settings by the command",
    ("db/seeds/__init__.py", "app.work"): "and works in one account at a time, like everything",
    ("app/filters/normalize.py", "phonenumbers"): "pure data and parsing: no input, no output",
}


def parts_of(path: str) -> list[Part]:
    return [part for part in PARTS.values() if any(fnmatch(path, pattern) for pattern in part.files)]


def allowed(module: str, part: Part, own: str) -> bool:
    if within(module, OURS):
        may = tuple(prefix.replace("{own}", own) for prefix in part.may)
        return within(module, may) or any(fnmatch(module, prefix) for prefix in may if "*" in prefix)
    if within(module, part.never):
        return False
    return (
        part.only is None or within(module, part.only) or module.partition(".")[0] in sys.stdlib_module_names
    )


def breaches() -> list[tuple[str, int, str]]:
    breaches_found = []
    for path in sources("app", "db", "jobs"):
        file = name(path)
        own = ".".join(file.split("/")[:2]).removesuffix(".py")
        for part in parts_of(file):
            for line, module in imports(path):
                if not allowed(module, part, own):
                    breaches_found.append((file, line, module))
    return breaches_found


def test_imports_follow_the_table() -> None:
    bad = [
        f"{file}:{line} imports {module}"
        for file, line, module in breaches()
        if (file, module) not in EXCEPTIONS
    ]
    assert bad == []


def test_every_exception_is_still_needed() -> None:
    needed = {(file, module) for file, _, module in breaches()}
    assert sorted(set(EXCEPTIONS) - needed) == []


@pytest.mark.parametrize(
    ("library", "places"),
    [
        ("httpx", ("app/integrations/",)),
        ("aiosmtplib", ("app/integrations/",)),
        ("aiohttp", ()),
        ("requests", ()),
        ("saq", ("jobs/worker.py", "app/integrations/job_notifier.py")),
        ("jwt", ("app/web/tokens.py", "app/web/signing_keys.py")),
    ],
)
def test_outbound_libraries_are_imported_only_by_their_adapters(
    library: str, places: tuple[str, ...]
) -> None:
    users = {
        name(path)
        for path in sources("app", "db", "jobs")
        for _, module in imports(path)
        if within(module, (library,))
    }
    assert {user for user in users if not user.startswith(places or ("-",))} == set()


def test_nothing_of_the_program_needs_tests_or_scripts() -> None:
    bad = [
        f"{name(path)}:{line} imports {module}"
        for path in sources("app", "db", "jobs")
        for line, module in imports(path)
        if within(module, ("tests", "scripts"))
    ]
    assert bad == []
