import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared import clock
from shared.event import codec
from shared.event.make import LIFE_MS, Emit, first, reply
from shared.event.types import EscalationData
from tests.event.parts import an_event

TOLD = Emit("escalation.requested", EscalationData(incident="inc-1", reason="r"), incident="inc-1")
CARRIED = ("correlationid", "severity", "tenant", "cluster", "traceparent", "expirytime", "incidentid")


def an_emit(**changes):
    return Emit(**{"type": TOLD.type, "data": TOLD.data, "incident": "inc-1"} | changes)


def a_first(emit=TOLD, **changes):
    return first("sweeper", emit, **{"id": "x", "tenant": "t", "cluster": "c"} | changes)


class TestReply:
    def test_to_the_same_event_is_the_same(self):
        assert reply("triage", an_event(), TOLD) == reply("triage", an_event(), TOLD)

    def test_has_another_id_for_each_function_event_and_outcome(self):
        other = Emit("incident.closed", TOLD.data)
        ids = {
            reply("triage", an_event(), TOLD).id, reply("router", an_event(), TOLD).id,
            reply("triage", an_event(), other).id, reply("triage", an_event(id="id-2"), TOLD).id,
            reply("triage", an_event(source="/akeso/other"), TOLD).id,
        }  # fmt: skip
        assert len(ids) == 5

    def test_is_one_hop_further(self):
        assert reply("triage", an_event(), TOLD).hop == an_event().hop + 1
        assert reply("triage", an_event().with_extensions(hop=""), TOLD).hop == 1

    def test_carries_the_context(self):
        made, consumed = reply("triage", an_event(), TOLD), an_event()
        assert {name: made.get(name) for name in CARRIED} == {name: consumed.get(name) for name in CARRIED}
        assert made.get("causationid") == consumed.id
        assert made.source == "/akeso/triage"
        assert made.time == consumed.time

    def test_never_carries_what_was_the_others_own(self):
        made = reply("triage", an_event().with_extensions(sig="s", redrive="1", knativebrokerttl="9"), TOLD)
        for name in ("sig", "redrive", "knativebrokerttl", "action"):
            assert made.get(name) == ""

    def test_names_its_own_incident_action_and_severity(self):
        made = reply("triage", an_event(), an_emit(incident="inc-2", action="do", severity="low"))
        assert (made.get("incidentid"), made.get("partitionkey"), made.subject) == ("inc-2", "inc-2", "inc-2")
        assert (made.get("action"), made.get("severity")) == ("do", "low")

    def test_without_an_incident_keeps_the_others(self):
        made = reply("triage", an_event(), an_emit(incident=""))
        assert (made.get("incidentid"), made.get("partitionkey")) == ("inc-1", "inc-1")

    def test_begins_a_correlation_where_there_is_none(self):
        made = reply("triage", an_event().with_extensions(correlationid=""), TOLD)
        assert made.get("correlationid") == an_event().id

    def test_of_a_type_that_does_not_exist_is_an_error(self):
        with pytest.raises(KeyError):
            reply("triage", an_event(), an_emit(type="incident.invented"))


class TestFirst:
    def test_lives_a_while_from_now(self):
        before = clock.now_ms()
        made = a_first()
        ends = clock.parse_ms(made.get("expirytime"))
        assert before - 1000 + LIFE_MS <= ends <= clock.now_ms() + LIFE_MS
        assert made.hop == 0

    def test_is_named_by_its_caller(self):
        assert a_first(id="the-id").id == "the-id"

    def test_correlates_by_what_is_given_else_incident_else_id(self):
        assert a_first(correlation="c-1").get("correlationid") == "c-1"
        assert a_first().get("correlationid") == "inc-1"
        assert a_first(an_emit(incident="")).get("correlationid") == "x"


class TestHostileText:
    @given(st.text(), st.text(), st.text(), st.text())
    def test_never_reaches_a_header_as_it_is(self, incident, action, severity, correlation):
        emit = an_emit(incident=incident, action=action, severity=severity)
        for made in (reply("triage", an_event(), emit), a_first(emit, correlation=correlation)):
            headers, body = codec.encode(made)
            assert all(value.isascii() and value.isprintable() for value in headers.values())
            assert codec.decode(headers, body) == made
