"""Contacts and segments through JSON."""

from typing import Any

import httpx

from tests.support.web_kit import JSON


async def contact(client: httpx.AsyncClient, **values: Any) -> str:
    response = await client.post("/contacts", json={"first_name": "Ann", **values}, headers=JSON)
    return str(response.json()["contact"]["id"])


async def segment(client: httpx.AsyncClient, name: str, *f: str, match: str = "all") -> dict[str, Any]:
    response = await client.post("/segments", json={"name": name, "f": list(f), "match": match}, headers=JSON)
    assert response.status_code == 201, response.text
    matching_states: dict[str, Any] = response.json()["segment"]
    return matching_states


async def matching_states(client: httpx.AsyncClient, *f: str) -> list[str]:
    answer = await client.get("/contacts", params=[("f", parameter) for parameter in f], headers=JSON)
    assert answer.status_code == 200, answer.text
    return sorted(parameter["state"] or "" for parameter in answer.json()["items"])
