"""Which coding a client gets, and what is compressed."""

import zlib

import brotli
import pytest

from app.web.compression import choose_coding, compress, is_compressible


@pytest.mark.parametrize(
    ("header", "coding"),
    [
        ("", None),
        ("gzip, deflate, br, zstd", "br"),
        ("gzip", "gzip"),
        ("GZIP;Q=0.5", "gzip"),
        ("br;q=0, gzip", "gzip"),
        ("br; q=0.2, gzip; q=0.8", "gzip"),
        ("*", "br"),
        ("*;q=0", None),
        ("br;q=0, *;q=0.3", "gzip"),
        ("identity", None),
        ("identity;q=0.5, gzip;q=0.4", None),
        ("identity;q=0, gzip;q=0.4", "gzip"),
        ("br;q=many, gzip", "gzip"),
        ("br;q=nan", None),
        ("deflate, zstd", None),
        (",;,=,", None),
    ],
)
def test_coding_follows_the_weights(header: str, coding: str | None) -> None:
    assert choose_coding(header) == coding


@pytest.mark.parametrize("smallest", [False, True])
def test_content_is_compressed_without_loss(smallest: bool) -> None:
    content = "Ünïcode, <b>markup</b> ".encode() * 100
    br, gzip = compress(content, "br", smallest=smallest), compress(content, "gzip", smallest=smallest)
    assert brotli.decompress(br) == zlib.decompress(gzip, wbits=31) == content
    assert max(len(br), len(gzip)) < len(content) / 10


@pytest.mark.parametrize(
    ("media_type", "expected"),
    [
        ("text/html; charset=utf-8", True),
        ("text/csv", True),
        ("application/json", True),
        ("application/problem+json", True),
        ("image/svg+xml", True),
        ("text/javascript", True),
        ("image/png", False),
        ("font/woff2", False),
        ("application/octet-stream", False),
        ("", False),
    ],
)
def test_only_text_is_compressible(media_type: str, expected: bool) -> None:
    assert is_compressible(media_type) is expected
