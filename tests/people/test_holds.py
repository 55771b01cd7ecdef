"""What waits for a yes, as people see it, and every answer that it does not take any more, with the reason why."""

import json

import pytest

from shared import clock
from shared.channels import console
from shared.channels.deliver import tell
from shared.model.hold import Hold

WHY = {"reason": "looks right"}
RISK = {"score": 55, "parts": {"action": 20, "kind": 10, "hour": 25, "history": 0}}
PRICE = {"touches": {"unit": "pod", "count": 2, "population": 3}, "pods": 2, "downtime_s": 30, "undo": True}


def amend(world, incident, **fields):
    """Write into the hold's record what a later guard keeps there."""
    texts = {name: value if isinstance(value, str) else json.dumps(value) for name, value in fields.items()}
    flat = [part for pair in texts.items() for part in pair]
    world.here.state.store.read("HSET", f"{{akeso}}:default:default:hold:{incident}", *flat)


@pytest.fixture
def held(world):
    world.autonomy("approve")
    return world.heal()


def waiting(world):
    return world.ok("GET", "v1/holds")["holds"]


def refused(world, name, word="approve", **more):
    status, said = world.ask("POST", f"v1/holds/{name}/{word}", {**WHY, **more})
    return status, said["text"]


class TestWhatWaits:
    def test_is_shown_with_plan_risk_price_and_who_may(self, world, held):
        amend(world, held, risk=RISK, price=PRICE, needs="2", given=["bo"], author="cy")
        (one,) = waiting(world)
        assert (one["incident"], one["action"], one["scope"]) == (held, "scale_deployment", "Deployment/shop/checkout")
        assert one["plan"]["diff"] == ["  Deployment/shop/checkout /spec/replicas", "- 1", "+ 3"]
        assert one["risk"]["parts"] == RISK["parts"]
        assert one["risk"]["text"] == "55 of 100 (action 20, kind 10, hour 25)"
        assert one["price"]["text"] == "disturbs 2 of 3 pods, about 30 s of downtime, can be taken back"
        assert (one["needs"], one["given"], one["missing"], one["author"]) == (2, ["bo"], 1, "cy")
        assert one["may_approve"] == (
            "whoever has the verb approve on remediations.akeso.dev for scale_deployment in namespace shop "
            "(kubectl auth can-i --list -n shop --as NAME)"
        )
        assert 0 < one["left_s"] <= 3600
        assert clock.parse_ms(one["deadline"]) > clock.now_ms()

    def test_is_nothing_once_it_is_answered(self, world, held):
        world.ok("POST", f"v1/holds/{held}/approve", WHY)
        assert waiting(world) == []

    def test_is_not_what_is_no_hold(self, world):
        world.heal()
        assert waiting(world) == []

    @pytest.mark.parametrize("text", ["", "{", "[]", "7", '"x"', '{"score": "high"}', "[" * 5000, '{"writes": 3}'])
    @pytest.mark.parametrize("field", ["risk", "price", "plan", "params", "given", "needs", "deadline"])
    def test_with_a_part_that_cannot_be_read_is_shown_without_it(self, world, held, field, text):
        amend(world, held, **{field: text})
        (one,) = waiting(world)
        assert (one["incident"], one["needs"] >= 1) == (held, True)

    def test_is_bounded(self, world):
        store = world.here.state.store
        for number in range(250):
            store.read("HSET", f"{{akeso}}:default:default:hold:inc-{number}", "id", f"hold-{number:016x}")
        said = world.ok("GET", "v1/holds")
        assert len(said["holds"]) == 200
        assert said["more"] is True


class TestAnAnswer:
    def test_may_name_the_hold_itself(self, world, held):
        (one,) = waiting(world)
        said = world.ok("POST", f"v1/holds/{one['hold']}/approve", WHY)
        assert (said["incident"], said["hold"]) == (held, one["hold"])
        world.drive(world.sink.events[0])
        assert world.replicas() == 3

    def test_that_comes_twice_is_told_who_was_first(self, world, held):
        hold = waiting(world)[0]["hold"]
        world.ok("POST", f"v1/holds/{held}/approve", WHY, token=world.person("bo"))
        status, said = refused(world, held)
        assert status == 409
        assert said.startswith(f"{hold} waits no longer: bo said yes to it at 20")

    def test_after_a_no_is_told_whose(self, world, held):
        world.ok("POST", f"v1/holds/{held}/deny", WHY, token=world.person("bo"))
        status, said = refused(world, held)
        assert (status, "bo said no to it at 20" in said) == (409, True)

    def test_that_comes_late_is_told_so(self, world, held):
        amend(world, held, deadline=str(clock.now_ms() - 1))
        status, said = refused(world, held)
        assert status == 409
        assert "has expired: it could be answered until 20" in said
        assert world.replicas() == 1

    def test_that_comes_after_it_ended_is_told_so(self, world, held):
        hold = waiting(world)[0]["hold"]
        world.here.state.settle(world.cause("sweeper"), "expired", incident=held, hold=hold)
        status, said = refused(world, held)
        assert status == 409
        assert said.startswith(f"{hold} waits no longer: nobody answered it in time")

    def test_to_one_that_was_replaced_names_the_new_one(self, world, held):
        old = waiting(world)[0]["hold"]
        amend(world, held, id="hold-00000000000000aa")
        status, said = refused(world, held, hold=old)
        assert status == 409
        assert said.startswith(f"{old} was replaced by hold-00000000000000aa")

    def test_to_one_that_is_nowhere(self, world):
        assert refused(world, "hold-00000000000000aa")[0] == 404

    def test_by_the_wrong_person_names_what_is_missing(self, world, held):
        status, said = world.ask("POST", f"v1/holds/{held}/approve", WHY, token=world.person("eve", "get"))
        assert (status, said["error"]) == (403, "not-allowed")
        assert said["text"] == (
            "eve may not approve for scale_deployment: no role gives `approve` on remediations.akeso.dev in namespace "
            "shop"
        )
        assert waiting(world) != []


class TestATicket:
    """What a person reads who is called for a yes."""

    @pytest.fixture
    def told(self, world, held, monkeypatch, capsys):
        monkeypatch.setattr("shared.channels.deliver.channel", lambda here: console.make(here.settings, here.secrets))
        amend(world, held, risk=RISK, price=PRICE, needs="2", given=["bo"])

        def told():
            tell(world.here, world.cause("escalate"), held, ["held: x"], "")
            return capsys.readouterr().out

        return told

    def test_says_what_is_to_be_decided_and_by_whom(self, told, held):
        text = told()
        for part in (
            "waits    scale_deployment at Deployment/shop/checkout waits for a yes until 20",
            "/spec/replicas", "- 1", "+ 3", "risk: 55 of 100 (action 20", "price: disturbs 2 of 3 pods",
            "needs 2 people, 1 more", "yes from bo", "may answer: whoever has the verb approve",
            f"try      akeso approve {held} --reason ...",
        ):  # fmt: skip
            assert part in text

    def test_says_nothing_of_it_any_more_once_it_is_answered(self, world, told, held):
        amend(world, held, answered="approve")
        assert "waits" not in told()


class TestARecord:
    def test_of_nothing_is_no_hold(self):
        assert Hold.of({}) is None

    @pytest.mark.parametrize(("given", "missing"), [([], 2), (["a"], 1), (["a", "a"], 1), (["a", "b"], 0)])
    def test_counts_each_voice_once(self, given, missing):
        assert Hold.of({"id": "h", "needs": "2", "given": json.dumps(given)}).missing == missing


class TestAfterALoss:
    WHY = {"reason": "looks right"}  # noqa: RUF012

    def test_what_waited_is_said_to_be_lost_and_not_to_have_never_been(self, world):
        world.autonomy("approve")
        incident = world.heal()
        world.here.state.store.read("FLUSHALL")
        assert "the state is lost" in world.ok("GET", "v1/holds")["loss"]
        status, said = world.ask("POST", f"v1/holds/{incident}/approve", self.WHY)
        assert (status, "the state is lost" in said["text"]) == (404, True)

        world.sweep()
        assert "the state was lost until 20" in world.ok("GET", "v1/holds")["loss"]
        status, said = world.ask("POST", f"v1/holds/{incident}/approve", self.WHY)
        assert (status, "what waited before waits no longer" in said["text"]) == (404, True)

    def test_without_one_nothing_is_said_of_it(self, world):
        assert world.ok("GET", "v1/holds")["loss"] == ""
        assert "lost" not in world.ask("POST", "v1/holds/inc-never/approve", self.WHY)[1]["text"]
