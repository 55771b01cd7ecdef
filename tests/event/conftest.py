import pytest

from shared import settings as bootstrap
from shared.dev import redis as embedded
from shared.guard.load import flat
from shared.guard.policy import Policy
from shared.secrets import Secrets
from shared.state.client import Store
from shared.state.transitions import Cause, State
from tests.event.parts import KEY, OLD_KEY, Receiver


@pytest.fixture
def receiver():
    one = Receiver()
    yield one
    one.stop()


@pytest.fixture(scope="session")
def redis(tmp_path_factory):
    with embedded.start(tmp_path_factory.mktemp("redis")) as server:
        yield server


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """A function's surroundings without a Redis: its secrets, which are read again at each change."""
    folder = tmp_path / "secrets"
    folder.mkdir()
    (folder / "event-hmac").write_bytes(KEY)
    (folder / "event-hmac-previous").write_bytes(OLD_KEY)
    monkeypatch.setenv("AKESO_DEV", "1")
    monkeypatch.setenv("AKESO_SECRETS_DIR", str(folder))
    monkeypatch.setenv("AKESO_REDIS__URL", "redis://127.0.0.1:1/0")
    monkeypatch.setenv("AKESO_REDIS__TIMEOUT_MS", "5000")
    return folder


@pytest.fixture
def state(folder, monkeypatch, redis):
    """Empty and hydrated shared state, as a function and as the test see it."""
    monkeypatch.setenv("AKESO_REDIS__URL", redis.url)
    one = State(Store(bootstrap.load(), Secrets(folder)))
    one.store.read("FLUSHALL")
    stop = {"mode": "run", "reason": "", "by": "", "since": "2026-01-01T00:00:00Z"}
    one.load(Cause("sweeper", "/t", "load", "default", "dev"), mode="dev", fresh="f" * 32, stop=stop,
             policy=flat(Policy(), "r"), hydrate=True, embargo=0, people_before=False)  # fmt: skip
    return one
