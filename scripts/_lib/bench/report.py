"""The figures as a table, each beside its goal."""

import os
import platform
from typing import Any

import psutil

# Key, what it is, its goal, and whether a figure reaches it.
GOALS: dict[str, tuple[str, str]] = {
    "steps_per_s": ("steps/s of one worker process", ""),
    "ratio_to_bound": ("… of its pure-SQL bound", ">= 0.6"),
    "ratio_to_job_per_step": ("… times one job per step", ">= 20"),
    "two_process_speedup": ("two processes, times one", ">= 1.6, or cores busy"),
    "cores_busy": ("part of all cores busy with two", ">= 0.9, or the speed-up"),
    "match_events_per_s": ("events/s matched against 50 workflows", ""),
    "match_cost_500_over_50": ("cost with 500 workflows, times 50", "0.8 to 1.2"),
    "herd_small_tenant_p99_late_s": ("herd: small tenant late by, p99, s", "<= 5"),
    "herd_web_p99_ms": ("herd: web answers within, p99, ms", "<= 100"),
    "late_p99_s": ("200 due per second: late by, p99, s", "<= 2"),
    "early": ("… steps that came early", "0"),
    "rss_1m_over_10k": ("worker's memory, 1,000,000 due over 10,000", "<= 1.2"),
}


def machine() -> dict[str, Any]:
    """What this ran on."""
    return {
        "cores": os.cpu_count(),
        "memory_gb": round(psutil.virtual_memory().total / 1e9, 1),
        "system": platform.platform(),
        "python": platform.python_version(),
        "load_before": round(os.getloadavg()[0], 2),
    }


def table(found: dict[str, Any]) -> str:
    """What was measured, one line each, with the goal beside it."""
    lines = [f"{'':44}{'measured':>12}  goal"]
    lines += [f"{words:44}{found[key]:>12,}  {goal}" for key, (words, goal) in GOALS.items() if key in found]
    lines += [f"{name}: {value}" for name, value in found.items() if isinstance(value, dict)]
    return "\n".join(lines)
