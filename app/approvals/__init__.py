"""Approvals: questions that enrollments wait with. `pages` lists them, `use_cases` answers one, which wakes
its enrollment. The step that asks is `engine/core/steps/approval.py`."""
