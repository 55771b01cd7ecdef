"""The cluster of our own leaves nothing behind, however it ends, and no packet gets out of it."""

import json
import os
import signal
import subprocess
import sys
from contextlib import suppress
from pathlib import Path

import pytest

from tests.cluster.api import until
from tests.cluster.rig.machine import Machine, clear_away
from tests.cluster.rig.needs import CGROUPS

ROOT = Path(__file__).parents[2]
RIG = [sys.executable, "-m", "tests.cluster.rig"]
PATIENCE_S = 180  # an end of everything takes its time on a busy machine
SYSCTLS = ("vm/overcommit_memory", "kernel/panic", "kernel/panic_on_oops")


@pytest.fixture(autouse=True)
def _here(keeper):
    """Only where one could be made, since one is there already."""


def _namespaces(about=""):
    """Those of all processes, or of those whose command line says something."""
    found = set()
    for process in Path("/proc").glob("[0-9]*"):
        if about in _command(process):
            for kind in ("net", "mnt", "pid", "ipc"):
                with suppress(OSError):  # it has ended
                    found.add(str((process / "ns" / kind).readlink()))
    return found


def _left(folder):
    """What of that cluster can be seen on this machine."""
    name = Path(folder).name
    processes = [p.name for p in Path("/proc").glob("[0-9]*") if name in _command(p)]
    mounts = [line for line in Path("/proc/self/mounts").read_text().splitlines() if name in line]
    groups = [str(path) for path in CGROUPS.glob(f"*/{name}")]
    return {"processes": processes, "mounts": mounts, "cgroups": groups, "folder": [folder] * Path(folder).exists()}


def _command(process):
    try:
        return (process / "cmdline").read_bytes().decode(errors="replace")
    except OSError:
        return ""


def _sysctls():
    return {name: Path("/proc/sys", name).read_text().strip() for name in SYSCTLS}


def _originals(keeper):
    """As they were before the cluster that the tests run on: a kubelet that was started anew has set them again."""
    written = json.loads((keeper.folder / "sysctls.json").read_text())
    return {name: written[name] for name in SYSCTLS}


NOTHING = {"processes": [], "mounts": [], "cgroups": [], "folder": []}


class TestWhatIsLeftBehind:
    def test_is_nothing_after_an_ordinary_end(self, keeper):
        namespaces, sysctls = _namespaces(), _originals(keeper)

        with Machine() as machine:
            folder = str(machine.folder)
            assert _left(folder)["processes"]
            assert _left(folder)["cgroups"]
            made = _namespaces(machine.folder.name) - namespaces
            assert len(made) >= 4

        assert _left(folder) == NOTHING
        assert _sysctls() == sysctls
        # The kernel takes the last process away a moment later.
        until(lambda: not made & _namespaces(), "its namespaces stay")

    @pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
    def test_is_nothing_after_a_signal(self, number):
        keeper, folder = _kept()

        keeper.send_signal(number)
        keeper.communicate(timeout=PATIENCE_S)

        assert _left(folder) == NOTHING

    def test_is_cleared_away_by_the_next_one_after_a_kill(self):
        started, folder = _kept()
        started.kill()
        started.communicate(timeout=PATIENCE_S)
        until(lambda: not _left(folder)["processes"])  # the kernel ends them with their first one
        assert _left(folder)["cgroups"]

        clear_away()

        assert _left(folder) == NOTHING


def _kept():
    """`make cluster`, once it has said its KUBECONFIG: the process and the cluster's folder."""
    keeper = subprocess.Popen([*RIG, "up"], cwd=ROOT, stdout=subprocess.PIPE, text=True)
    line = keeper.stdout.readline()
    assert line.startswith("KUBECONFIG=/")
    return keeper, line.strip().removeprefix("KUBECONFIG=").rpartition("/")[0]


class TestItsNetwork:
    def test_has_no_link_outward(self):
        links = subprocess.run(["ip", "-o", "link"], capture_output=True, text=True, check=True).stdout
        names = {line.split(":")[1].strip().partition("@")[0] for line in links.splitlines()}
        assert {"lo", "node0", "n2"} <= names
        own = {"lo", "node0", "node0p", "n2", "cni0"}
        assert all(name in own or name.startswith("veth") for name in names), names
        routes = subprocess.run(["ip", "route"], capture_output=True, text=True, check=True).stdout
        assert {line.split(" dev ")[1].split()[0] for line in routes.splitlines() if " dev " in line} <= own

    def test_lets_this_machine_in_by_loopback_alone(self):
        keeper, folder = _kept()
        try:
            kubectl = [
                f"{folder}/bin/kube",
                "kubectl",
                "--kubeconfig",
                f"{folder}/kubeconfig",
                "get",
                "nodes",
                "-o",
                "name",
            ]
            done = subprocess.run(kubectl, capture_output=True, text=True, check=True, timeout=60)
            assert done.stdout.split() == ["node/n1", "node/n2"]
            assert "127.0.0.1" in Path(folder, "kubeconfig").read_text()
        finally:
            keeper.terminate()
            keeper.communicate(timeout=PATIENCE_S)


class TestWhereItCannotBeMade:
    def _test(self, **env):
        return subprocess.run(
            [*RIG, "test"], cwd=ROOT, env={**os.environ, "PATH": "/nowhere", **env}, capture_output=True, text=True,
            check=False, timeout=60,
        )  # fmt: skip

    def test_it_says_in_one_line_what_it_needs_and_fails(self):
        done = self._test()

        assert done.returncode == 3
        (line,) = done.stderr.splitlines()
        assert "Go 1.26" in line
        assert "Debian's containerd" in line
        assert "KUBECONFIG=FILE" in line

    def test_it_may_be_told_to_skip_and_says_so(self):
        done = self._test(MAY_SKIP="1")

        assert done.returncode == 0
        assert done.stdout.startswith("skipped: no cluster can be made here")

    def test_a_kubeconfig_that_is_none_is_said(self):
        done = subprocess.run([*RIG, "test", "--on", "/nowhere"], cwd=ROOT, capture_output=True, text=True, check=False)

        assert (done.returncode, done.stderr) == (2, "KUBECONFIG=/nowhere: no such file\n")
