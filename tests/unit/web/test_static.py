"""Static files: what is found, bundled and noticed."""

import asyncio
import threading
import zlib
from pathlib import Path
from typing import Any

import brotli
import pytest

from app.web.static import BUNDLES, ROOT, Assets


def test_every_style_sheet_and_script_is_in_a_bundle() -> None:
    files = {path.relative_to(ROOT).as_posix() for kind in ("css", "js") for path in (ROOT / kind).rglob("*")}
    bundled = [part for parts in BUNDLES.values() for part in parts]
    assert sorted(bundled) == sorted(name for name in files if name.endswith((".css", ".js")))


def test_a_bundle_holds_its_files_in_order() -> None:
    assets = Assets()
    css = assets.find("app.css")
    assert css is not None
    places = [css.content.index((ROOT / part).read_bytes()) for part in BUNDLES["app.css"]]
    assert places == sorted(places)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "static" / "js").mkdir(parents=True)
    (tmp_path / "static" / "js" / "app.js").write_text("const a = 1;\n")
    (tmp_path / "static" / "a.txt").write_text("first")
    return tmp_path / "static"


def test_files_stay_as_they_were_at_the_start(folder: Path) -> None:
    assets = Assets(folder)
    url = assets.url("a.txt")
    (folder / "a.txt").write_text("second")
    assert assets.url("a.txt") == url
    assert url.startswith("/static/a.txt?v=")
    assert assets.url("missing.css") == "/static/missing.css"


def test_a_demo_notices_changes(folder: Path) -> None:
    assets = Assets(folder, look_every=0)
    before = (assets.url("a.txt"), assets.url("app.js"))
    (folder / "a.txt").write_text("second")
    (folder / "js" / "live.js").write_text("const a = 2;\n")
    changed = assets.find("a.txt")
    assert changed is not None
    assert changed.content == b"second"
    assert before[0] != assets.url("a.txt")
    assert before[1] != assets.url("app.js")
    (folder / "a.txt").unlink()
    assert assets.find("a.txt") is None


def test_scripts_of_a_bundle_do_not_share_names(folder: Path) -> None:
    (folder / "js" / "live.js").write_text("const a = 2;\n")
    script = Assets(folder).find("app.js")
    assert script is not None
    assert script.content == b"/* js/app.js */\n{\nconst a = 1;\n}\n/* js/live.js */\n{\nconst a = 2;\n}\n"


def test_what_is_not_public_is_not_found(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "secret.txt").write_text("secret")
    (folder / ".hidden").write_text("secret")
    (folder / "link.txt").symlink_to(tmp_path / "secret.txt")
    (folder / "inside.txt").symlink_to(folder / "a.txt")
    assets = Assets(folder)
    names = (".hidden", "link.txt", "../secret.txt", "js", "a\0b", "")
    assert [name for name in names if assets.find(name)] == []
    assert assets.find("inside.txt") is not None


async def test_an_asset_is_compressed_without_loss() -> None:
    css = Assets().find("app.css")
    assert css is not None
    assert brotli.decompress(await css.compressed("br")) == css.content
    assert zlib.decompress(await css.compressed("gzip"), wbits=31) == css.content


async def test_an_asset_is_compressed_once_and_not_in_the_event_loop(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    threads = []

    def compress(content: bytes, *_: Any, **__: Any) -> bytes:
        threads.append(threading.current_thread())
        return content

    monkeypatch.setattr("app.web.static.compression.compress", compress)
    script = Assets(folder).find("app.js")
    assert script is not None
    await asyncio.gather(*(script.compressed("br") for _ in range(3)))
    assert len(threads) == 1
    assert threads[0] is not threading.main_thread()
