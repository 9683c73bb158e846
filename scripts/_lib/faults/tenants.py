"""Several accounts with workflows, made through the API before things break."""

from dataclasses import dataclass, field
from typing import Any

import httpx

from app.accounts.provisioning import create_account
from app.settings import Settings
from scripts._lib.faults.deployment import Site
from scripts._lib.faults.visit_names import FIELD_VALUE, GOAL_CITY, hook, subject_of

PASSWORD = "a-password-for-one-run"  # noqa: S105 -- of people who live for one run
WELCOME_WAIT, REPORT_WAIT, EARLY_WAIT = 1, 2, 1  # seconds that a workflow waits before it sends
GOAL_WAIT = 10
TIMEOUT = 15.0
LETTER = {"kind": "send_email", "on_doubt": "hold"}


@dataclass
class Sent:
    """A contact that was offered to the API. `id` is empty unless the answer was 2xx: acknowledged. `bought`
    and `unsubscribed` are when that was acknowledged, 0 unless it was; `paused` is an enrollment and when."""

    account: str
    email: str
    begun: float
    id: str = ""
    status: int = 0
    error: str = ""  # instead of a status, when there was no answer at all
    seconds: float = 0.0
    bought: float = 0.0
    unsubscribed: float = 0.0
    asked_to_pause: str = ""
    paused: tuple[str, float] | None = None
    later: list[int] = field(default_factory=list)  # the statuses of what came after


@dataclass
class Tenant:
    """One account: signed in by script, with its workflows published."""

    number: int
    base: str
    id: str = ""
    token: str = ""
    sent: list[Sent] = field(default_factory=list)
    journey: str = ""  # where its first workflow is

    async def sign_in(self, client: httpx.AsyncClient) -> None:
        who = {"email": f"owner@a{self.number}.example", "password": PASSWORD}
        answer = await client.post("/sessions", json=who)
        answer.raise_for_status()
        self.token = answer.json()["token"]

    async def call(self, client: httpx.AsyncClient, method: str, path: str, body: Any = None) -> Any:
        """A request that has to succeed: for making the workflows, before anything breaks."""
        answer = await client.request(method, path, json=body, headers=self.headers())
        if answer.status_code >= 400:
            raise RuntimeError(f"{method} {path} answered {answer.status_code}: {answer.text[:400]}")
        return answer.json()

    def headers(self) -> dict[str, str]:
        return {"authorization": f"Bearer {self.token}", "accept": "application/json"}


def client_of(base: str) -> httpx.AsyncClient:
    return httpx.AsyncClient(
        base_url=base, timeout=TIMEOUT, headers={"accept": "application/json"}, trust_env=False
    )


async def make_tenants(site: Site, count: int) -> list[Tenant]:
    """Accounts, their owners, and two workflows each."""
    settings = Settings.from_env(site.env)
    tenants = []
    async with client_of(site.env["BASE_URL"]) as client:
        for number in range(count):
            owner = f"owner@a{number}.example"
            await create_account(settings, f"Account {number}", owner, "Olive", PASSWORD)
            tenant = Tenant(number, site.env["BASE_URL"])
            await tenant.sign_in(client)
            where = (
                "select m.account_id from memberships m join users u on u.id = m.user_id where u.email = $1"
            )
            tenant.id = str(await site.value(where, owner))
            await make_workflows(tenant, client, site.sink.http_port)
            tenants.append(tenant)
    return tenants


async def make_workflows(tenant: Tenant, client: httpx.AsyncClient, port: int) -> None:
    """`journey` with every kind of step, and `follower`, which listens to what `journey` does."""
    entered = f"entered-{tenant.number}"
    california = {"type": "predicate", "field": "state", "op": "is", "value": "CA"}
    bought = {"type": "predicate", "field": "city", "op": "is", "value": GOAL_CITY}
    goal = {"kind": "goal", "name": "Bought", "filter": bought}
    calm = {"kind": "webhook", "body": '{"contact": "{{ contact.id }}"}', "on_doubt": "resend"}
    tenant.journey = await workflow(
        tenant, client, "journey", {"kind": "contact_created"},
        [
            {"kind": "add_tag", "tag": entered},
            {"kind": "wait", "amount": WELCOME_WAIT, "unit": "seconds"},
            {"kind": "branch", "branches": [{"name": "California", "filter": california}]},
            welcome(1),
            {"kind": "wait", "amount": REPORT_WAIT, "unit": "seconds"},
            calm | {"url": hook(port, tenant.id, "report")},
            goal | {"on_unmet": "wait", "amount": GOAL_WAIT, "unit": "seconds"},
        ],
        lane={"kind": "update_field", "field": "company", "operation": "set", "value": FIELD_VALUE},
    )  # fmt: skip
    await workflow(
        tenant, client, "follower", {"kind": "tag_added", "tag": entered, "sources": ["workflow"]},
        [
            calm | {"url": hook(port, tenant.id, "early")},
            {"kind": "wait", "amount": EARLY_WAIT, "unit": "seconds"},
            LETTER | {"subject": "note", "body": "Still there?"},
        ],
    )  # fmt: skip


async def workflow(
    tenant: Tenant, client: httpx.AsyncClient, name: str, trigger: Any, steps: list[Any], lane: Any = None
) -> str:
    """Made by JSON as a person's script makes it, and published; `lane` goes into a branch's first lane.
    Returns its path."""
    made = await tenant.call(client, "POST", "/workflows", {"name": name})
    place = f"/workflows/{made['workflow']['id']}"

    async def rev() -> int:
        return int((await tenant.call(client, "GET", place))["workflow"]["rev"])

    body = {"kind": trigger["kind"], "config": trigger}
    await tenant.call(client, "POST", f"{place}/triggers", body | {"rev": await rev()})
    for config in steps:
        body = {"kind": config["kind"], "list": "main", "config": config, "rev": await rev()}
        page = await tenant.call(client, "POST", f"{place}/steps", body)
        if config["kind"] == "branch" and lane is not None:
            page = await tenant.call(client, "GET", place)
            where = next(one["list_id"] for step in page["steps"] for one in step["lanes"])
            body = {"kind": lane["kind"], "list": where, "config": lane, "rev": await rev()}
            await tenant.call(client, "POST", f"{place}/steps", body)
    plan = await tenant.call(client, "GET", f"{place}/publication")
    if plan["problems"]:
        raise RuntimeError(f"the draft cannot be published: {plan['problems']}")
    publish = next(one["href"] for one in plan["actions"] if one["name"] == "publish")
    await tenant.call(client, "POST", publish, {"rev": await rev()})
    return place


async def draft_second(tenant: Tenant, client: httpx.AsyncClient) -> Any:
    """Another subject in the draft of `journey`, which nobody gets before it is published. Returns what to
    publish it with."""
    page = await tenant.call(client, "GET", tenant.journey)
    key = next(one["key"] for one in page["steps"] if one["kind"] == "send_email")
    body = {"config": welcome(2), "rev": page["workflow"]["rev"]}
    await tenant.call(client, "POST", f"{tenant.journey}/steps/{key}", body)
    return {"rev": int((await tenant.call(client, "GET", tenant.journey))["workflow"]["rev"])}


def welcome(version: int) -> dict[str, str]:
    """The letter of `journey`."""
    return LETTER | {"subject": subject_of("welcome", version), "body": "Hi {{ contact.first_name }}."}
