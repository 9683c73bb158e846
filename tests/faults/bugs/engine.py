"""Bugs in matching, advancing and parking, and in what a member sees."""

from tests.faults.bugs import Bug

ENTRY_RULES = "app/engine/core/entry_rules.py"

BUGS = (
    Bug(
        "claim-without-locks",
        "Two workers claim the same enrollments.",
        "db/queries/enrollment_batches.py",
        " order by e.due_at limit :most for update of e skip locked) e\n",
        " order by e.due_at limit :most) e\n",
        ("tests/faults/test_leases.py", "-k", "no_other_does"),
    ),
    Bug(
        "wait-ends-late",
        "`>` instead of `>=`: a wait that ends now is not due.",
        "app/engine/core/interpreter.py",
        "due = until is not None and self.now >= until",
        "due = until is not None and self.now > until",
        ("tests/unit/engine/core/test_advance.py",),
    ),
    Bug(
        "goal-jumps-backwards",
        "A goal behind the enrollment is jumped to.",
        "app/engine/core/interpreter.py",
        "        for index in node.goals:\n",
        "        for index in [at for at, goal in enumerate(self.program.nodes) if goal.match]:\n",
        ("tests/unit/engine/core/test_advance.py",),
    ),
    Bug(
        "batch-skipped",
        "One event that can't be matched makes the whole batch be skipped.",
        "app/engine/recovery/batch_runner.py",
        "        if len(ids) == 1:\n"
        "            for current in await task.claim(ids):\n"
        "                await _run_alone_or_park(task, current)\n",
        "        if len(ids) <= 500:\n"
        "            for current in await task.claim(ids):\n"
        "                await task.park(current, error)\n",
        ("tests/integration/engine/recovery/test_batch_runner.py", "-k", "poison_event"),
    ),
    Bug(
        "decision-lost",
        "The decision not to let a contact enter is not stored.",
        "app/engine/matching/enroll.py",
        "    await insert_decisions(work.session, rows, work.now)\n",
        "    await insert_decisions(work.session, rows[1:], work.now)\n",
        ("tests/integration/engine/test_end_to_end.py",),
    ),
    Bug(
        "once-ever-enters-again",
        "A contact enters a workflow with the policy “once ever” again.",
        ENTRY_RULES,
        "    if settings.reentry is Reentry.ONCE_EVER:\n",
        "    if settings.reentry is None:\n",
        (
            "tests/unit/engine/core/test_entry_rules.py",
            "tests/unit/engine/core/test_entry_rules_by_trigger.py",
        ),
    ),
    Bug(
        "loop-guard-off-by-one",
        "The loop guard allows one workflow too many.",
        ENTRY_RULES,
        "    if event.depth >= DEEPEST:\n",
        "    if event.depth > DEEPEST:\n",
        ("tests/unit/engine/core/test_entry_rules.py",),
    ),
    Bug(
        "pending-effect-stays",
        "The pending email of an enrollment that ends is sent.",
        "app/engine/advancing/changeset.py",
        "        if self.ended_ids:\n",
        "        if not self.enrollments:\n",
        ("tests/web/test_enrollments.py", "-k", "remove_cancels"),
    ),
    Bug(
        "time-in-the-dst-gap",
        "A local time that a clock change skips becomes an instant before the change.",
        "app/filters/times.py",
        "    return early if early <= late else _end_of_gap(late, early, zone)\n",
        "    return min(early, late)\n",
        ("tests/unit/filters/test_times.py",),
    ),
    Bug(
        "poison-never-parked",
        "An enrollment that stopped the worker too often is tried again and again.",
        "app/engine/recovery/batch_runner.py",
        "            elif suspect.crashes >= MOST_CRASHES[task.kind]:\n",
        "            elif suspect.crashes >= 100 * MOST_CRASHES[task.kind]:\n",
        ("tests/faults/test_poison_isolation.py", "-k", "parked"),
    ),
    Bug(
        "crashes-not-counted",
        "A crash is forgotten when the next worker takes the suspect.",
        "db/queries/inflight_batches.py",
        "       crashes = crashes + case when worker_id is null then 0 else 1 end\n",
        "       crashes = crashes\n",
        ("tests/faults/test_poison_isolation.py", "-k", "parked"),
    ),
    Bug(
        "suspects-out-of-order",
        "Later events are matched while an event of a dead worker is being matched alone.",
        "db/queries/inflight_batches.py",
        "   and (b.kind = 'advance'\n",
        "   and (true\n",
        ("tests/faults/test_poison_isolation.py", "-k", "no_other_is_matched"),
    ),
    Bug(
        "matched-beside-a-mark",
        "Events that a dead worker was matching are matched with all others.",
        "db/queries/inflight_batches.py",
        " where cast(:kind as text) = 'advance'\n",
        " where true\n",
        ("tests/faults/test_poison_isolation.py", "-k", "no_other_is_matched"),
    ),
    Bug(
        "suspects-advance-together",
        "Enrollments that a dead worker left behind are claimed with all others.",
        "db/queries/enrollment_batches.py",
        "          and e.id not in (select unnest(b.ids) from inflight_batches b\n"
        "                            where b.account_id = current_account() and b.kind = 'advance')\n",
        "",
        ("tests/faults/test_poison_isolation.py", "-k", "left_alone"),
    ),
    Bug(
        "last-save-wins",
        "A revision that is older than the latest is saved over it.",
        "app/workflows/use_cases/edit.py",
        "    if rev != header.rev:\n",
        "    if rev > header.rev:\n",
        ("tests/web/test_builder.py", "-k", "stale"),
    ),
    Bug(
        "removal-without-audit",
        "The audit entry of a removal is not written.",
        "app/enrollments/use_cases/membership.py",
        '    work.audit("enrollment.removed", "enrollment", row.id, {"status": ("active", "exited")})\n',
        "",
        ("tests/faults/test_leases.py", "-k", "audit"),
    ),
    Bug(
        "quote-breaks-json",
        "A quotation mark in a value ends the text in a webhook's JSON.",
        "app/engine/core/merge_tags.py",
        "    Output.JSON: lambda value: msgspec.json.encode(value).decode()[1:-1],\n",
        "    Output.JSON: lambda value: value,\n",
        ("tests/unit/engine/core/test_merge_tags.py",),
    ),
    Bug(
        "breaker-never-opens",
        "A step that fails for everyone is attempted for everyone.",
        "app/engine/core/circuit_breaker.py",
        "LEAST_FAILING = 5\n",
        "LEAST_FAILING = 5_000\n",
        (
            "tests/unit/engine/core/test_circuit_breaker.py",
            "tests/integration/engine/effects/test_circuit_breakers.py",
            "-k",
            "five_failing or dead_endpoint",
        ),
    ),
)
