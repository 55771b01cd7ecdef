"""Commands about what was there before, and about what can still be taken back."""

import json

import pytest

HERE = "{akeso}:default:default:"
WHY = ("--reason", "looks right")


@pytest.fixture
def attempt(world):
    return world.ok("GET", f"v1/incidents/{world.heal()}")["attempts"][0]


@pytest.fixture
def kept(world, attempt):
    world.here.state.store.read("SET", f"{HERE}evidence:{attempt['id']}", "evidence at X\n| it \x1b[2Jsaid no\n")
    return attempt["id"]


@pytest.mark.usefixtures("ready")
class TestEvidence:
    def test_is_printed_line_by_line_and_moves_no_cursor(self, akeso, kept):
        said = akeso("evidence", kept)
        assert said.exit_code == 0
        assert said.stdout.splitlines() == ["evidence at X", "| it \ufffd[2Jsaid no"]

    def test_json_is_the_apis_answer(self, world, akeso, kept):
        assert json.loads(akeso("evidence", kept, "--json").stdout) == world.ok("GET", f"v1/evidence/{kept}")

    def test_that_is_not_there_is_a_no_with_its_reason(self, akeso):
        said = akeso("evidence", "grant-" + "0" * 20)
        assert said.exit_code == 1
        assert "nobody knows such an attempt" in said.stderr

    @pytest.mark.parametrize("args", [[], ["a/b"], ["x" * 81]])
    def test_bad_input(self, akeso, args):
        assert akeso("evidence", *args).exit_code == 2

    def test_is_named_by_the_timeline(self, world, akeso, kept):
        incident = world.ok("GET", f"v1/evidence/{kept}")["incident"]
        assert f"what was there before: akeso evidence {kept}\n" in akeso("timeline", incident).stdout


@pytest.mark.usefixtures("ready")
class TestUndoList:
    def test_tells_each_attempt_what_it_wrote_and_how_to_take_it_back(self, world, akeso, attempt):
        incident = world.ok("GET", "v1/incidents")["incidents"][0]["id"]
        said = akeso("undo", "--list", incident)
        assert said.exit_code == 0
        assert f"undo     akeso undo {attempt['id']} --reason ...\n" in said.stdout
        assert "- 1\n+ 3\n" in said.stdout

    def test_tells_why_not(self, world, akeso, attempt):
        world.cluster.edit("Deployment", "shop", "checkout", {"spec": {"replicas": 7}})
        incident = world.ok("GET", "v1/incidents")["incidents"][0]["id"]
        assert attempt
        assert "undo     no: others changed" in akeso("undo", "--list", incident).stdout

    def test_json_is_the_apis_answer(self, world, akeso, attempt):
        incident = world.ok("GET", "v1/incidents")["incidents"][0]["id"]
        assert attempt
        said = json.loads(akeso("undo", "--list", incident, "--json").stdout)
        assert said == world.ok("GET", f"v1/incidents/{incident}/undo")

    @pytest.mark.parametrize(
        ("args", "status"),
        [(["grant-" + "0" * 20, "--list", "inc-1", *WHY], 2), (["--list", "a/b"], 2), (["--list", "inc-1"], 1),
         (["--list", ""], 2), (WHY, 2)],
    )  # fmt: skip
    def test_bad_input(self, akeso, args, status):
        assert akeso("undo", *args).exit_code == status
