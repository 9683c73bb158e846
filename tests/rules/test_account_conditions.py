"""The account condition comes from `TenantRepository`; who writes one by hand says why here. `scripts/counts`
limits how many there are."""

from collections import Counter

from scripts._lib.dev.account_conditions import account_conditions, conditions_of

# How many conditions a file has, and why.
BY_HAND = {
    "db/filters.py": (3, "a filter compares the rows of a contact with the contact, by the whole key"),
    "db/tenancy.py": (1, "here every repository gets it"),
}


def test_conditions_by_hand_have_a_reason() -> None:
    counts = Counter(place.path for place in account_conditions())
    assert counts == {path: count for path, (count, _) in BY_HAND.items()}, account_conditions()


def test_every_form_of_a_condition_is_found() -> None:
    source = """
query.where(Tag.account_id == self.account_id)
query.where(self.account_id == Tag.account_id, Tag.id == tag_id)
query.where(Tag.account_id.in_(ids))
query.filter_by(account_id=ids)
repository.get_many(Tag.id == account_id, account_id=self.account_id)
Tag(account_id=self.account_id)
"""
    assert conditions_of(source) == [2, 3, 4, 5]
