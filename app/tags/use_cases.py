"""Create, rename and delete tags."""

from uuid import UUID

import msgspec
from sqlalchemy.exc import IntegrityError

from app.errors import Conflict, Forbidden, Invalid, NotFound, check_expected
from app.filters.references import Use, still_used_message
from app.filters.rows import row_at
from app.json_types import Json
from app.permissions import Permission
from app.work import Work
from db.queries.references import find_uses, lock_for_deletion
from db.queries.tags import find_tag_with_contacts
from db.repositories.tags import slug_of

LONGEST = 60


def clean_name(name: str) -> str:
    """The name without extra spaces. Raises `Invalid` for "name"."""
    clean = " ".join(name.split())
    if not clean or len(clean) > LONGEST or not clean.isprintable():
        raise Invalid({"name": f"Enter a tag of 1 to {LONGEST} characters."})
    return clean


async def ensured_tag(work: Work, name: str) -> tuple[UUID, str]:
    """Finds the tag by name (ignoring case) or creates it; returns id and name. Does not commit."""
    clean = clean_name(name)
    existing = await work.tags.get_one_or_none(slug=slug_of(clean))
    if existing is not None:
        return existing.id, existing.name
    tag_id = (await work.tags.ensure([clean]))[clean]
    work.audit("tag.created", "tag", tag_id, {"name": [None, clean]})
    return tag_id, clean


async def make_tag_of_row(work: Work, values: Json, path: str) -> None:
    """Makes a tag of what was searched in a row of a filter, and chooses it there. `path` is the row in the
    values of the form; "" does nothing. Raises `Invalid`, and `Forbidden` for one who may not edit tags."""
    if path and not work.may(Permission.EDIT_CONTACTS):
        raise Forbidden("Your role can't create tags. Ask an owner or an operator.")
    row = row_at(values, path) if path else None
    if row is None:
        return
    try:
        tag_id, _ = await ensured_tag(work, str(row.get("search", "")))
    except Invalid as error:
        raise Invalid({f"{path}.value": error.message}) from None
    await work.commit()
    chosen = row.get("values")
    row["values"] = [*(chosen if isinstance(chosen, list) else []), str(tag_id)]
    row["search"] = ""


async def create_tag(work: Work, name: str) -> UUID:
    """Creates a tag. Raises `Invalid` when another tag has the name."""
    clean = clean_name(name)
    existing = await work.tags.get_one_or_none(slug=slug_of(clean))
    if existing is not None:
        raise Invalid({"name": f"There is already a tag named “{existing.name}”."})
    tag_id, _ = await ensured_tag(work, clean)
    await work.commit()
    return tag_id


async def rename_tag(work: Work, tag_id: UUID, name: str) -> None:
    """Renames a tag; contacts and workflows keep it. Raises `Invalid`, `NotFound`."""
    clean = clean_name(name)
    tag = await work.tags.get_one_or_none(id=tag_id, with_for_update={"key_share": True})
    if tag is None:
        raise NotFound("tag")
    other = await work.tags.get_one_or_none(slug=slug_of(clean))
    if other is not None and other.id != tag_id:
        raise Invalid({"name": f"There is already a tag named “{other.name}”."})
    if tag.name != clean:
        work.audit("tag.renamed", "tag", tag_id, {"name": [tag.name, clean]})
        tag.name, tag.slug, tag.updated_at = clean, slug_of(clean), work.now
        try:
            await work.session.flush()
        except IntegrityError:
            await work.session.rollback()
            raise Invalid({"name": f"There is already a tag named “{clean}”."}) from None
    await work.commit()


async def delete_tag(work: Work, tag_id: UUID, expected: int | None = None) -> str:
    """Removes a tag from all contacts, deletes it and returns its name. Raises `NotFound`, `Conflict` with
    the list of uses while a workflow or a segment uses it, and `Conflict` with the number of contacts when it
    differs from `expected`."""
    await lock_for_deletion(work.session)  # before the tag is read: another request may be deleting it
    tag = await work.tags.get_one_or_none(id=tag_id)
    if tag is None:
        raise NotFound("tag")
    used = await users_of(work, tag_id)
    if used:
        raise Conflict(still_used_message(f"The tag “{tag.name}”", used), current=msgspec.to_builtins(used))
    counted = await find_tag_with_contacts(work.session, tag_id)
    total = counted.contacts if counted else 0
    check_expected(expected, total, "contact has this tag", "contacts have this tag")
    await work.session.delete(tag)
    work.audit("tag.deleted", "tag", tag_id, {"name": [tag.name, None], "contacts": [total, None]})
    await work.commit()
    return tag.name


async def users_of(work: Work, tag_id: UUID) -> list[Use]:
    """The workflows and segments that use a tag."""
    return await find_uses(work.session, "tag", str(tag_id))
