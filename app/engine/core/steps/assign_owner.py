"""Make a member the owner of the contact."""

from typing import TYPE_CHECKING, Literal
from uuid import UUID

from app.engine.core.checks import Problems, check_members
from app.engine.core.name_lookup import Names
from app.engine.core.steps.base import (
    Config,
    References,
    Sentence,
    StepKind,
    Users,
    member_names,
    owner_of,
    set_field,
    skip,
)
from app.filters.fields import Fields

if TYPE_CHECKING:
    from app.engine.core.interpreter import Run
    from app.engine.core.version import Node


class AssignOwner(Config, frozen=True, tag="assign_owner"):
    """One of `users` becomes the contact's owner: the first (`user`), each in turn, or the one who owns the
    fewest contacts. `nobody` takes the owner away."""

    mode: Literal["user", "round_robin", "least_busy", "nobody"] = "user"
    users: Users = []
    only_if_unassigned: bool = False


def execute(run: "Run", node: "Node") -> int:
    config: AssignOwner = node.config
    old = run.facts.values.get("owner")
    if config.only_if_unassigned and old is not None:
        return skip(run, node, "The contact already has an owner.")
    owner = None
    if config.mode != "nobody":
        owner = _choose(run, node)
        if owner is None:
            return skip(run, node, "None of the chosen members belong to this account anymore.")
    counts, previous = run.around.owned, owner_of(run)
    if owner != previous:
        if previous in counts:
            counts[previous] -= 1
        if owner is not None:
            counts[owner] = counts.get(owner, 0) + 1
    return set_field(run, node, "owner", old, None if owner is None else str(owner))


def _choose(run: "Run", node: "Node") -> UUID | None:
    """The next member in turn; users who are no longer members are left out."""
    config: AssignOwner = node.config
    around = run.around
    users = config.users or (around.members if config.mode != "user" else [])
    if around.members:
        users = [user for user in users if user in around.members]
    if not users:
        return None
    if config.mode == "round_robin":
        state = around.states.setdefault(node.key, {})
        following = state.get("next", 0)
        turn = (following if isinstance(following, int) else 0) % len(users)
        state["next"] = (turn + 1) % len(users)
        return users[turn]
    if config.mode == "least_busy":
        return min(users, key=lambda user: around.owned.get(user, 0))
    return users[0]


def describe(config: AssignOwner, _fields: Fields, names: Names) -> Sentence:
    if config.mode == "nobody":
        owner = "No one"
    else:
        how = {"round_robin": "Round robin: ", "least_busy": "Least busy of: "}.get(config.mode, "")
        owner = how + ("all members" if how and not config.users else member_names(config.users, names))
    return Sentence("Assign owner", owner + (" · only if unassigned" if config.only_if_unassigned else ""))


def validate(config: AssignOwner, _fields: Fields, names: Names) -> Problems:
    if config.mode == "user" and not config.users:
        yield "users", "Choose who becomes the owner."
    if config.mode != "nobody":
        yield from check_members(config.users, names)


def references(config: AssignOwner) -> References:
    if config.mode != "nobody":
        yield from (("user", user) for user in config.users)


KIND = StepKind(
    AssignOwner,
    label="Assign owner",
    group="Contact",
    icon="user",
    tone="quiet",
    hint="One member, round robin, or the least busy",
    execute=execute,
    describe=describe,
    validate=validate,
    references=references,
    changes_contact=True,
    skips_deleted_contact=True,
    needs_members=lambda _config: True,
    needs_owner_counts=lambda config: config.mode == "least_busy",
    keeps_state=lambda config: config.mode == "round_robin",
)
