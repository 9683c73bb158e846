"""Labels of the settings of a workflow, for the settings sheet and the publish plan. Pure."""

from app.engine.core.draft import Audience, Reentry

SETTINGS = {
    "reentry": "Re-entry",
    "cooldown": "Wait before re-entry",
    "cooldown_unit": "Wait before re-entry, unit",
    "key_field": "Key",
    "audience": "Enroll on publishing",
    "settle_seconds": "Delay before the first step",
    "window": "Sending window",
    "leave_when_unmatched": "Remove contacts that no longer match",
    "entry_cap": "Entry limit per day",
}
# Label and explanation of each re-entry policy, in the order of the radio buttons.
REENTRY = {
    Reentry.ONCE_EVER: ("Once", "A contact enters only once"),
    Reentry.AFTER_EXIT: ("After leaving", "A contact can enter again after leaving"),
    Reentry.RESTART: (
        "Restart",
        "Restart from the first step; the earlier enrollment ends as superseded",
    ),
    Reentry.CONCURRENT_PER_KEY: (
        "Once per key",
        "Several enrollments at a time, one for each value of the key below",
    ),
}
AUDIENCES = {
    Audience.FUTURE_ONLY: "Only contacts that match from then on",
    Audience.CURRENT_AND_FUTURE: "Contacts that match now or later",
    Audience.CURRENT_ONLY: "Only contacts that match now",
}


def setting_label(setting: object) -> str | None:
    """The label of a re-entry policy or an audience; None for other settings."""
    if isinstance(setting, Reentry):
        return REENTRY[setting][0]
    return AUDIENCES[setting] if isinstance(setting, Audience) else None
