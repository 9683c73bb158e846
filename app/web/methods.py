"""Changes and deletions under two addresses with one handler.

HTML forms only send GET and POST, so a form changes a tag with `POST /tags/{id}` and deletes it with
`POST /tags/{id}/deletion`. Scripts use `PATCH` and `DELETE` on `/tags/{id}`. `partial_update` and
`deletion` declare both at once. `PATCH` reads the same body as the form. `DELETE` has no body, because
proxies may drop it: it reads the fields of the form from the query."""

from collections.abc import Mapping, Sequence
from typing import Self, TypedDict, Unpack

from litestar.enums import HttpMethod
from litestar.handlers import HTTPRouteHandler
from litestar.types import AsyncAnyCallable, Guard

from app.web.body_limits import BodyLimits
from app.web.request_kinds import RequestKind


class ChangeOptions(TypedDict, total=False):
    """The options of a route (`app/web/responses.py`)."""

    page: str
    fragment: str | Mapping[str, str]
    form: str
    guards: Sequence[Guard]
    limits: BodyLimits
    kind: RequestKind


class ScriptAndForm(HTTPRouteHandler):
    """`POST` at the address of the form; in the controller that declares it, the same handler with `method`
    at `path`."""

    def __init__(
        self, method: HttpMethod, path: str, form_path: str, **options: Unpack[ChangeOptions]
    ) -> None:
        super().__init__(form_path, http_method=HttpMethod.POST, status_code=200, **options)
        self.by_script = HTTPRouteHandler(path, http_method=method, status_code=200, **options)

    def __call__(self, fn: AsyncAnyCallable) -> Self:
        self.by_script(fn)
        super().__call__(fn)
        return self

    def __set_name__(self, controller: type, name: str) -> None:
        """Adds the handler for scripts to the controller, where Litestar finds it by its attribute."""
        setattr(controller, f"{name}_by_script", self.by_script)


def partial_update(
    path: str = "", *, form_path: str | None = None, **options: Unpack[ChangeOptions]
) -> ScriptAndForm:
    """`PATCH` at `path`, and `POST` there or at `form_path`."""
    return ScriptAndForm(HttpMethod.PATCH, path, path if form_path is None else form_path, **options)


def deletion(
    path: str = "", *, form_path: str | None = None, **options: Unpack[ChangeOptions]
) -> ScriptAndForm:
    """`DELETE` at `path`, and `POST` at `path/deletion` or at `form_path`."""
    return ScriptAndForm(HttpMethod.DELETE, path, form_path or f"{path}/deletion", **options)
