import json
from pathlib import Path
from types import SimpleNamespace

import pytest

from shared.audit.chain import FIRST, Seal, link, verify_links, verify_seals
from shared.audit.sealing import seal_new
from shared.errors import UnavailableError
from shared.guard import keys
from shared.secrets import Secrets
from shared.settings import Settings
from shared.state.client import PREFIX
from tests.state.world import COOLDOWN, HOUR, MINUTE


def long_story(world):
    """Much of what can happen to one incident; the world's own checks follow."""
    world.heartbeat()
    incident = world.opened("one")
    world.fire("two")
    world.put("triage", answer="a", incident=incident, stage="router")
    hold = world.admit(incident, autonomy="approve")["hold"]
    world.answer("approve", incident, hold)
    world.request(incident, hold=hold)
    grant = world.granted(incident, autonomy="approve", approvers=["ann"], approved_hash="hash-1", until_in=HOUR)
    world.begin(grant)
    world.finish(grant, "progressing", next_step=1, delay=0, inverse="{}", inverse_hash="h", before="B")
    world.begin(grant, step=1, run="two")
    world.finish(grant, step=1, run="two", before="B", after="Ä € \n \x01")
    world.advance(MINUTE)
    world.verdict(grant, healthy=False)
    world.advance(COOLDOWN)
    world.request(incident)
    second = world.granted(incident)
    world.begin(second)
    world.finish(second, inverse="{}", inverse_hash="h")
    world.verdict(second, worse=True)
    undo = world.undo(second, incident)["grant"]
    world.begin(undo)
    world.finish(undo)
    world.deliver(incident)
    world.advance(COOLDOWN)
    world.request(incident)
    world.admit(incident, namespace="kube-system")
    world.resolve("one", truncated=1)
    world.resolve("one")
    world.resolve("two")
    world.fire("one", starts=world.now + 1)
    for _ in range(4):
        world.advance(HOUR)
        world.claim()
    return incident


class TestALine:
    def test_follows_from_the_one_before(self, world):
        incident = long_story(world)
        before = FIRST
        for line in world.chains()[incident]:
            found, _, record = line.partition(" ")
            assert found == link(before, record)
            before = found
        assert world.redis.hget(world.key("audit", incident, "head"), "link") == before

    def test_has_a_number_a_time_a_function_an_event_and_a_policy(self, world):
        incident = long_story(world)
        lines = world.audit(incident)
        assert [line["seq"] for line in lines] == list(range(1, len(lines) + 1))
        assert [line["at"] for line in lines] == sorted(line["at"] for line in lines)
        assert all(line["what"] and line["fn"] and line["event"] and line["policy"] for line in lines)

    def test_is_written_for_every_move_of_an_incident(self, world):
        words = set(world.words(long_story(world)))
        assert words >= {
            "opened", "joined", "held", "approve", "approved", "begun", "progressing", "succeeded", "ineffective",
            "harmful", "denied", "told", "kept", "resolved", "closed", "reopened", "stuck",
        }  # fmt: skip

    def test_that_was_changed_or_taken_out_is_found(self, world):
        incident = long_story(world)
        lines = world.chains()[incident]
        assert verify_links(lines).ok
        middle = len(lines) // 2
        assert verify_links(lines[:middle] + lines[middle + 1 :]).index == middle
        assert "held" in lines[2]
        assert verify_links([*lines[:2], lines[2].replace("held", "hold", 1), *lines[3:]]).index == 2

    def test_is_of_one_incident_only(self, world):
        first, second = world.opened(), world.opened(family="other")
        assert [line["seq"] for line in world.audit(first)] == [1]
        assert [line["seq"] for line in world.audit(second)] == [1]


class TestTheSweepersSeal:
    @pytest.fixture
    def here(self, world, tmp_path):
        keys.write_dir(tmp_path / "keys")
        file = tmp_path / "audit.jsonl"
        return SimpleNamespace(
            state=world.state, secrets=Secrets(tmp_path / "keys"), settings=Settings(dev=True, audit_file=str(file))
        )

    def judged(self, world, here, incident):
        lines = world.chains()[incident]
        seals = [
            Seal.model_validate_json(text) for text in world.redis.lrange(world.key("audit", incident, "seals"), 0, -1)
        ]
        return verify_seals(lines, seals, here.secrets.required("audit.pub"), chain=f"acme|prod|{incident}")

    def test_vouches_for_every_line_and_each_once(self, world, here):
        incident = long_story(world)
        lines = len(world.chains()[incident])
        assert seal_new(here, world.cause("sweeper")) == 1
        assert seal_new(here, world.cause("sweeper")) == 0
        verdict = self.judged(world, here, incident)
        assert (verdict.ok, verdict.sealed) == (True, lines)

    def test_goes_on_where_the_last_one_ended(self, world, here):
        incident = world.opened("one")
        seal_new(here, world.cause("sweeper"))
        world.fire("two")
        assert seal_new(here, world.cause("sweeper")) == 1
        assert self.judged(world, here, incident).sealed == 2
        exported = Path(here.settings.audit_file).read_text().splitlines()
        assert [json.loads(line)["item"] for line in exported] == world.chains()[incident]

    def test_is_never_put_on_a_chain_that_does_not_hold(self, world, here):
        incident = world.opened("one")
        name = world.key("audit", incident)
        good = world.redis.lindex(name, 0)
        world.redis.lset(name, 0, good.replace("warning", "nothing"))
        assert seal_new(here, world.cause("sweeper")) == 0
        assert world.counter("audit_alarms_total") == 1
        assert "audit alarm" in world.told(incident)[0]
        world.redis.lset(name, 0, good)

    def test_is_none_without_its_key(self, world, here, tmp_path):
        world.opened()
        (tmp_path / "keys" / "audit.key").unlink()
        with pytest.raises(UnavailableError):
            seal_new(here, world.cause("sweeper"))


class TestAfterALongStory:
    def test_only_what_must_outlives_it(self, world):
        long_story(world)
        forever = {name for name in world.redis.scan_iter() if world.redis.ttl(name) == -1}
        assert {name.removeprefix(f"{PREFIX}:").split(":")[-2:][0] for name in forever} >= {"epoch", "counters"}
        assert world.immortal() == []

    def test_every_alert_is_accounted_for(self, world):
        long_story(world)
        received, accounted = world.counter("alerts_received"), world.counter("alerts_accounted")
        assert received == accounted
        assert sum(world.counters("alerts_accounted_total").values()) == accounted
