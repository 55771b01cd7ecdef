"""`akeso dev` as a newcomer and a script meet it: it shows the truth, touches no other cluster and leaves nothing."""

import json
import os
import signal
import subprocess
import sys
import time
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest

from shared.dev.cluster import Cluster
from tests.flows.harness import group
from tests.flows.trap import Trap

ROOT = Path(__file__).parents[2]
WAIT_S = 120
KEYS = {"webhook_url", "api_url", "broker_url", "redis_url", "kubeconfig", "pid"}
AKESO = (sys.executable, "-P", "-c", "from shared.cli import main; main()")
# What `prepare` does before the first alert, and how long the two incidents are waited for.
DRIVER = """
import sys, time
from pathlib import Path
from shared.dev import up

def paused(world, source):
    while not all(one["status"].get("readyReplicas") for one in world.cluster.all("Deployment")):
        time.sleep(0.05)
    world.cluster.pause()

def unresolved(world, source):
    source.send_resolved = False

up.PATIENCE_S = {"paused": 60, "unresolved": 30}[sys.argv[1]]  # only the latter waits so long in any case
sys.exit(up.serve(up.Options(once=True, folder=Path(sys.argv[2])), prepare=globals()[sys.argv[1]]))
"""


@pytest.fixture
def trap(tmp_path):
    with Trap(tmp_path / "home") as trap:
        yield trap


@pytest.fixture
def started(tmp_path, trap):
    """Starts a program with a person's environment: their kubeconfig leads to a cluster that must not be touched."""
    running = []

    def start(*command, path=os.environ["PATH"]):
        env = {"PATH": path, "HOME": str(trap.home), "KUBECONFIG": str(trap.kubeconfig), "PYTHONPATH": str(ROOT)}
        process = subprocess.Popen(
            command, cwd=tmp_path, env=env, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
            start_new_session=True,
        )  # fmt: skip
        running.append(process)
        return process

    yield start
    for process in running:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
        process.communicate()


def _of(folder):
    """Command lines of all processes that have to do with the folder."""
    found = []
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit() or int(entry.name) == os.getpid():
            continue
        try:
            command = (entry / "cmdline").read_bytes()
            if str(folder).encode() in command + (entry / "environ").read_bytes():
                found.append(command.replace(b"\0", b" ").decode(errors="replace"))
        except OSError:
            continue  # it has ended, or is somebody else's
    return found


def _ended(process, folder):
    """Its status and what it printed; nothing that it started is left."""
    out, err = process.communicate(timeout=WAIT_S)
    deadline = time.monotonic() + WAIT_S
    while _of(folder) and time.monotonic() < deadline:  # who was killed with it takes a moment to be gone
        time.sleep(0.05)
    assert _of(folder) == []
    return process.returncode, out, err


def _ready(file):
    deadline = time.monotonic() + WAIT_S
    while not file.exists():
        assert time.monotonic() < deadline, "it does not get ready"
        time.sleep(0.05)
    return json.loads(file.read_text())


class TestOnce:
    def test_shows_one_healed_and_one_ticket_and_ends_well(self, tmp_path, trap, started):
        """With nothing on the path, as on a machine that has Python and no more."""
        folder = tmp_path / "dev"

        status, out, err = _ended(started(*AKESO, "dev", "--once", "--folder", str(folder), path="/nowhere"), folder)

        assert (status, err) == (0, "")
        assert "verdict on Deployment/shop/checkout, from the audit: verified" in out
        (ticket,) = (tmp_path / "tickets").glob("*.json")
        assert f"Deployment/kube-system/coredns: ticket {ticket.stem}" in out
        assert "protected" in ticket.read_text()
        assert trap.caught == 0

    @pytest.mark.faults
    @pytest.mark.parametrize(("trouble", "verdict"), [("paused", "ineffective"), ("unresolved", "none yet")])
    def test_ends_badly_when_nothing_was_healed_or_nobody_said_so(self, tmp_path, started, trouble, verdict):
        folder = tmp_path / "dev"

        status, out, _ = _ended(started(sys.executable, "-P", "-c", DRIVER, trouble, str(folder)), folder)

        assert f"verdict on Deployment/shop/checkout, from the audit: {verdict}" in out
        assert status == 1


class TestServing:
    def test_for_scripts_one_beside_another_until_each_is_told_to_end(self, tmp_path, trap, started):
        folder, files = tmp_path / "dev", [tmp_path / "one.json", tmp_path / "two.json"]
        first = started(*AKESO, "dev", "--quiet", "--ready-file", str(files[0]), "--folder", str(folder))
        one = _ready(files[0])
        second = started(*AKESO, "dev", "--quiet", "--ready-file", str(files[1]), "--folder", str(folder))
        two = _ready(files[1])

        for told, process in ((one, first), (two, second)):
            assert told.keys() >= KEYS
            assert told["pid"] == process.pid
            assert _posted(told) == 200
        assert not {one[key] for key in KEYS} & {two[key] for key in KEYS}

        assert _of(f"{folder}/")
        first.send_signal(signal.SIGTERM)
        assert _ended(first, f"{folder}/") == (0, "", "")
        assert not files[0].exists()
        assert _posted(two) == 200
        second.send_signal(signal.SIGINT)
        assert _ended(second, folder) == (0, "", "")
        assert not files[1].exists()
        assert trap.caught == 0

    @pytest.mark.faults
    def test_nothing_without_a_cluster_is_one_line_and_leaves_nothing(self, tmp_path, trap, started):
        folder, closed = tmp_path / "dev", tmp_path / "closed"
        config = json.loads(trap.kubeconfig.read_text())
        config["clusters"][0]["cluster"]["server"] = "http://127.0.0.1:9"
        closed.write_text(json.dumps(config))

        status, out, err = _ended(
            started(*AKESO, "dev", "--quiet", "--kubeconfig", str(closed), "--folder", str(folder)), folder
        )

        assert (status, out) == (3, "")
        assert len(err.splitlines()) == 1
        assert err.startswith("akeso dev: ")

    def test_on_a_cluster_without_an_installation_is_one_line_and_writes_nothing(self, tmp_path, trap, started):
        with _emulated() as cluster:
            config = cluster.kubeconfig(tmp_path / "config")
            dev = started(*AKESO, "dev", "--quiet", "--kubeconfig", str(config), "--folder", str(tmp_path / "dev"))

            status, out, err = _ended(dev, tmp_path / "dev")

            assert (status, out) == (3, "")
            (line,) = err.splitlines()
            assert "no ConfigMap akeso-stop and akeso-policy in akeso-system" in line
            assert "--sample" in line
            assert cluster.writes() == []
        assert trap.caught == 0

    def test_a_sample_needs_a_cluster_that_is_named(self, tmp_path, started):
        status, _, err = _ended(started(*AKESO, "dev", "--sample"), tmp_path / "dev")

        assert status == 2
        assert "--sample goes with --kubeconfig" in err


@contextmanager
def _emulated():
    cluster = Cluster(token="a-token")
    cluster.start()
    try:
        yield cluster
    finally:
        cluster.stop()


def _posted(told):
    """The answer to a body without alerts, sent with the token that it gave out."""
    token = (Path(told["secrets"]) / "webhook-token").read_text().strip()
    headers = {"authorization": f"Bearer {token}"}
    deadline = time.monotonic() + WAIT_S
    while True:  # again while it is answered 503, as AlertManager does: Redis may be late on a busy machine
        answer = httpx.post(told["webhook_url"], json=group(), headers=headers, timeout=WAIT_S, trust_env=False)
        if answer.status_code != 503 or time.monotonic() > deadline:
            return answer.status_code
        time.sleep(0.5)
