"""Checks the query of a request against the parameters of its route.

A name that the route does not know, and a second value where one is expected, are refused in JSON (422). A
page ignores them and says so in a notice, because people get addresses from elsewhere. A parameter without a
value, as a form with an empty input sends it, counts as not sent."""

from collections.abc import Iterable, Mapping
from difflib import get_close_matches

from litestar import Litestar
from litestar.handlers import HTTPRouteHandler
from litestar.routes import HTTPRoute
from msgspec.structs import fields

from app.errors import Invalid
from app.web.content_negotiation import UNSAFE
from app.web.request import Request
from app.web.validation_messages import MOST_ERRORS

MOST_NOTICES, LONGEST_NAME = 3, 60
IN_BODY = "This URL takes no such parameter. Send it in the body."
TWICE = "Send one value."


def remember_parameters(app: Litestar) -> None:
    """Stores with each route the names of its query parameters, and whether each may be repeated. They are
    those of the handler and its dependencies, and for DELETE the fields of its form (`methods.py`)."""
    for route in app.routes:
        if isinstance(route, HTTPRoute):
            for handler, model in route.route_handler_map.values():
                declared = {name.field_alias: name.is_sequence for name in model.expected_query_params}
                handler.opt["query"] = dict(sorted((declared | _form_fields(handler)).items()))


def _form_fields(handler: HTTPRouteHandler) -> dict[str, bool]:
    form = handler.parsed_fn_signature.parameters.get("data")
    if form is None or "DELETE" not in handler.http_methods:
        return {}
    return {field.encode_name: False for field in fields(form.annotation)}


def check_query(request: Request) -> None:
    """Refuses a wrong query, or leaves a notice for the page. Raises `Invalid`."""
    handler = request.route_handler
    if not request.scope["query_string"] or handler.opt.get("foreign"):
        return
    declared: Mapping[str, bool] = handler.opt["query"]
    pairs = list(request.query_params.multi_items())
    unknown, twice, blank = _compare(pairs, declared)
    if blank and request.method not in UNSAFE:
        request.replace_query([(name, value) for name, value in pairs if value or declared.get(name, True)])
    if not unknown and not twice:
        return
    if request.method in UNSAFE or not request.wants_html:
        refused = {name: _refusal(request, name, declared) for name in unknown[:MOST_ERRORS]}
        raise Invalid(refused | dict.fromkeys(twice, TWICE))
    notices = [_notice(name, declared) for name in unknown[:MOST_NOTICES]]
    notices += [f"“{name}” is more than once in the address. Only the last one counts." for name in twice]
    request.scope["state"]["notices"] = notices[:MOST_NOTICES]


def _compare(
    pairs: Iterable[tuple[str, str]], declared: Mapping[str, bool]
) -> tuple[list[str], list[str], bool]:
    """The names that are unknown, those that are there twice, and whether a value is blank."""
    unknown: list[str] = []
    twice: list[str] = []
    single: set[str] = set()
    blank = False
    for name, value in pairs:
        may_repeat = declared.get(name)
        if may_repeat is None:
            unknown.append(name)
        elif may_repeat:
            continue
        elif not value:
            blank = True
        elif name in single:
            twice.append(name)
        else:
            single.add(name)
    return unknown, twice, blank


def _refusal(request: Request, name: str, declared: Mapping[str, bool]) -> str:
    if request.method in UNSAFE and request.method != "DELETE":
        return IN_BODY
    if hint := _nearest(name, declared):
        return f"There is no such parameter. {hint}"
    takes = f"takes {', '.join(declared)}" if declared else "takes no parameters"
    return f"There is no such parameter: this URL {takes}."


def _notice(name: str, declared: Mapping[str, bool]) -> str:
    shown = name if len(name) <= LONGEST_NAME else name[:LONGEST_NAME] + "…"
    return f"“{shown}” in the address is unknown here and was ignored. {_nearest(name, declared)}".rstrip()


def _nearest(name: str, declared: Mapping[str, bool]) -> str:
    nearest = get_close_matches(name[:LONGEST_NAME], declared, 1)
    return f"Did you mean “{nearest[0]}”?" if nearest else ""
