"""Titles and summaries of steps and lanes, from the sentences of their kinds."""

import re
from collections.abc import Iterable

import msgspec

from app.engine.core.draft import walk
from app.engine.core.name_lookup import Names
from app.engine.core.steps import Step, kind_of, lane_keys, lane_name
from app.engine.core.steps.base import Sentence
from app.engine.core.version import Version
from app.filters.fields import Fields

_MERGE_TAG = re.compile(r"\{\{\s*(?:contact\.)?(?:custom\.)?(\w+).*?\}\}")


def describe_step(step: Step, fields: Fields, names: Names) -> Sentence:
    """Title and summary of a step: its own name first, else what it does."""
    sentence = kind_of(step.config).describe(step.config, fields, names)
    if step.name:
        return Sentence(step.name, sentence.title)
    return Sentence(sentence.title, sentence.summary or kind_of(step.config).label)


def describe_lane(step: Step, lane: str, fields: Fields, names: Names) -> str:
    """Which contacts take a lane, as a sentence; "" where its name says it."""
    return kind_of(step.config).lane_condition(step.config, lane, fields, names)


def step_title(step: Step, fields: Fields, names: Names) -> str:
    """The title of a step for lists, with merge tags replaced by what they stand for."""
    title = describe_step(step, fields, names).title
    return _MERGE_TAG.sub(lambda tag: f"[{tag[1].replace('_', ' ')}]", title)


def with_step_titles(names: Names, steps: Iterable[Step], fields: Fields) -> Names:
    """The names with the titles of the steps that other steps jump to. A jump to a jump is not followed."""
    every_step = [step for _, _, step in walk(list(steps))]
    jumps = [kind_of(step.config).jump(step.config) for step in every_step]
    targets = {jump.step for jump in jumps if jump is not None}
    plain = msgspec.structs.replace(names, step_titles=None)
    titles = {step.key: step_title(step, fields, plain) for step in every_step if step.key in targets}
    return msgspec.structs.replace(names, step_titles=titles)


def step_titles(version: Version, fields: Fields, names: Names) -> dict[str, str]:
    """The title of each step of a version by its key, from top to bottom, and the name of each lane by
    "<step>.<lane>"."""
    names = with_step_titles(names, version.steps, fields)
    titles: dict[str, str] = {}
    for _, _, step in walk(version.steps):
        titles[step.key] = step_title(step, fields, names)
        titles |= {f"{step.key}.{lane}": lane_name(step.config, lane) for lane in lane_keys(step.config)}
    return titles
