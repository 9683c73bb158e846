"""The JSON of contacts and their forms."""

from datetime import datetime
from typing import Annotated, Any, Literal, TypeAlias
from uuid import UUID

import msgspec
from msgspec import UNSET, Meta, UnsetType

from app.audit.schemas import AuditEntry, FieldChange
from app.contacts.address_schemas import CUSTOM_VALUE, OtherAddress
from app.contacts.domain import FieldInput
from app.contacts.filter_schemas import ConditionEditor
from app.filters.contact_columns import ContactColumns
from app.filters.fields import FieldSpec, FieldType, defaults_of
from app.filters.normalize import Value
from app.notes.schemas import NoteView
from app.tasks.schemas import TaskView
from app.web.actions import Action

MOST_IDS = 10_000
TAG_NAME = "Enter a tag of 1 to 60 characters."
MOST_NEW_TAGS = 50
Counting: TypeAlias = Literal["none", "capped", "exact"]
Text = Annotated[str, Meta(max_length=5000)] | None | UnsetType


class ContactForm(msgspec.Struct, forbid_unknown_fields=True):
    """A missing field does not change; "" and null clear a field. `fields` has custom fields by id. `rev` is
    the revision that the caller saw: nothing is saved when someone else has changed one of the fields since
    (409). `owner` is a member's id, the consents are unknown, granted or denied. `email` and `phone` are the
    primary ones, which get messages; `other_emails` and `other_phones` replace all others, of which `phone2`
    is the first phone."""

    first_name: Text = UNSET
    last_name: Text = UNSET
    email: Text = UNSET
    phone: Text = UNSET
    phone2: Text = UNSET
    company: Text = UNSET
    address: Text = UNSET
    city: Text = UNSET
    county: Text = UNSET
    state: Text = UNSET
    postal_code: Text = UNSET
    country: Text = UNSET
    website: Text = UNSET
    time_zone: Text = UNSET
    external_id: Text = UNSET
    owner: UUID | UnsetType | None = UNSET
    email_consent: Text = UNSET
    sms_consent: Text = UNSET
    email_label: Text = UNSET
    other_emails: list[OtherAddress] | UnsetType = UNSET
    phone_label: Text = UNSET
    other_phones: list[OtherAddress] | UnsetType = UNSET
    # Any: each field refuses what it cannot store, with a message of its own
    fields: dict[str, Annotated[Any, CUSTOM_VALUE]] = {}
    rev: int | None = None

    def sent(self) -> dict[str, FieldInput]:
        """The values that were sent, by field key."""
        columns: dict[str, FieldInput] = {
            name: msgspec.to_builtins(value) if isinstance(value, list) else value
            for name in self.__struct_fields__
            if name not in ("fields", "rev", "tags") and (value := getattr(self, name)) is not UNSET
        }
        return columns | {f"custom.{field_id}": value for field_id, value in self.fields.items()}


class NewContactForm(ContactForm, forbid_unknown_fields=True):
    """A new contact with its `tags` by name; those that don't exist yet are created."""

    tags: Annotated[list[str], Meta(max_length=MOST_NEW_TAGS)] = []


class ValueForm(msgspec.Struct, forbid_unknown_fields=True):
    """One field, edited in place; null or "" clears it. `rev` as in `ContactForm`."""

    value: Annotated[Any, CUSTOM_VALUE] = UNSET  # Any: as in `ContactForm.fields`
    rev: int | None = None


class TagNameForm(msgspec.Struct, forbid_unknown_fields=True):
    name: Annotated[str, Meta(min_length=1, max_length=60, extra={"error": TAG_NAME})]


class BulkForm(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    """The contacts to change: `ids` (or `id`, as check boxes send it), or with `all` every contact that `q`,
    `f` and `match` select, as in the URL of the list. With `expected` nothing changes when another number of
    contacts matches (409 with the current number). `matching` is the number that the list showed: the page
    sends it, and `expected` once the member has confirmed."""

    ids: Annotated[list[UUID], Meta(max_length=MOST_IDS)] = []
    id: Annotated[list[UUID], Meta(max_length=MOST_IDS)] = []
    all: bool = False
    q: Annotated[str, Meta(max_length=200)] = ""
    f: Annotated[list[str], Meta(max_length=100)] = []
    match: str = "all"
    expected: Annotated[int, Meta(ge=0)] | None = None
    matching: Annotated[int, Meta(ge=0)] | None = None


class BulkTagForm(BulkForm, kw_only=True):
    """`tag` is a name; a browser that sends none gets a page that asks for it. `operation` is add or
    remove."""

    tag: Annotated[str, Meta(max_length=60, extra={"error": TAG_NAME})] = ""
    operation: Annotated[
        str, Meta(pattern="^(add|remove)$", extra={"error": "“operation” must be add or remove."})
    ] = "add"


class BulkConsentForm(BulkForm, kw_only=True):
    """`state` is the new consent for `channel`; a browser that sends none gets a page that asks for it."""

    channel: Literal["email", "sms"] = "email"
    state: Literal["", "granted", "denied", "unknown"] = ""


class BulkJob(msgspec.Struct):
    """The job of the bulk edit, and how many contacts it will process."""

    job_id: UUID
    total: int
    href: str


class TagRef(msgspec.Struct):
    id: UUID
    name: str


class ContactView(ContactColumns, frozen=True):
    """`name` is the display name; `fields` are custom values by the field's id. `unrecognized` are the fields
    whose value stays as it was typed, because it is no phone number of its country, or no country that is
    known (`country` is an ISO code)."""

    name: str
    owner_name: str
    tags: list[TagRef]
    unrecognized: list[str]

    def value(self, key: str) -> Value | datetime:
        """The value of one field by its key; the owner's id as text."""
        if key == "owner":
            return str(self.owner) if self.owner else None
        if key.startswith("custom."):
            return self.fields.get(key.removeprefix("custom."))
        value: Value | datetime = getattr(self, key)
        return value


class ListColumn(msgspec.Struct):
    """One column. `href` sorts the list by it ("" if that is not possible), `sorted` is ascending, descending
    or "". `currency` and `members` (names by id) say how to show amounts and members of a custom field."""

    key: str
    label: str
    type: str
    href: str = ""
    sorted: str = ""
    currency: str = ""
    members: dict[str, str] = {}


class Chip(msgspec.Struct):
    """One condition as text; `short` has the first of its values. `href` is the URL of the list without it,
    `edit_href` that of the list with a form for it."""

    field: str
    operator: str
    value: str
    href: str
    edit_href: str
    short: str


class SelectOption(msgspec.Struct):
    value: str
    label: str


class NewCondition(msgspec.Struct):
    """The form that adds a condition on a field: the operators, and values to choose from if any.
    `change_operators` test changes of one of the fields in `changing`; they have a second form, whose inputs
    are the field, its old value, its new value and the period."""

    key: str
    label: str
    type: str
    operators: list[SelectOption]
    values: list[SelectOption]
    units: list[str]
    change_operators: list[SelectOption] = []
    changing: list[SelectOption] = []


class SegmentRef(msgspec.Struct):
    """The segment whose filter the member edits in the list."""

    id: UUID
    name: str
    rev: int


class ContactCount(msgspec.Struct):
    """How many contacts match; `more_than_total` when there are more, which `href` counts, else ""."""

    total: int
    more_than_total: bool
    href: str = ""


class ContactList(msgspec.Struct):
    """One page of the list. `total` counts up to 10,000 (`more_than_total` when there are more), with `count`
    exact all of them, and is null when they were not counted; `count_href` then counts them; `next` and
    `previous` are URLs, "" for none; `state` is the query string as names and values, without the cursor;
    `problem` says why a condition could not be added. `editor` is the form for one condition, while it is
    open."""

    items: list[ContactView]
    total: int | None
    more_than_total: bool
    next: str
    previous: str
    q: str
    f: list[str]
    match: str
    sort: str
    deleted: bool
    described: str
    columns: list[ListColumn]
    shown: list[str]
    choices: list[SelectOption]
    chips: list[Chip]
    add: list[SelectOption]
    adding: NewCondition | None
    tags: list[str]
    views: list[tuple[str, str, bool]]
    match_href: str
    state: list[tuple[str, str]]
    actions: list[Action]
    problem: str = ""
    segment: SegmentRef | None = None
    count_href: str = ""
    editor: ConditionEditor | UnsetType = UNSET


class SelectedContacts(msgspec.Struct):
    """One page of the list, of each contact only what `fields` names."""

    items: list[dict[str, object]]
    total: int | None
    more_than_total: bool
    next: str
    previous: str
    actions: list[Action] | UnsetType = UNSET


class FieldView(msgspec.Struct):
    """A field of the form: `name` is its name in the form, `key` its name in filters; `members` are the
    members to choose from, by id. A custom field may belong to a `group` of the form, be `required` when a
    contact is created, and have a `default`, which the form for a new contact starts with. A `retired` field
    isn't offered; the page of a contact still shows its value."""

    key: str
    name: str
    label: str
    type: str
    options: list[str]
    href: str = ""
    members: dict[str, str] = {}
    currency: str = ""
    group: str = ""
    required: bool = False
    default: Value = None
    retired: bool = False


class NamedContact(msgspec.Struct):
    id: UUID
    name: str


class ContactEnrollment(msgspec.Struct):
    id: UUID
    workflow_id: UUID
    workflow: str
    version: int
    status: str
    step: str | None
    wait_until: datetime | None
    entered_at: datetime
    ended_at: datetime | None


class TimelineEntry(msgspec.Struct):
    """Something that happened to a contact. `kind` is change, step, message, note or task; `title` says what,
    `text` is what the note, task or message says, `state` an outcome or a status. `actor_name` of a step or
    message is its workflow. `changes` are those of an audit entry; `href` leads to its page, "" for none."""

    at: datetime
    id: UUID
    kind: str
    title: str
    text: str
    state: str
    actor_kind: str
    actor_name: str
    changes: list[FieldChange]
    href: str


class Timeline(msgspec.Struct):
    """What happened to a contact, newest first. `kind` is one kind, or "" for all; `kinds` are label, URL and
    whether it is shown; `next` and `previous` are URLs, "" for none; `labels` are those of fields by key."""

    items: list[TimelineEntry]
    contact: NamedContact
    kind: str
    kinds: list[tuple[str, str, bool]]
    next: str
    previous: str
    labels: dict[str, str]
    actions: list[Action] = []


class ContactPage(msgspec.Struct):
    """One contact: its fields in order, its enrollments, and its history, newest first (`/timeline` beneath
    its URL has all that happened; a page shows the beginning of that instead). `members` are the members that
    a task can be assigned to, by id; members enter due times in `time_zone`."""

    contact: ContactView
    fields: list[FieldView]
    enrollments: list[ContactEnrollment]
    history: list[AuditEntry]
    labels: dict[str, str]
    tags: list[str]
    notes: list[NoteView]
    tasks: list[TaskView]
    members: dict[str, str]
    time_zone: str
    actions: list[Action]
    timeline: Timeline | UnsetType = UNSET


class SelectedContact(msgspec.Struct):
    """Of one contact only what `fields` names."""

    contact: dict[str, object]
    actions: list[Action] | UnsetType = UNSET


class ContactSaved(msgspec.Struct):
    """A contact after a change; `href` is its page, which has its history too."""

    contact: ContactView
    href: str
    actions: list[Action]


class ContactFormPage(msgspec.Struct):
    """The form for a new contact, or for an existing one; members enter times in `time_zone`. `tags` are the
    names to choose from for a new one."""

    contact: ContactView | None
    fields: list[FieldView]
    zones: list[str]
    time_zone: str
    actions: list[Action]
    tags: list[str] = []


class ValuePage(msgspec.Struct):
    """The form that edits one field in place; `zones` are the time zones to choose from for that field, and
    members enter times in `time_zone`."""

    contact: ContactView
    field: FieldView
    zones: list[str]
    time_zone: str
    actions: list[Action]


def field_view(spec: FieldSpec, contact_id: UUID | None = None) -> FieldView:
    """A field as forms show it."""
    name = f"fields.{spec.custom_id}" if spec.custom_id else spec.key
    href = f"/contacts/{contact_id}/fields/{spec.key}" if contact_id else ""
    return FieldView(
        spec.key, name, spec.label, spec.type.value, list(spec.options), href, members_of(spec),
        spec.currency, spec.group, spec.required, defaults_of({spec.key: spec}).get(spec.key), spec.retired,
    )  # fmt: skip


def members_of(spec: FieldSpec) -> dict[str, str]:
    """The members that a field may hold, by id."""
    return dict(spec.names or {}) if spec.type is FieldType.USER else {}
