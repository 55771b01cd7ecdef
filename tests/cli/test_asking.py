"""Commands that ask a running installation: their answers, and what their exit statuses mean."""

import json
import re
from pathlib import Path

import pytest

EXAMPLES = Path(__file__).parents[2] / "examples"
TARGET = ("--target", "Deployment/shop/checkout", "--param", "replicas=2")
ATTEMPT = "grant-" + "0" * 20
REASON = ("--reason", "looks right")
WHY = (*REASON, "--by", "eve")


def body(*names):
    alerts = [
        {"status": "firing", "labels": {"alertname": name, "namespace": "shop", "deployment": "checkout"}}
        for name in names
    ]
    return json.dumps({"version": "4", "receiver": "r", "groupKey": "g", "alerts": alerts})


@pytest.mark.usefixtures("ready")
class TestStatus:
    def test_a_person_sees_the_mode_and_the_numbers(self, world, akeso):
        world.heal()
        said = akeso("status")
        assert said.exit_code == 0
        assert re.search(r"^mode +run$", said.stdout, re.MULTILINE)
        assert re.search(r"^attempts +1, 1 writes", said.stdout, re.MULTILINE)

    def test_json_is_the_apis_answer(self, world, akeso):
        assert json.loads(akeso("status", "--json").stdout) == world.ok("GET", "v1/status")

    def test_without_redis_it_is_away(self, akeso, monkeypatch):
        monkeypatch.setenv("AKESO_REDIS__URL", "redis://127.0.0.1:1/0")
        said = akeso("status")
        assert said.exit_code == 3
        assert "redis" in said.stderr


@pytest.mark.usefixtures("ready")
class TestTimeline:
    def test_all_incidents_one_line_each(self, world, akeso):
        assert akeso("timeline").stdout == "no incidents\n"
        incident = world.heal()
        head, line = akeso("timeline").stdout.splitlines()
        assert head.split() == ["INCIDENT", "OPENED", "STATE", "HOW", "FAMILY", "SCOPE"]
        assert line.startswith(incident)
        assert line.endswith("Deployment/shop/checkout")

    def test_one_is_told_line_by_line_with_its_undo(self, world, akeso):
        incident = world.heal()
        said = akeso("timeline", incident)
        assert said.exit_code == 0
        assert "scale_deployment succeeded" in said.stdout
        assert re.search(r"to take it back: akeso undo grant-[0-9a-f]{20} --reason", said.stdout)
        assert json.loads(akeso("timeline", incident, "--json").stdout)["id"] == incident

    def test_a_record_that_does_not_hold_is_a_no(self, world, akeso):
        incident = world.heal()
        key = f"{{akeso}}:default:default:audit:{incident}"
        line = world.here.state.store.read("LINDEX", key, 0)
        world.here.state.store.read("LSET", key, 0, line.replace("replicas", "nothing"))
        said = akeso("timeline", incident)
        assert said.exit_code == 1
        assert "DOES NOT HOLD" in said.stdout

    @pytest.mark.parametrize(("name", "status"), [("inc-0000000000000000", 1), ("../../etc", 2), ("a b", 2)])
    def test_what_is_not_there(self, akeso, name, status):
        assert akeso("timeline", name).exit_code == status


@pytest.mark.usefixtures("ready")
class TestExplain:
    def test_a_file_is_played_through(self, world, akeso, tmp_path):
        world.checkout()
        (tmp_path / "a.json").write_text(body("KubeDeploymentBelowMinimum"))
        said = akeso("explain", tmp_path / "a.json")
        assert said.exit_code == 0
        assert re.search(r"^rule +below-minimum$", said.stdout, re.MULTILINE)
        assert "- 1\n+ 3\n" in said.stdout
        assert "ends: scale_deployment would run" in said.stdout
        assert world.replicas() == 1

    def test_stdin_too(self, akeso):
        said = akeso("explain", "-", "--json", stdin=body("Watchdog"))
        assert json.loads(said.stdout)["alerts"][0]["ends"].startswith("a heartbeat")

    def test_an_incident_is_told_from_its_record(self, world, akeso):
        incident = world.heal()
        said = akeso("explain", incident)
        assert re.search(r"guard +the guard let scale_deployment pass.*\(policy [0-9a-f]{12}\)", said.stdout)

    @pytest.mark.parametrize("example", sorted(path.name for path in EXAMPLES.glob("*.json")))
    def test_the_shipped_examples_are_understood(self, akeso, example):
        assert akeso("explain", EXAMPLES / example).exit_code == 0

    @pytest.mark.parametrize(
        ("what", "stdin", "status"),
        [("no-such-file.json", None, 2), ("-", "{", 2), ("-", "{}", 2), ("inc-0000000000000000", None, 1)],
    )
    def test_what_cannot_be_explained(self, akeso, what, stdin, status):
        assert akeso("explain", what, stdin=stdin).exit_code == status


@pytest.mark.usefixtures("ready")
class TestAlert:
    def test_it_reaches_intake_and_says_so(self, world, akeso, tmp_path):
        (tmp_path / "a.json").write_text(body("KubeDeploymentBelowMinimum", "KubePodNotReady"))
        said = akeso("alert", tmp_path / "a.json")
        assert said.exit_code == 0
        assert said.stdout.startswith("taken: 2 alerts (KubeDeploymentBelowMinimum, KubePodNotReady)")
        assert len(world.sink.events) == 2

    def test_the_same_twice_is_taken_once(self, world, akeso):
        example = EXAMPLES / "healed.json"
        assert [akeso("alert", example).exit_code for _ in range(2)] == [0, 0]
        assert len(world.sink.events) == 1

    def test_the_same_alerts_as_resolved_when_asked_to(self, world, akeso):
        assert akeso("alert", "--resolved", EXAMPLES / "healed.json").exit_code == 0
        (event,) = world.sink.events
        assert event.data["alert"]["status"] == "resolved"
        assert event.data["alert"]["ends_at"] > event.data["alert"]["starts_at"]
        assert akeso("alert", "--resolved", "-", stdin="[]").exit_code == 2

    def test_what_the_broker_does_not_take_is_away(self, world, akeso):
        world.sink.status = 503
        said = akeso("alert", EXAMPLES / "healed.json")
        assert said.exit_code == 3
        assert "not-taken" in said.stderr

    @pytest.mark.parametrize("stdin", ["", "{", "[]", '{"version": "3"}', "\x00\xff"])
    def test_no_webhook_body(self, akeso, stdin):
        assert akeso("alert", "-", stdin=stdin).exit_code == 2

    def test_a_wrong_token_is_bad_input(self, akeso, tmp_path):
        (tmp_path / "token").write_text("wrong")
        said = akeso("alert", "-", "--token-file", tmp_path / "token", stdin=body("Watchdog"))
        assert said.exit_code == 2
        assert "refuses the token" in said.stderr


@pytest.mark.usefixtures("ready")
class TestRun:
    def test_without_yes_it_is_only_shown(self, world, akeso):
        world.checkout()
        said = akeso("run", "scale_deployment", *TARGET)
        assert said.exit_code == 0
        assert "  Deployment/shop/checkout /spec/replicas\n- 1\n+ 2\nguard: approved\n" in said.stdout
        assert world.sink.events == []

    def test_with_yes_it_is_asked_for(self, world, akeso):
        world.checkout()
        said = json.loads(akeso("run", "scale_deployment", *TARGET, *WHY, "--yes", "--json").stdout)
        assert world.sink.events[0].id == said["run"]
        world.drive(world.sink.events[0])
        assert world.replicas() == 2
        assert "ada: looks right asked for a run" in akeso("timeline", said["run"]).stdout

    def test_the_name_is_that_of_the_token_and_not_a_typed_one(self, world, akeso, monkeypatch):
        monkeypatch.setenv("LOGNAME", "grace")
        world.checkout()
        said = json.loads(akeso("run", "scale_deployment", *TARGET, "--yes", "--json", "--by", "heidi").stdout)
        assert said["by"] == "ada"

    def test_a_guard_that_refuses_is_a_no(self, world, akeso):
        world.checkout()
        world.autonomy("observe")
        said = akeso("run", "scale_deployment", *TARGET)
        assert (said.exit_code, said.stdout.splitlines()[-1]) == (1, "guard: denied (check autonomy)")

    def test_an_action_that_refuses_is_a_no(self, world, akeso):
        world.checkout()
        said = akeso("run", "scale_deployment", "--target", "Deployment/shop/checkout", "--param", "replicas=1")
        assert said.exit_code == 1
        assert "refused by the action: nothing-to-do" in said.stdout

    @pytest.mark.parametrize(
        ("args", "status"),
        [
            (["scale_deployment"], 2),
            (["scale_deployment", "--target", "checkout"], 2),
            (["scale_deployment", "--target", "a/b/c/d"], 2),
            (["scale_deployment", "--target", "Secret/shop/x"], 2),
            (["scale_deployment", "--target", "Deployment/shop/gone", "--param", "replicas=2"], 1),
            (["scale_deployment", "--target", "Deployment/shop/x", "--param", "replicas"], 2),
            (["scale_deployment", "--target", "Deployment/shop/x", "--param", "replicas=-1"], 2),
            (["scale_deployment", "--target", "Deployment/shop/x", "--param", "replicas=[[1]]"], 2),
            (["scale_deployment", "--target", "Deployment/shop/x"], 2),
            (["rm", "--target", "Deployment/shop/x"], 2),
            (["Rm -rf", "--target", "Deployment/shop/x"], 2),
        ],
    )
    def test_bad_input(self, world, akeso, args, status):
        said = akeso("run", *args)
        assert said.exit_code == status
        assert said.stderr
        assert world.cluster.writes() == []


@pytest.mark.usefixtures("ready")
class TestAnswers:
    @pytest.fixture
    def held(self, world):
        world.autonomy("approve")
        return world.heal()

    def test_yes(self, world, held, akeso):
        said = akeso("approve", held, *REASON)
        assert said.exit_code == 0
        assert said.stdout.splitlines()[0].endswith(f"of {held}, by ada")
        world.drive(world.sink.events[0])
        assert world.replicas() == 3

    def test_no(self, world, held, akeso):
        assert json.loads(akeso("deny", held, *REASON, "--json").stdout)["answer"] == "deny"
        assert akeso("approve", held, *REASON).exit_code == 1
        assert world.replicas() == 1

    def test_take_it_back(self, world, akeso):
        incident = world.heal()
        attempt = world.ok("GET", f"v1/incidents/{incident}")["attempts"][0]["id"]
        said = akeso("undo", attempt, *WHY)
        assert said.stdout.strip().endswith(f"akeso timeline {incident}")
        world.drive(world.sink.events[0])
        assert world.replicas() == 1
        assert akeso("undo", attempt, *WHY).exit_code == 1

    @pytest.mark.parametrize("word", ["approve", "deny"])
    @pytest.mark.parametrize(
        ("args", "status"), [([], 2), (["inc-1"], 2), (["inc-1", *REASON], 1), (["a/b", *REASON], 2),
                             (["inc-1", "--reason", ""], 2), (["inc-1", *REASON, "--hold", "x"], 2),
                             (["inc-1", *REASON, "--by", "bo"], 2), (["hold-0123456789abcdef", *REASON], 1)],
    )  # fmt: skip
    def test_bad_input(self, akeso, word, args, status):
        assert akeso(word, *args).exit_code == status

    @pytest.mark.parametrize(
        ("args", "status"), [([], 2), (["grant-1", *WHY], 2), ([ATTEMPT], 2), ([ATTEMPT, *WHY], 1)],
    )  # fmt: skip
    def test_bad_undo(self, akeso, args, status):
        assert akeso("undo", *args).exit_code == status


@pytest.mark.usefixtures("ready")
class TestModes:
    @pytest.mark.parametrize(("word", "mode"), [("stop", "stop"), ("freeze", "freeze"), ("resume", "run")])
    def test_each_is_set_with_name_and_reason(self, world, akeso, word, mode):
        if word == "resume":
            akeso("stop", *WHY)
        said = akeso(word, *WHY)
        lifted = "lifted: stop: looks right, by ada\n" if word == "resume" else ""
        assert said.stdout == f"mode {mode}, by ada: looks right\n{lifted}"
        assert world.ok("GET", "v1/status")["mode"] == mode

    @pytest.mark.parametrize("word", ["stop", "freeze", "resume"])
    @pytest.mark.parametrize("args", [[], ["--reason", ""], ["--reason", "a\nb"], ["--reason", "x", "--by", " "]])
    def test_none_without_a_reason(self, world, akeso, word, args):
        assert akeso(word, *args).exit_code == 2
        assert world.ok("GET", "v1/status")["mode"] == "run"

    def test_a_part_is_named_in_the_answer_and_in_the_status(self, akeso):
        said = akeso("stop", "--namespace", "shop", *WHY)
        assert said.stdout == "mode stop for namespace shop, by ada: looks right\n"
        shown = akeso("status").stdout
        assert "mode       run\n" in shown
        assert "held       namespace shop (stop: looks right, by ada)\n" in shown

    def test_what_is_still_held_is_told_when_something_is_let_go(self, akeso):
        akeso("freeze", "--tenant", "bank", "--cluster", "prod", *WHY)
        akeso("stop", "--action", "restart_pod", *WHY)
        said = akeso("resume", "--action", "restart_pod", *WHY)
        assert said.stdout.splitlines() == [
            "mode run for action restart_pod, by ada: looks right",
            "lifted: stop: looks right, by ada",
            "still held: cluster bank.prod (freeze: looks right, by ada)",
        ]

    def test_that_everything_is_still_stopped_is_told_when_a_part_is_let_go(self, akeso):
        akeso("stop", *WHY)
        said = akeso("resume", "--namespace", "nowhere", *WHY)
        assert said.stdout.splitlines()[1:] == [
            "note: nothing was stopped there", "everything is still stopped: stop: looks right",
        ]  # fmt: skip

    @pytest.mark.parametrize("word", ["stop", "freeze", "resume"])
    @pytest.mark.parametrize(
        "part", [["--namespace", "Shop"], ["--namespace", "a", "--action", "restart_pod"], ["--tenant", "a.b"]]
    )
    def test_a_part_that_nobody_could_mean(self, world, akeso, word, part):
        assert akeso(word, *part, *WHY).exit_code == 2
        assert world.ok("GET", "v1/status")["scopes"] == {}

    def test_kubernetes_away(self, world, akeso):
        world.cluster.fault(kind="ConfigMap", verb="patch", status=500)
        assert akeso("stop", *WHY).exit_code == 3


class TestFinding:
    def test_by_the_environment(self, ready, akeso, monkeypatch):
        monkeypatch.delenv("AKESO_READY_FILE")
        monkeypatch.setenv("AKESO_API", ready["api_url"])
        monkeypatch.setenv("AKESO_TOKEN_FILE", ready["token_file"])
        assert akeso("status").exit_code == 0

    def test_by_the_ready_files_default_place(self, ready, akeso, monkeypatch):
        monkeypatch.delenv("AKESO_READY_FILE")
        place = Path("build/dev/ready.json")
        place.parent.mkdir(parents=True)
        place.write_text(json.dumps(ready))
        assert akeso("status").exit_code == 0

    def test_there_is_none(self, akeso):
        said = akeso("status")
        assert said.exit_code == 3
        assert "akeso dev" in said.stderr
        assert akeso("alert", "-", stdin="{}").exit_code == 3

    @pytest.mark.parametrize("url", ["ftp://x", "nonsense", "http://", "http://[", "http://x:99999999"])
    def test_an_address_that_is_none(self, akeso, monkeypatch, url):
        monkeypatch.setenv("AKESO_API", url)
        assert akeso("status").exit_code == 2

    def test_nothing_answers_there(self, akeso, monkeypatch):
        monkeypatch.setenv("AKESO_API", "http://127.0.0.1:1")
        said = akeso("status")
        assert said.exit_code == 3
        assert "nothing answers at http://127.0.0.1:1" in said.stderr

    def test_something_else_answers_there(self, ready, akeso, monkeypatch):
        monkeypatch.setenv("AKESO_API", ready["broker_url"] + "/services/nobody")
        assert akeso("status").exit_code in (1, 3)

    @pytest.mark.usefixtures("ready")
    def test_a_wrong_token(self, akeso, monkeypatch, tmp_path):
        (tmp_path / "token").write_text("wrong")
        monkeypatch.setenv("AKESO_TOKEN_FILE", str(tmp_path / "token"))
        said = akeso("status")
        assert said.exit_code == 2
        assert "refuses the token" in said.stderr

    @pytest.mark.parametrize("text", ["", "{", "[]", "\x00"])
    def test_a_ready_file_that_is_none(self, akeso, monkeypatch, tmp_path, text):
        (tmp_path / "r").write_text(text)
        monkeypatch.setenv("AKESO_READY_FILE", str(tmp_path / "r"))
        assert akeso("status").exit_code == 2

    def test_a_token_file_that_is_not_there(self, akeso, monkeypatch):
        monkeypatch.setenv("AKESO_API", "http://127.0.0.1:1")
        monkeypatch.setenv("AKESO_TOKEN_FILE", "/nowhere/token")
        assert akeso("status").exit_code == 2
