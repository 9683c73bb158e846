"""The templates, as the rules read them."""

from collections.abc import Iterator

from jinja2 import Environment, FileSystemLoader
from litestar.handlers import HTTPRouteHandler

from app.main import ROUTES
from tests.rules.files import ROOT

FOLDER = ROOT / "templates"

TEMPLATES = sorted(FOLDER.rglob("*.html"))

SYNTAX = Environment(loader=FileSystemLoader(FOLDER), extensions=["jinja2.ext.do"], autoescape=True)


def pages() -> Iterator[tuple[str, str]]:
    """The URL and the page template of each route that has one."""
    for route in ROUTES:
        is_handler = isinstance(route, HTTPRouteHandler)
        base = "" if is_handler else vars(route).get("path", "")
        for handler in [route] if is_handler else vars(route).values():
            if isinstance(handler, HTTPRouteHandler) and (template := handler.opt.get("page")):
                yield from ((f"{base}/{path}".replace("//", "/"), str(template)) for path in handler.paths)
