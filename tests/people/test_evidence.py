"""What was there before an attempt: shown to whoever may look, named where people read, and a clear no without it."""

import json

import pytest

from shared.channels import deliver

HERE = "{akeso}:default:default:"
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
def incident(world):
    return world.heal()


@pytest.fixture
def attempt(world, incident):
    return world.ok("GET", f"v1/incidents/{incident}")["attempts"][0]["id"]


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


class TestWithoutOne:
    def test_nobody_names_it(self, world, incident, attempt, monkeypatch):
        tickets = Tickets()
        monkeypatch.setattr(deliver, "channel", lambda _: tickets)
        deliver.tell(world.here, world.cause("escalate"), incident, ["why"], "")
        assert attempt
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
