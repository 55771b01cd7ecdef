import itertools
import re
from pathlib import Path

import pytest

from shared.state import client
from shared.state.due import DUE
from tests.state.world import HOUR, MINUTE, SCOPE, START_IN, sha1

LUA = Path(client.__file__).parent / "lua"
SCRIPTS = ("take", "open", "admit", "begin", "finish", "settle", "put", "claim", "load")


def text(name):
    return (LUA / f"{name}.lua").read_text()


def calls(name, function, argument=r"'(\w+)'"):
    return set(re.findall(rf"\b{function}\({argument}", text(name)))


def put_by():
    """Which kinds each script puts; those of the shared part belong to whoever calls it."""
    found = {name: calls(name, "due_put") for name in SCRIPTS}
    for name in SCRIPTS:
        if re.search(r"\b(tell|close|close_if_quiet)\(", text(name)):
            found[name] |= calls("lib", "due_put")
    return found


def ended_by():
    found = {name: calls(name, "due_del") for name in SCRIPTS}
    for name in SCRIPTS:
        if re.search(r"\baccount\(", text(name)):
            found[name].add("alert")
        if re.search(r"\bend_hold\(", text(name)):
            found[name].add("hold")
    return found


# How an entry of each kind comes about; its ref.
def alert(world):
    world.take("l")
    return "l"


def incident(world):
    name = world.opened("fp")
    world.admit(name, namespace="kube-system")
    world.deliver(name)
    return name


def stage(world):
    return world.opened("fp")


def hold(world):
    name = world.opened("fp")
    world.admit(name, autonomy="approve")
    world.deliver(name)
    return name


def retry(world):
    name = world.opened("fp")
    world.admit(name, taken_at=0)
    return name


def start(world):
    return world.granted(world.opened("fp"))


def attempt(world):
    return world.begun(world.opened("fp"))


def step(world):
    grant = world.begun(world.opened("fp"))
    world.finish(grant, "progressing", next_step=1, delay=MINUTE)
    return grant


def soak(world):
    return world.soaking(world.opened("fp"))


def revert(world):
    grant = world.soaking(world.opened("fp"))
    world.verdict(grant, worse=True)
    world.deliver(world.attempt(grant)["incident"])
    return grant


def tell(world):
    name = world.opened("fp")
    world.admit(name, namespace="kube-system")
    return next(iter(world.due("tell")))


def redrive(world):
    world.put(redrive={"ref": "r", "event": "e", "delay": 0, "incident": "inc-1"})
    return "r"


MAKE = {
    function.__name__: function
    for function in (alert, incident, stage, hold, retry, start, attempt, step, soak, revert, tell, redrive)
}


def published(world, kind, ref, most=8):
    """Minutes after its time at which the entry was handed out, until it moves or `most` times; the last entries."""
    (due,) = [ms for name, ms in world.due(kind).items() if name == ref]
    world.advance(due)
    began, times, entries = world.now, [], []
    while len(times) < most:
        mine = [entry for entry in world.claim() if entry["kind"] == kind and entry["ref"] == ref]
        if mine:
            times.append((world.now - began) // MINUTE)
            entries.append(mine[0])
        if ref not in world.due(kind):
            break
        world.advance(world.due(kind)[ref])
    return times, entries


class TestTheTable:
    def test_has_every_kind_that_a_script_puts_and_no_other(self):
        assert set().union(*put_by().values()) == set(DUE)

    @pytest.mark.parametrize("kind", DUE)
    def test_names_who_puts_it(self, kind):
        assert {name for name, kinds in put_by().items() if kind in kinds} == set(DUE[kind].put_by)

    @pytest.mark.parametrize("kind", DUE)
    def test_names_only_who_can_end_it(self, kind):
        found = ended_by()
        words = {"closing": "close(" in text("open"), "delivery": "req.delivered" in text("put")}
        for name in DUE[kind].ended_by:
            assert words.get(name) or kind in found[name], f"{name} does not end {kind}"

    def test_is_played_whole_by_these_tests(self):
        assert set(MAKE) == set(DUE)


class TestEachKind:
    @pytest.mark.parametrize("kind", DUE)
    def test_is_published_as_often_as_the_table_says(self, world, kind):
        times, entries = published(world, kind, MAKE[kind](world))
        if DUE[kind].stuck_after:
            assert times == [0, 1, 3, 7][: DUE[kind].stuck_after]
        else:
            assert len(times) == 8
        assert [entry["pubs"] for entry in entries] == list(range(1, len(times) + 1))

    @pytest.mark.parametrize("kind", DUE)
    def test_has_one_token_however_often_it_is_published(self, world, kind):
        ref = MAKE[kind](world)
        token = world.entry(kind, ref)["token"]
        _, entries = published(world, kind, ref)
        assert {entry["token"] for entry in entries} == {token}

    @pytest.mark.parametrize("kind", [kind for kind in DUE if DUE[kind].stuck_after])
    def test_that_nothing_moves_becomes_a_persons(self, world, kind):
        ref = MAKE[kind](world)
        name = world.entry(kind, ref).get("incident") or f"alert-{ref}"
        published(world, kind, ref)
        at = {"stage": "triage", "alert": "intake"}.get(kind, kind)
        undo = f"; akeso undo {ref}" if kind == "revert" else ""
        assert f"stuck at {at}{undo}" in world.told(name)
        assert world.counter("stuck") == world.counter(f"stuck_total|at={at}") == 1

    def test_that_is_told_backs_off_to_half_an_hour_and_is_never_given_up(self, world):
        times, _ = published(world, "tell", tell(world), most=12)
        gaps = [after - before for before, after in itertools.pairwise(times)]
        assert gaps == [1, 2, 4, 8, 16, 30, 30, 30, 30, 30, 30]
        assert world.counter("stuck") == 0

    def test_that_is_an_incident_comes_every_hour_with_another_hour(self, world):
        ref = incident(world)
        times, entries = published(world, "incident", ref, most=3)
        assert times == [0, 60, 120]
        assert len({entry["hour"] for entry in entries}) == 3

    def test_that_is_an_alert_carries_its_draft(self, world):
        _, entries = published(world, "alert", alert(world))
        assert [entry["event"] for entry in entries] == ["draft of l", "draft of l"]
        assert "draft" not in str(world.redis.hgetall("{akeso}:due:entries"))

    def test_put_anew_has_another_token(self, world):
        name = retry(world)
        first = world.entry("retry", name)["token"]
        world.request(name)
        world.admit(name, taken_at=0)
        assert world.entry("retry", name)["token"] != first


class TestAStuckIncident:
    """What nothing carries on any more keeps nothing from closing, or from being looked at again."""

    @pytest.mark.parametrize("kind", ["stage", "hold", "start", "attempt", "step", "soak", "revert", "retry"])
    def test_is_looked_at_again(self, world, kind):
        ref = MAKE[kind](world)
        name = world.entry(kind, ref)["incident"]
        published(world, kind, ref)
        assert world.request(name, look=True)["result"] == "triage"

    @pytest.mark.parametrize("kind", ["attempt", "step", "soak", "revert"])
    def test_that_is_quiet_closes(self, world, kind):
        ref = MAKE[kind](world)
        name = world.entry(kind, ref)["incident"]
        assert world.resolve("fp")["result"] == "quiet"
        published(world, kind, ref)
        assert world.incident(name)["state"] == "closed"
        assert list(world.due()) == [key for key in world.due() if key.startswith("tell ")]

    def test_of_a_person_closes(self, world):
        name = world.person_runs()["incident"]
        published(world, "stage", name)
        assert world.incident(name)["closed_how"] == "stuck"

    def test_gives_back_what_was_never_begun(self, world):
        ref = start(world)
        published(world, "start", ref)
        assert world.redis.zcard(world.key("rate")) == 0
        assert world.begin(ref) == {"go": False, "check": "ended"}

    def test_leaves_the_lease_of_what_has_begun(self, world):
        ref = attempt(world)
        published(world, "attempt", ref)
        assert world.redis.hget(world.key("scope", sha1(SCOPE)), "lease") == ref

    def test_is_free_of_an_undo_that_was_begun_and_never_ended(self, world):
        grant = soak(world)
        name = world.attempt(grant)["incident"]
        undo = world.undo(grant, name)["grant"]
        world.begin(undo)
        assert world.resolve("fp")["result"] == "quiet"
        published(world, "attempt", undo)
        assert world.incident(name)["state"] == "closed"

    def test_keeps_what_another_attempt_carries(self, world):
        first = attempt(world)
        name = world.attempt(first)["incident"]
        world.redis.hset(world.key("incident", name), "attempt", "grant-other")
        published(world, "attempt", first)
        assert world.incident(name)["attempt"] == "grant-other"


class TestABatch:
    def test_is_what_is_due_and_no_more(self, world):
        world.take("a")
        assert world.claim() == []
        world.advance(2 * MINUTE - 1)
        assert world.claim() == []
        world.advance(1)
        assert [entry["ref"] for entry in world.claim()] == ["a"]
        assert world.claim() == []

    def test_has_its_bound_and_says_that_there_is_more(self, world):
        world.take("a", "b", "c")
        world.advance(2 * MINUTE)
        entries, more = world.state.claim(world.cause("sweeper"), limit=2)
        assert (len(entries), more) == (2, True)
        entries, more = world.state.claim(world.cause("sweeper"), limit=2)
        assert (len(entries), more) == (1, False)

    def test_of_stuck_entries_alone_still_says_that_there_is_more(self, world):
        world.take("a", "b", "c")
        for minutes in (2, 1):
            world.advance(minutes * MINUTE)
            assert len(world.claim()) == 3
        world.advance(2 * MINUTE)
        entries, more = world.state.claim(world.cause("sweeper"), limit=2)
        assert (entries, more) == ([], True)

    def test_drops_a_time_without_an_entry(self, world):
        world.redis.zadd("{akeso}:due", {"retry|acme|prod|ghost": 0})
        assert world.claim() == []
        assert world.due() == {}

    def test_serves_every_tenant_and_cluster(self, world):
        other = world.cause("intake")._replace(tenant="umbrella", cluster="hive")
        world.state.take(other, alerts=[{"ledger": "x", "watchdog": False, "event": "theirs"}], taken=[], lease=1)
        world.take("a")
        world.advance(2 * MINUTE)
        assert {(entry["tenant"], entry["event"]) for entry in world.claim()} == {
            ("umbrella", "theirs"), ("acme", "draft of a"),
        }  # fmt: skip


def test_deadlines_that_overlap_come_in_their_order(world):
    name = world.opened("fp")
    grant = world.granted(name)
    world.advance(START_IN)
    assert [entry["kind"] for entry in world.claim()] == ["start"]
    world.finish(grant, "unused", run="")
    world.advance(HOUR - START_IN)
    assert sorted({entry["kind"] for entry in world.claim()}) == ["incident", "tell"]
