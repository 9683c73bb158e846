"""Prometheus metrics of the web server. Labels are routes and states, never accounts or contacts."""

from prometheus_client import Counter, Gauge, Histogram

REQUESTS = Counter(
    "switchyard_http_requests", "Answers by method, route and status.", ["method", "route", "status"]
)
SECONDS = Histogram(
    "switchyard_http_seconds",
    "Time to answer by route.",
    ["route"],
    buckets=(0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 10),
)
LIMITED = Counter("switchyard_rate_limited", "Requests refused because their account was over its rate.")
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
