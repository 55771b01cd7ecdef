import json

import pytest

from shared import clock
from shared.errors import MalformedError
from shared.event import codec
from shared.event.make import LIFE_MS, Emit, first
from shared.event.publish import event_of, undo_event
from shared.event.sign import sign
from shared.event.types import TYPES, AlertData, full
from shared.model.facts import ObjectRef
from shared.model.plan import Plan, Write
from shared.model.wish import Wish
from shared.state.due import DUE
from tests.event.parts import KEY

PLAN = Plan(writes=(Write(verb="patch", target=ObjectRef(kind="Deployment", name="w", uid="u"), path="/a", after=1),))
ALERT = first(
    "intake",
    Emit("alert.firing", AlertData.model_validate(
        {"ledger": "l", "alert": {"status": "firing", "fingerprint": "f", "starts_at": 1, "ends_at": -1}}
    )),
    id="ledger-1", tenant="default", cluster="dev",
)  # fmt: skip
STEP = {"attempt": "g-1", "action": "act", "grant": "token", "plan": PLAN.model_dump_json(), "params": '{"a": 1}'}
ENTRIES = {
    "alert": {"event": codec.dump(ALERT)},
    "incident": {"incident": "inc-1", "hour": 5},
    "stage": {"incident": "inc-1", "stage": "router"},
    "hold": {"incident": "inc-1", "hold": "hold-1"},
    "retry": {"incident": "inc-1"},
    "start": {"incident": "inc-1", "attempt": "g-1"},
    "attempt": {"incident": "inc-1", "step": 0, **STEP},
    "step": {"incident": "inc-1", "step": 2, **STEP},
    "soak": {"incident": "inc-1", "attempt": "g-1", "action": "act"},
    "revert": {"incident": "inc-1"},
    "tell": {"incident": "inc-1", "reason": "a reason"},
    "redrive": {"event": codec.dump(sign(ALERT, KEY).with_extensions(redrive="1", sig=""))},
}
ATTEMPT = {
    "scope": "Deployment/shop/web", "family": "replicas", "action": "act", "params": '{"a": 1}',
    "inverse": PLAN.model_dump_json(), "cooldown": "300000",
}  # fmt: skip
BY_ITS_OWN_WAY = {"revert", "redrive"}  # the first needs its attempt, the second is an event of any type


def entry(kind, **changes):
    common = {"kind": kind, "ref": "ref-1", "tenant": "default", "cluster": "dev", "token": 7, "pubs": 1, "at": 0}
    return common | ENTRIES[kind] | changes


def published(kind, **changes):
    return event_of(entry(kind, **changes))


def read(event):
    """The event's data by its type's schema; an event that its subscriber would refuse fails here."""
    again = codec.decode(*codec.encode(sign(event, KEY)))
    return TYPES[again.type].schema.model_validate(again.data)


class TestEachKind:
    def test_is_tried_here(self):
        assert ENTRIES.keys() == DUE.keys()

    @pytest.mark.parametrize("kind", sorted(DUE.keys() - BY_ITS_OWN_WAY))
    def test_publishes_a_sound_event_of_the_type_that_the_table_names(self, kind):
        event = published(kind)
        assert event.type == full(DUE[kind].publishes)
        assert TYPES[event.type].subscriber
        read(event)

    @pytest.mark.parametrize("kind", sorted(DUE.keys() - {"revert"}))
    def test_publishes_the_same_event_however_often(self, kind):
        assert published(kind, pubs=1, at=1).id == published(kind, pubs=9, at=2).id
        assert published(kind).data == published(kind).data

    @pytest.mark.parametrize("kind", sorted(DUE.keys() - {"revert", "redrive", "alert"}))
    def test_has_another_id_for_another_entry(self, kind):
        ids = {published(kind, **change).id for change in ({}, {"ref": "ref-2"}, {"token": 8})}
        assert len(ids) == 3

    def test_ids_of_kinds_differ(self):
        kinds = DUE.keys() - {"revert", "redrive", "alert"}
        assert len({published(kind).id for kind in kinds}) == len(kinds)

    @pytest.mark.parametrize("kind", sorted(DUE.keys() - {"revert", "redrive", "alert"}))
    def test_says_whose_it_is(self, kind):
        event = published(kind)
        assert (event.get("tenant"), event.get("cluster"), event.get("incidentid")) == ("default", "dev", "inc-1")
        assert event.source == "/akeso/due"

    @pytest.mark.parametrize("kind", sorted(DUE.keys() - {"revert", "redrive"}))
    def test_lives_from_now_on(self, kind):
        assert clock.parse_ms(published(kind).get("expirytime")) > clock.now_ms() + LIFE_MS - 10_000


class TestAlert:
    def test_is_intakes_own_event(self):
        event = published("alert")
        assert (event.id, event.source, event.data) == (ALERT.id, ALERT.source, ALERT.data)


class TestRedrive:
    def test_is_the_stored_event_and_nothing_else(self):
        assert published("redrive") == ALERT.with_extensions(redrive="1")


class TestIncident:
    def test_is_another_event_each_hour(self):
        assert published("incident", hour=6).id != published("incident").id


class TestSteps:
    @pytest.mark.parametrize("kind", ["attempt", "step"])
    def test_name_their_action_for_the_route_and_carry_the_grant(self, kind):
        event = published(kind)
        assert event.get("action") == "act"
        data = read(event)
        assert (data.grant, data.plan, data.params) == ("token", PLAN, {"a": 1})
        assert data.step == ENTRIES[kind]["step"]


class TestTell:
    def test_a_long_reason_is_cut_to_its_bound(self):
        assert len(read(published("tell", reason="x" * 2000)).reason) == 512

    def test_stages_say_where_it_is_stuck(self):
        assert read(published("stage")).reason == "stuck at router"
        assert read(published("start")).reason == "stuck at begin"


class TestRetry:
    def test_asks_for_a_fresh_try(self):
        assert read(published("retry")).wish == Wish(reason="retry")

    def test_of_a_yes_names_hold_approver_and_hash(self):
        yes = {"hold": "h", "action": "act", "params": '{"a": 1}', "approvers": ["ann"], "approved_hash": "f" * 64}
        assert read(published("retry", **yes)).wish == Wish(
            reason="approve", action="act", params={"a": 1}, hold="h", approvers=("ann",), approved_hash="f" * 64
        )

    def test_of_what_was_refused_for_now_keeps_the_wish(self):
        wish = Wish(reason="run", action="act", author="ann")
        assert read(published("retry", wish=wish.model_dump_json())).wish == wish

    def test_of_a_run_is_what_the_person_sent_under_its_own_id(self):
        body = {"target": {"kind": "Deployment", "namespace": "n", "name": "w"}, "wish": {"reason": "run"}}
        event = published("retry", run="1", body=json.dumps(body), incident="")
        assert event.id == "ref-1"
        assert read(event).target.name == "w"


class TestRevert:
    def test_takes_back_by_the_stored_inverse(self):
        event = undo_event(entry("revert"), ATTEMPT)
        data = read(event)
        assert event.type == full(DUE["revert"].publishes)
        assert (data.mode, data.of, data.plan, data.scope.key) == ("undo", "ref-1", PLAN, ATTEMPT["scope"])
        assert undo_event(entry("revert", pubs=9), ATTEMPT).id == event.id
        assert undo_event(entry("revert", token=8), ATTEMPT).id != event.id

    @pytest.mark.parametrize("attempt", [{}, ATTEMPT | {"inverse": ""}, ATTEMPT | {"params": "{"}])
    def test_of_an_attempt_that_redis_lost_costs_no_neighbour(self, attempt):
        with pytest.raises(MalformedError) as caught:
            undo_event(entry("revert"), attempt)
        assert caught.value.reason == "due-entry"


class TestUnreadable:
    @pytest.mark.parametrize(
        "broken",
        [
            {"kind": "invented"}, entry("alert", event="{"), entry("step", plan="{}x"), entry("step", step="x"),
            entry("step", params=None), entry("retry", body="[]"), entry("tell", reason=None), entry("revert"),
            {name: value for name, value in entry("soak").items() if name != "attempt"},
            {name: value for name, value in entry("soak").items() if name != "tenant"},
        ],
    )  # fmt: skip
    def test_entries_are_malformed_and_cost_no_neighbour(self, broken):
        with pytest.raises(MalformedError):
            event_of(broken)
