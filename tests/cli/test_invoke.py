"""Each function alone: the example that `invoke` makes is taken, the forged one is refused, in every form."""

import json
import subprocess

import pytest

from shared.action.catalogue import Catalogue
from shared.cli._examples import Example
from shared.dev import tickets
from shared.event import codec, sign
from shared.event.types import FUNCTIONS, TYPES, short
from tests.cli.serving import MODULES, serving

SUBSCRIBED = sorted(short(name) for name, known in TYPES.items() if known.subscriber)
# What a forged request is told: a dead letter is never answered with an error, the sweeper knows only pings.
FORGED = dict.fromkeys(FUNCTIONS, 403) | {"deadletter": 204, "sweeper": 400}


@pytest.fixture
def functions(world, monkeypatch, tmp_path):
    monkeypatch.setenv("AKESO_ACTION", "scale_deployment")
    with tickets.start(tmp_path / "tickets") as desk, serving(*MODULES) as base:
        monkeypatch.setenv("AKESO_TICKETS__URL", desk.url)
        yield base


@pytest.fixture
def invoke(world, functions, akeso):
    def invoked(function, *args):
        service = "executor-scale-deployment" if function == "executor" else function
        return akeso("invoke", function, "--url", f"{functions}/services/{service}", "--secrets", world.folder, *args)

    return invoked


@pytest.mark.parametrize("form", [[], ["--structured"]], ids=["binary", "structured"])
@pytest.mark.parametrize("function", FUNCTIONS)
class TestEachFunction:
    def test_takes_its_example(self, invoke, function, form):
        said = invoke(function, *form, "--json")
        assert said.exit_code == 0
        assert json.loads(said.stdout)["status"] in (200, 204)

    def test_refuses_a_forged_one_without_a_trace(self, world, invoke, function, form):
        before = world.keys()
        said = invoke(function, *form, "--forged", "--json")
        assert json.loads(said.stdout)["status"] == FORGED[function]
        assert said.exit_code == int(FORGED[function] >= 300)
        assert world.keys() == before

    def test_the_printed_line_does_the_same(self, invoke, function, form):
        for forged, wanted in ([], (200, 204)), (["--forged"], (FORGED[function],)):
            line = invoke(function, *form, *forged, "--print-curl").stdout
            answered = subprocess.run(["/bin/bash", "-c", line], capture_output=True, text=True, check=True)
            assert int(answered.stdout.split()[1]) in wanted


class TestExamples:
    @pytest.mark.parametrize("name", SUBSCRIBED)
    def test_every_type_is_true_to_its_schema_and_signed(self, world, name):
        function = TYPES[f"dev.akeso.{name}.v1"].subscriber
        made = Example(world.folder, Catalogue.home(), "restart_pod").request(
            function, name, None, forged=False, structured=False
        )
        event = codec.decode(made.headers, made.body)
        sign.verify(event, [(world.folder / "event-hmac").read_bytes()])
        TYPES[event.type].schema.model_validate(event.data)

    @pytest.mark.parametrize("action", Catalogue.home().names())
    def test_every_action_can_be_the_example(self, world, action):
        made = Example(world.folder, Catalogue.home(), action).request(
            "executor", "", None, forged=False, structured=False
        )
        assert codec.decode(made.headers, made.body).get("action") == action

    def test_two_are_never_the_same_event(self, world):
        one = Example(world.folder, Catalogue.home(), "restart_pod")
        made = [one.request("guard", "", None, forged=False, structured=False) for _ in range(2)]
        assert len({codec.decode(each.headers, each.body).id for each in made}) == 2

    def test_data_of_ones_own_is_signed(self, invoke, tmp_path):
        (tmp_path / "d.json").write_text(json.dumps({"incident": "inc-1", "wish": {"reason": "look"}}))
        said = invoke("triage", "--type", "remediation.requested", "--data", tmp_path / "d.json")
        assert said.exit_code == 0
        (tmp_path / "d.json").write_text(json.dumps({"incident": 7}))
        wrong = invoke("triage", "--type", "remediation.requested", "--data", tmp_path / "d.json")
        assert (wrong.exit_code, "schema" in wrong.stdout) == (1, True)


class TestSecrecy:
    @pytest.mark.parametrize("function", FUNCTIONS)
    def test_no_line_holds_a_secret(self, world, akeso, function):
        line = akeso("invoke", function, "--secrets", world.folder, "--print-curl").stdout
        for name in ("event-hmac", "webhook-token", "api-token"):
            assert (world.folder / name).read_text().strip() not in line


class TestBadInput:
    @pytest.mark.parametrize(
        ("args", "status"),
        [
            (["nobody"], 2),
            (["guard", "--type", "no.such"], 2),
            (["guard", "--action", "no_such"], 2),
            (["guard", "--data", "/nowhere/data"], 2),
            (["guard", "--secrets", "/nowhere"], 2),
            (["guard", "--url", "http://127.0.0.1:1"], 3),
            (["guard", "--type", "alert.firing"], 1),
        ],
    )
    def test_is_one_line(self, invoke, args, status):
        assert invoke(*args).exit_code == status

    @pytest.mark.parametrize("text", ["", "{", "[]", "7"])
    def test_data_that_is_no_object(self, invoke, tmp_path, text):
        (tmp_path / "d").write_text(text)
        assert invoke("guard", "--data", tmp_path / "d").exit_code == 2

    def test_without_keys(self, akeso, tmp_path):
        assert akeso("invoke", "guard").exit_code == 2
        (tmp_path / "empty").mkdir()
        said = akeso("invoke", "guard", "--secrets", tmp_path / "empty")
        assert said.exit_code == 3
        assert "event-hmac" in said.stderr

    @pytest.mark.usefixtures("ready")
    def test_a_running_installation_is_found(self, akeso):
        assert akeso("invoke", "api").exit_code == 0
        assert akeso("invoke", "intake").exit_code == 0
