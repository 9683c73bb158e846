"""The static files that a browser with an empty cache fetches for a page, and their size on the wire.

`fetch_static_files` is the entry point. It follows what the page names (stylesheets, scripts, icons, images,
symbols of SVG files), what a stylesheet imports or draws, and what a script imports when it is loaded.
"""

import re
from html.parser import HTMLParser
from urllib.parse import urljoin, urlsplit

from scripts._lib.bench.http.load_generator import send_once
from scripts._lib.bench.http.processes import Site

LINKS = {"stylesheet", "icon", "modulepreload", "preload", "manifest"}
CSS_REFERENCE = re.compile(r"""@import\s+["']([^"']+)|url\(\s*["']?([^"')]+)""")
SCRIPT_IMPORT = re.compile(r"""(?:^|[;}\s])(?:import|export)\s*(?:[^"'();]*?\sfrom\s*)?["']([^"']+)["']""")


class References(HTMLParser):
    """The addresses that a page names."""

    def __init__(self) -> None:
        super().__init__()
        self.addresses: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        values = {name: value or "" for name, value in attrs}
        address = ""
        if tag == "link" and LINKS & set(values.get("rel", "").split()):
            address = values.get("href", "")
        elif tag in {"script", "img"}:
            address = values.get("src", "")
        elif tag == "use":
            address = values.get("href", "")
        if address and not address.startswith(("#", "data:")):
            self.addresses.append(address)


def references_of_page(html: str) -> list[str]:
    """The addresses that a page names, in order."""
    parser = References()
    parser.feed(html)
    return parser.addresses


def references_of_file(content_type: str, text: str) -> list[str]:
    """The addresses that a stylesheet or a script needs when it is loaded."""
    if "css" in content_type:
        addresses = [first or second for first, second in CSS_REFERENCE.findall(text)]
    elif "javascript" in content_type:
        addresses = SCRIPT_IMPORT.findall(text)
    else:
        addresses = []
    return [address for address in addresses if not address.startswith(("#", "data:"))]


async def fetch_static_files(site: Site, target: str) -> dict[str, int]:
    """Each static file that the page needs, by its address, and the bytes of its answer as a browser gets
    it."""
    html = (await read_plain(site, target))[1]
    waiting = [(target, address) for address in references_of_page(html)]
    files: dict[str, int] = {}
    while waiting:
        base, address = waiting.pop(0)
        parts = urlsplit(urljoin(base, address))
        name = parts.path + (f"?{parts.query}" if parts.query else "")
        if name in files:
            continue
        files[name] = (await send_once(site.port, site.page(name))).wire_bytes
        content_type, text = await read_plain(site, name)
        waiting += [(name, reference) for reference in references_of_file(content_type, text)]
    return files


async def read_plain(site: Site, target: str) -> tuple[str, str]:
    """The content type and the text of an answer, asked for without compression."""
    answer = await send_once(site.port, site.page(target, encodings="identity"))
    return answer.headers.get("content-type", ""), answer.body.decode(errors="replace")
