"""Static files, cached in memory and versioned by content.

In templates `asset("css/app.css")` returns `…?v=hash`, which a browser may cache forever. Without the version
the browser revalidates by ETag.

Litestar's static router (2.25) doesn't fit: it ignores If-None-Match, makes its ETag from the time of the
file and not from its content, has one Cache-Control for all files, serves dot files and links that lead out
of the folder, and answers 500 for a name with NUL.
"""

import hashlib
import mimetypes
from pathlib import Path

from litestar import Response, get
from litestar.exceptions import NotFoundException
from litestar.params import FromPath

from app.web.request import Request

ROOT = Path(__file__).resolve().parents[2] / "static"
FOREVER = "public, max-age=31536000, immutable"
CHECK = "public, no-cache"
mimetypes.add_type("text/javascript", ".js")
mimetypes.add_type("font/woff2", ".woff2")


class Asset:
    """One file, as of the last time it was read."""

    def __init__(self, path: Path, modified: int) -> None:
        self.modified = modified
        self.content = path.read_bytes()
        self.version = hashlib.sha256(self.content).hexdigest()[:12]
        self.media_type = mimetypes.guess_type(path.name)[0] or "application/octet-stream"


class Assets:
    """The files under one folder, read again when they change."""

    def __init__(self, root: Path = ROOT) -> None:
        self.root = root.resolve()
        self._assets: dict[str, Asset] = {}

    def find(self, name: str) -> Asset | None:
        """The file of that name in the folder; None if there is none, for dot files, and for links that lead
        out of the folder."""
        path = (self.root / name.lstrip("/")).resolve()
        hidden = any(part.startswith(".") for part in Path(name).parts)
        if hidden or "\0" in name or not path.is_relative_to(self.root) or not path.is_file():
            return None
        modified = path.stat().st_mtime_ns
        asset = self._assets.get(name)
        if asset is None or asset.modified != modified:
            asset = self._assets[name] = Asset(path, modified)
        return asset

    def url(self, name: str) -> str:
        """The URL of a file with its version; without a version if the file doesn't exist."""
        asset = self.find(name)
        return f"/static/{name}?v={asset.version}" if asset else f"/static/{name}"


@get("/static/{name:path}", public=True, sync_to_thread=False, produces="*/*", tags=["static"])
def static_file(name: FromPath[str], request: Request) -> Response[bytes]:
    """A file of the interface."""
    try:
        asset = request.app.state.assets.find(name.lstrip("/"))
    except (ValueError, OSError):
        asset = None
    if asset is None:
        raise NotFoundException("There is no such file.")
    etag = f'"{asset.version}"'
    current = request.query_params.get("v") == asset.version
    headers = {"ETag": etag, "Cache-Control": FOREVER if current else CHECK}
    if etag in request.headers.get("if-none-match", ""):
        return Response(b"", status_code=304, headers=headers, media_type=asset.media_type)
    return Response(asset.content, headers=headers, media_type=asset.media_type)
