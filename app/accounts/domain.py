"""Validates the settings of an account. Pure."""

from functools import lru_cache
from zoneinfo import available_timezones


@lru_cache(maxsize=1)
def time_zones() -> tuple[str, ...]:
    """The IANA time zones that are named after places, and UTC."""
    legacy = ("Etc/", "SystemV/", "posix/", "right/", "US/", "Canada/", "Brazil/", "Chile/", "Mexico/")
    places = (zone for zone in available_timezones() if "/" in zone and not zone.startswith(legacy))
    return ("UTC", *sorted(places))


def settings_errors(name: str, region: str, zone: str, regions: frozenset[str]) -> dict[str, str]:
    """The problems of an account's settings: field name to message."""
    errors: dict[str, str] = {}
    if not name.strip():
        errors["name"] = "Enter a name for the account."
    if region not in regions:
        errors["default_region"] = "Enter a two-letter country code, such as US."
    if zone not in available_timezones():
        errors["time_zone"] = "Choose a time zone, such as Europe/Rome."
    return errors
