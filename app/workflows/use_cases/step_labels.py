"""Sentences about steps for the canvas and the sheets: those of their kinds with the account's names."""

from collections.abc import Iterable

from app.engine.core.step_titles import describe_lane, describe_step, with_step_titles
from app.engine.core.steps import Step
from app.engine.core.steps.base import Sentence
from app.workflows.use_cases.input_reader import BuilderNames


def lookup_for(steps: Iterable[Step], lookup: BuilderNames) -> BuilderNames:
    """The names that describe these steps: with the titles of the steps that they jump to."""
    return BuilderNames(lookup.fields, with_step_titles(lookup.names, steps, lookup.fields))


def step_sentence(step: Step, lookup: BuilderNames) -> Sentence:
    """Title and summary of a step: its own name first."""
    return describe_step(step, lookup.fields, lookup.names)


def lane_sentence(step: Step, lane: str, lookup: BuilderNames) -> str:
    """Which contacts take a lane of a step."""
    return describe_lane(step, lane, lookup.fields, lookup.names)
