"""A real server with a worker and a mail catcher (`live`), its OpenAPI document as a file, and the tools."""

import json
from pathlib import Path

import pytest

from app.web.openapi.document import build_document
from scripts._lib.dev import client_tools
from tests.support.live_app import Live, live

__all__ = ["live"]


@pytest.fixture(scope="module")
def document(live: Live, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The document as a file, as `curl …/schema/openapi.json` saves it."""
    path = tmp_path_factory.mktemp("document") / "openapi.json"
    path.write_text(json.dumps(build_document(live.app)))
    return path


@pytest.fixture(scope="session")
def python_tools() -> Path:
    try:
        return client_tools.python_tools()
    except client_tools.ToolsMissing as reason:
        pytest.skip(f"no tools for a Python client: {reason}")


@pytest.fixture(scope="session")
def node_tools() -> client_tools.NodeTools:
    try:
        return client_tools.node_tools()
    except client_tools.ToolsMissing as reason:
        pytest.skip(f"no tools for a TypeScript client: {reason}")
