"""Everything that goes wrong, in both shapes: the right status, a sentence, nothing given away."""

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import httpx
import pytest

from tests.support.web_kit import HTML, JSON, OWN, PARTIAL, STATEMENT, Kit

PART = b'--x\r\nContent-Disposition: form-data; name="name"\r\n%s\r\n%s\r\n--x--\r\n'
BOTH = pytest.mark.parametrize("shape", [HTML, JSON], ids=["html", "json"])


@pytest.fixture
def kit(tmp_path: Path) -> Kit:
    return Kit(tmp_path)


@pytest.fixture
async def client(kit: Kit) -> AsyncIterator[httpx.AsyncClient]:
    async with kit.client(**kit.bearer(), **OWN) as client:
        yield client


def check(answer: httpx.Response, status: int, shape: dict[str, str]) -> None:
    assert answer.status_code == status, answer.text
    if shape is JSON:
        assert answer.headers["content-type"] == "application/problem+json"
        assert answer.json()["status"] == status
        assert answer.json()["request_id"] == answer.headers["x-request-id"]
    else:
        assert answer.text.startswith(f"<h1>{status} ")
    assert STATEMENT not in answer.text


@BOTH
@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/nothing/here", 404),
        ("GET", "/things/not-an-id", 404),
        ("GET", "/things/0193-zz", 404),
        ("GET", "/things/0192f0c1-2b3c-7d4e-8f50-0123456789ab?n=many", 422),
        ("DELETE", "/things/new", 405),
        ("PUT", "/things", 405),
        ("POST", f"/things/{UUID(int=0)}/deletion", 404),
        ("GET", "/things/fault/bug", 500),
        ("GET", "/things/fault/refused", 503),
        ("GET", "/things/fault/08006", 503),
        ("GET", "/things/fault/53300", 503),
        ("GET", "/things/fault/57P01", 503),
        ("GET", "/things/fault/40001", 503),
        ("GET", "/things/fault/23505", 409),
        ("GET", "/things/fault/23503", 409),
        ("GET", "/things/fault/22021", 422),
        ("GET", "/things/fault/XX000", 500),
    ],
)
async def test_each_error_has_its_status_as_page_and_json(
    client: httpx.AsyncClient, shape: dict[str, str], method: str, path: str, status: int
) -> None:
    answer = await client.request(method, path, headers=shape)
    check(answer, status, shape)
    if status == 405:
        assert "OPTIONS" in answer.headers["allow"]
    if status == 503:
        assert answer.headers["retry-after"] == "2"


@BOTH
@pytest.mark.parametrize(
    ("body", "kind", "status"),
    [
        (b"<a/>", "text/xml", 415),
        (b"\x82", "application/x-msgpack", 415),
        (b"{}", "", 415),
        (b"{bad", "application/json", 400),
        (b"\xff\xfe", "application/json", 400),
        (b"[" * 3000, "application/json", 400),
        (b"x=" + b"y" * 5000, "application/x-www-form-urlencoded", 413),
        (b" " * 5000, "application/json", 413),
        (b"--x", "multipart/form-data", 422),
        (b"nonsense", "multipart/form-data; boundary=x", 400),
        (b"{}", "application/json", 422),
        (b"", "application/json", 422),
        (b"name=%ff%fe", "application/x-www-form-urlencoded", 400),
        (b"name=\xff", "application/x-www-form-urlencoded", 400),
        (b"%ff=x", "application/x-www-form-urlencoded", 400),
        (b"name=x", "application/x-www-form-urlencoded; charset=iso-8859-1", 415),
        (b'{"name": "x"}', "application/json; charset=utf-16", 415),
        (b'{"name": ""}', 'application/json; charset="UTF-8"', 422),
        (PART % (b"", b"\xff\xfe"), "multipart/form-data; boundary=x", 400),
        (
            PART % (b"Content-Type: text/plain; charset=none\r\n", b"x"),
            "multipart/form-data; boundary=x",
            400,
        ),
    ],
)
async def test_bodies_that_cannot_be_read(
    client: httpx.AsyncClient, shape: dict[str, str], body: bytes, kind: str, status: int
) -> None:
    headers = shape | ({"content-type": kind} if kind else {})
    answer = await client.post("/things", headers=headers, content=body)
    assert answer.status_code == status, answer.text
    assert status != 400 or "be read" in answer.text or "valid JSON" in answer.text or b"nonsense" in body


async def test_text_of_a_form_in_utf_8(client: httpx.AsyncClient) -> None:
    """Escaped, as browsers send it, and raw, as curl does."""
    for body in (b"name=%C3%85sa+M", "name=Åsa M".encode()):
        headers = JSON | {"content-type": "application/x-www-form-urlencoded; charset=UTF-8"}
        answer = await client.post("/things", headers=headers, content=body)
        assert (answer.status_code, answer.json()["name"]) == (201, "Åsa M")


async def test_a_body_without_a_length_is_measured_as_it_comes(client: httpx.AsyncClient) -> None:
    async def flood() -> AsyncIterator[bytes]:
        for _ in range(100):
            yield b" " * 100

    answer = await client.post("/things", headers={"content-type": "application/json"}, content=flood())
    long = await client.post("/things", headers={"content-type": "application/json"}, content=b" " * 10_000)
    assert (answer.status_code, long.status_code) == (413, 413)
    assert answer.json()["detail"] == long.json()["detail"] == "Send at most 4.0 kB."


async def test_every_wrong_field_in_one_problem(client: httpx.AsyncClient) -> None:
    answer = await client.post("/things", json={"name": "", "age": -1, "x": 1, "address": {"zip": "q"}})
    assert answer.json()["errors"] == {
        "name": "Fill this in.",
        "age": "Use a number that is at least 0.",
        "x": "There is no such field. Remove it.",
        "address.zip": "Enter a whole number.",
    }
    assert answer.json()["code"] == "invalid"


async def test_refused_form_is_shown_again_with_typed_values(client: httpx.AsyncClient) -> None:
    answer = await client.post("/things", headers=HTML, data={"name": "Bo", "age": "-1"})
    assert answer.status_code == 422
    assert "page new for Owner" in answer.text
    assert "typed=Bo error=Use a number that is at least 0." in answer.text
    late = await client.post("/things", headers=HTML, data={"name": "taken"})
    assert (late.status_code, "error=Somebody has that." in late.text) == (422, True)


async def test_template_may_render_only_the_form(client: httpx.AsyncClient) -> None:
    answer = await client.post(f"/things/{uuid4()}", headers=PARTIAL, data={"name": ""})
    assert answer.status_code == 422
    assert answer.text.startswith("<form>again")


@BOTH
async def test_conflict_includes_the_current_state(client: httpx.AsyncClient, shape: dict[str, str]) -> None:
    answer = await client.post(f"/things/{uuid4()}", headers=shape, json={"name": "late"})
    assert answer.status_code == 409
    if shape is JSON:
        assert answer.json()["current"] == {"name": "now"}


@BOTH
async def test_a_form_of_another_account_changes_nothing(
    client: httpx.AsyncClient, kit: Kit, shape: dict[str, str]
) -> None:
    other: dict[str, Any] = {"name": "Bo", "account": str(uuid4())}
    answer = await client.post("/things", headers=shape, data=other)
    assert answer.status_code == 409
    assert "now in Acme" in answer.text
    own = await client.post("/things", headers=JSON, data={"name": "Bo", "account": str(kit.people.account)})
    assert own.status_code == 201
    empty = await client.post(f"/things/{uuid4()}/deletion", headers=shape, data={"account": str(uuid4())})
    assert empty.status_code == 409
