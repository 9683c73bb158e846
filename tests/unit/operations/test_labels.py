"""Labels of the Jobs screens: every job, queue, result and error class has one."""

import msgspec
import pytest

from app.json_types import JsonObject
from app.operations.labels import (
    RESULTS,
    TITLES,
    UNKNOWN_JOB,
    error_label,
    queue_label,
    result_labels,
    title_of,
)
from app.workflows.use_cases.version_migration import MoveResult
from jobs.registry import HANDLERS


def test_every_job_has_a_title() -> None:
    assert set(TITLES) == set(HANDLERS)
    assert title_of("bulk.unheard_of", total=3) == UNKNOWN_JOB


def test_every_count_of_a_move_has_a_label() -> None:
    assert {field.name for field in msgspec.structs.fields(MoveResult)} <= set(RESULTS)


@pytest.mark.parametrize(
    ("task", "result", "labels"),
    [
        ("bulk.tag", {"cursor": "0192", "changed": 1204}, ["Changed: 1,204"]),
        ("bulk.restore", {"changed": 3, "not_restored": 1}, ["Restored: 3", "Not restored: 1"]),
        ("workflow.audience", {"changed": 0}, ["Added: 0"]),
        (
            "workflow.migrate_enrollments",
            {"moved": 2, "under_way": 1},
            ["Moved: 2", "Not moved because a message may be going out: 1"],
        ),
        ("import.run", None, []),
    ],
)
def test_results_are_counts_with_labels(task: str, result: JsonObject | None, labels: list[str]) -> None:
    assert result_labels(task, result) == labels


@pytest.mark.parametrize(
    ("error_class", "label"),
    [
        ("unreachable", "Server unreachable"),
        ("http_503", "HTTP 503"),
        ("smtp_5.7.1", "Mail server 5.7.1"),
        ("recipient_550", "Mail server 550"),
        ("strange", "Other error"),
    ],
)
def test_error_classes_have_labels(error_class: str, label: str) -> None:
    assert error_label(error_class) == label


def test_queues_have_labels() -> None:
    assert [queue_label(queue) for queue in ("sms", "bulk", "unheard_of", "")] == [
        "SMS",
        "Bulk edits",
        "Other",
        "",
    ]
