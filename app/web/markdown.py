"""Markdown of members as safe HTML: no HTML of their own, no images, links only to web pages, email addresses
and phone numbers."""

import logging
from collections.abc import Sequence
from functools import lru_cache
from urllib.parse import urlsplit

from markdown_it import MarkdownIt
from markdown_it.renderer import RendererHTML
from markdown_it.token import Token
from markdown_it.utils import EnvType, OptionsDict
from markupsafe import Markup

logging.getLogger("markdown_it").setLevel(logging.WARNING)  # it logs each rule that it tries
SCHEMES = frozenset({"http", "https", "mailto", "tel"})
REL = "nofollow noopener noreferrer"


class _Parser(MarkdownIt):
    def validateLink(self, url: str) -> bool:  # noqa: N802 -- the parser's name for it
        """Whether a link may lead there; otherwise it stays text."""
        try:
            return urlsplit(url).scheme.lower() in SCHEMES
        except ValueError:
            return False


def _open_link(
    renderer: RendererHTML, tokens: Sequence[Token], place: int, options: OptionsDict, env: EnvType
) -> str:
    tokens[place].attrSet("rel", REL)
    tokens[place].attrSet("class", "link")
    return renderer.renderToken(tokens, place, options, env)


def _open_heading(
    renderer: RendererHTML, tokens: Sequence[Token], place: int, options: OptionsDict, env: EnvType
) -> str:
    """A heading as a paragraph: the headings of a page are its own."""
    tokens[place].tag = "p"
    if tokens[place].nesting == 1:
        tokens[place].attrSet("class", "strong")
    return renderer.renderToken(tokens, place, options, env)


def _parser() -> _Parser:
    parser = _Parser("commonmark", {"html": False, "breaks": True, "xhtmlOut": False})
    parser.disable("image")
    parser.enable("strikethrough")
    parser.add_render_rule("link_open", _open_link)
    for rule in ("heading_open", "heading_close"):
        parser.add_render_rule(rule, _open_heading)
    return parser


_PARSER = _parser()


@lru_cache(maxsize=512)
def render_markdown(text: str, most: int | None = None) -> Markup:
    """The text as HTML, in a block of its own; of a text of more than `most` characters its beginning,
    because lists of long ones would keep this process busy for seconds."""
    if most is not None and len(text) > most:
        text = f"{text[:most].rstrip()} …"
    return Markup(f'<div class="prose">{_PARSER.render(text).strip()}</div>')  # noqa: S704 -- made safe above
