"""Which tables belong to one account, and which have policies of their own."""

from db.models import Base

# Tables that belong to no single account, with the reason.
SHARED = {
    "users": "a person may belong to several accounts",
    "password_resets": "of a person",
    "workers": "processes; says nothing of any account",
    "turn_counts": "counters of the installation; says nothing of any account",
    "engine_state": "one row about the whole installation",
    "alembic_version": "Alembic's own",
}

# Row security by another rule than "of the current account", with the reason.
OWN_RULES = {
    "accounts": "its id is the account",
    "users": "themselves, and who shares the current account",
    "memberships": "of the account, and of the person (the switcher)",
    "sessions": "of the person; the account's owner sees them",
    "access_tokens": "looked up before a tenant is known, by a definer function",
    "password_resets": "of the person, by a definer function",
}

TENANT = sorted(set(Base.metadata.tables) - set(SHARED) - {"accounts"})
