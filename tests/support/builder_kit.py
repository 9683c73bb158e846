"""Builds workflows through the JSON of the builder."""

from typing import Any

import httpx

STATE = {"type": "group", "match": "all", "items": [
    {"type": "predicate", "field": "state", "op": "is", "value": "CA"}]}  # fmt: skip

STAGE = {"type": "predicate", "field": "company", "op": "is", "value": "Bought"}


async def new_workflow(client: httpx.AsyncClient, name: str = "Welcome") -> str:
    answer = await client.post("/workflows", json={"name": name})
    assert answer.status_code == 201, answer.text
    return str(answer.headers["location"])


async def insert(client: httpx.AsyncClient, at: str, rev: int, kind: str, **more: Any) -> dict[str, Any]:
    answer = await client.post(f"{at}/steps", json={"kind": kind, "rev": rev} | more)
    assert answer.status_code == 201, answer.text
    page: dict[str, Any] = answer.json()
    return page


async def build(client: httpx.AsyncClient, at: str) -> int:
    """The workflow of the issue; returns its revision."""
    body = {"kind": "tag_added", "rev": 0, "config": {"kind": "tag_added", "tag": "vip"}}
    answer = await client.post(f"{at}/triggers", json=body)
    assert answer.status_code == 201, answer.text
    mail = {"kind": "send_email", "subject": "Hello {{ contact.first_name }}", "body": "Nice to meet you."}
    page = await insert(client, at, 1, "send_email", config=mail)
    wait = {"kind": "wait", "amount": 1, "unit": "minutes"}
    page = await insert(client, at, page["workflow"]["rev"], "wait", config=wait)
    lanes = {"kind": "branch", "branches": [{"name": "California", "filter": STATE}]}
    page = await insert(client, at, page["workflow"]["rev"], "branch", config=lanes)
    branch = page["sheet"]["key"]
    goal = {"kind": "goal", "name": "Bought", "filter": STAGE, "on_unmet": "wait"}
    page = await insert(client, at, page["workflow"]["rev"], "goal", config=goal)
    tag = {"kind": "add_tag", "tag": "west"}
    page = await insert(
        client, at, page["workflow"]["rev"], "add_tag", list=f"{branch}.b1", position=0, config=tag
    )
    assert page["problems"] == []
    return int(page["workflow"]["rev"])
