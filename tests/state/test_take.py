from concurrent.futures import ThreadPoolExecutor

from tests.state.world import DAY, HOUR, MINUTE, SECOND


class TestOneBody:
    def test_that_comes_three_times_is_posted_once(self, world):
        assert world.take("a", "b") == ["post", "post"]
        assert world.take("a", "b") == ["busy", "busy"]
        world.take(taken=["a", "b"])
        assert world.take("a", "b") == ["taken", "taken"]
        assert world.counter("alerts_received") == 2

    def test_from_two_peers_at_once_is_posted_by_one_of_them(self, world):
        names = [f"l{number}" for number in range(50)]
        with ThreadPoolExecutor(2) as peers:
            marks = list(peers.map(lambda _: [world.take(name)[0] for name in names], range(2)))
        assert all(sorted(pair) == ["busy", "post"] for pair in zip(*marks, strict=True))
        assert world.counter("alerts_received") == len(names)

    def test_is_carried_by_due_from_the_first_moment(self, world):
        world.take("a")
        assert world.due("alert") == {"a": 2 * MINUTE}
        assert world.redis.hget(world.key("ledger", "a"), "event") == "draft of a"

    def test_without_alerts_is_nothing(self, world):
        before = world.dump()
        assert world.take() == []
        assert world.dump() == before


class TestAResend:
    def test_posts_only_the_rest(self, world):
        world.take("a", "b", "c")
        world.take(taken=["a", "c"])
        world.advance(MINUTE)
        assert world.take("a", "b", "c") == ["taken", "post", "taken"]

    def test_waits_while_the_sender_may_live(self, world):
        world.take("a", lease=10 * SECOND)
        world.advance(10 * SECOND - 1)
        assert world.take("a") == ["busy"]

    def test_goes_on_for_a_dead_sender(self, world):
        world.take("a", lease=10 * SECOND)
        world.advance(10 * SECOND)
        assert world.take("a", lease=10 * SECOND) == ["post"]
        assert world.take("a") == ["busy"]
        world.advance(10 * SECOND)
        assert world.take("a") == ["post"]
        assert world.counter("alerts_received") == 1

    def test_is_not_known_by_what_was_never_sent(self, world):
        world.take(taken=["never"])
        assert world.take("never") == ["post"]


class TestTheHeartbeat:
    def beat(self, world):
        return {name: int(at) for name, at in world.redis.hgetall(world.key("heartbeat")).items()}

    def test_says_since_when_it_is_heard_without_a_gap(self, world):
        start = world.now
        for _ in range(3):
            world.heartbeat()
            last = world.now
            world.advance(10 * MINUTE - 1)
        assert self.beat(world) == {"at": last, "since": start}

    def test_begins_anew_after_ten_minutes_of_silence(self, world):
        world.heartbeat()
        again = world.advance(10 * MINUTE)
        world.heartbeat()
        assert self.beat(world) == {"at": again, "since": again}

    def test_is_received_and_accounted_for_but_never_posted(self, world):
        assert world.take("w", watchdog=True) == ["taken"]
        assert world.take("w", watchdog=True) == ["taken"]
        assert (world.counter("alerts_received"), world.counter("alerts_accounted")) == (1, 1)
        assert world.counter("alerts_accounted_total|how=heartbeat") == 1
        assert world.due() == {}


class TestAnIncidentThatIsRepeated:
    def test_keeps_all_that_finds_it_again(self, world):
        incident = world.opened("fp", ledger="l")
        keys = [
            world.key("incident", incident), world.key("firing", incident), world.key("fingerprint", "fp"),
            world.key("starts", "fp"), world.key("name", world.incident(incident)["name"]), world.key("ledger", "l"),
        ]  # fmt: skip
        world.take(taken=["l"])
        for key in keys:
            world.redis.pexpire(key, HOUR)
        world.take("l")
        assert {key: world.redis.pttl(key) > 7 * DAY for key in keys} == dict.fromkeys(keys, True)
