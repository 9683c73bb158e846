"""Markdown of members: what it becomes, and what it must not become."""

import pytest

from app.web.markdown import render_markdown


@pytest.mark.parametrize(
    ("text", "html"),
    [
        ("**bold** and *soft*", "<strong>bold</strong> and <em>soft</em>"),
        ("one\ntwo", "one<br>\ntwo"),
        ("- a\n- b", "<li>a</li>"),
        ("~~gone~~", "<s>gone</s>"),
        ("# Title", '<p class="strong">Title</p>'),
        ("[us](https://example.com/a?b=1&c=2)", 'href="https://example.com/a?b=1&amp;c=2" rel="nofollow'),
        ("<mailto:ann@example.com>", 'href="mailto:ann@example.com"'),
        ("[call](tel:+15046218927)", 'href="tel:+15046218927"'),
        ("5 < 6 & 7", "5 &lt; 6 &amp; 7"),
    ],
)
def test_markdown_becomes_html(text: str, html: str) -> None:
    assert html in render_markdown(text)


@pytest.mark.parametrize(
    "text",
    [
        "<script>alert(1)</script>",
        "<img src=x onerror=alert(1)>",
        "<b onmouseover=alert(1)>x</b>",
        "[x](javascript:alert(1))",
        "[x](JaVaScRiPt:alert(1))",
        "[x](&#106;avascript:alert(1))",
        "[x](java\tscript:alert(1))",
        "[x](data:text/html,<script>alert(1)</script>)",
        "[x](vbscript:x)",
        "[x](//evil.example)",
        "[x](/contacts/bulk/deletion)",
        "<javascript:alert(1)>",
        "![x](https://evil.example/pixel.png)",
        "[x]: javascript:alert(1)\n\n[x]",
        '[x](https://a.example "\\" onclick=alert(1)")',
        "`<script>`",
    ],
)
def test_markdown_stays_harmless(text: str) -> None:
    html = str(render_markdown(text)).lower()
    assert "<script" not in html
    assert "<img" not in html
    assert "<b " not in html
    for scheme in ("javascript:", "data:", "vbscript:", "//evil", "/contacts"):
        assert f'href="{scheme}' not in html
    assert '" onclick' not in html


def test_of_a_long_text_a_list_shows_the_beginning() -> None:
    assert "<p>aaa …</p>" in render_markdown("aaa bbb", 4)
    assert "<p>aaa bbb</p>" in render_markdown("aaa bbb", 7)
