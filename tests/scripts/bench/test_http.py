"""`scripts/bench http`: its pure parts, and with tiny numbers the parts that need no peer."""

import struct

import msgspec
import pytest

from scripts._lib.bench import main, report
from scripts._lib.bench.http import benchmark
from scripts._lib.bench.http.measured_run import HttpSizes
from scripts._lib.bench.http.statement_proxy import Counts, FrontendMessages
from scripts._lib.bench.http.static_files import references_of_file, references_of_page
from scripts._lib.bench.http.throughput import Pair, Round, Rounds

TINY = HttpSizes(contacts=60, all_contacts=100, accounts=1, rounds=1, seconds=0.2, counted=3)
WITHOUT_PEERS = ("contact_page", "static", "catalogs", "statements")


def message(kind: bytes, body: bytes = b"") -> bytes:
    return kind + struct.pack("!I", len(body) + 4) + body


def test_statements_are_counted_in_whatever_pieces_they_arrive() -> None:
    stream = b"".join(
        [
            struct.pack("!II", 8, 80877103),  # asks for SSL
            struct.pack("!II", 13, 196608) + b"user\0",  # the start-up message has no type
            message(b"p", b"password"),
            message(b"Q", b"BEGIN;\0"),
            message(b"P", b"\0select Q from E\0\0\0"), message(b"D", b"S\0"), message(b"H"),
            message(b"B", b"\0\0"), message(b"E", b"\0" + bytes(4)), message(b"S"),
            message(b"Q", b"COMMIT;\0"),
        ]
    )  # fmt: skip
    for size in (1, 3, len(stream)):
        counts = Counts()
        messages = FrontendMessages(counts)
        for start in range(0, len(stream), size):
            messages.feed(stream[start : start + size])
        assert (counts.statements, counts.round_trips) == (3, 3)


def test_references_are_what_a_browser_fetches() -> None:
    page = """<link rel="icon" href="/i.svg"><link rel="canonical" href="/no">
        <link rel=stylesheet href="a.css"><script src="/a.js"></script><script>import "/no.js"</script>
        <svg><use href="/s.svg#x"/><use href="#y"/></svg><img src="data:image/png;base64,AA">"""
    assert references_of_page(page) == ["/i.svg", "a.css", "/a.js", "/s.svg#x"]
    css = """@import "b.css"; p { background: url('c.svg') } q { background: url(data:x) }"""
    assert references_of_file("text/css; charset=utf-8", css) == ["b.css", "c.svg"]
    script = """import { a, b } from "./x.js"\nimport"./y.js";export * from './z.js';
        later(() => import("./no.js"))"""
    assert references_of_file("text/javascript", script) == ["./x.js", "./y.js", "./z.js"]
    assert references_of_file("image/svg+xml", css) == []


def test_the_ratio_is_the_median_of_the_ratios_of_rounds() -> None:
    """One slow moment of the machine slows one round, of one side."""
    ours = Rounds([Round(rate, 1.0, 1.0, 100) for rate in (200, 20, 300)])
    theirs = Rounds([Round(100, 1.0, 1.0, 100)] * 3)
    assert Pair(ours, theirs).ratio() == 2


def test_engine_and_http_have_parts_of_their_own(capsys: pytest.CaptureFixture[str]) -> None:
    assert main.read_options(["http", "--quick", "--only", "static"]).only == ["static"]
    assert main.read_options(["engine", "--json"]).what == "engine"
    with pytest.raises(SystemExit):
        main.read_options(["engine", "--only", "static"])
    assert "invalid choice: 'static'" in capsys.readouterr().err


@pytest.mark.slow
async def test_parts_without_a_peer_report_their_figures() -> None:
    figures = await benchmark.measure(WITHOUT_PEERS, TINY)
    expected = {
        "contact_page_cpu_ms", "statements_list_json", "statements_list_html", "statements_create",
        "static_requests", "static_kb",
    }  # fmt: skip
    assert expected <= set(figures)
    assert expected <= set(report.HTTP_GOALS)
    assert all(figures[key] > 0 for key in expected)
    assert figures["statements"]["list_json"]["statements"] >= 3  # BEGIN, one that reads, ROLLBACK
    assert set(figures["catalogs"]) == {"account", "fields", "tags", "names"}
    assert all(set(sources) == {"process", "redis", "database"} for sources in figures["catalogs"].values())
    assert any("/static/" in name for name in figures["static"])
    assert msgspec.json.decode(msgspec.json.encode(figures)) == figures
    assert "static files of a first page" in report.format_table(figures, report.HTTP_GOALS)
