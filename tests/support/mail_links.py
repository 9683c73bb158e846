"""The links in caught emails."""

import re

from tests.support.world import World


def invitation_in(world: World, number: int = -1) -> str:
    """The path of the link in an email."""
    match = re.search(r"http\S+(/invitations/\S+)", world.mails[number][2])
    assert match
    return match[1]


def link_in(world: World, number: int = -1) -> str:
    match = re.search(r"http\S+(/password-reset/\S+)", world.mails[number][2])
    assert match
    return match[1]
