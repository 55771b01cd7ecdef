"""Commands about what waits, what holds the machine back, and whom a token names."""

import json
import re

import pytest

from shared import clock
from shared.cli import _out

WHY = ("--reason", "looks right")
RISK = {"score": 55, "parts": {"action": 20, "hour": 35}}
PRICE = {"touches": {"unit": "pod", "count": 2, "population": 3}, "pods": 2, "downtime_s": 30, "undo": True}
HERE = "{akeso}:default:default:"


@pytest.fixture
def held(world):
    world.autonomy("approve")
    return world.heal()


def write(world, key, **fields):
    texts = {name: value if isinstance(value, str) else json.dumps(value) for name, value in fields.items()}
    world.here.state.store.read("HSET", key, *(part for pair in texts.items() for part in pair))


@pytest.fixture
def as_(world, tmp_path, monkeypatch):
    """Type as somebody else from now on."""

    def become(name, *verbs, token=None, **where):
        (tmp_path / f"{name}.token").write_text(token or world.person(name, *verbs, **where))
        monkeypatch.setenv("AKESO_TOKEN_FILE", str(tmp_path / f"{name}.token"))

    return become


@pytest.mark.usefixtures("ready")
class TestApprovals:
    def test_all_that_a_person_needs_to_say_yes(self, world, held, akeso):
        write(world, f"{HERE}hold:{held}", risk=RISK, price=PRICE, needs="2", given=["bo"], author="cy")
        said = akeso("approvals")
        assert said.exit_code == 0
        for line in (
            rf"incident +{held}", r"action +scale_deployment at Deployment/shop/checkout",
            r"risk +55 of 100 \(action 20, hour 35\)", r"price +disturbs 2 of 3 pods", r"until .* min .* left",
            r"asked by +cy", r"needs +2 people, 1 more", r"yes from +bo", r"may answer +whoever has the verb approve",
            r"- 1", r"\+ 3", rf"akeso approve {held} --reason \.\.\.",
        ):  # fmt: skip
            assert re.search(f"^{line}", said.stdout, re.MULTILINE), line

    def test_json_is_the_apis_answer(self, world, held, akeso):
        (one,) = json.loads(akeso("approvals", "--json").stdout)["holds"]
        assert one["incident"] == held
        assert one["plan"] == world.ok("GET", "v1/holds")["holds"][0]["plan"]

    def test_nothing_waits(self, akeso):
        assert akeso("approvals").stdout == "nothing waits for a yes\n"


@pytest.mark.usefixtures("ready")
class TestWhoseToken:
    def test_names_the_approver(self, world, held, akeso, as_):
        as_("bo", "approve")
        assert akeso("approve", held, *WHY).stdout.splitlines()[0].endswith(", by bo")
        world.drive(world.sink.events[0])
        assert world.replicas() == 3

    def test_without_the_role_is_a_no_that_names_it(self, world, held, akeso, as_):
        as_("eve", "get")
        said = akeso("approve", held, *WHY)
        assert said.exit_code == 1
        assert "eve may not approve for scale_deployment: no role gives `approve`" in said.stderr
        assert world.sink.events == []

    @pytest.mark.parametrize("word", ["approve", "deny"])
    def test_that_is_the_shared_one_is_the_wrong_file(self, world, held, akeso, as_, word):
        as_("shared", token=world.shared)
        said = akeso(word, held, *WHY)
        assert said.exit_code == 2
        assert "AKESO_TOKEN_FILE" in said.stderr
        assert akeso("status").exit_code == 0

    def test_that_nobody_knows_is_the_wrong_file(self, held, akeso, as_):
        as_("nobody", token="of-nobody")
        said = akeso("approve", held, *WHY)
        assert (said.exit_code, "refuses the token" in said.stderr) == (2, True)

    def test_cannot_be_judged_while_kubernetes_is_away(self, world, held, akeso):
        world.cluster.fault(kind="TokenReview", status=500, times=2)
        assert akeso("approve", held, *WHY).exit_code == 3
        assert akeso("approve", held, *WHY).exit_code == 0


@pytest.mark.usefixtures("ready")
class TestALateAnswer:
    def test_says_who_was_first(self, held, akeso, as_):
        assert akeso("approve", held, *WHY).exit_code == 0
        as_("bo")
        said = akeso("deny", held, *WHY)
        assert said.exit_code == 1
        assert re.search(r"waits no longer: ada said yes to it at 20", said.stderr)

    def test_names_the_deadline(self, world, held, akeso):
        write(world, f"{HERE}hold:{held}", deadline=str(clock.now_ms() - 1000))
        said = akeso("approve", held, *WHY)
        assert (said.exit_code, "has expired" in said.stderr) == (1, True)
        assert "over" in akeso("approvals").stdout


@pytest.mark.usefixtures("ready")
class TestGuard:
    def test_tells_what_stands_in_the_way_and_for_how_long(self, world, akeso):
        now = clock.now_ms()
        later = str(now + 12_500_000)
        write(world, "{akeso}:stop", **{"namespace.shop": "stop: bad deploy"})
        write(world, "{akeso}:policy", rate_minute="1", breaker_failures="5", promote_after="1", windows=[
            {"name": "night", "kind": "maintenance", "at": [[now - 1000, now + 12_500_000]]},
        ])  # fmt: skip
        world.here.state.store.read("ZADD", HERE + "rate", now, "g1|restart_pod|shop|pod|1|")
        write(world, HERE + "breaker:restart_pod:Pod", state="open", open_until=later, fails=[])
        write(world, HERE + "live", g1=f"{later}|1|restart_pod|shop|scope||Deployment/shop/web")
        write(world, HERE + "storm", since=str(now), why="too much at once")
        write(world, f"{HERE}scope:{1:040x}", name="Deployment/shop/web", cooldown_until=later, **{
            "cap:restart_pod": "approve", "record:restart_pod": {"row": 3, "n": 3, "bad": 0},
        })  # fmt: skip
        said = akeso("guard")
        assert said.exit_code == 0
        for line in (
            r"mode +run", r"stop of +namespace\.shop bad deploy", r"maintenance +night: open for 3 h \d+ min",
            r"storm +since 20.*: too much at once", r"rate-minute +1 of 1 +in ",
            r"restart_pod +Pod +open +0 of 5 +3 h \d+ min",
            r"restart_pod +Deployment/shop/web +scope +runs +g1 +3 h \d+ min",
            r"Deployment/shop/web +3 h \d+ min", r"restart_pod +Deployment/shop/web +approve +3 +0 of 3",
            r"has earned it: akeso promote restart_pod Deployment/shop/web --reason \.\.\.",
        ):  # fmt: skip
            assert re.search(f"^{line}", said.stdout, re.MULTILINE), (line, said.stdout)

    def test_json_is_the_apis_answer(self, akeso):
        assert json.loads(akeso("guard", "--json").stdout)["stop"]["mode"] == "run"

    def test_without_redis_it_is_away(self, akeso, monkeypatch):
        monkeypatch.setenv("AKESO_REDIS__URL", "redis://127.0.0.1:1/0")
        assert akeso("guard").exit_code == 3


@pytest.mark.usefixtures("ready")
class TestPromote:
    @pytest.mark.parametrize(
        ("args", "status"),
        [
            ([], 2), (["scale_deployment"], 2), (["scale_deployment", "Deployment/shop/checkout"], 2),
            (["scale_deployment", "checkout", *WHY], 2), (["rm", "Deployment/shop/checkout", *WHY], 2),
            (["scale_deployment", "Secret/shop/x", *WHY], 2), (["scale_deployment", "Deployment/shop/gone", *WHY], 1),
            (["scale_deployment", "Deployment/shop/checkout", "--reason", ""], 2),
            (["scale_deployment", "Deployment/shop/checkout", *WHY], 1),
        ],
    )  # fmt: skip
    def test_what_cannot_be_promoted(self, world, akeso, args, status):
        world.checkout()
        assert akeso("promote", *args).exit_code == status


@pytest.mark.usefixtures("ready")
class TestExplainNow:
    def test_what_waits_is_told_with_its_risk(self, world, held, akeso):
        write(world, f"{HERE}hold:{held}", risk=RISK, price=PRICE)
        said = akeso("explain", held).stdout
        assert re.search(r"^waits +hold-[0-9a-f]{16} until 20", said, re.MULTILINE)
        assert re.search(r"^risk +55 of 100", said, re.MULTILINE)
        assert "now scale_deployment would be held" in said


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0, "0 s"), (59, "59 s"), (60, "1 min"), (3_599, "59 min 59 s"), (3_601, "1 h 1 s"), (90_061, "1 d 1 h")],
)
def test_time_left_is_told_in_its_two_largest_units(seconds, text):
    assert _out.span(seconds) == text
