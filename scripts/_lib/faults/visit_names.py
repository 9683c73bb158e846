"""How a delivery names its visit: which contact of which account, and which step. The visit is written into
what is sent, so that the judge need not believe the key."""

import re

ADDRESS = re.compile(r"c(\d+)@a(\d+)\.example")
HOLD = ("welcome", "note")  # the letters: they say "hold when in doubt"
GOAL_CITY = "Goal"  # who lives there has bought
FIELD_VALUE = "West"  # what the branch writes into the company of people in California


def address(account: int, number: int) -> str:
    """The email address of a contact of the load."""
    return f"c{number}@a{account}.example"


def visit(email: str, step: str) -> str:
    return f"{email}/{step}"


def visit_of_letter(to: str, subject: str) -> str:
    """From the address and the subject, see `subject_of`."""
    return visit(to.strip("<> "), step_of_subject(subject))


def subject_of(step: str, version: int) -> str:
    """What a letter of that version says: the step's name, and from the second version on its number."""
    return step if version == 1 else f"{step} {version}"


def step_of_subject(subject: str) -> str:
    return subject.strip().partition(" ")[0]


def hook(port: int, account: str, step: str) -> str:
    """The template of a webhook's address."""
    return f"http://127.0.0.1:{port}/{account}/{step}/{{{{ contact.email }}}}"


def visit_of_path(path: str) -> tuple[str, str]:
    """Account and visit of a webhook, from its path."""
    _, account, step, email = path.split("/", 3)
    return account, visit(email.replace("%40", "@"), step)
