"""Action 28 is one new file and nothing else: found, rendered, offered, granted, run and judged without being named."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from tests.flows.harness import Scene, a_world

ROOT = Path(__file__).parents[2]
FILE = ROOT / "tests" / "fixtures" / "action28.py"
COPIED = ("functions", "shared", "knative", "tests", "examples", "docs", "pyproject.toml", ".gitignore")


@pytest.fixture
def world(tmp_path, kubeconfig):
    """A world whose catalogue has one action more."""
    actions = tmp_path / "actions"
    shutil.copytree(ROOT / "functions" / "actions", actions, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(FILE, actions)
    with a_world(tmp_path / "world", kubeconfig=kubeconfig, actions=actions) as world:
        yield world


class TestOneMoreAction:
    def test_is_granted_run_by_its_own_service_and_judged_by_its_own_word(self, world):
        scene = Scene(world)
        namespace, _ = scene.patient()
        image = {"containers": [{"name": "app", "image": "registry.example/web:2"}]}
        never = {"metadata": {"annotations": {"emulator.akeso.dev/ready-after": "100000"}}, "spec": image}
        scene.cluster.edit("Deployment", namespace, "web", {"spec": {"template": never}})  # a bad version rolls out

        said = scene.asked("v1/run", {
            "action": "action28", "target": {"kind": "Deployment", "namespace": namespace, "name": "web"},
            "dry_run": False,
        })  # fmt: skip
        incident = scene.until_word("succeeded", namespace)
        scene.settle()

        assert said["action"] == "action28"
        assert scene.cluster.get("Deployment", namespace, "web")["spec"]["paused"] is True
        assert "executor-action28" in world.functions.pids()
        scene.pass_(61)
        scene.until_word("verified", namespace)
        assert scene.lines(incident, "verified")[0]["action"] == "action28"


@pytest.fixture(scope="module")
def tree(tmp_path_factory):
    """A clean working copy, into which the file is copied."""
    tree = tmp_path_factory.mktemp("tree")
    for name in COPIED:
        source = ROOT / name
        if source.is_dir():
            shutil.copytree(source, tree / name, ignore=shutil.ignore_patterns("__pycache__"))
        elif source.exists():
            shutil.copy(source, tree / name)
    _run(tree, "git", "init", "-q")
    _run(tree, "git", "add", "-A")
    _run(tree, "git", "-c", "user.name=x", "-c", "user.email=x@example.org", "commit", "-q", "-m", "as it was")
    assert _run(tree, "git", "status", "--porcelain") == ""
    shutil.copy(FILE, tree / "functions" / "actions")
    return tree


def _run(tree, *command):
    env = {"PATH": os.environ["PATH"], "PYTHONPATH": str(tree), "HOME": str(tree), "PYTHONDONTWRITEBYTECODE": "1"}
    done = subprocess.run(command, cwd=tree, env=env, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-2000:]
    return done.stdout


def _akeso(tree, *words):
    return _run(tree, sys.executable, "-P", "-c", "from shared.cli import main; main()", *words)


class TestTheWorkingCopy:
    def test_shows_one_file(self, tree):
        assert _run(tree, "git", "status", "--porcelain").splitlines() == ["?? functions/actions/action28.py"]

    def test_has_it_among_its_actions(self, tree):
        listed = json.loads(_akeso(tree, "actions", "--json"))["actions"]
        assert [one["risk"] for one in listed if one["name"] == "action28"] == ["low"]

    def test_renders_its_service_account_role_trigger_and_service(self, tree):
        text = _akeso(
            tree,
            "render",
            "--image",
            "akeso:1",
            "--alertmanager",
            "http://alertmanager:9093",
            "--redis-secret",
            "redis",
        )
        kinds = {o["kind"] for o in yaml.safe_load_all(text) if o and "action28" in o["metadata"]["name"]}
        assert {"Service", "ServiceAccount", "ClusterRole", "ClusterRoleBinding", "Trigger"} <= kinds

    def test_offers_it_to_models(self, tree):
        code = (
            "import json\nfrom shared.action.catalogue import Catalogue\nfrom shared.decide.models import answer_schema"
            "\nprint(json.dumps(answer_schema(Catalogue.home().all())))"
        )
        assert "action28" in json.loads(_run(tree, sys.executable, "-P", "-c", code))["properties"]["action"]["enum"]

    def test_holds_it_to_the_contract_of_all_actions(self, tree):
        """Under another name, because the suite looks at the fixture in any case."""
        further = tree / "functions" / "actions" / "action29.py"
        further.write_text(FILE.read_text().replace("action28", "action29"))
        try:
            passed = _run(
                tree, sys.executable, "-P", "-m", "pytest", "-q", "-p", "no:cacheprovider", "-n0",
                "tests/contract/test_actions.py", "-k", "action29", "-rp",
            )  # fmt: skip
        finally:
            further.unlink()
        assert passed.count("PASSED") > 10
        assert "failed" not in passed
