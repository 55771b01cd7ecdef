"""The layers hold, and each rule of `.importlinter` bites.

Checked on a copy in which each function's folder has an `__init__.py`: the linter does not look into folders without
one below a package, and a function that only functions-framework loads needs none.
"""

import ast
import configparser
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from shared.event.types import FUNCTIONS

ROOT = Path(__file__).parents[2]
RULES = configparser.ConfigParser()
RULES.read(ROOT / ".importlinter")

# What each rule must catch: the file that breaks it, and the line that it gets.
BROKEN = {
    "layers": [
        ("shared/state/due.py", "from shared.event import codec"),
        ("shared/event/make.py", "from shared.guard import policy"),
        ("shared/kube/scope.py", "from shared.state import client"),
        ("shared/guard/grant.py", "from shared.people import no"),
        ("shared/audit/chain.py", "import shared.dev.redis"),
        ("shared/dev/cluster.py", "from shared.cli import app"),
        ("shared/model/base.py", "from shared.settings import Settings"),
    ],
    "one-way": [("shared/action/catalogue.py", "from functions.actions import notify_only")],
    "pods": [
        ("functions/guard/main.py", "from shared.dev import cluster"),
        ("functions/actions/notify_only.py", "from shared.cli import app"),
    ],
    "functions": [
        ("functions/guard/main.py", "from functions.router.main import route"),
        ("functions/executor/main.py", "from functions.actions import notify_only"),
    ],
    "kubernetes": [
        ("functions/triage/main.py", "import kubernetes"),
        ("shared/kube/facts.py", "from kubernetes import client"),
    ],
    "redis": [("functions/guard/main.py", "import redis"), ("shared/state/transitions.py", "import redis")],
    "cloudevents": [
        ("functions/guard/main.py", "from cloudevents.http import CloudEvent"),
        ("shared/event/app.py", "import cloudevents"),
    ],
    "http-server": [
        ("functions/api/main.py", "from flask import Request"),
        ("shared/event/codec.py", "from werkzeug import Request"),
        ("functions/api/main.py", "import functions_framework"),
    ],
    "terminal": [("shared/people/page.py", "import rich"), ("functions/api/main.py", "import typer")],
    "servers-at-home": [("shared/event/sink.py", "import aiohttp")],
}


@pytest.fixture
def tree(tmp_path):
    """A copy of the code that may be broken."""
    skip = shutil.ignore_patterns("__pycache__", "*.lua", "*.yaml")
    for top in ("functions", "shared"):
        shutil.copytree(ROOT / top, tmp_path / top, ignore=skip)
    for function in FUNCTIONS:
        (tmp_path / "functions" / function / "__init__.py").touch()
    shutil.copy(ROOT / ".importlinter", tmp_path)
    return tmp_path


def lint(tree, *options):
    """Whether all contracts are kept, and what the linter says."""
    env = {"PATH": os.environ["PATH"], "PYTHONPATH": str(tree), "NO_COLOR": "1"}
    line = [Path(sys.executable).with_name("lint-imports"), "--no-cache", "--no-logo", *options]
    done = subprocess.run(line, cwd=tree, env=env, capture_output=True, text=True, check=False)
    assert done.returncode in {0, 1}, done.stdout + done.stderr
    return done.returncode == 0, done.stdout + done.stderr


class TestTheTree:
    def test_keeps_every_rule(self, tree):
        kept, said = lint(tree)
        assert kept, said

    def test_keeps_every_rule_as_it_stands(self):
        kept, said = lint(ROOT)
        assert kept, said


class TestEachRule:
    def test_is_tried_here(self):
        assert {f"importlinter:contract:{rule}" for rule in BROKEN} == set(RULES.sections()) - {"importlinter"}

    @pytest.mark.parametrize("rule", BROKEN)
    def test_catches_what_it_forbids(self, tree, rule):
        for file, line in BROKEN[rule]:
            (tree / file).write_text(f"{(tree / file).read_text()}\n{line}\n")
        kept, said = lint(tree, "--contract", rule)
        assert not kept
        for file, _ in BROKEN[rule]:
            assert f"{file.removesuffix('.py').replace('/', '.')} -> " in said

    def test_a_new_package_must_find_its_place(self, tree):
        (tree / "shared" / "placeless.py").touch()
        kept, said = lint(tree, "--contract", "layers")
        assert not kept
        assert "placeless" in said


class TestAFunctionIsPlain:
    """Beside the linter, which sees what is imported and not how a file is written."""

    @pytest.mark.parametrize("function", FUNCTIONS)
    def test_knows_neither_http_nor_cloudevents(self, function):
        tree = ast.parse((ROOT / "functions" / function / "main.py").read_text())
        names = {
            alias.name.partition(".")[0]
            for node in ast.walk(tree)
            if isinstance(node, ast.Import)
            for alias in node.names
        }
        names |= {node.module.partition(".")[0] for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)}
        assert not names & {"flask", "werkzeug", "cloudevents", "functions_framework", "httpx", "http", "requests"}

    @pytest.mark.parametrize("function", FUNCTIONS)
    def test_is_a_typed_function_that_is_served_by_its_folders_name(self, function):
        tree = ast.parse((ROOT / "functions" / function / "main.py").read_text())
        last = tree.body[-1]
        assert isinstance(last, ast.Assign)
        assert [target.id for target in last.targets] == [function]
        served, name, work = last.value.func.id, last.value.args[0].value, last.value.args[1].id
        assert served in {"serve", "serve_web"}
        assert name == function
        (plain,) = [node for node in tree.body if isinstance(node, ast.FunctionDef) and node.name == work]
        assert plain.returns is not None
        assert all(argument.annotation is not None for argument in plain.args.args)

    def test_stands_in_a_folder_of_its_own(self):
        folders = {path.parent.name for path in (ROOT / "functions").glob("*/main.py")}
        assert folders == set(FUNCTIONS)
