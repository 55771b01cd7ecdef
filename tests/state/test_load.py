import pytest
import redis

from shared.errors import EpochError, UnavailableError
from shared.guard.load import flat
from shared.guard.policy import Policy
from shared.secrets import Secrets
from shared.settings import Redis, Settings
from shared.state.client import PREFIX, Store
from shared.state.transitions import State
from tests.state.world import DAY, HOUR, MINUTE, World

POLICY = flat(Policy(), "r1")
RUN = {"mode": "run", "reason": "", "by": "", "since": "then"}
STOP = {"mode": "stop", "reason": "sale", "by": "ann", "since": "now"}

# Each transition and helper, asked for something that would move an incident.
CALLS = {
    "take": lambda world: world.take("l"),
    "open": lambda world: world.state.open(
        world.cause("triage"), "firing", fingerprint="f", starts=1, ledger="l", scope="s", family="f"
    ),
    "open request": lambda world: world.request("inc-1"),
    "open resolved": lambda world: world.state.open(
        world.cause("triage"), "resolved", fingerprint="f", starts=1, ledger="l", truncated=0
    ),
    "admit": lambda world: world.admit("inc-1"),
    "admit dry": lambda world: world.admit("inc-1", dry=True),
    "begin": lambda world: world.begin("grant-1", epoch="e"),
    "finish": lambda world: world.finish(
        "grant-1",
        recovered={
            "id": "grant-1",
            "incident": "i",
            "scope": "s",
            "action": "a",
            "kind": "write",
            "mode": "do",
            "of": "",
            "cooldown": 1,
            "soak": 1,
            "until_in": 0,
            "family": "",
            "epoch": "e",
        },
    ),
    "settle verdict": lambda world: world.verdict("grant-1"),
    "settle run": lambda world: world.state.settle(world.cause("api"), "run", run="r", who="ann", body="{}"),
    "put": lambda world: world.put(answer="a", untold={"incident": "i", "reason": "r", "at": 0}, count="c"),
    "claim": lambda world: world.claim(),
}


class TestARedisWithoutAnEpoch:
    @pytest.mark.parametrize("call", CALLS)
    def test_refuses_every_transition_and_writes_nothing(self, blank, call):
        with pytest.raises(EpochError):
            CALLS[call](blank)
        assert blank.redis.dbsize() == 0

    @pytest.mark.parametrize("call", CALLS)
    def test_refuses_also_what_it_answered_before_it_was_emptied(self, world, call):
        CALLS[call](world)
        world.redis.flushall()
        with pytest.raises(EpochError):
            CALLS[call](world)
        assert world.redis.dbsize() == 0

    def test_is_lost_to_who_may_not_hydrate(self, blank):
        assert blank.load(policy=POLICY, stop=RUN, hydrate=False) == {"state": "lost"}
        assert blank.redis.dbsize() == 0

    def test_is_not_hydrated_without_a_policy(self, blank):
        assert blank.load(stop=RUN) == {"state": "lost"}
        assert blank.redis.dbsize() == 0

    def test_is_not_hydrated_without_a_stop_of_now(self, blank):
        assert blank.load(policy=POLICY) == {"state": "lost"}
        assert blank.redis.dbsize() == 0


class TestHydration:
    def test_opens_with_policy_stop_and_epoch_at_once(self, blank):
        said = blank.load(policy=POLICY, stop=STOP, fresh="random")
        assert said == {"state": "hydrated", "epoch": "random"}
        assert blank.redis.hgetall(f"{PREFIX}:stop") == STOP
        assert blank.redis.hgetall(f"{PREFIX}:policy") == {name: str(value) for name, value in POLICY.items()}
        epoch = blank.redis.hgetall(f"{PREFIX}:epoch")
        assert epoch["history"] == blank.redis.info("replication")["master_replid"]
        assert blank.take("l") == ["post"]

    def test_without_embargo_is_a_first_installation(self, blank):
        blank.load(policy=POLICY, stop=RUN)
        assert blank.admit(blank.opened(starts=1))["decision"] == "approved"

    def test_with_embargo_lets_nothing_be_done_for_so_long(self, blank):
        blank.load(policy=POLICY, stop=RUN, embargo=15 * MINUTE, people_before=True)
        incident = blank.opened()
        answer = blank.admit(incident)
        assert (answer["check"], answer["retry_at"]) == ("embargo", blank.now + 15 * MINUTE)
        blank.advance(15 * MINUTE)
        assert blank.admit(incident)["decision"] == "approved"

    def test_a_second_time_keeps_all_and_adds_no_embargo(self, world):
        epoch = world.epoch()
        said = world.load(policy=POLICY, embargo=HOUR, people_before=True)
        assert said == {"state": "kept", "epoch": epoch}
        assert world.admit(world.opened(starts=1))["decision"] == "approved"

    def test_without_a_policy_keeps_the_last_good_one(self, world):
        world.policy(attempts_per_day=7)
        assert world.load()["state"] == "kept"
        assert world.redis.hget(f"{PREFIX}:policy", "attempts") == "7"

    def test_with_a_policy_leaves_nothing_of_the_one_before(self, world):
        world.redis.hset(f"{PREFIX}:policy", "forgotten", "1")
        world.load(policy=POLICY)
        assert world.redis.hgetall(f"{PREFIX}:policy") == {name: str(value) for name, value in POLICY.items()}


class TestAStop:
    def test_renews_the_epoch_each_time_it_changes(self, world):
        epochs = [world.epoch()]
        for mode in ("stop", "freeze", "run"):
            said = world.stop(mode)
            assert said["state"] == "renewed"
            epochs.append(said["epoch"])
        assert len(set(epochs)) == 4
        assert world.counter("stop_changes_total|mode=freeze") == 1

    def test_that_is_the_same_keeps_it(self, world):
        world.load(stop=STOP)
        epoch = world.epoch()
        assert world.load(stop=STOP) == {"state": "kept", "epoch": epoch}

    def test_lifted_and_set_again_between_two_looks_is_seen(self, world):
        world.load(stop=STOP)
        epoch = world.epoch()
        assert world.load(stop={**STOP, "since": "later"})["state"] == "renewed"
        assert world.epoch() != epoch

    def test_of_a_policy_alone_is_none(self, world):
        epoch = world.epoch()
        world.policy(attempts_per_day=7)
        assert world.epoch() == epoch


class TestALostRedis:
    """Each of these servers has a life of its own, because it is ended in the middle of the story."""

    def hydrated(self, world):
        return world.load(policy=POLICY, stop=RUN, embargo=HOUR, people_before=True)

    def test_restarted_with_all_its_data_refuses_until_it_is_hydrated(self, world, redis_server):
        incident = world.opened("fp")
        grant = world.granted(incident)
        old = world.epoch()
        redis_server.restart()
        held = world.redis.hgetall(f"{PREFIX}:epoch")
        for call in CALLS.values():
            with pytest.raises(EpochError):
                call(world)
        assert world.redis.hgetall(f"{PREFIX}:epoch") == held
        assert world.load(policy=POLICY, stop=RUN, hydrate=False) == {"state": "lost"}

        said = self.hydrated(world)
        assert said["state"] == "hydrated"
        assert said["epoch"] != old
        assert world.begin(grant, epoch=old) == {"go": False, "check": "epoch"}
        assert world.admit(world.opened("new", scope="Deployment/shop/b"), scope="Deployment/shop/b")["check"] == (
            "embargo"
        )

    def test_with_an_older_snapshot_put_back_begins_no_used_grant(self, world, redis_server):
        incident = world.opened("fp")
        grant = world.granted(incident)
        old = world.epoch()
        with redis.Redis.from_url(redis_server.url) as raw:
            snapshot = [(name, max(raw.pttl(name), 0), raw.dump(name)) for name in raw.scan_iter()]
        world.begin(grant)
        world.finish(grant)

        redis_server.restart(keep=False)
        with redis.Redis.from_url(redis_server.url) as raw:
            for name, lives, dumped in snapshot:
                raw.restore(name, lives, dumped)
        with pytest.raises(EpochError):
            world.begin(grant, epoch=old)
        self.hydrated(world)
        assert world.attempt(grant)["state"] == "granted"
        for epoch in (old, world.epoch()):
            assert world.begin(grant, epoch=epoch) == {"go": False, "check": "epoch"}

    def test_that_was_emptied_hands_what_was_open_to_people(self, world):
        lost_at = world.now
        world.opened("fp", starts=lost_at - DAY)
        world.redis.flushall()
        self.hydrated(world)
        assert world.fire("fp", starts=lost_at - DAY)["reason"] == "open when the state was lost"

    def test_that_does_not_answer_is_unavailable_and_not_lost(self, world, redis_server):
        redis_server.kill()
        with pytest.raises(UnavailableError) as caught:
            world.take("l")
        assert not isinstance(caught.value, EpochError)
        assert caught.value.reason == "redis"
        redis_server.restart()
        self.hydrated(world)


class TestTime:
    def test_of_the_caller_counts_only_on_one_machine(self, blank, sim):
        blank.load(policy=POLICY, stop=RUN, mode="prod")
        real = int(blank.redis.hget(f"{PREFIX}:epoch", "clock"))
        sim.advance(DAY)
        blank.take("l")
        assert int(blank.redis.hget(f"{PREFIX}:epoch", "clock")) - real < HOUR

    def test_of_the_caller_is_not_believed_before_the_mode_is_known(self, blank, sim):
        sim.advance(DAY)
        blank.load(policy=POLICY, stop=RUN, mode="prod", embargo=HOUR)
        assert int(blank.redis.hget(f"{PREFIX}:epoch", "embargo_until")) < sim.now

    def test_of_the_caller_counts_from_the_first_moment_of_dev(self, blank, sim):
        sim.advance(DAY)
        blank.load(policy=POLICY, stop=RUN, embargo=HOUR)
        assert int(blank.redis.hget(f"{PREFIX}:epoch", "embargo_until")) == sim.now + HOUR

    def test_never_goes_back(self, world, sim):
        incident = world.opened()
        world.finish(world.begun(incident), "failed")
        start = sim.now
        world.advance(5 * MINUTE)
        world.heartbeat()
        sim.jump(start - DAY)
        assert world.admit(incident, taken_at=start + 5 * MINUTE)["decision"] == "approved"
        assert int(world.redis.hget(f"{PREFIX}:epoch", "clock")) == start + 5 * MINUTE

    def test_does_not_go_back_by_a_hydration(self, world, sim, redis_server):
        before = world.advance(DAY)
        world.heartbeat()
        redis_server.restart()
        sim.jump(before - HOUR)
        world.load(policy=POLICY, stop=RUN, embargo=0)
        assert int(world.redis.hget(f"{PREFIX}:epoch", "clock")) == before


class TestTheClient:
    def test_finds_its_scripts_again_after_they_were_flushed(self, world):
        world.take("a")
        world.redis.script_flush()
        assert world.take("b") == ["post"]

    def test_says_what_redis_lacks_to_be_durable(self, world):
        assert world.state.store.durable() == ""
        world.redis.config_set("maxmemory-policy", "allkeys-lru")
        try:
            assert world.state.store.durable() == "maxmemory-policy noeviction"
        finally:
            world.redis.config_set("maxmemory-policy", "noeviction")

    def test_does_not_wait_for_a_server_that_is_not_there(self, tmp_path):
        settings = Settings(dev=True, redis=Redis(url="redis://127.0.0.1:1/0", timeout_ms=100))
        nowhere = World(State(Store(settings, Secrets(tmp_path))), None, None)
        for ask in (lambda: nowhere.take("l"), lambda: nowhere.state.attempt("a", "b", "c"),
                    lambda: nowhere.state.inbox(nowhere.cause()), nowhere.state.store.durable):  # fmt: skip
            with pytest.raises(UnavailableError) as caught:
                ask()
            assert caught.value.reason == "redis"


class TestTemporaryChanges:
    """That the cluster tells of after Redis has forgotten them."""

    ONE = {  # noqa: RUF012
        "id": "grant-lost", "incident": "inc-lost", "scope": "Node/n1", "action": "cordon_node", "namespace": "",
        "plan": "{}", "inverse": '{"writes":[]}', "inverse_hash": "h",
    }  # fmt: skip

    def told(self, world, in_ms=HOUR):
        world.load(hydrate=False, temporary=[{**self.ONE, "until": world.now + in_ms}])

    def test_are_taken_back_at_their_time(self, world):
        self.told(world)

        assert world.due("revert") == {"grant-lost": HOUR}
        assert world.attempt("grant-lost")["inverse"] == self.ONE["inverse"]
        answer = world.undo("grant-lost", "inc-lost", scope="Node/n1", plan_hash="h", namespace="")
        assert answer["decision"] == "approved"

    def test_that_are_known_are_not_told_twice(self, world):
        self.told(world)
        self.told(world, 2 * HOUR)

        assert world.due("revert") == {"grant-lost": HOUR}

    def test_that_were_taken_back_are_not_put_again(self, world):
        self.told(world)
        answer = world.undo("grant-lost", "inc-lost", scope="Node/n1", plan_hash="h", namespace="")
        world.begin(answer)
        world.finish(answer, "succeeded")

        self.told(world)

        assert world.due("revert") == {}
