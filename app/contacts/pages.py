"""Builds the pages of contacts: the list (`read_page`, then `list_page`), the contact page, one field."""

from collections.abc import Mapping, Sequence
from urllib.parse import urlencode
from uuid import UUID

import msgspec
from msgspec import UNSET

from app.accounts.domain import time_zones
from app.audit.pages import entry_of
from app.contacts.address_schemas import AddressForm, NewAddressForm
from app.contacts.counting import condition_of, total_of
from app.contacts.domain import NON_TEXT_FIELDS
from app.contacts.listing import (
    DEFAULT_COLUMNS,
    Query,
    chips_of,
    columns_of,
    new_condition_form,
    read_sort,
)
from app.contacts.schemas import (
    BulkConsentForm,
    BulkForm,
    BulkTagForm,
    ContactCount,
    ContactEnrollment,
    ContactList,
    ContactPage,
    ContactSaved,
    ContactView,
    Counting,
    FieldView,
    NamedContact,
    SegmentRef,
    SelectedContact,
    SelectedContacts,
    SelectOption,
    TagNameForm,
    ValueForm,
    ValuePage,
    field_view,
)
from app.contacts.timeline import first_entries
from app.contacts.use_cases import Catalogs, contact_of, member_name, views_of
from app.errors import Invalid, NotFound
from app.filters.ast import Group
from app.filters.fields import Fields, FieldType, offered
from app.filters.parse import describe
from app.notes.schemas import NoteForm, NoteView
from app.notes.use_cases import view_of as note_view
from app.permissions import Permission
from app.segments.schemas import SegmentChangeForm
from app.tasks.pages import shown as shown_task
from app.tasks.pages import task_actions
from app.tasks.schemas import TaskForm
from app.tasks.use_cases import zone_of
from app.web.actions import Action, action, actions
from app.web.paging import MISPLACED, read_optional_cursor, write_cursor
from app.work import Work
from db.queries.contact_history import (
    EnrollmentOfContact,
    list_enrollments_of_contact,
    list_entries_of_contact,
    list_notes_of_contact,
    list_tasks_of_contact,
)
from db.queries.contact_pages import (
    fetch_contact_page,
)

EDIT = Permission.EDIT_CONTACTS
PAGE_SIZE = 50
SHOWN_OF_TIMELINE = 20  # entries on the page of a contact


class ContactRows(msgspec.Struct):
    """One page of rows and the URLs of its neighbors. `total` is None when they were not counted."""

    items: list[ContactView]
    total: ContactCount | None
    next: str
    previous: str


async def read_page(
    work: Work, query: Query, group: Group, catalogs: Catalogs, after: str, before: str, usual: Counting
) -> ContactRows:
    """The contacts that the query string selects, counted in the `usual` way unless it names another. Raises
    `Invalid` for an unknown sort column or cursor."""
    sort, descending = read_sort(query.sort, catalogs.fields)
    clause = condition_of(work, query, group, catalogs)
    name, cursor = ("before", before) if before else ("after", after)
    try:
        rows, more = await fetch_contact_page(
            work.session,
            clause,
            sort,
            descending=descending,
            cursor=read_optional_cursor(cursor, sort.kind, name) if cursor else None,
            backwards=bool(before),
            limit=query.limit or PAGE_SIZE,
            deleted=query.deleted,
        )
    except LookupError:
        raise Invalid({name: MISPLACED}) from None
    if not cursor and not more:
        total: ContactCount | None = ContactCount(len(rows), more_than_total=False)
    else:
        total = await total_of(work, query, clause, query.count or usual)
    has_next = bool(rows) and (more or bool(before))
    has_previous = bool(rows) and (more if before else bool(after))
    return ContactRows(
        await views_of(work, rows, catalogs),
        total,
        query.href(after=write_cursor(rows[-1].sort_value, rows[-1].id)) if has_next else "",
        query.href(before=write_cursor(rows[0].sort_value, rows[0].id)) if has_previous else "",
    )


def list_page(
    work: Work,
    query: Query,
    group: Group,
    fields: Fields,
    tags: Mapping[str, str],
    rows: ContactRows,
    add: str,
) -> ContactList:
    shown = query.columns or [name for name in DEFAULT_COLUMNS if name in fields]
    href = query.href(add="x")[:-1]
    return ContactList(
        items=rows.items,
        total=rows.total.total if rows.total else None,
        more_than_total=rows.total is not None and rows.total.more_than_total,
        count_href=rows.total.href if rows.total else query.count_href(),
        next=rows.next,
        previous=rows.previous,
        q=query.q,
        f=query.f,
        match=query.match,
        sort=query.sort,
        deleted=query.deleted,
        described=describe(group, fields, tags),
        columns=columns_of(query, fields),
        shown=list(shown),
        choices=[SelectOption(spec.key, spec.label) for spec in offered(fields, *shown) if spec.has_value],
        chips=chips_of(query, group, fields, tags),
        add=[SelectOption(href + spec.key, spec.label) for spec in offered(fields)],
        adding=new_condition_form(add, fields, tags),
        tags=list(tags.values()),
        views=[
            ("All contacts", Query().href(), not query.deleted),
            ("Deleted", Query(deleted=True).href(), query.deleted),
        ],
        match_href=query.href(match="any" if query.match == "all" else "all"),
        state=query.pairs(),
        actions=_list_actions(work, query, bool(rows.items)),
    )


def selected_contacts(work: Work, query: Query, rows: ContactRows, parts: Sequence[str]) -> SelectedContacts:
    """The page with only these parts of each contact."""
    return SelectedContacts(
        [_selected(contact, parts) for contact in rows.items],
        rows.total.total if rows.total else None,
        rows.total is not None and rows.total.more_than_total,
        rows.next,
        rows.previous,
        _list_actions(work, query, bool(rows.items)) if "actions" in parts else UNSET,
    )


def _selected(contact: ContactView, parts: Sequence[str]) -> dict[str, object]:
    return {name: getattr(contact, name) for name in parts if name != "actions"}


async def edited_segment(work: Work, segment_id: UUID) -> tuple[SegmentRef, Action | None]:
    """The segment whose filter the member edits in the list, and the form that saves it. Raises
    `NotFound`."""
    segment = await work.segments.get_one_or_none(id=segment_id)
    if segment is None:
        raise NotFound("segment")
    save = action(
        work, "save_filter", "Save filter", f"/segments/{segment_id}", method="PATCH", permission=EDIT,
        form=SegmentChangeForm,
    )  # fmt: skip
    return SegmentRef(segment.id, segment.name, segment.rev), save


def _list_actions(work: Work, query: Query, any_rows: bool) -> list[Action]:
    save_segment = action(
        work, "segment", "Save as segment",
        "/segments/new?" + urlencode([("match", query.match), *(("f", item) for item in query.f)]),
        permission=EDIT, method="GET", when=bool(query.f) and not query.segment and not query.deleted,
    )  # fmt: skip
    tag = action(
        work, "tag", "Tag", "/contacts/bulk/tags", permission=EDIT, form=BulkTagForm,
        options={"operation": ["add", "remove"]}, when=any_rows and not query.deleted,
    )  # fmt: skip
    consent = action(
        work, "consent", "Set consent", "/contacts/bulk/consent", permission=EDIT, form=BulkConsentForm,
        when=any_rows and not query.deleted,
    )  # fmt: skip
    delete = action(
        work, "delete", "Delete", "/contacts/bulk/deletion", permission=EDIT, form=BulkForm,
        when=any_rows and not query.deleted,
    )  # fmt: skip
    restore = action(
        work, "restore", "Restore", "/contacts/bulk/restoration", permission=EDIT, form=BulkForm,
        when=any_rows and query.deleted,
    )  # fmt: skip
    import_contacts = action(
        work, "import", "Import", "/imports/new", permission=Permission.IMPORT_CONTACTS, method="GET"
    )
    new = action(work, "new", "New contact", "/contacts/new", permission=EDIT, method="GET")
    return actions(import_contacts, new, save_segment, tag, consent, delete, restore)


def editable_fields(fields: Fields, contact_id: UUID | None = None) -> list[FieldView]:
    """The fields that a member can edit, in the order of the forms: those outside any group first, then group
    by group."""
    offered = [
        spec
        for spec in fields.values()
        if (spec.custom_id is not None or spec.type is FieldType.TEXT or spec.key in NON_TEXT_FIELDS)
        and not spec.retired
    ]
    groups = list(dict.fromkeys(["", *(spec.group for spec in offered)]))
    offered.sort(key=lambda spec: groups.index(spec.group))
    return [field_view(spec, contact_id) for spec in offered]


def _retired_fields(fields: Fields, contact: ContactView) -> list[FieldView]:
    """The retired fields in which a contact still has a value."""
    return [
        field_view(spec) for spec in fields.values() if spec.retired and contact.value(spec.key) is not None
    ]


async def contact_page(work: Work, contact_id: UUID, *, drawn: bool = False) -> ContactPage:
    """The page of one contact, `drawn` with the beginning of its timeline instead of its history. Raises
    `NotFound`."""
    contact, fields = await contact_of(work, contact_id), await work.fields.catalog()
    enrollments = await list_enrollments_of_contact(work.session, contact_id)
    labels = {spec.key: spec.label for spec in fields.values()}
    named = NamedContact(contact_id, contact.name)
    timeline = await first_entries(work, named, labels, SHOWN_OF_TIMELINE) if drawn else UNSET
    history = [] if drawn else await list_entries_of_contact(work.session, contact_id)
    notes = [note_view(work, note) for note in await list_notes_of_contact(work.session, contact_id)]
    tasks = [
        shown_task(work, task, contact.name, member_name(fields, task.assignee_id))
        for task in await list_tasks_of_contact(work.session, contact_id)
    ]
    return ContactPage(
        contact,
        [*editable_fields(fields, contact_id), *_retired_fields(fields, contact)],
        [_enrollment(row) for row in enrollments],
        [entry_of(row) for row in history],
        labels,
        list((await work.tags.names()).values()),
        notes,
        tasks,
        dict(fields["owner"].names or {}),
        await zone_of(work),
        [
            *_record_actions(work, contact),
            *_note_actions(work, contact, notes),
            *task_actions(work, tasks, when=contact.deleted_at is None),
        ],
        timeline,
    )


async def selected_contact(work: Work, contact_id: UUID, parts: Sequence[str]) -> SelectedContact:
    """Only these parts of one contact. Raises `NotFound`."""
    contact = await contact_of(work, contact_id)
    allowed = _contact_actions(work, contact) if "actions" in parts else UNSET
    return SelectedContact(_selected(contact, parts), allowed)


def saved_contact(work: Work, contact: ContactView) -> ContactSaved:
    """The answer to a change of a contact."""
    return ContactSaved(contact, f"/contacts/{contact.id}", _contact_actions(work, contact))


def _contact_actions(work: Work, contact: ContactView) -> list[Action]:
    return [*_record_actions(work, contact), *_note_actions(work, contact, [])]


def _enrollment(row: EnrollmentOfContact) -> ContactEnrollment:
    return ContactEnrollment(
        id=row.id, workflow_id=row.workflow_id, workflow=row.workflow, version=row.version, status=row.status,
        step=row.step, wait_until=row.wait_until, entered_at=row.entered_at, ended_at=row.ended_at,
    )  # fmt: skip


def _note_actions(work: Work, contact: ContactView, notes: list[NoteView]) -> list[Action]:
    href, live = f"/contacts/{contact.id}", contact.deleted_at is None
    return actions(
        action(work, "note", "Add note", f"{href}/notes", permission=EDIT, form=NoteForm, when=live),
        action(work, "task", "Add task", f"{href}/tasks", permission=EDIT, form=TaskForm, when=live),
        *(
            action(
                work, f"edit_note:{note.id}", "Edit note", f"/notes/{note.id}", method="GET",
                permission=EDIT, when=note.own and live,
            )
            for note in notes
        ),
        *(
            action(
                work, f"delete_note:{note.id}", "Delete note", f"/notes/{note.id}", method="DELETE",
                permission=EDIT, when=note.own and live,
            )
            for note in notes
        ),
    )  # fmt: skip


def _record_actions(work: Work, contact: ContactView) -> list[Action]:
    href, live = f"/contacts/{contact.id}", contact.deleted_at is None
    untag = [
        action(
            work, f"untag:{tag.id}", f"Remove tag {tag.name}", f"{href}/tags/{tag.id}",
            method="DELETE", permission=EDIT, when=live,
        )
        for tag in contact.tags
    ]  # fmt: skip
    return actions(
        action(work, "tag", "Add tag", f"{href}/tags", permission=EDIT, form=TagNameForm, when=live),
        *untag,
        action(
            work, "add_address", "Add email or phone", f"{href}/addresses", permission=EDIT,
            form=NewAddressForm, when=live,
        ),
        action(
            work, "make_primary", "Make primary", f"{href}/addresses/primary", permission=EDIT,
            form=AddressForm, when=live and bool(contact.other_emails or contact.other_phones),
        ),
        action(
            work, "remove_address", "Remove email or phone", f"{href}/addresses", method="DELETE",
            permission=EDIT, form=AddressForm, when=live,
        ),
        action(work, "delete", "Delete", href, method="DELETE", permission=EDIT, when=live),
        action(work, "restore", "Restore", f"{href}/restoration", permission=EDIT, when=not live),
    )  # fmt: skip


async def value_page(work: Work, contact_id: UUID, key: str) -> ValuePage:
    """One field of one contact. Raises `NotFound`, also for a field that cannot be edited."""
    contact, field = await contact_of(work, contact_id), await editable_field(work, contact_id, key)
    return await value_page_of(work, contact, field)


async def editable_field(work: Work, contact_id: UUID, key: str) -> FieldView:
    """A field that a member can edit. Raises `NotFound`."""
    views = editable_fields(await work.fields.catalog(), contact_id)
    field = next((view for view in views if view.key == key), None)
    if field is None:
        raise NotFound("field")
    return field


async def value_page_of(work: Work, contact: ContactView, field: FieldView) -> ValuePage:
    """The form of one field of this contact."""
    save = action(
        work,
        "save",
        "Save",
        field.href,
        method="PATCH",
        permission=EDIT,
        form=ValueForm,
        when=contact.deleted_at is None,
    )
    zones = list(time_zones()) if field.key == "time_zone" else []
    return ValuePage(contact, field, zones, (await work.accounts.own()).time_zone, actions(save))
