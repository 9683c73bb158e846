"""What `scripts/bench http` measures. Each function of `PARTS` measures one part and returns its figures."""

from collections.abc import Awaitable, Callable
from typing import Any, TypeAlias

from scripts._lib.bench.http.account_load import measure_builder_counts, measure_other_account
from scripts._lib.bench.http.catalog_cache import compare_sources
from scripts._lib.bench.http.load_generator import Request, send_once
from scripts._lib.bench.http.measured_run import LIST, MeasuredRun
from scripts._lib.bench.http.peers.processes import CHANGELIST, Peer
from scripts._lib.bench.http.processes import running_site
from scripts._lib.bench.http.statement_proxy import count_statements, running_proxy
from scripts._lib.bench.http.static_files import fetch_static_files
from scripts._lib.bench.http.throughput import Pair, Target, measure_alone, measure_pair
from scripts._lib.bench.testbed import DATABASE, PASSWORDS

Part: TypeAlias = Callable[[MeasuredRun], Awaitable[dict[str, Any]]]

# The content of the peer's record, by our names.
RECORD_FIELDS = (
    "first_name,last_name,email,phone,company,city,state,owner,email_consent,created_at,updated_at"
)


async def compare(
    run: MeasuredRun, ours: Callable[[], Request], peer: Peer, theirs: Callable[[], Request]
) -> Pair:
    """Rounds of our web server and of a peer, in turns."""
    return await measure_pair(
        run.testbed,
        Target(run.site.port, run.site.process, ours),
        Target(peer.port, peer.process, theirs),
        run.sizes.rounds,
        run.sizes.seconds,
    )


async def measure_json_list(run: MeasuredRun) -> dict[str, Any]:
    """The list of 50 contacts."""
    pair = await compare(run, lambda: run.site.json(LIST), run.fastapi, lambda: run.fastapi.request(LIST))
    cpu = round(pair.ours.web_ms, 2)
    return {"json_list_ratio": pair.ratio(), "list_json_cpu_ms": cpu, "json_list": pair.describe()}


async def measure_json_one(run: MeasuredRun) -> dict[str, Any]:
    """One contact, with the content of the peer's."""
    query = await record_query(run)
    pair = await compare(
        run, lambda: run.site.json(run.next_contact() + query),
        run.fastapi, lambda: run.fastapi.request(run.next_contact()),
    )  # fmt: skip
    return {"json_one_ratio": pair.ratio(), "json_one": pair.describe()}


async def measure_json_create(run: MeasuredRun) -> dict[str, Any]:
    """A new contact, with its audit entry and its event."""
    pair = await compare(
        run, lambda: run.create(run.site),
        run.fastapi, lambda: run.fastapi.request(LIST, "POST", run.new_contact(), (201,)),
    )  # fmt: skip
    return {"json_create_ratio": pair.ratio(), "json_create": pair.describe()}


async def measure_html_list(run: MeasuredRun) -> dict[str, Any]:
    """The page of the list, beside Django's admin."""
    pair = await compare(run, lambda: run.site.page(LIST), run.django, lambda: run.django.request(CHANGELIST))
    answer = await send_once(run.site.port, run.site.page(LIST))
    return {
        "html_ratio_to_django_admin": pair.ratio(),
        "list_html_cpu_ms": round(pair.ours.web_ms, 2),
        "list_html_kb_wire": round(answer.wire_bytes / 1000, 1),
        "html_list": pair.describe(),
    }


async def measure_contact_page(run: MeasuredRun) -> dict[str, Any]:
    """The page of one contact, alone."""
    ours = Target(run.site.port, run.site.process, lambda: run.site.page(run.next_contact()))
    rounds = await measure_alone(run.testbed, ours, run.sizes.rounds, run.sizes.seconds)
    return {"contact_page_cpu_ms": round(rounds.web_ms, 2), "contact_page": rounds.describe()}


async def measure_statements(run: MeasuredRun) -> dict[str, Any]:
    """What one request asks PostgreSQL, through a proxy that counts."""
    with running_proxy(run.testbed.postgres.port) as (port, counts):
        url = f"postgresql://app_user:{PASSWORDS['app_user']}@127.0.0.1:{port}/{DATABASE}"
        with running_site(run.testbed, run.seeded, DATABASE_URL=url) as site:
            requests: dict[str, Callable[[], Request]] = {
                "list_json": lambda: site.json(LIST),
                "list_html": lambda: site.page(LIST),
                "create": lambda: run.create(site),
                "one_json": lambda: site.json(run.next_contact()),
                "contact_page": lambda: site.page(run.next_contact()),
            }
            details = {
                name: await count_statements(site.port, make_request, counts, run.sizes.counted)
                for name, make_request in requests.items()
            }
    figures: dict[str, Any] = {
        f"statements_{name}": details[name]["statements"] for name in ("list_json", "list_html", "create")
    }
    return figures | {"statements": details}


async def measure_catalogs(run: MeasuredRun) -> dict[str, Any]:
    """What each cache of a catalog saves: milliseconds elapsed and of CPU, by where it is read."""
    return {"catalogs": await compare_sources(run.testbed, run.seeded.account)}


async def measure_static(run: MeasuredRun) -> dict[str, Any]:
    """The static files of a first page."""
    files = await fetch_static_files(run.site, LIST)
    return {
        "static_requests": len(files),
        "static_kb": round(sum(files.values()) / 1000, 1),
        "static": {name: round(size / 1000, 1) for name, size in files.items()},
    }


async def record_query(run: MeasuredRun) -> str:
    """The query that limits a record to the peer's content; empty while the server answers with all of it."""
    query = f"?fields={RECORD_FIELDS}"
    target = run.next_contact()
    limited = await send_once(run.site.port, run.site.json(target + query))
    whole = await send_once(run.site.port, run.site.json(target))
    return query if len(limited.body) < len(whole.body) else ""


# They need an account of a million contacts, which takes a minute or two to seed.
OF_A_MILLION: dict[str, Part] = {
    "builder_counts": measure_builder_counts,
    "other_account": measure_other_account,
}
PARTS: dict[str, Part] = {
    "json_list": measure_json_list,
    "json_one": measure_json_one,
    "html_list": measure_html_list,
    "contact_page": measure_contact_page,
    "static": measure_static,
    "catalogs": measure_catalogs,
    # What creates contacts comes last: they are the newest of the list, without tags and values.
    "statements": measure_statements,
    "json_create": measure_json_create,
    **OF_A_MILLION,
}
