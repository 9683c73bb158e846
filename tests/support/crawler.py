"""Walks through the screens by their links and forms."""

import re
from collections import Counter
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import httpx

from tests.support.pages import Page, actions_in, local, unexpected

OF_ONE_KIND = 3  # pages that differ only in ids or in the values of the query

MOST = 400

ID = re.compile(r"[0-9a-f]{8}-[0-9a-f-]{27}")

NOTICE = re.compile("is unknown here and was ignored|is more than once in the address")

NOT_PAGES = ("/static/", "/.well-known/")


def kind_of(path: str) -> str:
    parts = urlsplit(path)
    keys = sorted({key for key, _ in parse_qsl(parts.query, keep_blank_values=True)})
    return ID.sub("{id}", parts.path) + "?" + "&".join(keys)


def text_of_response(answer: httpx.Response) -> str:
    """The words of a page without its markup, or of JSON, cut short."""
    return " ".join(re.sub(r"<[^>]+>", " ", answer.text).split())[:200]


@dataclass
class Walk:
    visited: dict[str, str] = field(default_factory=dict)
    problems: list[str] = field(default_factory=list)
    kinds: Counter[str] = field(default_factory=Counter)
    called: Counter[str] = field(default_factory=Counter)

    async def all(self, page: httpx.AsyncClient, script: httpx.AsyncClient) -> None:
        waiting = ["/"]
        while waiting and len(self.visited) < MOST:
            path = waiting.pop(0)
            if path in self.visited or path.startswith(NOT_PAGES) or self.kinds[kind_of(path)] >= OF_ONE_KIND:
                continue
            self.kinds[kind_of(path)] += 1
            self.visited[path] = kind_of(path)
            waiting += await self.visit(path, page, script)

    async def visit(self, path: str, page: httpx.AsyncClient, script: httpx.AsyncClient) -> list[str]:
        answer = await page.get(path)
        if answer.status_code != 200:
            self.problems.append(f"{path} as a page: {answer.status_code} {text_of_response(answer)}")
            return []
        if not answer.headers["content-type"].startswith("text/html"):
            return []
        drawn = Page(answer.text, path)
        if not drawn.title.strip(" ·").removesuffix("Switchyard").strip(" ·"):
            self.problems.append(f"{path}: no title")
        if NOTICE.search(answer.text):
            self.problems.append(f"{path}: the page does not know all parameters of a link to it")
        await self.send_get_forms(path, drawn, page, script)
        json_answer = await script.get(path)
        if json_answer.status_code != 200 or "json" not in json_answer.headers["content-type"]:
            self.problems.append(f"{path} as JSON: {json_answer.status_code} {text_of_response(json_answer)}")
        elif not path.startswith("/schema"):
            self.compare(path, drawn, json_answer)
            for action in actions_in(json_answer.json()):
                await self.call(path, action, page, script)
        return [link for href in drawn.links if (link := local(href, urlsplit(path).path))]

    async def send_get_forms(
        self, path: str, drawn: Page, page: httpx.AsyncClient, script: httpx.AsyncClient
    ) -> None:
        """Sends each search form empty, as a browser does: its page knows all names, and as JSON too."""
        for form in drawn.forms:
            query = dict.fromkeys(form.names, "")
            kind = f"form {kind_of(form.action)} {sorted(query)}"
            if form.method != "GET" or kind in self.called:
                continue
            self.called[kind] += 1
            answers = [await page.get(form.action, params=query), await script.get(form.action, params=query)]
            if [answer.status_code for answer in answers] != [200, 200] or NOTICE.search(answers[0].text):
                texts = [text_of_response(answer) for answer in answers]
                self.problems.append(
                    f"{path}: the form to {form.action} with {sorted(query)} answers {texts}"
                )

    async def call(
        self, path: str, action: dict[str, Any], page: httpx.AsyncClient, script: httpx.AsyncClient
    ) -> None:
        """Calls the URL for scripts and the URL for forms, with a field that none of them has."""
        kind = f"{action['method']} {kind_of(action['href'])}"
        self.called[kind] += 1
        if self.called[kind] > OF_ONE_KIND:
            return
        wrong = {"no_such_field": "1"}
        method, href, form_href = action["method"], action["href"], action["form_href"]
        if method == "GET":
            answers = [await script.get(href), await page.get(form_href)]
            expected = {200}
        else:
            query, files = (wrong, None) if method == "DELETE" else (None, {"no_such_field": (None, "1")})
            answers = [
                await script.request(method, href, params=query, files=files),
                await page.request(action["form_method"], form_href, files={"no_such_field": (None, "1")}),
            ]
            expected = {422}
        if {answer.status_code for answer in answers} != expected:
            responses = [(answer.status_code, text_of_response(answer)) for answer in answers]
            self.problems.append(f"{path}: {action['name']} answers {responses}")
        if method == "POST" and (await script.patch(href, json=wrong)).status_code != 405:
            self.problems.append(f"{path}: {action['name']} says POST, but there is a PATCH")
        if method == "POST" and href.endswith("/deletion") and "/bulk/" not in href:
            self.problems.append(f"{path}: {action['name']} says POST, but there is a DELETE")

    def compare(self, path: str, drawn: Page, json_answer: httpx.Response) -> None:
        actions: dict[str, set[str]] = {}
        links: set[str] = set()
        for action in actions_in(json_answer.json()):
            if action["method"] == "GET":
                links.add(action["href"])
            else:
                names = actions.setdefault(action["form_href"], set())
                names.update(field["name"] for field in action["fields"])
        offers = drawn.offers()
        if set(offers) != set(actions):
            only_page, only_json = sorted(set(offers) - set(actions)), sorted(set(actions) - set(offers))
            self.problems.append(f"{path}: only on the page {only_page}, only in the JSON {only_json}")
        here = urlsplit(path).path
        undrawn, unsaid = links - set(drawn.links), {f"{here}/new"} & set(drawn.links) - links
        if undrawn or unsaid:
            self.problems.append(
                f"{path}: links only on the page {sorted(unsaid)}, only in the JSON {sorted(undrawn)}"
            )
        for href, names in offers.items():
            extra = unexpected(names, actions.get(href, names))
            if extra:
                self.problems.append(
                    f"{path}: the form to {href} sends {sorted(extra)}, unknown to its action"
                )
