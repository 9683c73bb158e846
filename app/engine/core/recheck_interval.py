"""How often a waiting enrollment is rechecked although nothing happened to its contact. Pure."""

from collections.abc import Iterable
from datetime import timedelta

from app.engine.core.steps import StepConfig, Wait, WaitFor
from app.engine.core.timing.wait_times import FOLLOWS_A_DATE
from app.filters.analysis import asks_time
from app.filters.ast import Filter
from app.filters.fields import Fields

# Time alone may make a filter true or false; another zone of the account moves the end of a wait for a date.
FOR_TIME, FOR_ZONE = timedelta(minutes=15), timedelta(days=1)


def recheck_interval(config: StepConfig, others: Iterable[Filter | None], fields: Fields) -> timedelta | None:
    """The longest an enrollment waits at this step without being rechecked. `others` are the other filters
    that may take it from the step."""
    own = config.filter if isinstance(config, WaitFor) and config.mode == "condition" else None
    if any(asks_time(expression, fields) for expression in (own, *others)):
        return FOR_TIME
    dated = isinstance(config, Wait) and config.mode in FOLLOWS_A_DATE
    return FOR_ZONE if dated else None


def awaits_change(config: StepConfig) -> bool:
    """Whether a change of the contact may end or move the wait of this step."""
    if isinstance(config, Wait):
        return config.mode == "date_field"
    return isinstance(config, WaitFor) and config.mode == "condition"
