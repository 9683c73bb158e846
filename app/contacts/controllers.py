"""Controllers of the contact screens: the list, the contact page, its forms, and bulk edits."""

from typing import Literal
from uuid import UUID

from litestar import Controller, get, post
from litestar.di import NamedDependency
from litestar.params import FromPath, FromQuery, JSONBody
from msgspec import UNSET

from app.accounts.domain import time_zones
from app.contacts.bulk import (
    delete_many,
    restore_many,
    set_consent_of_many,
    tag_many,
    undo_deletion,
)
from app.contacts.counting import count_page
from app.contacts.filter_form import condition_editor, read_conditions
from app.contacts.filter_schemas import FilterForm
from app.contacts.listing import (
    Query,
    added_condition,
    clean_search,
    read_columns,
    read_filter,
    read_parts,
)
from app.contacts.pages import (
    contact_page,
    editable_field,
    editable_fields,
    edited_segment,
    list_page,
    read_page,
    saved_contact,
    selected_contact,
    selected_contacts,
    value_page,
    value_page_of,
)
from app.contacts.schemas import (
    MOST_IDS,
    BulkConsentForm,
    BulkForm,
    BulkJob,
    BulkTagForm,
    ContactCount,
    ContactForm,
    ContactFormPage,
    ContactList,
    ContactPage,
    ContactSaved,
    ContactView,
    Counting,
    NewContactForm,
    SelectedContact,
    SelectedContacts,
    TagNameForm,
    Timeline,
    ValueForm,
    ValuePage,
)
from app.contacts.timeline import timeline_page
from app.contacts.use_cases import (
    Catalogs,
    add_tag,
    contact_of,
    create_contact,
    delete_contact,
    remove_tag,
    restore_contact,
    update_contact,
)
from app.errors import Invalid
from app.permissions import Permission
from app.web.actions import action, actions
from app.web.body_limits import LONG_TEXT, BodyLimits
from app.web.formatting import plural
from app.web.guards import may
from app.web.methods import deletion, partial_update
from app.web.paging import Limit, check_page
from app.web.request import Request
from app.web.request_kinds import BULK, COUNT, search_with
from app.web.responses import Saved, Shaped
from app.work import Work

EDIT = Permission.EDIT_CONTACTS
MANY = BodyLimits(form=600_000, fields=2 * MOST_IDS)


class ContactController(Controller):
    path = "/contacts"
    tags = ("contacts",)

    @get(
        page="contacts/index.html",
        fragment="contacts/_table.html",
        guards=[may(Permission.VIEW)],
        kind=search_with("q", "f", "field", "sort", "deleted"),
    )
    async def index(
        self,
        *,
        request: Request,
        work: NamedDependency[Work],
        q: FromQuery[str] = "",
        f: FromQuery[list[str] | None] = None,
        match: FromQuery[str] = "all",
        sort: FromQuery[str] = "-created_at",
        columns: FromQuery[list[str] | None] = None,
        deleted: FromQuery[bool] = False,
        limit: Limit = None,
        after: FromQuery[str] = "",
        before: FromQuery[str] = "",
        add: FromQuery[str] = "",
        field: FromQuery[str] = "",
        op: FromQuery[str] = "",
        value: FromQuery[list[str] | None] = None,
        unit: FromQuery[str] = "",
        segment: FromQuery[UUID | None] = None,
        edit: FromQuery[int | None] = None,
        fields: FromQuery[list[str] | None] = None,
        count: FromQuery[Counting | None] = None,
    ) -> Shaped[ContactList | SelectedContacts]:
        """Contacts that match. `f` is field:operator:value and may be repeated, `match` all or any of them;
        `sort` is a column, with “-” for descending order; `after` and `before` come from `next` and
        `previous`. `field`, `op`, `value` and `unit` add a condition, as saved links may do.
        With `segment` (an id) the list offers to save its filter as that of the segment. `add` (a field) and
        `edit` (the number of a condition in `f`) open the form for one condition. With `fields` (names of a
        contact's fields, or “actions”) JSON has only these. `count` is how matching contacts are counted:
        capped (up to 10,000, as JSON usually has it), exact, or none."""
        catalogs = await Catalogs.of(work)
        catalog, tags = catalogs.fields, catalogs.tags
        items = [item for item in f or [] if item.strip()]
        added = [item for item in added_condition(field, op, value or [], unit, catalog) if item not in items]
        check_page(limit, after, before, "contacts")
        parts = read_parts(fields) if fields and not request.wants_html else []
        read = read_conditions(items, added, match, catalog, tags, refuse=not request.wants_html)
        query = Query(
            q=clean_search(q),
            f=read.items,
            match=read.group.match,
            sort=sort,
            columns=read_columns(columns or [], catalog),
            deleted=deleted,
            limit=limit or 0,
            fields=",".join(parts),
            segment=str(segment or ""),
            count=count or "",
        )
        # A browser asks for the number of matches when it has the page.
        usual: Counting = "none" if request.wants_html else "capped"
        rows = await read_page(work, query, read.group, catalogs, after, before, usual)
        if parts:
            return Shaped(selected_contacts(work, query, rows, parts))
        page = list_page(work, query, read.group, catalog, tags, rows, add)
        page.problem = read.problem
        if add or read.typed or edit is not None:
            page.editor = condition_editor(
                query, catalog, tags, add=add, edit=edit, values=read.typed, makes_tags=work.may(EDIT)
            )
            page.actions += actions(action(work, "filter", "Filter", "/contacts/filter", form=FilterForm))
        if segment is not None:
            page.segment, save = await edited_segment(work, segment)
            page.actions += actions(save)
        return Shaped(page, status_code=422 if read.problem else 200)

    @get("/count", fragment="contacts/_count.html", guards=[may(Permission.VIEW)], kind=COUNT)
    async def count(
        self,
        work: NamedDependency[Work],
        q: FromQuery[str] = "",
        f: FromQuery[list[str] | None] = None,
        match: FromQuery[str] = "all",
        deleted: FromQuery[bool] = False,
        count: FromQuery[Literal["capped", "exact"]] = "capped",
    ) -> ContactCount:
        """How many contacts match `q`, `f`, `match` and `deleted`, as in the list: up to 10,000, with `count`
        exact all of them."""
        catalogs = await Catalogs.of(work)
        items = [item for item in f or [] if item.strip()]
        group = read_filter(items, match, catalogs.fields, catalogs.tags)
        query = Query(q=clean_search(q), f=items, match=group.match, deleted=deleted, count=count)
        return await count_page(work, query, group, catalogs)

    @get("/new", page="contacts/new.html", guards=[may(EDIT)])
    async def new(self, work: NamedDependency[Work]) -> ContactFormPage:
        """The form for a new contact."""
        fields = editable_fields(await work.fields.catalog())
        create = action(work, "create", "Create contact", "/contacts", permission=EDIT, form=NewContactForm)
        tags = list((await work.tags.names()).values())
        zone = (await work.accounts.own()).time_zone
        return ContactFormPage(None, fields, list(time_zones()), zone, actions(create), tags)

    @post(form="/contacts/new", guards=[may(EDIT)], limits=LONG_TEXT)
    async def create(
        self, data: JSONBody[NewContactForm], work: NamedDependency[Work]
    ) -> Saved[ContactSaved]:
        """Creates a contact with its tags. Email address and external ID are unique in the account."""
        contact = await create_contact(work, data.sent(), data.tags)
        return saved(work, contact, f"{contact.name} was added.", created=True)

    @post("/bulk/tags", form="contacts/bulk_change.html", guards=[may(EDIT)], limits=MANY, kind=BULK)
    async def tag_many(
        self, request: Request, data: JSONBody[BulkTagForm], work: NamedDependency[Work]
    ) -> Saved[BulkJob]:
        """Starts a job that adds a tag to many contacts or removes it; the job's page shows the progress. A
        browser first gets a page that asks for the tag; JSON may send `expected`."""
        job = await tag_many(work, data, asks=request.wants_html)
        verb = "tagged" if data.operation == "add" else "untagged"
        return Saved(job, see=job.href, note=f"{_contacts_are(job.total)} being {verb}.")

    @post("/bulk/consent", form="contacts/bulk_change.html", guards=[may(EDIT)], limits=MANY, kind=BULK)
    async def set_consent_of_many(
        self, request: Request, data: JSONBody[BulkConsentForm], work: NamedDependency[Work]
    ) -> Saved[BulkJob]:
        """Starts a job that sets the email or SMS consent of many contacts. A browser first gets a page that
        asks for the consent; JSON may send `expected`."""
        job = await set_consent_of_many(work, data, asks=request.wants_html)
        return Saved(job, see=job.href, note=f"The consent of {plural(job.total, 'contact')} is being set.")

    @post("/bulk/deletion", form="contacts/bulk_change.html", guards=[may(EDIT)], limits=MANY, kind=BULK)
    async def delete_many(
        self, request: Request, data: JSONBody[BulkForm], work: NamedDependency[Work]
    ) -> Saved[BulkJob]:
        """Starts a job that deletes many contacts; each can be restored. A browser has to confirm more than
        100; JSON may send `expected`, and gets 409 with the current number when another number matches."""
        job = await delete_many(work, data, asks=request.wants_html)
        return Saved(job, see=job.href, note=f"{_contacts_are(job.total)} being deleted.")

    @post("/bulk/restoration", form="contacts/bulk_change.html", guards=[may(EDIT)], limits=MANY, kind=BULK)
    async def restore_many(
        self, request: Request, data: JSONBody[BulkForm], work: NamedDependency[Work]
    ) -> Saved[BulkJob]:
        """Starts a job that restores many deleted contacts. `all` means every deleted contact that matches;
        everything else is as in the deletion."""
        job = await restore_many(work, data, asks=request.wants_html)
        return Saved(job, see=job.href, note=f"{_contacts_are(job.total)} being restored.")

    @get("/{contact_id:uuid}", page="contacts/show.html", guards=[may(Permission.VIEW)])
    async def show(
        self,
        request: Request,
        contact_id: FromPath[UUID],
        work: NamedDependency[Work],
        fields: FromQuery[list[str] | None] = None,
    ) -> ContactPage | SelectedContact:
        """One contact: its fields, tags, workflows and history. A deleted contact is shown with a button that
        restores it. With `fields` (names of a contact's fields, or “actions”) JSON has only these."""
        parts = read_parts(fields) if fields and not request.wants_html else []
        if parts:
            return await selected_contact(work, contact_id, parts)
        return await contact_page(work, contact_id, drawn=request.wants_html)

    @get(
        "/{contact_id:uuid}/timeline",
        page="contacts/timeline.html",
        fragment="contacts/_timeline.html",
        guards=[may(Permission.VIEW)],
    )
    async def timeline(
        self,
        contact_id: FromPath[UUID],
        work: NamedDependency[Work],
        kind: FromQuery[str] = "",
        after: FromQuery[str] = "",
        before: FromQuery[str] = "",
        limit: Limit = None,
    ) -> Timeline:
        """What happened to a contact, newest first: changes, visits of steps, messages, notes and tasks.
        `kind` is change, step, message, note or task; `after` and `before` come from `next` and
        `previous`."""
        return await timeline_page(work, contact_id, kind, after, before, limit)

    @partial_update(
        "/{contact_id:uuid}", form="/contacts/{contact_id}/edit", guards=[may(EDIT)], limits=LONG_TEXT
    )
    async def update(
        self, contact_id: FromPath[UUID], data: JSONBody[ContactForm], work: NamedDependency[Work]
    ) -> Saved[ContactSaved]:
        """Changes the fields that are sent. `rev` is the revision that the caller saw: a value that the
        caller left alone doesn't undo a later change, and a field that someone else changed too gives 409
        with both values."""
        return saved(work, await update_contact(work, contact_id, data.sent(), data.rev), "Saved.")

    @get("/{contact_id:uuid}/edit", page="contacts/edit.html", guards=[may(EDIT)])
    async def edit(self, contact_id: FromPath[UUID], work: NamedDependency[Work]) -> ContactFormPage:
        """The form with all fields."""
        contact, fields = await contact_of(work, contact_id), await work.fields.catalog()
        save = action(
            work, "update", "Save", f"/contacts/{contact_id}", method="PATCH", permission=EDIT,
            form=ContactForm, when=contact.deleted_at is None,
        )  # fmt: skip
        zone = (await work.accounts.own()).time_zone
        return ContactFormPage(contact, editable_fields(fields), list(time_zones()), zone, actions(save))

    @get(
        "/{contact_id:uuid}/fields/{key:str}",
        page="contacts/edit_field.html",
        fragment="contacts/_edit_field.html",
        guards=[may(EDIT)],
    )
    async def field(
        self, contact_id: FromPath[UUID], key: FromPath[str], work: NamedDependency[Work]
    ) -> ValuePage:
        """One field with a small form to change it."""
        return await value_page(work, contact_id, key)

    @partial_update(
        "/{contact_id:uuid}/fields/{key:str}",
        fragment="contacts/_field_value.html",
        form="/contacts/{contact_id}/fields/{key}",
        guards=[may(EDIT)],
    )
    async def set_field(
        self,
        contact_id: FromPath[UUID],
        key: FromPath[str],
        data: JSONBody[ValueForm],
        work: NamedDependency[Work],
    ) -> Saved[ValuePage]:
        """Changes one field, like the same value in `POST /contacts/{contact_id}`."""
        edited = await editable_field(work, contact_id, key)
        values = {} if data.value is UNSET else {key: data.value}
        try:
            contact = await update_contact(work, contact_id, values, data.rev)
        except Invalid as error:
            links = dict.fromkeys(["value"][: len(error.links)], next(iter(error.links.values()), ""))
            raise Invalid({"value": " ".join(error.errors.values())}, links) from None
        page, see = await value_page_of(work, contact, edited), f"/contacts/{contact_id}"
        return Saved(page, see=see, created=False, note=f"{edited.label} saved.", push=False)

    @deletion("/{contact_id:uuid}", guards=[may(EDIT)])
    async def delete_contact(
        self, contact_id: FromPath[UUID], work: NamedDependency[Work]
    ) -> Saved[ContactSaved]:
        """Deletes a contact; its page then offers to restore it."""
        contact = await delete_contact(work, contact_id)
        undo = f"/contacts/{contact_id}/restoration"
        return saved(work, contact, f"{contact.name} was deleted.", undo=undo)

    @post(
        "/{contact_id:uuid}/restoration", form="/contacts/{contact_id}", guards=[may(EDIT)], status_code=200
    )
    async def restore(self, contact_id: FromPath[UUID], work: NamedDependency[Work]) -> Saved[ContactSaved]:
        """Restores a deleted contact. 409 when another contact has its email address or external ID."""
        contact = await restore_contact(work, contact_id)
        return saved(work, contact, f"{contact.name} was restored.")

    @post("/{contact_id:uuid}/tags", form="/contacts/{contact_id}", guards=[may(EDIT)], status_code=200)
    async def add_tag(
        self, contact_id: FromPath[UUID], data: JSONBody[TagNameForm], work: NamedDependency[Work]
    ) -> Saved[ContactSaved]:
        """Adds a tag by name, and creates the tag if it doesn't exist yet."""
        contact, name = await add_tag(work, contact_id, data.name)
        return saved(work, contact, f"Tag {name} was added.")

    @deletion("/{contact_id:uuid}/tags/{tag_id:uuid}", guards=[may(EDIT)])
    async def remove_tag(
        self, contact_id: FromPath[UUID], tag_id: FromPath[UUID], work: NamedDependency[Work]
    ) -> Saved[ContactSaved]:
        """Removes a tag from a contact."""
        contact, name = await remove_tag(work, contact_id, tag_id)
        return saved(work, contact, f"Tag {name} was removed.")


def saved(
    work: Work, contact: ContactView, note: str, *, created: bool = False, undo: str = ""
) -> Saved[ContactSaved]:
    """The answer to a change of a contact. A browser goes to the contact's page."""
    page = saved_contact(work, contact)
    return Saved(page, see=page.href, created=created, note=note, undo=undo)


class UndoController(Controller):
    path = "/jobs"
    tags = ("jobs",)

    @post("/{job_id:uuid}/undo", form="/jobs/{job_id}", guards=[may(EDIT)])
    async def undo(self, job_id: FromPath[UUID], work: NamedDependency[Work]) -> Saved[BulkJob]:
        """Starts a job that restores the contacts of a bulk deletion that are still deleted. Works once."""
        job = await undo_deletion(work, job_id)
        return Saved(job, see=job.href, note=f"{_contacts_are(job.total)} being restored.")


def _contacts_are(total: int) -> str:
    return "1 contact is" if total == 1 else f"{total:,} contacts are"
