"""What cells say about consent, and that no file takes back a denial."""

from uuid import uuid4

import pytest

from app.filters.fields import BUILT_IN
from app.imports.domain.columns import column_targets, guess, looks_like_header
from app.imports.domain.consents import UnknownWord, consent_of, is_opt_out
from app.imports.domain.row_matching import CheckedRow, ExistingContact, Values, match_row, read_row


@pytest.mark.parametrize(
    ("cell", "plain_column", "opt_out_column"),
    [
        ("Unsubscribed", "denied", "denied"),
        ("cleaned", "denied", "denied"),
        ("Bounced", "denied", "denied"),
        ("Opted out", "denied", "denied"),
        ("opted-out", "denied", "denied"),
        ("denied", "denied", "denied"),
        ("no", "denied", None),
        ("FALSE", "denied", None),
        ("0", "denied", None),
        ("Subscribed", "granted", "granted"),
        ("Opted In", "granted", "granted"),
        ("Yes", "granted", "denied"),
        ("true", "granted", "denied"),
        ("1", "granted", "denied"),
        ("", None, None),
        ("unknown", None, None),
    ],
)
def test_the_usual_words(cell: str, plain_column: str | None, opt_out_column: str | None) -> None:
    assert consent_of(cell, opt_out=False) == plain_column
    assert consent_of(cell, opt_out=True) == opt_out_column


@pytest.mark.parametrize(
    "cell", ["pending", "active", "non-subscribed", "maybe", "2018-07-23 12:19:27", "Ann"]
)
def test_unknown_consent_words_are_not_guessed(cell: str) -> None:
    with pytest.raises(UnknownWord, match="a consent value we recognize"):
        consent_of(cell, opt_out=False)


def test_a_date_of_opting_out_is_a_denial() -> None:
    assert consent_of("2018-07-23 12:19:27", opt_out=True) == "denied"
    assert consent_of("7/23/2018", opt_out=True) == "denied"
    with pytest.raises(UnknownWord):
        consent_of("soon", opt_out=True)


@pytest.mark.parametrize("cell", ["granted", "Confirmed", "accepted", "agreed", "consented", "allowed"])
def test_yes_means_agreement_to_the_column_header(cell: str) -> None:
    """Under “Opt-out request” it may mean the opposite: it never grants consent."""
    assert consent_of(cell, opt_out=False) == "granted"
    with pytest.raises(UnknownWord):
        consent_of(cell, opt_out=True)


@pytest.mark.parametrize(
    ("header", "opt_out"),
    [
        ("Email Opt Out", True), ("HasOptedOutOfEmail", True), ("Unsubscribed from all email", True),
        ("UNSUB_TIME", True), ("unsubscribed_at", True), ("CLEAN_TIME", True), ("Do not email", True),
        ("Email consent", False), ("Accepts Email Marketing", False), ("status", False),
        ("OPTIN_TIME", False), ("Subscribed", False),
    ],
)  # fmt: skip
def test_columns_about_opting_out(header: str, opt_out: bool) -> None:
    assert is_opt_out(header) is opt_out


def test_columns_are_offered_and_guessed() -> None:
    offered = dict(column_targets(BUILT_IN))
    assert {"email_consent", "sms_consent"} <= offered.keys()
    guessed = guess(["Email", "UNSUB_TIME", "SMS consent", "Status", "OPTIN_TIME"], BUILT_IN)
    assert list(guessed.values()) == ["email", "email_consent", "sms_consent", "ignore", "ignore"]


def test_the_external_id_is_never_guessed() -> None:
    header = ["id", "Record ID", "Customer ID", "external_id", "External ID", "External ID", "uid", "email"]
    assert list(guess(header, BUILT_IN).values()) == ["ignore"] * 7 + ["email"]
    assert "external_id" in dict(column_targets(BUILT_IN))
    assert looks_like_header(["id", "id"]), "it still names a column"


def plain(values: object) -> tuple[Values, dict[str, str]]:
    return dict(values), {}  # type: ignore[call-overload]  # -- the mapping that read_row hands over


def read(word: str, *, opt_out: bool = False) -> CheckedRow:
    columns = [(0, "email"), (1, "email_consent")]
    return read_row(2, ["a@b.example", word], columns, 2, plain, BUILT_IN, {1} if opt_out else ())


def test_a_row_states_consent_or_is_left_out() -> None:
    assert read("cleaned").values == {"email": "a@b.example", "email_consent": "denied"}
    assert read("yes", opt_out=True).values["email_consent"] == "denied"
    assert read("").values == {"email": "a@b.example"}
    bad = read("pending")
    assert bad.verdict == "bad"
    assert "“pending” isn't a consent value we recognize" in str(bad.reason)


def test_no_file_takes_back_a_denial() -> None:
    contact = ExistingContact(uuid4(), {"email": "a@b.example", "email_consent": "denied"})
    existing = {("email", "a@b.example"): contact}
    row = match_row(read("subscribed"), existing, True, frozenset())
    assert (row.verdict, row.changes) == ("unchanged", {})
    assert "stays denied" in str(row.reason)
    granted = ExistingContact(uuid4(), {"email": "a@b.example", "email_consent": "granted"})
    row = match_row(read("unsubscribed"), {("email", "a@b.example"): granted}, True, frozenset())
    assert row.changes == {"email_consent": ["granted", "denied"]}
