"""A fault breaks its process at one point, once; an unknown point or kind is refused."""

import json

import msgspec
import pytest

from app import fault_hook
from app.fault_hook import Moment, hit
from app.filters.facts import Facts
from tests.faults.injector import POINTS, Fault, InjectedError, Kind, injected


def test_a_fault_goes_off_once_at_the_requested_hit() -> None:
    with injected(Fault("job.batch", Kind.RAISE, nth=2)) as fault:
        hit(Moment.EFFECT_CALLED)
        hit(Moment.JOB_BATCH)
        assert fault.hits == 1
        with pytest.raises(InjectedError):
            hit(Moment.JOB_BATCH)
        assert fault.has_fired
        hit(Moment.JOB_BATCH)
    assert fault_hook.on_point is None


def test_a_fault_of_a_contact_spares_the_others() -> None:
    with injected(Fault("advance.contact", Kind.RAISE, contact="ann@acme.example")):
        hit(Moment.ADVANCE_CONTACT, None)
        hit(Moment.ADVANCE_CONTACT, Facts({"email": "bea@acme.example"}))
        with pytest.raises(InjectedError):
            hit(Moment.ADVANCE_CONTACT, Facts({"email": "ann@acme.example"}))


@pytest.mark.parametrize(
    "fields",
    [
        {"point": "match.before"},
        {"point": "nowhere", "kind": "kill"},
        {"point": "match.before", "kind": "explode"},
        {"point": "match.before", "kind": "kill", "nth": "often"},
    ],
)
def test_invalid_faults_are_refused(fields: dict[str, str]) -> None:
    with pytest.raises(msgspec.ValidationError):
        msgspec.json.decode(json.dumps(fields), type=Fault)


def test_names_of_points_are_unique() -> None:
    assert len(set(POINTS)) == len(POINTS) >= 24
