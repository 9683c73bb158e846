"""The figures as a table, each beside its goal."""

import os
import platform
from typing import Any

import psutil

# JSON key: what it is, its goal.
GOALS: dict[str, tuple[str, str]] = {
    "steps_per_s": ("steps per second of one worker process", ""),
    "ratio_to_bound": ("  divided by the pure-SQL bound", ">= 0.6"),
    "ratio_to_job_per_step": ("  divided by one queue job per step", ">= 20"),
    "two_process_speedup": ("  of two processes, divided by one process", ">= 1.6, or cores busy"),
    "cores_busy": ("share of all cores in use by two processes", ">= 0.9, or the speed-up"),
    "match_events_per_s": ("events matched per second, 50 workflows", ""),
    "match_cost_500_over_50": ("  cost with 500 workflows, divided by 50", "0.8 to 1.2"),
    "herd_small_tenant_p99_late_s": ("herd: lateness of the small account, p99, s", "<= 5"),
    "herd_web_p99_ms": ("herd: response time of the web server, p99, ms", "<= 100"),
    "late_p99_s": ("200 due per second: lateness, p99, s", "<= 2"),
    "late_p99_s_some_accounts": ("  of 50 accounts", "<= 2"),
    "late_p99_s_many_accounts": ("  of 1,000 accounts", "<= 2"),
    "early": ("  steps that ran before they were due", "0"),
    "rss_1m_over_10k": ("worker memory: 1,000,000 due, divided by 10,000", "<= 1.2"),
}


HTTP_GOALS: dict[str, tuple[str, str]] = {
    "json_list_ratio": ("JSON list: requests/s divided by FastAPI's", ">= 1.4, aim 2"),
    "json_one_ratio": ("one record as JSON, divided by FastAPI's", ">= 1, aim 1.5"),
    "json_create_ratio": ("create as JSON, divided by FastAPI's", ">= 0.6, aim 0.8"),
    "html_ratio_to_django_admin": ("page of the list, divided by Django admin's", ">= 9, aim 12"),
    "list_json_cpu_ms": ("JSON list: CPU of the web process, ms", "<= 2, aim 1.5"),
    "list_html_cpu_ms": ("page of the list: CPU, ms", "<= 6, aim 4.5"),
    "contact_page_cpu_ms": ("page of a contact: CPU, ms", "<= 6, aim 4.5"),
    "statements_list_json": ("JSON list: statements with BEGIN and COMMIT", "<= 5"),
    "statements_list_html": ("page of the list: statements", "<= 6"),
    "statements_create": ("create as JSON: statements", "<= 9"),
    "list_html_kb_wire": ("page of the list on the wire, kB", "<= 10, aim 8"),
    "static_requests": ("static files of a first page", "<= 6"),
    "static_kb": ("  on the wire, kB", "<= 45"),
    "other_account_p95_ms": ("list of another account during searches, p95 ms", "<= 100"),
    "builder_counts_p95_ms": ("counts of the builder at 1,000,000, p95, ms", "<= 50"),
}


LIST_GOALS: dict[str, tuple[str, str]] = {
    "contacts": ("contacts of the large account", "1,000,000"),
    "first_page_p95_ms": ("first page, p95 of the slowest case, ms", "<= 100"),
    "deep_page_p95_ms": ("page in the middle", "<= 100, 1.5 times the first"),
    "sorted_p95_ms": ("sorted", "<= 100"),
    "filtered_p95_ms": ("filtered", "<= 100"),
    "search_p95_ms": ("searched", "<= 100"),
    "count_p95_ms": ("counted", "<= 100"),
    "tags_p95_ms": ("tags", "<= 100"),
    "segments_p95_ms": ("segments", "<= 100"),
}


def describe_machine() -> dict[str, Any]:
    """The machine that this runs on."""
    return {
        "cores": os.cpu_count(),
        "memory_gb": round(psutil.virtual_memory().total / 1e9, 1),
        "system": platform.platform(),
        "python": platform.python_version(),
        "load_before": round(os.getloadavg()[0], 2),
    }


def format_table(figures: dict[str, Any], goals: dict[str, tuple[str, str]] = GOALS) -> str:
    """One line for each figure with its goal, then the details of each part."""
    lines = [f"{'':49}{'measured':>12}  goal"]
    lines += [
        f"{label:49}{figures[key]:>12,}  {goal}" for key, (label, goal) in goals.items() if key in figures
    ]
    lines += [f"{name}: {details}" for name, details in figures.items() if isinstance(details, dict)]
    return "\n".join(lines)
