"""What was there before an attempt: shown to whoever may look, named where people read, and a clear no without it."""

import json

import pytest

from shared.channels import deliver

HERE = "{akeso}:default:default:"
LOG = "emulator.akeso.dev/log"
NOBODY = "grant-" + "0" * 20


class Tickets:
    def __init__(self):
        self.opened = []

    def open(self, ticket):
        self.opened.append(ticket)
        return "t-1"

    def update(self, reference, ticket):
        assert reference == "t-1"
        self.opened.append(ticket)

    def close(self, reference, text):
        assert reference == "t-1"
        assert text


@pytest.fixture
def kept(world, attempt):
    world.here.state.store.read("SET", f"{HERE}evidence:{attempt}", "evidence at X\n| it said no\n")
    return attempt


class TestEvidence:
    def test_is_shown_to_whoever_may_look(self, world, kept, incident):
        said = world.ok("GET", f"v1/evidence/{kept}", token=world.shared)
        assert said["text"] == "evidence at X\n| it said no\n"
        assert (said["incident"], said["action"]) == (incident, "scale_deployment")

    def test_outlives_the_record_of_its_attempt(self, world, kept):
        world.here.state.store.read("DEL", f"{HERE}attempt:{kept}")
        assert world.ok("GET", f"v1/evidence/{kept}")["text"].startswith("evidence at X")

    def test_is_not_shown_to_a_stranger(self, world, kept):
        assert world.ask("GET", f"v1/evidence/{kept}", token=world.person("eve", "run"))[0] == 403

    def test_is_named_by_the_timeline(self, world, kept, incident):
        (one,) = world.ok("GET", f"v1/incidents/{incident}")["attempts"]
        assert one["evidence"] == f"akeso evidence {kept}"

    def test_is_named_by_the_ticket(self, world, kept, incident, monkeypatch):
        tickets = Tickets()
        monkeypatch.setattr(deliver, "channel", lambda _: tickets)
        deliver.tell(world.here, world.cause("escalate"), incident, ["why"], "")
        assert f"akeso evidence {kept}" in tickets.opened[0].commands


class TestARemedy:
    def test_leaves_behind_how_it_was_before(self, world, attempt):
        text = world.ok("GET", f"v1/evidence/{attempt}")["text"]
        assert world.replicas() == 3
        assert "replicas: 1 wanted, 1 ready" in text

    def test_tells_on_its_target_who_has_changed_it(self, world, attempt):
        (event,) = world.cluster.all("Event", "shop")
        assert event["involvedObject"]["uid"] == world.cluster.get("Deployment", "shop", "checkout")["metadata"]["uid"]
        assert event["reason"] == "AkesoScaleDeployment"
        assert f"akeso evidence {attempt}" in event["message"]


class TestOnlyLooking:
    @pytest.fixture
    def look(self, world):
        def look(action="collect_diagnostics"):
            target = {"kind": "Deployment", "namespace": "shop", "name": "checkout"}
            run = {"action": action, "target": target, "by": "ada", "reason": "why", "dry_run": False}
            world.ok("POST", "v1/run", run)
            return world.drive(world.sink.events[-1])[-1]

        return look

    def test_writes_nothing_and_tells_a_person_the_most_and_how_to_see_the_rest(self, world, look):
        world.checkout()
        (pod,) = world.cluster.all("Pod", "shop")
        said = {"metadata": {"annotations": {LOG: "up\npanic: no table, password=hunter2hunter2\n"}}}
        world.cluster.edit("Pod", "shop", pod["metadata"]["name"], said)
        before = world.cluster.get("Deployment", "shop", "checkout")
        told = look()
        assert told.type == "remediation.succeeded"
        assert "panic: no table, password=[redacted]" in told.data.text
        assert told.data.text.endswith(f"akeso evidence {told.data.attempt}")
        kept = world.ok("GET", f"v1/evidence/{told.data.attempt}")["text"]
        assert "| up" in kept
        assert "hunter2" not in kept + told.data.text
        assert world.cluster.writes() == []
        assert world.cluster.get("Deployment", "shop", "checkout") == before

    def test_goes_on_while_the_machine_is_stopped(self, world, look):
        world.checkout()
        world.ok("POST", "v1/stop", {"mode": "stop", "reason": "why", "by": "ada"})
        assert look().type == "remediation.succeeded"


class TestWithoutOne:
    def test_nobody_names_it(self, world, incident, attempt, monkeypatch):
        world.here.state.store.read("DEL", f"{HERE}evidence:{attempt}")
        tickets = Tickets()
        monkeypatch.setattr(deliver, "channel", lambda _: tickets)
        deliver.tell(world.here, world.cause("escalate"), incident, ["why"], "")
        assert "akeso evidence" not in json.dumps(tickets.opened[0].commands)
        assert world.ok("GET", f"v1/incidents/{incident}")["attempts"][0]["evidence"] == ""

    def test_an_attempt_is_told_so(self, world, attempt):
        world.here.state.store.read("DEL", f"{HERE}evidence:{attempt}")
        status, said = world.ask("GET", f"v1/evidence/{attempt}")
        assert (status, said["error"]) == (404, "not-found")
        assert said["text"].startswith(f"no evidence of {attempt}: none was taken before it began")

    def test_one_that_nobody_knows_is_told_so(self, world):
        status, said = world.ask("GET", f"v1/evidence/{NOBODY}")
        assert status == 404
        assert "nobody knows such an attempt" in said["text"]

    @pytest.mark.parametrize("name", ["*", "a/b", "x" * 81, "grant-%2A", ""])
    def test_a_name_that_is_none_finds_nothing(self, world, kept, name):
        assert kept
        assert world.ask("GET", f"v1/evidence/{name}")[0] == 404
