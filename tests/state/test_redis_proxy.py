"""The door that the fault tests put before Redis does what its manners say, and nothing else."""

import pytest
import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from tests.state.redis_proxy import RedisProxy

SOON_S, PATIENT_S = 0.15, 10.0


@pytest.fixture
def door(redis_server):
    with RedisProxy(redis_server.port) as proxy:
        yield proxy


@pytest.fixture
def through(door):
    """A plain client, with what it may wait for a piece of an answer."""
    made = []

    def client(seconds=PATIENT_S):
        made.append(redis.Redis(port=door.port, socket_timeout=seconds, retry=Retry(NoBackoff(), 0), driver_info=None))
        return made[-1]

    yield client
    for one in made:
        one.close()


@pytest.fixture
def beside(redis_server):
    """Past the door."""
    with redis.Redis.from_url(redis_server.url) as connection:
        yield connection


class TestADoor:
    def test_that_is_open_passes_all(self, through):
        big = b"x" * 500_000
        assert through().set("k", big)
        assert through().get("k") == big

    @pytest.mark.parametrize("manner", ["slow", "drip"])
    def test_that_holds_back_passes_all_in_the_end(self, door, through, manner):
        client = through()
        client.set("k", "value")
        door.be(manner, late=SOON_S)
        assert client.get("k") == b"value"
        door.be(manner, late=PATIENT_S)
        with pytest.raises(redis.TimeoutError):
            through(SOON_S).get("k")

    def test_that_drips_keeps_who_only_looks_at_each_wait_waiting(self, door, through):
        client = through(3.0)
        client.set("k", "x" * 10)
        door.be("drip", late=0.2)  # 17 bytes: more than three seconds together, and no wait is nearly as long
        assert client.get("k") == b"x" * 10

    @pytest.mark.parametrize(("manner", "happens"), [("mute", True), ("hole", False)])
    def test_that_answers_nothing_lets_requests_arrive_or_not(self, door, through, beside, manner, happens):
        client = through(2.0)
        client.ping()
        door.be(manner)
        with pytest.raises(redis.TimeoutError):
            client.set("k", "v")
        assert beside.exists("k") == happens

    def test_that_cuts_lets_the_request_arrive(self, door, through, beside):
        client = through()
        client.ping()
        door.be("cut")
        with pytest.raises(redis.ConnectionError):
            client.set("k", "v")
        assert beside.exists("k")

    @pytest.mark.parametrize("manner", ["cut", "shut"])
    def test_that_was_shut_opens_again(self, door, through, manner):
        client = through()
        client.ping()
        door.be(manner)
        with pytest.raises(redis.ConnectionError):
            client.ping()
        door.be("open")
        assert client.ping()

    def test_leads_new_connections_elsewhere(self, door, through):
        client = through()
        client.ping()
        door.lead_to(1)
        assert client.ping()
        door.drop()
        with pytest.raises(redis.ConnectionError):
            client.ping()
