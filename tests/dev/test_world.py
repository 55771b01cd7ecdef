"""One installation on one machine: it owns what is in its folder and what it has started, and nothing else."""

import os
import socket
import time
from pathlib import Path
from urllib.parse import urlsplit

import pytest
import redis

from shared import clock
from shared.dev import redis as embedded
from shared.dev.world import PEOPLE, World
from shared.errors import AkesoError
from tests.flows.harness import PATIENT


@pytest.fixture(autouse=True)
def _no_clock(monkeypatch):
    monkeypatch.delenv("AKESO_CLOCK_FILE", raising=False)


def _of(folder):
    """Process ids of all other processes that have to do with the folder."""
    found = set()
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit() or int(entry.name) == os.getpid():
            continue
        try:
            if str(folder).encode() in (entry / "cmdline").read_bytes() + (entry / "environ").read_bytes():
                found.add(int(entry.name))
        except OSError:
            continue  # it has ended, or is somebody else's
    return found


def _is_open(url):
    address = urlsplit(url)
    with socket.socket() as probe:
        return probe.connect_ex((address.hostname, address.port)) == 0


class TestAWorld:
    def test_ends_with_all_that_it_started_and_gives_the_clock_back(self, tmp_path):
        with World(tmp_path / "world", pinging=False, env=PATIENT) as world:
            urls = [world.broker.url, world.redis_url, world.desk.url]
            assert all(map(_is_open, urls))
            assert _of(tmp_path)
            assert world.tick() == 204
            before = clock.now_ms()
            world.advance(3600)
            assert clock.now_ms() >= before + 3_600_000

        assert not any(map(_is_open, urls))
        deadline = time.monotonic() + 30
        while _of(tmp_path) and time.monotonic() < deadline:  # who was killed takes a moment to be gone
            time.sleep(0.05)
        assert _of(tmp_path) == set()
        assert "AKESO_CLOCK_FILE" not in os.environ

    def test_knows_two_people_by_tokens_that_nobody_else_can_read(self, tmp_path):
        with World(tmp_path / "world", pinging=False, env=PATIENT) as world:
            assert list(world.people) == list(PEOPLE)
            for name, file in world.people.items():
                assert (file.stat().st_mode & 0o777, file.parent.stat().st_mode & 0o777) == (0o600, 0o700)
                body = {"mode": "run", "reason": "a test"}
                assert world.api("POST", "v1/stop", body, person=name).json()["by"] == name
            file.write_text(world.secret("api-token"))
            assert world.api("POST", "v1/stop", body, person=name).status_code == 403

    def test_starts_without_what_an_earlier_one_knew_but_with_its_tickets(self, tmp_path):
        old = ("redis/appendonly.aof", "secrets/event-hmac", "failpoints/before-write", "logs/guard.log", "clock.json")
        for name in (*old, "tickets/T-00007.json"):
            (tmp_path / name).parent.mkdir(exist_ok=True)
            (tmp_path / name).write_text("{}")

        World(tmp_path, pinging=False).stop()

        assert [name for name in old[:-2] if (tmp_path / name).exists() and (tmp_path / name).read_text() == "{}"] == []
        assert not (tmp_path / "logs" / "guard.log").exists()
        assert (tmp_path / "tickets" / "T-00007.json").exists()

    def test_leaves_a_redis_that_it_was_given_running(self, tmp_path):
        with embedded.start(tmp_path / "theirs") as theirs:
            with World(tmp_path / "world", redis=theirs.url, pinging=False, env=PATIENT) as world:
                assert world.redis is None
                assert world.redis_url == theirs.url
            with redis.Redis.from_url(theirs.url) as connection:
                assert connection.hget("{akeso}:epoch", "mode") == b"dev"

    def test_that_has_no_redis_says_so_and_leaves_nothing(self, tmp_path):
        world = World(tmp_path / "world", redis_binary="/nowhere/redis-server", pinging=False)

        with pytest.raises(AkesoError, match="redis"):
            world.start()
        world.stop()

        assert _of(tmp_path) == set()
        assert "AKESO_CLOCK_FILE" not in os.environ

    def test_gives_functions_nothing_of_this_process_environment(self, tmp_path, monkeypatch):
        monkeypatch.setenv("HTTPS_PROXY", "http://proxy.example")
        monkeypatch.setenv("AKESO_NONSENSE", "1")

        world = World(tmp_path, pinging=False)
        world.stop()

        assert not {"HTTPS_PROXY", "AKESO_NONSENSE", "KUBECONFIG"} & world.env.keys()
        assert world.env["HOME"] == str(tmp_path)
