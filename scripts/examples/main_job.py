#!/usr/bin/env python3
"""The main job through the JSON API: import contacts, publish a workflow, tag 50 contacts, watch them reach
the goal.

Needs only the standard library and a running Switchyard (`scripts/dev`). Exits with 1 when anything is wrong.

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

CONTACTS = 50
PATIENCE = 60.0  # seconds that a worker may take
RUN = uuid.uuid4().hex[:8]
STATES = ("CA", "NY", "TX", "LA", "MI", "OH")
HEADER = (
    "first_name", "last_name", "company_name", "address", "city", "county", "state", "zip", "phone1",
    "phone2", "email", "web",
)  # fmt: skip


class Client:
    """A signed-in client that speaks JSON."""

    def __init__(self, base: str, email: str, password: str) -> None:
        self.base, self.token = base.rstrip("/"), ""
        self.token = self.post("/sessions", {"email": email, "password": password})["token"]

    def get(self, path: str, **query: Any) -> Any:
        return self.send("GET", path + ("?" + urllib.parse.urlencode(query, doseq=True) if query else ""))

    def post(self, path: str, body: Any) -> Any:
        return self.send("POST", path, json.dumps(body).encode(), "application/json")

    def upload(self, path: str, name: str, content: bytes) -> Any:
        """Upload a file as a form does (multipart, part `file`)."""
        line = f"switchyard{uuid.uuid4().hex}"
        head = f'Content-Disposition: form-data; name="file"; filename="{name}"\r\nContent-Type: text/csv'
        body = f"--{line}\r\n{head}\r\n\r\n".encode() + content + f"\r\n--{line}--\r\n".encode()
        return self.send("POST", path, body, f"multipart/form-data; boundary={line}")

    def send(self, method: str, path: str, body: bytes | None = None, kind: str = "") -> Any:
        headers = {"Accept": "application/json"}
        headers |= {"Content-Type": kind} if kind else {}
        headers |= {"Authorization": f"Bearer {self.token}"} if self.token else {}
        request = urllib.request.Request(self.base + path, body, headers, method=method)  # noqa: S310 -- from the command line
        try:
            with urllib.request.urlopen(request, timeout=30) as response:  # noqa: S310 -- the same address
                content = response.read()
        except urllib.error.HTTPError as error:
            fail(f"{method} {path} answered {error.code}: {error.read().decode(errors='replace')[:500]}")
        except OSError as error:
            fail(f"{self.base} does not answer: {error}")
        return json.loads(content) if content else None

    def until(self, what: str, path: str, done: Callable[[Any], bool], patience: float = PATIENCE) -> Any:
        """Get a page again and again until `done(page)`."""
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
    """Exit with code 1 and a sentence."""
    sys.exit(f"main_job: {sentence}")


def ensure(condition: bool, failure: str) -> None:
    if not condition:
        fail(failure)


def sample_csv(count: int = 500) -> bytes:
    """A realistic CSV: quoted commas, formatted phone numbers, ZIP codes with leading zeros."""
    text = io.StringIO()
    rows = csv.writer(text)
    rows.writerow(HEADER)
    for n in range(count):
        state = STATES[n % len(STATES)]
        rows.writerow(
            [f"First{n}", f"Last{n}", f"Company {n}, Inc", f"{n} Main St", "New Orleans", "Orleans", state,
             f"{n:05}", f"504-621-{n:04}", f"504-845-{n:04}", f"p{n}@{RUN}.example.com",
             f"http://{RUN}-{n}.example.com"]
        )  # fmt: skip
    return text.getvalue().encode()


def action_address(page: Any, name: str) -> str:
    """The address of one of the page's actions."""
    for action in page["actions"]:
        if action["name"] == name:
            return str(action["href"])
    fail(f"the page offers no “{name}”, only {[action['name'] for action in page['actions']]}")


def run_import(client: Client, name: str, content: bytes, fresh: bool) -> None:
    """Upload a CSV, map it, and import it when something is new or changed."""
    print("import")
    page = client.upload("/imports", name, content)
    path = f"/imports/{page['item']['id']}"
    client.post(f"{path}/mapping", {})
    page = client.until("checked", path, lambda page: page["item"]["status"] == "ready")
    item = page["item"]
    counts = (f"{item[key]} {key}" for key in ("new", "changed", "unchanged"))
    print("  " + ", ".join(counts) + f", {item['bad']} rejected")
    ensure(item["bad"] == 0, f"{item['bad']} rows were rejected")
    ensure(not fresh or item["new"] == item["rows"], f"{item['new']} of {item['rows']} are new")
    if item["new"] or item["changed"]:
        client.post(f"{path}/run", {})
        client.until("imported", path, lambda page: page["item"]["status"] == "done")


def build_workflow(client: Client, seconds: int) -> str:
    """Publish tag added → email → wait → branch on the state → goal; return the workflow's path."""
    print("workflow")
    created = client.post("/workflows", {"name": f"Welcome {RUN}"})
    path = f"/workflows/{created['workflow']['id']}"
    california = {"type": "predicate", "field": "state", "op": "is", "value": "CA"}
    has_moved = {"type": "predicate", "field": "city", "op": "is", "value": f"Goal {RUN}"}
    steps: list[tuple[str, dict[str, Any]]] = [
        ("main", {"kind": "send_email", "subject": f"Welcome {RUN}", "body": "Hi {{ contact.first_name }}."}),
        ("main", {"kind": "wait", "amount": seconds, "unit": "seconds"}),
        ("main", {"kind": "branch", "branches": [{"name": "California", "filter": california}]}),
        ("", {"kind": "add_tag", "tag": f"west-{RUN}"}),
        ("main", {"kind": "goal", "name": "Moved", "filter": has_moved, "on_unmet": "wait", "amount": 30}),
    ]  # fmt: skip
    body: dict[str, Any] = {"kind": "tag_added", "config": {"kind": "tag_added", "tag": f"vip-{RUN}"}}
    client.post(f"{path}/triggers", body | {"rev": rev_of(client, path)})
    for list_id, config in steps:
        page = client.get(path)
        lanes = [lane["list_id"] for step in page["steps"] for lane in step["lanes"]]
        body = {
            "kind": config["kind"],
            "list": list_id or lanes[0],
            "config": config,
            "rev": page["workflow"]["rev"],
        }
        client.post(f"{path}/steps", body)
    plan = client.get(f"{path}/publication")
    ensure(not plan["problems"], f"the draft cannot be published: {plan['problems']}")
    client.post(action_address(plan, "publish"), {"rev": rev_of(client, path)})
    print("  published")
    return path


def rev_of(client: Client, path: str) -> int:
    return int(client.get(path)["workflow"]["rev"])


def counts_of(page: Any, kind: str) -> Any:
    """The counts of the first step of a kind."""
    return next(step["count"] for step in page["steps"] if step["kind"] == kind)


def email_recipients(client: Client) -> list[str]:
    """Who got this run's message, according to the Mailbox."""
    recipients, path = [], f"/mailbox?q={RUN}"
    while path:
        page = client.get(path)
        recipients += [mail["recipient"] for mail in page["items"] if RUN in mail["subject"]]
        path = page["next"]
    return recipients


def follow_contacts(client: Client, path: str, seconds: int) -> None:
    """Tag contacts, then check each stage of the workflow up to the goal."""
    print(f"{CONTACTS} contacts")
    listed = client.get("/contacts", sort="-created_at", limit=CONTACTS, fields="id,email,state")["items"]
    ensure(len(listed) == CONTACTS, f"the list has {len(listed)} contacts and not {CONTACTS}")
    ids = [contact["id"] for contact in listed]
    client.post("/contacts/bulk/tags", {"ids": ids, "tag": f"vip-{RUN}"})
    client.until(
        "all have the email", path, lambda page: counts_of(page, "send_email")["completed"] == CONTACTS
    )
    ensure(
        counts_of(client.get(path), "wait")["current"] + counts_of(client.get(path), "goal")["current"]
        == CONTACTS,
        "an enrollment is missing",
    )
    check_emails(client, listed)
    client.until(
        "all wait for the goal",
        path,
        lambda page: counts_of(page, "goal")["current"] == CONTACTS,
        seconds + PATIENCE,
    )
    west = client.get("/contacts", f=f"tags:any_of:{tag_id(client, f'west-{RUN}')}", limit=CONTACTS)
    expected = {contact["id"] for contact in listed if contact["state"] == "CA"}
    ensure({contact["id"] for contact in west["items"]} == expected, "the branch tagged the wrong contacts")
    for contact in ids:
        client.post(f"/contacts/{contact}", {"city": f"Goal {RUN}"})
    page = client.until("all completed", path, lambda page: page["totals"]["completed"] == CONTACTS)
    ensure(page["totals"]["active"] == page["totals"]["failed"] == 0, f"not all completed: {page['totals']}")
    check_emails(client, listed)


def check_emails(client: Client, listed: list[Any]) -> None:
    """Each contact got exactly one message."""
    recipients = email_recipients(client)
    ensure(len(recipients) == CONTACTS, f"{len(recipients)} messages in the Mailbox, and not {CONTACTS}")
    ensure(set(recipients) == {contact["email"] for contact in listed}, "not one message for each contact")
    print(f"  {CONTACTS} messages, one for each contact")


def tag_id(client: Client, name: str) -> str:
    return next((str(tag["id"]) for tag in client.get("/tags")["items"] if tag["name"] == name), "")


def main() -> None:
    parser = argparse.ArgumentParser(description="Run the main job through the JSON API.")
    parser.add_argument(
        "--base", default="http://127.0.0.1:8000", help="address of Switchyard (default: %(default)s)"
    )
    parser.add_argument("--csv", type=Path, help="contacts to import (default: 500 invented ones)")
    parser.add_argument("--seconds", type=int, default=60, help="how long the workflow waits (default: 60)")
    parser.add_argument("--email", default="owner@acme.test")
    parser.add_argument("--password", default="switchyard-demo")
    options = parser.parse_args()
    client = Client(options.base, options.email, options.password)
    content = options.csv.read_bytes() if options.csv else sample_csv()
    run_import(client, options.csv.name if options.csv else "people.csv", content, fresh=options.csv is None)
    follow_contacts(client, build_workflow(client, options.seconds), options.seconds)
    print("everything worked")


if __name__ == "__main__":
    main()
