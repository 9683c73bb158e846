"""Which passwords are accepted, and what is said about the others."""

import asyncio
import threading

import pytest

from app.credentials import password_problem

EMAIL, NAME = "ana.longname@x.example", "Ana Longname"
OWN, COMMON, EASY = "your name or email", "common password", "too easy to guess"


@pytest.mark.parametrize(
    "password",
    [
        "correct horse battery",
        "ünïcödé is fine too",
        "a long enough phrase",
        "mein hund heißt rex",
        "пароль из трёх слов",
        "Xk29vq8LmPz3",
        "hbsezttzoymq",
        "correct horse battery staple, " * 8,
    ],
)
async def test_a_password_that_is_hard_to_guess_is_accepted(password: str) -> None:
    assert await password_problem(password, EMAIL, NAME) == ""


@pytest.mark.parametrize(
    ("password", "reason"),
    [
        ("a" * 300, "at most 256"),
        ("elevenchars", "at least 12"),
        ("aaaaaaaaaaaaaaa", EASY),
        ("123456789012", COMMON),
        ("abcdefghijkl", EASY),
        ("password12345", COMMON),
        ("Password!!!2024", COMMON),
        ("passwordpassword", EASY),
        ("administrator" * 4, EASY),
        ("qwertyqwerty12", EASY),
        ("p@55w0rd1234", COMMON),
        ("drowssap1234", COMMON),
        # These were accepted before zxcvbn: each is among the 30,000 most common passwords, or close to it.
        ("1q2w3e4r5t6y", COMMON),
        ("qwertyuiop123", COMMON),
        ("qazwsxedcrfv", COMMON),
        ("iloveyou2you", COMMON),
        ("mypassword123", COMMON),
        ("letmeinplease", COMMON),
        ("summer2024summer", COMMON),
        ("11/22/1987 1987", EASY),
        # Words of other languages and of this program.
        ("motdepasse123", COMMON),
        ("Passwort!2024", COMMON),
        ("switchyard-demo", COMMON),
        (EMAIL, OWN),
        ("ana.longname1", OWN),
        ("Longname2024!", OWN),
    ],
)
async def test_a_password_that_is_easy_to_guess_is_refused(password: str, reason: str) -> None:
    assert reason in await password_problem(password, EMAIL, NAME)


async def test_the_slowest_password_leaves_the_loop_free() -> None:
    """Symbols that may stand for letters are what takes zxcvbn long; it runs in one thread of its own."""
    check = asyncio.create_task(password_problem("4@8({[<3691!|1705$57+%2" * 11, EMAIL, NAME))
    turns = 0
    async with asyncio.timeout(5):
        while not check.done():
            await asyncio.sleep(0.001)
            turns += 1
    assert turns > 1
    assert {thread.name for thread in threading.enumerate() if thread.name.startswith("password")} == {
        "password_0"
    }
