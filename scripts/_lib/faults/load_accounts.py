"""The accounts of a run and their workflows, created through the API before anything breaks.

`create_accounts` is the entry point. `OfferedContact` is what the load generator remembers of each contact.
"""

from dataclasses import dataclass, field
from typing import Any

import httpx

from app.accounts.provisioning import create_account
from app.settings import Settings
from scripts._lib.faults.deployment import Deployment
from scripts._lib.faults.visit_names import FIELD_VALUE, GOAL_CITY, subject_of, webhook_url

PASSWORD = "a-password-for-one-run"  # noqa: S105 -- of members who live for one run
WELCOME_WAIT, REPORT_WAIT, EARLY_WAIT = 1, 2, 1  # seconds that a workflow waits before it sends
GOAL_WAIT = 10
TIMEOUT = 15.0
EMAIL_STEP = {"kind": "send_email", "on_doubt": "hold"}


@dataclass
class OfferedContact:
    """A contact that was offered to the API.

    `id` is empty unless the answer was 2xx, which acknowledges the contact. `bought` and `unsubscribed` are
    when that was acknowledged, else 0. `paused` is an enrollment and when its pause was acknowledged.
    """

    account: str
    email: str
    offered_at: float
    id: str = ""
    status: int = 0
    error: str = ""  # instead of a status, when there was no answer
    seconds: float = 0.0
    bought: float = 0.0
    unsubscribed: float = 0.0
    pause_requested: str = ""
    paused: tuple[str, float] | None = None
    later_statuses: list[int] = field(default_factory=list)


@dataclass
class LoadAccount:
    """One account with published workflows; its owner is signed in."""

    number: int
    id: str = ""
    token: str = ""
    offered: list[OfferedContact] = field(default_factory=list)
    journey: str = ""  # the path of its first workflow

    async def sign_in(self, client: httpx.AsyncClient) -> None:
        credentials = {"email": f"owner@a{self.number}.example", "password": PASSWORD}
        response = await client.post("/sessions", json=credentials)
        response.raise_for_status()
        self.token = response.json()["token"]

    async def call(self, client: httpx.AsyncClient, method: str, path: str, body: Any = None) -> Any:
        """Send a request that must succeed, before anything breaks. Raises RuntimeError."""
        response = await client.request(method, path, json=body, headers=self.headers())
        if response.status_code >= 400:
            raise RuntimeError(f"{method} {path} answered {response.status_code}: {response.text[:400]}")
        return response.json()

    def headers(self) -> dict[str, str]:
        return {"authorization": f"Bearer {self.token}", "accept": "application/json"}


def open_client(base: str) -> httpx.AsyncClient:
    """A client of the web server at this address."""
    return httpx.AsyncClient(
        base_url=base, timeout=TIMEOUT, headers={"accept": "application/json"}, trust_env=False
    )


async def create_accounts(deployment: Deployment, count: int) -> list[LoadAccount]:
    """Create accounts with their owners and two workflows each."""
    settings = Settings.from_env(deployment.env)
    accounts = []
    async with open_client(deployment.env["BASE_URL"]) as client:
        for number in range(count):
            owner = f"owner@a{number}.example"
            await create_account(settings, f"Account {number}", owner, "Olive", PASSWORD)
            account = LoadAccount(number)
            await account.sign_in(client)
            account_of_owner = (
                "select m.account_id from memberships m join users u on u.id = m.user_id where u.email = $1"
            )
            account.id = str(await deployment.value(account_of_owner, owner))
            await create_workflows(account, client, deployment.receiver.http_port)
            accounts.append(account)
    return accounts


async def create_workflows(account: LoadAccount, client: httpx.AsyncClient, port: int) -> None:
    """Create `journey` with every kind of step, and `follower`, which is triggered by what `journey` does."""
    entered = f"entered-{account.number}"
    california = {"type": "predicate", "field": "state", "op": "is", "value": "CA"}
    bought = {"type": "predicate", "field": "city", "op": "is", "value": GOAL_CITY}
    goal = {"kind": "goal", "name": "Bought", "filter": bought}
    webhook = {"kind": "webhook", "body": '{"contact": "{{ contact.id }}"}', "on_doubt": "resend"}
    account.journey = await create_workflow(
        account, client, "journey", {"kind": "contact_created"},
        [
            {"kind": "add_tag", "tag": entered},
            {"kind": "wait", "amount": WELCOME_WAIT, "unit": "seconds"},
            {"kind": "branch", "branches": [{"name": "California", "filter": california}]},
            welcome_email(1),
            {"kind": "wait", "amount": REPORT_WAIT, "unit": "seconds"},
            webhook | {"url": webhook_url(port, account.id, "report")},
            goal | {"on_unmet": "wait", "amount": GOAL_WAIT, "unit": "seconds"},
        ],
        lane_step={"kind": "update_field", "field": "company", "operation": "set", "value": FIELD_VALUE},
    )  # fmt: skip
    await create_workflow(
        account, client, "follower", {"kind": "tag_added", "tag": entered, "sources": ["workflow"]},
        [
            webhook | {"url": webhook_url(port, account.id, "early")},
            {"kind": "wait", "amount": EARLY_WAIT, "unit": "seconds"},
            EMAIL_STEP | {"subject": "note", "body": "Still there?"},
        ],
    )  # fmt: skip


async def create_workflow(
    account: LoadAccount,
    client: httpx.AsyncClient,
    name: str,
    trigger: Any,
    steps: list[Any],
    lane_step: Any = None,
) -> str:
    """Create and publish a workflow by JSON; return its path. `lane_step` goes into a branch's first lane."""
    created = await account.call(client, "POST", "/workflows", {"name": name})
    path = f"/workflows/{created['workflow']['id']}"

    async def post(suffix: str, body: dict[str, Any]) -> None:
        revision = (await account.call(client, "GET", path))["workflow"]["rev"]
        await account.call(client, "POST", path + suffix, body | {"rev": int(revision)})

    await post("/triggers", {"kind": trigger["kind"], "config": trigger})
    for config in steps:
        await post("/steps", {"kind": config["kind"], "list": "main", "config": config})
        if config["kind"] == "branch" and lane_step is not None:
            page = await account.call(client, "GET", path)
            first_lane = next(lane["list_id"] for step in page["steps"] for lane in step["lanes"])
            await post("/steps", {"kind": lane_step["kind"], "list": first_lane, "config": lane_step})
    plan = await account.call(client, "GET", f"{path}/publication")
    if plan["problems"]:
        raise RuntimeError(f"the draft cannot be published: {plan['problems']}")
    await post("/publication", {})
    return path


async def draft_second_version(account: LoadAccount, client: httpx.AsyncClient) -> Any:
    """Change the subject of the email in the draft of `journey`; return the body that publishes the draft."""
    page = await account.call(client, "GET", account.journey)
    key = next(step["key"] for step in page["steps"] if step["kind"] == "send_email")
    body = {"config": welcome_email(2), "rev": page["workflow"]["rev"]}
    await account.call(client, "POST", f"{account.journey}/steps/{key}", body)
    return {"rev": int((await account.call(client, "GET", account.journey))["workflow"]["rev"])}


def welcome_email(version: int) -> dict[str, str]:
    """The email step of `journey`."""
    return EMAIL_STEP | {"subject": subject_of("welcome", version), "body": "Hi {{ contact.first_name }}."}
