"""How a delivery names its visit: which contact of which account, and which step.

The visit is written into what is sent, so the judge doesn't have to trust the idempotency key.
"""

import re

ADDRESS = re.compile(r"c(\d+)@a(\d+)\.example")
HOLDING_STEPS = ("welcome", "note")  # the steps that send email: they say "hold when in doubt"
GOAL_CITY = "Goal"  # a contact who lives there has bought
FIELD_VALUE = "West"  # what the branch writes into the company of contacts in California


def contact_email(account: int, number: int) -> str:
    """The email address of a contact."""
    return f"c{number}@a{account}.example"


def visit_name(email: str, step: str) -> str:
    return f"{email}/{step}"


def visit_of_email(to: str, subject: str) -> str:
    """The visit that an email's recipient and subject name, see `subject_of`."""
    return visit_name(to.strip("<> "), step_of_subject(subject))


def subject_of(step: str, version: int) -> str:
    """The subject of an email: the step's name, followed by the version from the second on."""
    return step if version == 1 else f"{step} {version}"


def step_of_subject(subject: str) -> str:
    return subject.strip().partition(" ")[0]


def webhook_url(port: int, account: str, step: str) -> str:
    """The template of a webhook's address."""
    return f"http://127.0.0.1:{port}/{account}/{step}/{{{{ contact.email }}}}"


def visit_of_path(path: str) -> tuple[str, str]:
    """The account and the visit that the path of a webhook names."""
    _, account, step, email = path.split("/", 3)
    return account, visit_name(email.replace("%40", "@"), step)
