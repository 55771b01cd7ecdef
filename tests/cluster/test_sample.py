"""`make run CLUSTER=1`: two real incidents, one that a restart heals and one that ends with a person."""

import os
import subprocess
import sys
from pathlib import Path

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
        assert sum("restart_pod (rule" in line for line in lines) >= 2  # the hopeless one was tried, too
        left = [
            one["metadata"]["name"] for one in api.ok("GET", "/api/v1/namespaces")["items"]
            if one["metadata"]["name"].startswith(("akeso-sample-", "akeso-dev-"))
            and one["status"]["phase"] != "Terminating"
        ]  # fmt: skip
        assert left == []
