"""A body means the same as JSON, as a urlencoded form and as multipart, and all refuse the same."""

from collections.abc import Iterator, Mapping
from typing import Any, get_args

import httpx
import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from litestar import Litestar, post
from litestar.params import JSONBody

from app.contacts.address_schemas import OtherAddress
from app.contacts.schemas import BulkTagForm, ContactForm
from app.errors import SwitchyardError
from app.segments.schemas import SegmentChangeForm
from app.tasks.schemas import TaskChangeForm
from app.web.errors import EXCEPTION_HANDLERS
from app.web.request import Request
from app.web.request_checks import prepare
from app.web.responses import Shaped
from app.workflows.schemas import inputs
from tests.support.web_kit import BASE, JSON

FORMS: dict[str, type[msgspec.Struct]] = {
    "bulk": BulkTagForm,
    "contact": ContactForm,
    "entry": inputs.EntryForm,
    "segment": SegmentChangeForm,
    "settings": inputs.SettingsForm,
    "step": inputs.StepForm,
    "task": TaskChangeForm,
    "trigger": inputs.TriggerForm,
    "workflow": inputs.WorkflowChangeForm,
}


def echo(name: str, form: Any) -> Any:
    """A route that answers with the body as it was read."""

    async def read(data: Any) -> Any:
        return data

    body: Any = JSONBody
    read.__annotations__ = {"data": body[form], "return": form}
    return post(f"/{name}", name=name)(read)


def app_of() -> Litestar:
    return Litestar(
        [echo(name, form) for name, form in FORMS.items()],
        request_class=Request,
        response_class=Shaped,
        before_request=prepare,  # type: ignore[arg-type]  # -- Litestar knows its own request only
        exception_handlers=dict.fromkeys((SwitchyardError, 422, 400), EXCEPTION_HANDLERS[500]),
        openapi_config=None,
        logging_config=None,
    )


# Text that a form can carry: line ends of its own become one kind on the way.
TEXT = st.text(st.characters(exclude_categories=("C", "Z")), min_size=1, max_size=12).filter(
    lambda text: text.lower() != "null"  # read as no value where the type has one
)
# Text that is no number and neither yes nor no.
WORDS = st.sampled_from(["zero", "maybe", "1 of them", "12:00"])
WRONG = st.sampled_from(["is", "filters", "descripton", "config2", "rows", "a.b"])


def bodies(form: Any) -> st.SearchStrategy[dict[str, Any]]:
    """Bodies of a struct, right or nearly: with fields left out, cleared, wrong or not there at all."""
    fields = {field.encode_name: field.type for field in msgspec.structs.fields(form)}
    recognized = st.fixed_dictionaries(
        {}, optional={name: values(name, kind) for name, kind in fields.items()}
    )
    extra = st.dictionaries(WRONG, TEXT, max_size=1)
    return st.builds(lambda base, more: more | base, recognized, st.one_of(st.just({}), extra))


def values(name: str, kind: Any) -> st.SearchStrategy[Any]:
    """What may be sent for a field; text for a number only where it is no number."""
    described = repr(kind)
    choices: list[st.SearchStrategy[Any]] = [st.none()] if "None" in described else []
    if name == "config":
        union = inputs.TriggerInput if "ManualInput" in described else inputs.ConfigInput
        choices.append(st.sampled_from(get_args(union)).flatmap(config))
    elif name in ("filter", "window"):
        choices.append(FILTERS if name == "filter" else bodies(inputs.WindowInput))
    elif name in ("fields", "headers") and "dict" in described:
        choices.append(st.dictionaries(TEXT.filter(lambda text: "." not in text), TEXT, max_size=2))
    elif "list[" in described:
        choices.append(lists(described))
    elif "int" in described or "bool" in described:
        choices += [WORDS, st.booleans() if "bool" in described else st.integers(-5, 200_000)]
    else:
        choices.append(TEXT)
    return st.one_of(choices)


def lists(described: str) -> st.SearchStrategy[list[Any]]:
    rows = {"LaneInput": inputs.steps.LaneInput, "SplitLaneInput": inputs.steps.SplitLaneInput,
            "OptionInput": inputs.steps.OptionInput, "HeaderInput": inputs.steps.HeaderInput,
            "OtherAddress": OtherAddress}  # fmt: skip
    row = next((struct for name, struct in rows.items() if f".{name}" in described), None)
    numbers = any(word in described for word in ("list[int", "Weekday", "ge=0"))
    item = bodies(row).filter(bool) if row else st.integers(-1, 8) if numbers else TEXT
    return st.lists(item, min_size=1, max_size=3)


def config(kind: Any) -> st.SearchStrategy[dict[str, Any]]:
    return bodies(kind).map(lambda body: {"kind": kind.__struct_config__.tag} | body)


ROW = st.fixed_dictionaries({}, optional={"field": TEXT, "op": TEXT, "value": TEXT, "feld": TEXT})
ROWS = st.fixed_dictionaries(
    {"type": st.just("rows")},
    optional={
        "match": st.sampled_from(["all", "any", "no"]),
        "rows": st.lists(ROW.filter(bool), min_size=1, max_size=2),
    },
)
PREDICATE = st.fixed_dictionaries(
    {"type": st.just("predicate"), "field": TEXT, "op": st.sampled_from(["is", "gt", "wrong"])},
    optional={"value": TEXT, "valeu": TEXT},
)
FILTERS = st.one_of(ROWS, PREDICATE)


def fields_of(value: Any, name: str = "") -> Iterator[tuple[str, str]]:
    """A JSON body as the fields of a form."""
    if isinstance(value, Mapping):
        for key, inner in value.items():
            yield from fields_of(inner, f"{name}.{key}" if name else key)
    elif isinstance(value, list):
        rows = bool(value) and isinstance(value[0], Mapping)
        for number, inner in enumerate(value):
            yield from fields_of(inner, f"{name}.{number}" if rows else name)
    else:
        text = (
            {None: "", True: "true", False: "false"}.get(value)
            if value is None or value is True or value is False
            else str(value)
        )
        yield name, text or ""


def in_form(body: Any) -> bool:
    """Whether a form can say it: no object without a field, and no text where a form cannot tell it apart."""
    if isinstance(body, Mapping):
        return bool(body) and all(in_form(value) for value in body.values())
    return True


async def outcome(client: httpx.AsyncClient, name: str, **body: Any) -> tuple[int, Any]:
    response = await client.post(f"/{name}", **body)
    content = response.json()
    return response.status_code, set(content["errors"]) if response.status_code == 422 else content


@pytest.mark.parametrize("name", FORMS)
def test_json_urlencoded_and_multipart_are_equivalent(name: str) -> None:
    app = app_of()

    @settings(max_examples=60, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))
    @given(bodies(FORMS[name]).filter(in_form))
    def same(body: dict[str, Any]) -> None:
        import asyncio

        async def all_three() -> list[tuple[int, Any]]:
            transport = httpx.ASGITransport(app)  # type: ignore[arg-type]  # -- Litestar's own types of ASGI
            async with httpx.AsyncClient(transport=transport, base_url=BASE, headers=JSON) as client:
                pairs = list(fields_of(body))
                sent: dict[str, list[str]] = {}
                for field, text in pairs:
                    sent.setdefault(field, []).append(text)
                return [
                    await outcome(client, name, json=body),
                    await outcome(client, name, data=sent),
                    await outcome(client, name, files=[(field, (None, text)) for field, text in pairs]),
                ]

        json, urlencoded, multipart = asyncio.run(all_three())
        assert json == urlencoded == multipart

    same()
