"""`akeso dev` against a real cluster: its two shown incidents, and an installation that is there already."""

import json
import os
import subprocess
import sys
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest

from shared import clock
from shared.action.catalogue import Catalogue
from tests.cluster.api import MERGE_PATCH, until
from tests.cluster.real import RealCluster
from tests.flows.harness import Sent, group

ROOT = Path(__file__).parents[2]
AKESO = (sys.executable, "-P", "-c", "from shared.cli import main; main()")


class TestTheSampleOnARealCluster:
    def test_shows_one_verified_and_one_ticket_and_takes_itself_away(self, api, kubeconfig, tmp_path):
        command = [
            *AKESO,
            "dev",
            "--once",
            "--kubeconfig",
            str(kubeconfig),
            "--sample",
            "--folder",
            str(tmp_path / "dev"),
        ]

        done = subprocess.run(
            command, cwd=tmp_path, env={"PATH": os.environ["PATH"], "HOME": str(tmp_path), "PYTHONPATH": str(ROOT)},
            capture_output=True, text=True, check=False, timeout=500,
        )  # fmt: skip

        assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-1000:]
        lines = done.stdout.splitlines()
        assert any("verdict on Deployment/akeso-sample-" in line and line.endswith("verified") for line in lines)
        assert any("bad-config: ticket T-" in line for line in lines)
        assert any("bad-config" in line and "restart_pod (rule" in line for line in lines)  # it was tried, too
        left = [
            one["metadata"]["name"] for one in api.ok("GET", "/api/v1/namespaces")["items"]
            if one["metadata"]["name"].startswith(("akeso-sample-", "akeso-dev-"))
            and one["status"]["phase"] != "Terminating"
        ]  # fmt: skip
        assert left == []


@pytest.mark.usefixtures("keeper")  # the installation's own namespace is made and removed
class TestAClusterWithAnInstallation:
    def test_is_served_from_this_machine(self, api, kubeconfig, tmp_path):
        """`akeso dev --kubeconfig FILE`: the product here, the workloads there."""
        home, ready = "akeso-system", tmp_path / "ready.json"
        with RealCluster(api, Catalogue.home()) as cluster, _installation(cluster, home), api.namespace() as namespace:
            api.ok("PATCH", f"/api/v1/namespaces/{namespace}", _AUTO, form=MERGE_PATCH)
            cluster.deployment(namespace, "web", 1, annotations={"akeso.dev/minimum-replicas": "3"})
            until(lambda: _ready(cluster, namespace) == 1)
            dev = subprocess.Popen(
                [*AKESO, "dev", "--quiet", "--kubeconfig", str(kubeconfig), "--ready-file", str(ready),
                 "--folder", str(tmp_path / "dev")],
                cwd=tmp_path, env={"PATH": os.environ["PATH"], "HOME": str(tmp_path), "PYTHONPATH": str(ROOT)},
            )  # fmt: skip
            try:
                until(ready.exists)
                told = json.loads(ready.read_text())
                token = (Path(told["secrets"]) / "webhook-token").read_text().strip()
                labels = {"alertname": "KubeDeploymentBelowMinimum", "namespace": namespace, "deployment": "web"}
                alert = Sent(labels | {"severity": "warning"}, clock.iso(clock.now_ms()), "00000000000000aa")
                login = {"authorization": f"Bearer {token}"}
                until(lambda: httpx.post(
                    told["webhook_url"], json=group(alert.element()), headers=login, timeout=60, trust_env=False,
                ).status_code == 200)  # fmt: skip
                until(lambda: _ready(cluster, namespace) == 3)
            finally:
                dev.terminate()
                dev.wait(60)


_AUTO = {"metadata": {"labels": {"akeso.dev/autonomy": "auto"}}}


@contextmanager
def _installation(cluster, home):
    cluster.namespace(home)
    for name in ("akeso-stop", "akeso-policy"):
        cluster.configmap(home, name, {})
    try:
        yield
    finally:
        cluster.delete("Namespace", "", home)
        until(lambda: cluster.get("Namespace", "", home) is None)


def _ready(cluster, namespace):
    return cluster.get("Deployment", namespace, "web")["status"].get("readyReplicas", 0)
