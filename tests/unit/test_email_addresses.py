"""The one rule for email addresses."""

import unicodedata

import pytest

from app.email_addresses import fold_email, mailable, normalize_email


@pytest.mark.parametrize(
    ("text", "stored"),
    [
        ("ana@example.com", "ana@example.com"),
        ("  Ana.Bo+news@Mail.Example.COM ", "ana.bo+news@mail.example.com"),
        ("o'hara@example.com", "o'hara@example.com"),
        ("ána@münchen.example", "ána@münchen.example"),
        # One person, whichever way a browser, a file or a keyboard writes the address.
        ("ÜNÏ@EXÄMPLE.de", "ünï@exämple.de"),
        ("idn@bücher.example", "idn@bücher.example"),
        ("idn@xn--bcher-kva.example", "idn@bücher.example"),
        ("idn@XN--BCHER-KVA.example", "idn@bücher.example"),
        ("idn@b\u00fccher。example", "idn@bücher.example"),
        (unicodedata.normalize("NFC", "zoë@example.com"), "zoë@example.com"),
        (unicodedata.normalize("NFD", "zoë@example.com"), "zoë@example.com"),
        ("a\u200bna@example.com", "ana@example.com"),
        ("\ufeffana@example.com\u202c", "ana@example.com"),
        # Accepted because they exist or are stored, and stored as they are typed.
        ("a..b@docomo.ne.jp", "a..b@docomo.ne.jp"),
        ("ana@corp.local", "ana@corp.local"),
    ],
)
def test_a_valid_address_has_one_form(text: str, stored: str) -> None:
    assert normalize_email(text) == stored
    assert normalize_email(stored) == stored


@pytest.mark.parametrize(
    "text",
    ["", "ana", "ana@", "@x.example", "ana@example", "a b@x.example", "a@x..example", "a@.example",
     "a@x.example.", "a@x.c", "a@x\n.example", "<a@x.example>", "a@b@x.example", f"{'a' * 250}@x.example",
     f"{'ä' * 125}@x.example", "ana@ex_ämple.de", "ana@xn--.example", "ana@ä..example", "zo\0ë@example.com"],
)  # fmt: skip
def test_anything_else_is_refused(text: str) -> None:
    assert normalize_email(text) == ""


def test_an_address_is_mailed_with_its_domain_in_ascii() -> None:
    assert mailable("ana@example.com") == "ana@example.com"
    assert mailable("idn@bücher.example") == "idn@xn--bcher-kva.example"
    assert mailable("ünï@exämple.de") == "ünï@xn--exmple-cua.de"
    with pytest.raises(UnicodeError):
        mailable("old@ex_ämple.de")


def test_who_signs_in_is_found_by_an_address_of_an_older_version_too() -> None:
    assert fold_email(" Zoë@XN--BCHER-KVA.example ") == "zoë@bücher.example"
    assert fold_email("Root@localhost") == "root@localhost"
