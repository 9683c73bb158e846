"""Static files: read once, bundled, compressed, and versioned by content.

In templates `asset("app.css")` returns `…?v=hash`, which a browser may cache forever. Without the version the
browser revalidates by ETag. Style sheets and scripts are sent as one file each (`BUNDLES`), so that a first
page takes five requests.

`Assets.find` returns the file of a name. Files don't change while a server runs; only a demo, which
`scripts/dev` starts, looks for changes.

Litestar's static router (2.25) doesn't fit: it ignores If-None-Match, makes its ETag from the time of the
file and not from its content, has one Cache-Control for all files, serves dot files and links that lead out
of the folder, and answers 500 for a name with NUL.
"""

import asyncio
import hashlib
import mimetypes
import time
from collections.abc import Iterator
from pathlib import Path

from litestar import Response, get
from litestar.exceptions import NotFoundException
from litestar.params import FromPath

from app.web import compression
from app.web.request import Request

ROOT = Path(__file__).resolve().parents[2] / "static"
FOREVER = "public, max-age=31536000, immutable"
CHECK = "public, no-cache"
mimetypes.add_type("text/javascript", ".js")
mimetypes.add_type("font/woff2", ".woff2")

# What the browser gets as one file. Style sheets are in the order of their layers.
BUNDLES: dict[str, tuple[str, ...]] = {
    "app.css": (
        "css/reset.css",
        "css/tokens.css",
        "css/base.css",
        "css/layout.css",
        "css/components/controls.css",
        "css/components/forms.css",
        "css/components/data.css",
        "css/components/table.css",
        "css/components/surfaces.css",
        "css/screens/list.css",
        "css/screens/record.css",
        "css/screens/builder.css",
        "css/screens/jobs.css",
        "css/screens/imports.css",
        "css/screens/mailbox.css",
        "css/screens/settings.css",
        "css/utilities.css",
    ),
    "app.js": (
        "js/app.js",
        "js/live.js",
        "js/inline.js",
        "js/keys.js",
        "js/rows.js",
        "js/filters.js",
        "js/drag.js",
    ),
}


class Asset:
    """One file as browsers get it."""

    def __init__(self, name: str, content: bytes) -> None:
        self.content = content
        self.version = hashlib.sha256(content).hexdigest()[:12]
        self.media_type = mimetypes.guess_type(name)[0] or "application/octet-stream"
        self._compressed: dict[compression.Coding, bytes] = {}
        self._compressing = asyncio.Lock()

    async def compressed(self, coding: compression.Coding) -> bytes:
        """The content in that coding. It is computed at the first request, in a thread, since it takes up to
        a tenth of a second; requests that come meanwhile wait for the same result."""
        async with self._compressing:
            if coding not in self._compressed:
                self._compressed[coding] = await asyncio.to_thread(
                    compression.compress, self.content, coding, smallest=True
                )
        return self._compressed[coding]


class Assets:
    """The files under one folder, by name. With `look_every` they are read again when one of them changed, as
    seen at most once in that many seconds."""

    def __init__(self, root: Path = ROOT, *, look_every: float | None = None) -> None:
        self.root = root.resolve()
        self.look_every = look_every
        self._assets: dict[str, Asset] = {}
        self._times: dict[str, int] = {}
        self._next_look = 0.0
        self._read()

    def find(self, name: str) -> Asset | None:
        """The file of that name; None if there is none."""
        if self.look_every is not None and time.monotonic() >= self._next_look:
            self._read()
        return self._assets.get(name)

    def url(self, name: str) -> str:
        """The URL of a file with its version; without a version if the file doesn't exist."""
        asset = self.find(name)
        return f"/static/{name}?v={asset.version}" if asset else f"/static/{name}"

    def _read(self) -> None:
        files = dict(self._files())
        times = {name: path.stat().st_mtime_ns for name, path in files.items()}
        self._next_look = time.monotonic() + (self.look_every or 0)
        if times == self._times:
            return
        contents = {name: path.read_bytes() for name, path in files.items()}
        bundles = {name: bundle(name, contents) for name in BUNDLES}
        self._assets = {name: Asset(name, content) for name, content in {**contents, **bundles}.items()}
        self._times = times

    def _files(self) -> Iterator[tuple[str, Path]]:
        """The files in the folder, without dot files and links that lead out of it."""
        for path in self.root.rglob("*"):
            name = path.relative_to(self.root)
            hidden = any(part.startswith(".") for part in name.parts)
            if not hidden and path.is_file() and path.resolve().is_relative_to(self.root):
                yield name.as_posix(), path


def bundle(name: str, contents: dict[str, bytes]) -> bytes:
    """The files of a bundle as one. Each script is a block, so that its names are its own."""
    begin, end = (b"{\n", b"}\n") if name.endswith(".js") else (b"", b"")
    return b"".join(
        f"/* {part} */\n".encode() + begin + contents[part] + end
        for part in BUNDLES[name]
        if part in contents
    )


@get(
    "/static/{name:path}",
    public=True,
    foreign=True,
    produces="*/*",
    include_in_schema=False,
)
async def static_file(name: FromPath[str], request: Request) -> Response[bytes]:
    """A file of the interface."""
    asset = request.app.state.assets.find(name.lstrip("/"))
    if asset is None:
        raise NotFoundException("There is no such file.")
    content, etag = asset.content, asset.version
    headers = {"Cache-Control": FOREVER if request.query_params.get("v") == asset.version else CHECK}
    if compression.is_compressible(asset.media_type):
        headers["Vary"] = "Accept-Encoding"
        coding = compression.choose_coding(request.headers.get("accept-encoding", ""))
        if coding is not None:
            headers["Content-Encoding"] = coding
            content, etag = await asset.compressed(coding), f"{asset.version}-{coding}"
    headers["ETag"] = f'"{etag}"'
    if f'"{etag}"' in request.headers.get("if-none-match", ""):
        headers.pop("Content-Encoding", None)
        return Response(b"", status_code=304, headers=headers, media_type=asset.media_type)
    return Response(content, headers=headers, media_type=asset.media_type)
