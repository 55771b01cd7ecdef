import pytest

from tests.state.world import COOLDOWN, FAMILY, HOUR, MINUTE, SCOPE, SECOND, SOAK, sha1

UNDO = {"inverse": '{"writes":["back"]}', "inverse_hash": "hash-back"}


@pytest.fixture
def incident(world):
    return world.opened("fp")


def scope(world):
    """Lease and cooldown of the scope; what it remembers beyond them is of no concern here."""
    names = ("lease", "lease_until", "cooldown_until")
    found = world.redis.hmget(world.key("scope", sha1(SCOPE)), names)
    return {name: int(held) if held.isdigit() else held for name, held in zip(names, found, strict=True) if held}


def spent(world):
    return (
        world.redis.zcard(world.key("rate")),
        world.redis.zcard(world.key("attempts", sha1(f"{SCOPE}|{FAMILY}"))),
    )


class TestSucceeded:
    def test_soaks_under_its_lease_and_cools_down(self, world, incident):
        grant = world.begun(incident)
        world.advance(MINUTE)
        said = world.finish(grant, before="B", after="A", text="done", resolved_by="write", **UNDO)
        assert said == {
            "outcome": "succeeded", "cursor": 0, "incident": incident, "action": "scale_deployment",
            "undo": f"akeso undo {grant}", "text": "done", "resolved_by": "write",
        }  # fmt: skip
        assert world.due() == {f"soak {grant}": SOAK, f"incident {incident}": HOUR - MINUTE}
        assert scope(world) == {
            "lease": grant, "lease_until": world.now + SOAK + HOUR, "cooldown_until": world.now + COOLDOWN
        }  # fmt: skip
        assert world.incident(incident)["soak"] == grant
        assert world.incident(incident)["attempt"] == ""
        assert world.attempt(grant)["inverse"] == UNDO["inverse"]
        assert (world.attempt(grant)["before"], world.attempt(grant)["after"]) == ("B", "A")
        assert world.counter("writes") == 1
        assert spent(world) == (1, 1)

    def test_for_a_time_is_taken_back_then(self, world, incident):
        grant = world.begun(incident, until_in=30 * MINUTE)
        world.finish(grant, **UNDO)
        assert world.due("revert") == {grant: 30 * MINUTE}

    def test_for_a_time_without_an_inverse_is_not(self, world, incident):
        world.finish(world.begun(incident, until_in=30 * MINUTE))
        assert world.due("revert") == {}

    def test_that_people_must_end_is_told_then_and_not_with_what_is_told_before(self, world, incident):
        grant = world.begun(incident)
        world.finish(grant, remind="it is still there", remind_in=2 * HOUR, **UNDO)
        (ref,) = world.due("tell")
        word = world.entry("tell", ref)
        assert (word["reason"], world.due("tell")) == (f"it is still there; akeso undo {grant}", {ref: 2 * HOUR})

        other = {"incident": incident, "reason": "something else", "lease": MINUTE}
        assert world.put(cause=world.cause("escalate"), telling=other)["reasons"] == ["something else"]
        world.put(told={"incident": incident, "reasons": ["something else"], "ticket": "T-1", "state": "open"})
        world.advance(2 * HOUR)
        now = {"incident": incident, "reason": word["reason"], "lease": MINUTE}

        assert world.put(cause=world.cause("escalate"), telling=now)["reasons"] == [word["reason"]]

    def test_that_people_must_end_is_not_told_once_it_was_undone(self, world, incident):
        grant = world.begun(incident)
        world.finish(grant, remind="it is still there", remind_in=2 * HOUR, **UNDO)
        undo = world.undo(grant, incident)["grant"]
        world.begin(undo)
        world.finish(undo)

        assert not any("still there" in reason for reason in world.told(incident))

    def test_is_judged_even_if_the_alert_resolved_meanwhile(self, world, incident):
        grant = world.begun(incident)
        world.resolve("fp")
        world.finish(grant)
        assert world.incident(incident)["state"] == "quiet"
        assert world.due("soak") == {grant: SOAK}

    def test_too_late_leaves_the_lease_to_who_has_it_now(self, world, incident):
        grant = world.begun(incident)
        world.redis.hset(world.key("scope", sha1(SCOPE)), mapping={"lease": "next", "lease_until": world.now + HOUR})
        world.finish(grant)
        assert scope(world)["lease"] == "next"

    def test_by_what_only_tells_is_told_and_neither_soaks_nor_cools(self, world, incident):
        grant = world.begun(incident, kind="none", action="notify_only")
        world.finish(grant, text="look at the disk")
        assert world.told(incident) == ["look at the disk"]
        assert world.due("soak") == {}
        assert world.budget() == {}
        assert world.incident(incident)["state"] == "open"
        assert world.incident(incident)["attempt"] == ""


class TestFailed:
    def test_cools_down_and_comes_back(self, world, incident):
        grant = world.begun(incident)
        world.finish(grant, "failed", text="refused by the API")
        assert scope(world) == {"cooldown_until": world.now + COOLDOWN}
        assert world.due() == {f"retry {incident}": COOLDOWN, f"incident {incident}": HOUR}
        assert spent(world) == (1, 1)
        assert world.told(incident) == []

    def test_half_way_tells_how_it_is_taken_back(self, world, incident):
        grant = world.begun(incident)
        world.finish(grant, "progressing", next_step=1, delay=0, **UNDO)
        world.begin(grant, step=1)
        world.finish(grant, "failed", step=1, text="no")
        assert world.told(incident) == [f"failed half-way: no; akeso undo {grant}"]
        assert world.due("retry") == {incident: COOLDOWN}

    def test_for_the_last_time_is_a_persons(self, world):
        world.policy(attempts_per_day=1)
        incident = world.opened()
        world.finish(world.begun(incident), "failed")
        assert world.due("retry") == {}
        assert world.told(incident) == ["attempts used up: 1 in 24 hours"]

    def test_by_a_person_is_told_and_ends_the_run(self, world):
        incident = world.person_runs()["incident"]
        world.finish(world.begun(incident, manual=True, approvers=["ann"]), "failed", text="no")
        assert world.told(incident) == ["failed: scale_deployment, no"]
        assert world.due("retry") == {}
        assert world.incident(incident)["state"] == "closed"

    def test_closes_a_quiet_incident(self, world, incident):
        grant = world.begun(incident)
        world.resolve("fp")
        world.finish(grant, "failed")
        assert world.incident(incident)["state"] == "closed"
        assert world.due() == {}


class TestSkipped:
    def test_gives_all_back_and_comes_back_soon(self, world, incident):
        grant = world.granted(incident)
        world.finish(grant, "skipped", text="changed")
        assert spent(world) == (0, 0)
        assert scope(world) == {}
        assert world.due() == {f"retry {incident}": MINUTE, f"incident {incident}": HOUR}

    def test_after_it_had_begun_keeps_what_it_cost(self, world, incident):
        world.finish(world.begun(incident), "skipped")
        assert spent(world) == (1, 1)

    def test_again_and_again_becomes_a_persons(self, world, incident):
        for _ in range(2):
            world.finish(world.granted(incident), "skipped", text="the dry run was refused")
            assert world.due("retry") == {incident: MINUTE}
            world.request(incident)
        world.finish(world.granted(incident), "skipped", text="the dry run was refused")
        assert world.due("retry") == {}
        assert world.told(incident) == ["skipped 3 times: scale_deployment, the dry run was refused"]

    def test_is_counted_in_a_row_only(self, world, incident):
        for outcome in ("skipped", "skipped", "failed", "skipped", "skipped"):
            grant = world.begun(incident) if outcome == "failed" else world.granted(incident)
            world.finish(grant, outcome)
            world.advance(COOLDOWN)
            world.request(incident)
        assert world.told(incident) == []

    def test_closes_a_quiet_incident(self, world, incident):
        grant = world.begun(incident)
        world.resolve("fp")
        world.finish(grant, "skipped")
        assert world.incident(incident)["state"] == "closed"


class TestUnused:
    def test_gives_all_back_and_is_told(self, world, incident):
        grant = world.granted(incident)
        said = world.finish(grant, "unused", text="nobody began it in time", run="")
        assert said["outcome"] == "unused"
        assert spent(world) == (0, 0)
        assert scope(world) == {}
        assert world.due("start") == {}
        assert world.told(incident) == ["not begun: scale_deployment, nobody began it in time"]
        assert world.due("retry") == {}

    def test_is_not_said_of_what_has_begun(self, world, incident):
        grant = world.begun(incident)
        before = world.dump()
        assert world.finish(grant, "unused", run="") == {"outcome": "begun"}
        assert world.dump() == before

    def test_is_all_that_can_come_of_what_was_withdrawn(self, world, incident):
        grant = world.granted(incident)
        world.resolve("fp")
        assert world.finish(grant, "failed", text="late")["outcome"] == "unused"
        assert world.told(incident) == []

    def test_by_what_only_tells_is_still_told(self, world, incident):
        grant = world.granted(incident, kind="none", action="notify_only")
        world.finish(grant, "unused", run="")
        assert world.told(incident) == ["unused: notify_only, stuck at begin"]


class TestStoppedAndUnknown:
    def test_stopped_is_told_with_cursor_and_undo_and_not_retried(self, world, incident):
        grant = world.begun(incident)
        world.finish(grant, "progressing", next_step=1, delay=0, **UNDO)
        world.finish(grant, "stopped", step=1, text="stop is set", run="two")
        assert world.told(incident) == [f"stopped: scale_deployment at step 1, stop is set; akeso undo {grant}"]
        assert world.due("retry") == {}
        assert scope(world) == {"cooldown_until": world.now + COOLDOWN}

    def test_unknown_is_told_and_keeps_its_lease(self, world, incident):
        grant = world.begun(incident)
        world.finish(grant, "unknown", text="the object is gone")
        assert world.told(incident) == ["unknown: scale_deployment at step 0, the object is gone"]
        assert scope(world)["lease"] == grant
        assert scope(world)["cooldown_until"] == world.now + COOLDOWN
        assert [kind for kind in world.due() if kind.startswith(("retry", "soak"))] == []

    @pytest.mark.parametrize("outcome", ["stopped", "unknown"])
    def test_each_closes_a_quiet_incident(self, world, incident, outcome):
        grant = world.begun(incident)
        world.resolve("fp")
        world.finish(grant, outcome)
        assert world.incident(incident)["state"] == "closed"


class TestProgressing:
    def test_keeps_the_lease_and_puts_the_next_step(self, world, incident):
        grant = world.begun(incident)
        lease = scope(world)
        said = world.finish(grant, "progressing", next_step=1, delay=MINUTE, writes=1, **UNDO)
        assert (said["outcome"], said["cursor"], said["undo"]) == ("progressing", 1, f"akeso undo {grant}")
        assert world.due() == {f"step {grant}": MINUTE, f"incident {incident}": HOUR}
        entry = world.entry("step", grant)
        assert (entry["step"], entry["grant"], entry["plan"]) == (1, f"signed {grant}", '{"writes":[]}')
        assert scope(world) == lease
        assert world.counter("writes") == 1

    def test_keeps_the_facts_before_the_first_write(self, world, incident):
        grant = world.begun(incident)
        world.finish(grant, "progressing", next_step=1, delay=0, before="facts of step 0")
        world.begin(grant, step=1, run="two")
        world.finish(grant, step=1, run="two")
        assert world.attempt(grant)["before"] == "facts of step 0"

    def test_said_late_by_a_run_that_was_overtaken_moves_nothing(self, world, incident):
        grant = world.begun(incident)
        world.advance(30 * SECOND)
        world.begin(grant, run="two")
        world.finish(grant, "progressing", run="two", next_step=1, delay=0, writes=1)
        before = world.dump()
        assert world.finish(grant, "progressing", run="run-1", next_step=1, delay=0, writes=1) == {
            "outcome": "taken-over"
        }
        assert world.finish(grant, "failed", run="run-1", step=0) == {"outcome": "taken-over"}
        assert world.dump() == before


class TestAnotherRun:
    def test_that_holds_the_step_is_not_talked_over(self, world, incident):
        grant = world.begun(incident)
        world.advance(30 * SECOND)
        world.begin(grant, run="two")
        before = world.dump()
        assert world.finish(grant, "failed", run="run-1") == {"outcome": "taken-over"}
        assert world.dump() == before
        assert world.finish(grant, run="two")["outcome"] == "succeeded"

    def test_that_is_over_may_be_spoken_for_by_who_looked(self, world, incident):
        grant = world.begun(incident)
        world.advance(30 * SECOND)
        assert world.finish(grant, run="looker", resolved_by="mark")["resolved_by"] == "mark"


class TestTheFirstResult:
    @pytest.mark.parametrize("outcome", ["succeeded", "failed", "stopped", "unknown"])
    def test_stays_whatever_comes_later(self, world, incident, outcome):
        grant = world.begun(incident)
        first = world.finish(grant, outcome, text="first")
        before = world.dump()
        assert world.finish(grant, "failed", text="second", run="two") == first
        assert world.dump() == before


class TestAnAttemptThatRedisLost:
    def recovered(self, world, **more):
        fields = {
            "id": "grant-lost", "incident": "inc-lost", "scope": SCOPE, "action": "scale_deployment", "kind": "patch",
            "mode": "do", "of": "", "family": "", "epoch": "old", "cooldown": COOLDOWN, "soak": SOAK, "until_in": 0,
            "plan": "{}", "namespace": "shop", "start_by": world.now, "finish_by": world.now, "grant": "signed",
        }  # fmt: skip
        return {**fields, **more}

    def test_is_written_anew_from_its_grant(self, world):
        said = world.finish("grant-lost", recovered=self.recovered(world), resolved_by="mark", **UNDO)
        assert said["outcome"] == "succeeded"
        found = world.attempt("grant-lost")
        assert (found["state"], found["recovered"], found["inverse"]) == ("finished", "1", UNDO["inverse"])
        assert world.words("inc-lost") == ["recovered", "succeeded"]
        assert scope(world)["cooldown_until"] == world.now + COOLDOWN

    def test_is_never_begun(self, world):
        world.finish("grant-lost", "progressing", next_step=1, delay=0, recovered=self.recovered(world))
        assert world.begin("grant-lost", step=1) == {"go": False, "check": "epoch"}

    def test_without_its_grant_is_unknown(self, world):
        before = world.dump()
        assert world.finish("grant-lost") == {"outcome": "unknown", "lost": True}
        assert world.dump() == before


class TestAnUndo:
    @pytest.fixture
    def grant(self, world, incident):
        return world.soaking(incident)

    def test_that_succeeded_is_told_and_cools_down(self, world, incident, grant):
        world.advance(COOLDOWN)
        undo = world.undo(grant, incident)["grant"]
        world.begin(undo)
        world.finish(undo, **UNDO)
        assert scope(world) == {"cooldown_until": world.now + COOLDOWN}
        assert world.attempt(grant)["undone_by"] == undo
        assert world.told(incident) == [f"undo of {grant}: succeeded"]
        assert world.incident(incident)["undo"] == ""
        assert world.incident(incident)["attempt"] == ""
        assert world.due("soak") == world.due("revert") == {}
        assert "inverse" not in world.attempt(undo)

    def test_of_what_is_forgotten_leaves_no_trace_of_it(self, world, incident, grant):
        undo = world.undo(grant, incident)["grant"]
        world.begin(undo)
        world.redis.delete(world.key("attempt", grant))
        world.finish(undo)
        assert world.attempt(grant) == {}

    @pytest.mark.parametrize("outcome", ["failed", "unknown", "stopped"])
    def test_that_did_not_work_is_told_with_its_command(self, world, incident, grant, outcome):
        undo = world.undo(grant, incident)["grant"]
        world.begin(undo)
        world.finish(undo, outcome, text="no")
        assert world.told(incident) == [f"undo of {grant}: {outcome} (no); akeso undo {grant}"]
        assert "undone_by" not in world.attempt(grant)
        assert world.incident(incident)["undo"] == ""

    def test_that_nobody_began_does_not_cool_down(self, world, incident, grant):
        cooldown = scope(world)["cooldown_until"]
        world.advance(MINUTE)
        undo = world.undo(grant, incident)["grant"]
        world.finish(undo, "unused", run="")
        assert scope(world) == {"cooldown_until": cooldown}
        assert world.told(incident) == [f"undo of {grant}: unused; akeso undo {grant}"]

    def test_closes_a_quiet_incident(self, world, incident, grant):
        undo = world.undo(grant, incident)["grant"]
        world.begin(undo)
        world.resolve("fp")
        world.finish(undo)
        assert world.incident(incident)["closed_how"] == "undone"

    def test_ends_a_persons_run(self, world):
        incident = world.person_runs("Deployment/shop/other")["incident"]
        grant = world.soaking(incident, admit={"scope": "Deployment/shop/other", "manual": True, "approvers": ["a"]})
        world.verdict(grant, worse=True)
        undo = world.undo(grant, incident, scope="Deployment/shop/other")["grant"]
        world.begin(undo)
        world.finish(undo)
        assert world.incident(incident)["state"] == "closed"


class TestWhatOnlyTells:
    def test_closes_a_quiet_incident(self, world, incident):
        grant = world.begun(incident, kind="none", action="notify_only")
        assert world.resolve("fp")["result"] == "quiet"
        world.finish(grant, text="look")
        assert world.incident(incident)["state"] == "closed"

    def test_ends_a_persons_run(self, world):
        incident = world.person_runs()["incident"]
        world.finish(world.begun(incident, kind="none", action="notify_only", manual=True), text="look")
        assert world.incident(incident)["closed_how"] == "told"
