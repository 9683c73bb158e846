"""Checks a step: its kind's own checks, and the step to which it jumps."""

from app.engine.core.checks import Problems, check_jump
from app.engine.core.name_lookup import Names
from app.engine.core.steps import Step, kind_of
from app.filters.fields import Fields


def check_step(step: Step, fields: Fields, names: Names) -> Problems:
    """The problems of one step as (input name, message)."""
    kind = kind_of(step.config)
    yield from kind.validate(step.config, fields, names)
    jump = kind.jump(step.config)
    if jump is not None:
        yield from check_jump(jump.step, jump.input, names, step.key)
