"""Prometheus metrics of the web server. Labels are routes and states, never accounts or contacts."""

from collections.abc import Iterable, Mapping

from prometheus_client import REGISTRY, Counter, Gauge, Histogram, Metric
from prometheus_client.core import CounterMetricFamily
from prometheus_client.registry import Collector

REQUESTS = Counter(
    "switchyard_http_requests", "Answers by method, route and status.", ["method", "route", "status"]
)
SECONDS = Histogram(
    "switchyard_http_seconds",
    "Time to answer by route.",
    ["route"],
    buckets=(0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 10),
)
LIMITED = Counter(
    "switchyard_rate_limited",
    "Requests refused because the account, its scripts together or a token was over its rate.",
    ["limit"],
)
FALLBACK = Counter(
    "switchyard_redis_fallback", "Decisions made without Redis because it did not answer.", ["part"]
)
REDIS_UP = Gauge("switchyard_redis_up", "1 while Redis answers this process, 0 while it does not.")
REDIS_UP.set(1)
WORKERS_ALIVE = Gauge(
    "switchyard_workers_alive", "Workers with a heartbeat in the last 15 seconds, at this scrape."
)
ENGINE_HELD = Gauge("switchyard_engine_held", "1 while the engine is held and does nothing, at this scrape.")
HEARTBEAT_AGE = Gauge(
    "switchyard_worker_heartbeat_age_seconds",
    "Seconds since the last heartbeat of any worker, at this scrape.",
)


class TurnCollector(Collector):
    """The turns of all workers, as PostgreSQL had them at this scrape: workers count them there, because they
    are processes of their own. Without an answer of the database the metric is absent."""

    def __init__(self) -> None:
        self.turns: list[tuple[str, str, int]] = []  # task, how it came, how many

    def collect(self) -> Iterable[Metric]:
        """The counter `switchyard_turns_total`."""
        family = CounterMetricFamily(
            "switchyard_turns",
            "Turns that claimed something, by task and how they came (saq, sweep or inline).",
            labels=["task", "via"],
        )
        for task, via, count in self.turns:
            family.add_metric([task, via], count)
        yield family


TURNS = TurnCollector()
REGISTRY.register(TURNS)


class CatalogReadCollector(Collector):
    """How often this process read each catalog, by where it was found."""

    def __init__(self) -> None:
        self.reads: Mapping[tuple[str, str], int] = {}  # catalog and source

    def collect(self) -> Iterable[Metric]:
        """The counter `switchyard_catalog_reads_total`."""
        family = CounterMetricFamily(
            "switchyard_catalog_reads",
            "Reads of the catalogs of accounts, by catalog and where it was found (process, redis, database, "
            "or uncached because the transaction had written something).",
            labels=["catalog", "source"],
        )
        for (catalog, source), count in sorted(self.reads.items()):
            family.add_metric([catalog, source], count)
        yield family


CATALOG_READS = CatalogReadCollector()
REGISTRY.register(CATALOG_READS)
