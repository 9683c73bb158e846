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


def describe_machine() -> dict[str, Any]:
    """The machine that this runs on."""
    return {
        "cores": os.cpu_count(),
        "memory_gb": round(psutil.virtual_memory().total / 1e9, 1),
        "system": platform.platform(),
        "python": platform.python_version(),
        "load_before": round(os.getloadavg()[0], 2),
    }


def format_table(figures: dict[str, Any]) -> str:
    """One line for each figure with its goal, then the details of each part."""
    lines = [f"{'':49}{'measured':>12}  goal"]
    lines += [
        f"{label:49}{figures[key]:>12,}  {goal}" for key, (label, goal) in GOALS.items() if key in figures
    ]
    lines += [f"{name}: {details}" for name, details in figures.items() if isinstance(details, dict)]
    return "\n".join(lines)
