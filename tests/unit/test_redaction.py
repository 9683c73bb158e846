"""What `redact` takes out of a text, and what it leaves."""

import pytest

from app.redaction import HIDDEN, hide_paths, hide_values, passwords_in, redact, redact_value

TOKEN = "jn_-uy8otU81K5RzPYzK3gdT8yN9cDBiZvrq69Wt_v4"  # the shape of ours; fixed, so that test names are too
JWT = "eyJhbGciOiJSUzI1NiJ9.eyJzdWIiOiIxIn0." + TOKEN


@pytest.fixture(autouse=True)
def _routes() -> None:
    hide_paths(["/hooks/{token}", "/password-reset/{token:str}", "/a/{id}/b/{secret}/c", "/static/{name}"])
    hide_values("s3cret of/settings", "")


@pytest.mark.parametrize(
    ("text", "secret"),
    [
        ("/hooks/wh_1", "wh_1"),
        ("/HOOKS//x/secret-part", "secret-part"),
        ("next=%2Fhooks%2Fabcdef&x=1", "abcdef"),
        ("/prefix/password-reset/abcdef?x=1", "abcdef"),
        ("/a/12/b/abcdef/c", "abcdef"),
        (f"/password-resett/{TOKEN}", TOKEN),
        (f"token swy_{TOKEN} is", TOKEN),
        (f"wh_{TOKEN}", TOKEN),
        ("whsec_" + "a+/=" * 11, "a+/="),
        (f"cookie was {JWT}", TOKEN),
        (f"cookie was {JWT}", "eyJzdWIiOiIxIn0"),
        (f"0192f0c12b3c7d4e8f500123456789ab.{TOKEN}", TOKEN),
        ("Authorization: Bearer abcdefgh", "abcdefgh"),
        ("authorization=Basic YTpiYzpk", "YTpiYzpk"),
        ("(b'authorization', b'Bearer abcdefgh')", "abcdefgh"),
        ("(b'cookie', b'a=b c; d=e f')", "e f"),
        ("password=correct+horse&email=a", "correct+horse"),
        ('{"new_password": "correct horse \\" battery"}', "battery"),
        ("SignInForm(email='a', password='correct horse', next='/')", "correct horse"),
        ('b\'{"password":"correct horse"}\'', "correct horse"),
        (repr('{"password":"correct horse"}'), "correct horse"),
        ("?api_key=abc123&x=1", "abc123"),
        ("postgresql://app_user:pass@db:5432/x", "pass"),
        ("https://user:pass@example.com/", "pass"),
        ("it was s3cret of/settings!", "s3cret of/settings"),
        ("it was s3cret+of%2Fsettings!", "s3cret+of%2Fsettings"),
        ("unique\nDETAIL:  Key (email)=(ann@example.com) already exists.", "ann@example.com"),
        ("[SQL: select $1]\n[parameters: ('ann@example.com',)]", "ann@example.com"),
        ("invalid input for query argument $2: 'ann' (a date was expected)", "'ann'"),
    ],
)
def test_secrets_are_hidden(text: str, secret: str) -> None:
    assert secret in text
    assert secret not in redact(text)
    assert HIDDEN in redact(text)
    assert redact(redact(text)) == redact(text)


@pytest.mark.parametrize(
    "text",
    [
        "/contacts/0192f0c1-2b3c-7d4e-8f50-0123456789ab/fields/city",
        "/workflows/0192f0c1-2b3c-7d4e-8f50-0123456789ab/hooks",
        "token_id=0192f0c1-2b3c-7d4e-8f50-0123456789ab",
        'violates unique constraint "fk_enrollment_executions_account_id_enrollments"',
        "This token isn't allowed to do this. It requires the permission “Edit contacts” (contacts:edit).",
        "https://example.com/a@b",
        "POST /password-reset/{token:str}",
        'File "/srv/app/people/links.py", line 12, in send_invitation',
        'File "/srv/app/hooks/controllers.py", line 82, in receive',
    ],
)
def test_the_rest_stays(text: str) -> None:
    assert redact(text) == text


def test_values_are_redacted_by_their_names_and_inside() -> None:
    event = {"password": b"x y", "headers": {"cookie": "a=b"}, "paths": ["/hooks/abc"], "count": 3}
    assert redact_value(event) == {
        "password": HIDDEN,
        "headers": {"cookie": HIDDEN},
        "paths": [f"/hooks/{HIDDEN}"],
        "count": 3,
    }
    assert redact_value(ValueError("password=abc")) == f"ValueError('password={HIDDEN}')"
    assert redact("said abcdef", "abcdef") == f"said {HIDDEN}"


@pytest.mark.parametrize(
    "url", ["smtp://mail:p%40ss!w%2ford@smtp.example:587", "redis://:p%40ss!w%2ford@host"]
)
def test_the_password_of_an_address_is_hidden_as_it_is_written_and_decoded(url: str) -> None:
    hide_values(*passwords_in(url))
    for spelled in ("p%40ss!w%2ford", "p@ss!w/ord", "p%40ss%21w%2Ford"):
        assert redact(f"it was {spelled}.") == f"it was {HIDDEN}."


def test_an_address_without_a_password_hides_nothing() -> None:
    assert passwords_in("redis://host:6379/0") == passwords_in("http://[x") == ("", "")
