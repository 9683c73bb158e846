"""The one check of email addresses."""

import pytest

from app.email_addresses import normalize_email


@pytest.mark.parametrize(
    ("text", "stored"),
    [
        ("ana@example.com", "ana@example.com"),
        ("  Ana.Bo+news@Mail.Example.COM ", "ana.bo+news@mail.example.com"),
        ("o'hara@example.com", "o'hara@example.com"),
        ("ána@münchen.example", "ána@münchen.example"),
        # Accepted because they exist or are stored, and stored as they are typed.
        ("a..b@docomo.ne.jp", "a..b@docomo.ne.jp"),
        ("ana@corp.local", "ana@corp.local"),
        ("ana@xn--mnchen-3ya.example", "ana@xn--mnchen-3ya.example"),
    ],
)
def test_a_valid_address_is_trimmed_and_lower_case(text: str, stored: str) -> None:
    assert normalize_email(text) == stored


@pytest.mark.parametrize(
    "text",
    ["", "ana", "ana@", "@x.example", "ana@example", "a b@x.example", "a@x..example", "a@.example",
     "a@x.example.", "a@x.c", "a@x\n.example", "<a@x.example>", "a@b@x.example", f"{'a' * 250}@x.example"],
)  # fmt: skip
def test_anything_else_is_refused(text: str) -> None:
    assert normalize_email(text) == ""
