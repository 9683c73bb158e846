"""Merge tags: parsing, rendering, escaping and limits."""

import json
import time
from typing import Any
from urllib.parse import unquote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.engine.core.merge_tags import (
    LONGEST_RENDERED,
    Output,
    TemplateError,
    TextTooLong,
    compile_template,
    fields_in_template,
    tag_names,
    template_problem,
)
from app.json_types import JsonObject
from tests.support.engine_kit import CONTACT, FIELDS, NOW, SCORE, contact_facts

NAME = '{{ contact.first_name | default: "there" }}'


def render(source: str, output: Output = Output.TEXT, **values: Any) -> str:
    return compile_template(source, FIELDS, output).render(contact_facts(**values))


@pytest.mark.parametrize("tag", ["{{ unsubscribe_url }}", '{{unsubscribe_url | default: "x"}}'])
def test_the_unsubscribe_link_waits_for_the_sending(tag: str) -> None:
    template = compile_template(f"{{{{ contact.first_name }}}}: {tag}", FIELDS, Output.EMAIL)
    assert template.render(contact_facts(first_name="Ann")) == "Ann: {{ unsubscribe_url }}"
    assert ("unsubscribe_url", "Unsubscribe link") in tag_names(FIELDS, Output.EMAIL)
    assert fields_in_template(f"{tag} {{{{ contact.city }}}}", FIELDS, Output.EMAIL) == {"city"}


@pytest.mark.parametrize("output", [output for output in Output if output is not Output.EMAIL])
def test_the_unsubscribe_link_is_allowed_only_in_email_bodies(output: Output) -> None:
    assert "only be used in the body of an email" in str(
        template_problem("{{ unsubscribe_url }}", FIELDS, output)
    )


def test_values_and_defaults() -> None:
    assert render(f"Hi {NAME}!", first_name="Ann") == "Hi Ann!"
    assert render(f"Hi {NAME}!") == "Hi there!"
    assert render("{{contact.city|default:'a \"b\"'}}") == 'a "b"'
    assert render("{{ contact.score }}/{{ contact.member }}", score=5.0, member=False) == "5/no"
    assert render(f"{{{{ contact.custom.{SCORE} }}}}", score=2.5) == "2.5"
    assert render("{{ contact.created_at }}", created_at=NOW) == "2026-11-24 10:30"
    assert render("{{ contact.id }} {{ account.name }}").endswith("012c Acme")
    assert render("{{ contact.met }}", met="2026-11-24T23:30:00Z") == "2026-11-25 00:30"
    assert render("{{ contact.budget }}/{{ contact.likes }}", budget=5, likes=["tea"]) == "5.00 EUR/tea"
    assert render('{{ contact.guide | default: "us" }}', guide=str(CONTACT)) == "us"
    assert render("{{ contact.story }} {{ contact.tale }}", story="Once") == "Once Once"
    assert render("no tags } } {") == "no tags } } {"
    assert render("") == ""


@pytest.mark.parametrize(
    ("source", "says"),
    [
        ("{{ contact.first_nam }}", "Did you mean “contact.first_name”?"),
        ("{{ first_name }}", "Did you mean “contact.first_name”?"),
        ("{{ contact.tags }}", "There is no field"),
        ("{{ contact.first_name", "isn't closed"),
        ("{{ {{ contact.city }} }}", "isn't closed"),
        ("{{ }}", "isn't a valid merge tag"),
        ("{{ contact.city | upper }}", "Only a default can follow"),
        ("{{ contact.city | default: there }}", "Only a default can follow"),
        ('{{ contact.city | default: "a" | default: "b" }}', "Only a default can follow"),
        ("{{ contact.__class__ }}", "There is no field"),
        ("{{ 'a' * 500000000 }}", "isn't a valid merge tag"),
        ("{{ contact.city.format(1) }}", "isn't a valid merge tag"),
        ("x" * 50_001, "longer than"),
        ("{{contact.city}}" * 201, "more than 200"),
    ],
)
def test_invalid_templates_are_refused(source: str, says: str) -> None:
    assert says in (template_problem(source, FIELDS) or "")
    with pytest.raises(TemplateError):
        compile_template(source, FIELDS)


def test_used_fields() -> None:
    assert fields_in_template("{{ contact.score }} {{ contact.city }} {{ account.name }}", FIELDS) == {
        f"custom.{SCORE}",
        "city",
    }
    assert fields_in_template("{{ nonsense", FIELDS) == frozenset()
    assert ("contact.first_name", "First name") in tag_names(FIELDS)
    assert all(template_problem(f"{{{{ {name} }}}}", FIELDS) is None for name, _ in tag_names(FIELDS))


@given(st.text(st.characters(exclude_categories=["Cs"])))
def test_values_are_escaped_for_their_output(value: str) -> None:
    body = render('{"a": "{{ contact.motto }}"}', Output.JSON, motto=value)
    assert json.loads(body) == {"a": value}
    subject = render("Re: {{ contact.motto }}", Output.SUBJECT, motto=value)
    assert len(subject.splitlines()) == 1
    assert "\r" not in subject
    assert "\n" not in subject
    url = render("https://x.test/?q={{ contact.motto }}", Output.URL, motto=value)
    assert unquote(url.removeprefix("https://x.test/?q=")) == value
    assert not set(url) & set(" \r\n<>\"'")
    html = render("<p>{{ contact.motto }}</p>", Output.HTML, motto=value)
    assert not set(html[3:-4]) & set("<>\"'")


def test_a_value_is_never_read_as_a_template() -> None:
    assert (
        render("{{ contact.motto }}", motto="{{ contact.email }}", email="a@x.test") == "{{ contact.email }}"
    )


@pytest.mark.parametrize(
    "source", ["{{" * 25_000, "{" * 50_000, "{{ " + "a" * 49_000 + " }}", "{{|" * 16_000]
)
def test_hostile_templates_cost_nothing(source: str) -> None:
    started = time.perf_counter()
    template_problem(source, FIELDS)
    assert time.perf_counter() - started < 0.25


CARRIED: dict[str, JsonObject] = {
    "event": {"body": {"order": {"id": 7, "lines": [{"sku": "a-1"}]}}, "note": None, "sure": True},
    "response": {"crm": {"id": "x<9>"}},
}


@pytest.mark.parametrize(
    ("source", "text"),
    [
        ("{{ event.body.order.id }}", "7"),
        ("{{ event.body.order.lines.0.sku }}", "a-1"),
        ("{{ event.body.order.lines.1.sku | default: '-' }}", "-"),
        ("{{ event.body.order.lines }}", '[{"sku":"a-1"}]'),
        ("{{ event.note | default: 'none' }}", "none"),
        ("{{ event.nothing.at.all | default: 'none' }}", "none"),
        ("{{ event.sure }}", "yes"),
        ("{{ response.crm.id }}", "x<9>"),
    ],
)
def test_values_of_the_enrollment(source: str, text: str) -> None:
    facts = contact_facts()
    facts.data = CARRIED
    assert compile_template(source, FIELDS).render(facts) == text


def test_response_tags_need_a_step_that_saves_them() -> None:
    assert template_problem("{{ response.crm.id }}", FIELDS, saved={"crm"}) is None
    assert "Did you mean “response.crm”" in (
        template_problem("{{ response.crn.id }}", FIELDS, saved={"crm"}) or ""
    )
    assert "Save response as" in (template_problem("{{ response.x }}", FIELDS, saved=set()) or "")
    assert "Write {{ event.order_id" in (template_problem("{{ event }}", FIELDS) or "")
    assert "Write {{ response." in (template_problem("{{ response. }}", FIELDS) or "")


def test_the_owner_is_shown_by_name() -> None:
    template = compile_template("{{ contact.owner | default: 'nobody' }}", FIELDS)
    facts = contact_facts()
    assert template.render(facts) == "nobody"
    facts.values["owner"], facts.users = str(CONTACT), {str(CONTACT): "Ada"}
    assert template.render(facts) == "Ada"


class CountingValues(dict[str, str]):
    """Counts its reads."""

    reads = 0

    def get(self, key: str, default: Any = None) -> Any:
        self.reads += 1
        return super().get(key, default)


@pytest.mark.parametrize("output", list(Output))
def test_rendering_stops_at_the_length_limit(output: Output) -> None:
    """What would come after that is not even read."""
    facts, counting = contact_facts(), CountingValues(big="x" * 100_000)
    facts.data = {"event": counting}
    template = compile_template("{{ event.big }}" * 200, FIELDS, output, name="header X-Big")
    with pytest.raises(TextTooLong, match=r"^The header X-Big is longer than 600,000 characters .* Shorten"):
        template.render(facts)
    assert counting.reads == 7


def test_the_length_limit_counts_the_escaped_text() -> None:
    facts = contact_facts()
    facts.data = {"event": {"quotes": '"' * (LONGEST_RENDERED // 2)}}
    assert len(compile_template("{{ event.quotes }}", FIELDS, Output.JSON).render(facts)) == LONGEST_RENDERED
    for source in ("{{ event.quotes }}.", ".{{ event.quotes }}"):
        compile_template(source, FIELDS, Output.TEXT).render(facts)
        with pytest.raises(TextTooLong):
            compile_template(source, FIELDS, Output.JSON).render(facts)
