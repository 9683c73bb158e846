#!/usr/bin/env python3
"""The main job by JSON alone: import people, build and publish a workflow, tag 50, watch them reach the goal.

Needs only the standard library and a running Switchyard (`scripts/dev`). Exits with 1 when anything is off.

    scripts/examples/main_job.py --base http://127.0.0.1:8000 [--csv people.csv] [--seconds 60]
"""

import argparse
import csv
import io
import json
import sys
import time
import urllib.error
import urllib.parse
import urllib.request
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import Any, NoReturn

PEOPLE = 50
PATIENCE = 60.0  # seconds that a worker may take for one thing
RUN = uuid.uuid4().hex[:8]
STATES = ("CA", "NY", "TX", "LA", "MI", "OH")
HEADER = (
    "first_name", "last_name", "company_name", "address", "city", "county", "state", "zip", "phone1",
    "phone2", "email", "web",
)  # fmt: skip


class Script:
    """Signed in once; speaks JSON."""

    def __init__(self, base: str, email: str, password: str) -> None:
        self.base, self.token = base.rstrip("/"), ""
        self.token = self.post("/sessions", {"email": email, "password": password})["token"]

    def get(self, path: str, **query: Any) -> Any:
        return self.send("GET", path + ("?" + urllib.parse.urlencode(query, doseq=True) if query else ""))

    def post(self, path: str, body: Any) -> Any:
        return self.send("POST", path, json.dumps(body).encode(), "application/json")

    def upload(self, path: str, name: str, content: bytes) -> Any:
        """A file, as a form sends it (multipart, part `file`)."""
        line = f"switchyard{uuid.uuid4().hex}"
        head = f'Content-Disposition: form-data; name="file"; filename="{name}"\r\nContent-Type: text/csv'
        body = f"--{line}\r\n{head}\r\n\r\n".encode() + content + f"\r\n--{line}--\r\n".encode()
        return self.send("POST", path, body, f"multipart/form-data; boundary={line}")

    def send(self, method: str, path: str, body: bytes | None = None, kind: str = "") -> Any:
        headers = {"Accept": "application/json"}
        headers |= {"Content-Type": kind} if kind else {}
        headers |= {"Authorization": f"Bearer {self.token}"} if self.token else {}
        request = urllib.request.Request(self.base + path, body, headers, method=method)  # noqa: S310 -- the address that was asked for
        try:
            with urllib.request.urlopen(request, timeout=30) as answer:  # noqa: S310 -- the same
                said = answer.read()
        except urllib.error.HTTPError as error:
            fail(f"{method} {path} answered {error.code}: {error.read().decode(errors='replace')[:500]}")
        except OSError as error:
            fail(f"{self.base} does not answer: {error}")
        return json.loads(said) if said else None

    def until(self, what: str, path: str, done: Callable[[Any], bool], patience: float = PATIENCE) -> Any:
        """Asks again and again until it is done."""
        end = time.monotonic() + patience
        while True:
            page = self.get(path)
            if done(page):
                print(f"  {what}")
                return page
            if time.monotonic() > end:
                fail(f"“{what}” did not happen within {patience:.0f} seconds: {json.dumps(page)[:800]}")
            time.sleep(0.3)


def fail(sentence: str) -> NoReturn:
    sys.exit(f"main_job: {sentence}")


def ensure(fact: bool, sentence: str) -> None:
    if not fact:
        fail(sentence)


def people(count: int = 500) -> bytes:
    """A file like the ones that people have: quoted commas, phones as they are written, zips with zeros."""
    text = io.StringIO()
    rows = csv.writer(text)
    rows.writerow(HEADER)
    for n in range(count):
        state = STATES[n % len(STATES)]
        rows.writerow(
            [f"First{n}", f"Last{n}", f"Company {n}, Inc", f"{n} Main St", "New Orleans", "Orleans", state,
             f"{n:05}", f"504-621-{n:04}", f"504-845-{n:04}", f"p{n}@{RUN}.example.com", f"http://{RUN}-{n}.example.com"]
        )  # fmt: skip
    return text.getvalue().encode()


def href(page: Any, name: str) -> str:
    """Where an action of a page is sent."""
    for one in page["actions"]:
        if one["name"] == name:
            return str(one["href"])
    fail(f"the page offers no “{name}”, only {[one['name'] for one in page['actions']]}")


def run_import(script: Script, name: str, content: bytes, fresh: bool) -> None:
    print("import")
    page = script.upload("/imports", name, content)
    place = f"/imports/{page['item']['id']}"
    script.post(f"{place}/mapping", {})
    page = script.until("checked", place, lambda now: now["item"]["status"] == "ready")
    item = page["item"]
    print(f"  {item['new']} new, {item['changed']} changed, {item['unchanged']} unchanged, {item['bad']} bad")
    ensure(item["bad"] == 0, f"there are {item['bad']} bad rows")
    ensure(not fresh or item["new"] == item["rows"], f"{item['new']} of {item['rows']} are new")
    if item["new"] or item["changed"]:
        script.post(f"{place}/run", {})
        script.until("imported", place, lambda now: now["item"]["status"] == "done")


def build(script: Script, seconds: int) -> str:
    """Tag added → email → wait → branch on the state → goal; published. Gives the workflow's address."""
    print("workflow")
    made = script.post("/workflows", {"name": f"Welcome {RUN}"})
    place = f"/workflows/{made['workflow']['id']}"
    california = {"type": "predicate", "field": "state", "op": "is", "value": "CA"}
    moved = {"type": "predicate", "field": "city", "op": "is", "value": f"Goal {RUN}"}
    steps: list[tuple[str, dict[str, Any]]] = [
        ("main", {"kind": "send_email", "subject": f"Welcome {RUN}", "body": "Hi {{ contact.first_name }}."}),
        ("main", {"kind": "wait", "amount": seconds, "unit": "seconds"}),
        ("main", {"kind": "branch", "branches": [{"name": "California", "filter": california}]}),
        ("", {"kind": "add_tag", "tag": f"west-{RUN}"}),
        ("main", {"kind": "goal", "name": "Moved", "filter": moved, "on_unmet": "wait", "amount": 30}),
    ]  # fmt: skip
    body: dict[str, Any] = {"kind": "tag_added", "config": {"kind": "tag_added", "tag": f"vip-{RUN}"}}
    script.post(f"{place}/triggers", body | {"rev": rev_of(script, place)})
    for where, config in steps:
        now = script.get(place)
        lanes = [lane["list_id"] for step in now["steps"] for lane in step["lanes"]]
        body = {
            "kind": config["kind"],
            "list": where or lanes[0],
            "config": config,
            "rev": now["workflow"]["rev"],
        }
        script.post(f"{place}/steps", body)
    plan = script.get(f"{place}/publication")
    ensure(not plan["problems"], f"the draft cannot be published: {plan['problems']}")
    script.post(href(plan, "publish"), {"rev": rev_of(script, place)})
    print("  published")
    return place


def rev_of(script: Script, place: str) -> int:
    return int(script.get(place)["workflow"]["rev"])


def at(page: Any, kind: str) -> Any:
    """The counts of the first step of a kind."""
    return next(step["count"] for step in page["steps"] if step["kind"] == kind)


def letters(script: Script) -> list[str]:
    """Who got this run's message, by the Mailbox."""
    found, path = [], f"/mailbox?q={RUN}"
    while path:
        page = script.get(path)
        found += [mail["recipient"] for mail in page["items"] if RUN in mail["subject"]]
        path = page["next"]
    return found


def follow(script: Script, place: str, seconds: int) -> None:
    print(f"{PEOPLE} people")
    listed = script.get("/contacts", sort="-created_at", limit=PEOPLE)["items"]
    ensure(len(listed) == PEOPLE, f"the list has {len(listed)} contacts and not {PEOPLE}")
    ids = [contact["id"] for contact in listed]
    script.post("/contacts/bulk/tags", {"ids": ids, "tag": f"vip-{RUN}"})
    script.until("everybody has the email", place, lambda page: at(page, "send_email")["done"] == PEOPLE)
    ensure(
        at(script.get(place), "wait")["here"] + at(script.get(place), "goal")["here"] == PEOPLE,
        "somebody is lost",
    )
    check_letters(script, listed)
    script.until(
        "everybody waits for the goal",
        place,
        lambda page: at(page, "goal")["here"] == PEOPLE,
        seconds + PATIENCE,
    )
    west = script.get("/contacts", f=f"tags:any_of:{tag_id(script, f'west-{RUN}')}", limit=PEOPLE)
    expected = {contact["id"] for contact in listed if contact["state"] == "CA"}
    ensure({contact["id"] for contact in west["items"]} == expected, "the branch took the wrong people")
    for contact in ids:
        script.post(f"/contacts/{contact}", {"city": f"Goal {RUN}"})
    page = script.until("everybody completed", place, lambda page: page["totals"]["completed"] == PEOPLE)
    ensure(page["totals"]["active"] == page["totals"]["failed"] == 0, f"not all is well: {page['totals']}")
    check_letters(script, listed)


def check_letters(script: Script, listed: list[Any]) -> None:
    got = letters(script)
    ensure(len(got) == PEOPLE, f"{len(got)} messages in the Mailbox, and not {PEOPLE}")
    ensure(set(got) == {contact["email"] for contact in listed}, "not one message each")
    print(f"  {PEOPLE} messages, one each")


def tag_id(script: Script, name: str) -> str:
    return next((str(tag["id"]) for tag in script.get("/tags")["items"] if tag["name"] == name), "")


def main() -> None:
    parser = argparse.ArgumentParser(description="The main job by JSON alone.")
    parser.add_argument("--base", default="http://127.0.0.1:8000", help="where Switchyard answers")
    parser.add_argument("--csv", type=Path, help="people to import (default: 500 made up)")
    parser.add_argument("--seconds", type=int, default=60, help="how long the workflow waits (default: 60)")
    parser.add_argument("--email", default="owner@acme.test")
    parser.add_argument("--password", default="switchyard-demo")
    given = parser.parse_args()
    script = Script(given.base, given.email, given.password)
    content = given.csv.read_bytes() if given.csv else people()
    run_import(script, given.csv.name if given.csv else "people.csv", content, fresh=given.csv is None)
    follow(script, build(script, given.seconds), given.seconds)
    print("all is well")


if __name__ == "__main__":
    main()
