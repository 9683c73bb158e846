"""Editing, publishing and reading workflows. Seeds call `create_workflow`, `save_draft` and `publish`."""

from app.workflows.use_cases.edit import create_workflow, save_draft
from app.workflows.use_cases.publication import publish

__all__ = ["create_workflow", "publish", "save_draft"]
