"""Who asks is Kubernetes' word, and so is what he may: no typed name, foreign token or old right gets through."""

import json

import pytest

from shared.errors import AkesoError, ForbiddenError, UnavailableError
from shared.event import answer
from shared.kube.client import connect
from shared.people.who import SHARED, VERBS
from tests.kube.scripted import Server, kubeconfig

WHY = {"reason": "looks right", "by": "eve"}
TARGET = {"kind": "Deployment", "namespace": "shop", "name": "checkout"}
RUN = {"action": "scale_deployment", "target": TARGET, "params": {"replicas": 2}, "by": "eve", "dry_run": False}
DEEDS = {
    "approve": lambda held: (f"v1/holds/{held}/approve", WHY),
    "deny": lambda held: (f"v1/holds/{held}/deny", WHY),
    "run": lambda _: ("v1/run", RUN),
    "promote": lambda _: ("v1/promote", {**WHY, "action": "scale_deployment", "target": TARGET}),
    "resume": lambda _: ("v1/stop", {**WHY, "mode": "run"}),
    "stop": lambda _: ("v1/stop", {**WHY, "mode": "stop"}),
    "freeze": lambda _: ("v1/stop", {**WHY, "mode": "freeze"}),
}


@pytest.fixture
def held(world):
    world.autonomy("approve")
    return world.heal()


def did(world, word, held, token):
    path, body = DEEDS[word](held)
    return world.ask("POST", path, body, token=token)


def nothing_moved(world, before):
    return world.keys() == before and world.cluster.writes() == [] and world.sink.events == []


class TestWhoAsks:
    def test_is_the_name_that_kubernetes_knows_whatever_was_typed(self, world, held):
        said = world.ok("POST", f"v1/holds/{held}/approve", WHY, token=world.person("mallory"))
        assert said["by"] == "mallory"
        (line,) = [r for r in world.ok("GET", f"v1/incidents/{held}")["audit"] if r["what"] == "approve"]
        assert line["who"] == "mallory"

    @pytest.mark.parametrize("audience", ["https://kubernetes.default.svc", "akeso.other", ""])
    def test_is_nobody_by_a_token_for_somebody_else(self, world, held, audience):
        before = world.keys()
        with pytest.raises(ForbiddenError):
            did(world, "approve", held, world.person("ada", audience=audience))
        assert nothing_moved(world, before)

    @pytest.mark.parametrize(
        "header",
        [
            "Bearer ",
            "Bearer a b",
            "Basic YTpi",
            "bearer x",
            "Bearer é",
            "Bearer a\nb",
            "Bearer " + "x" * 16_385,
            "x",
            " ",
        ],
    )
    def test_is_not_even_asked_with_what_is_no_token(self, world, header):
        from functions.api.main import ask
        from shared.event.app import Call

        with pytest.raises(ForbiddenError):
            ask(Call("GET", "v1/status", {}, {"authorization": header}, b""), world.here)
        assert world.cluster.reviews == []

    def test_is_asked_anew_each_time(self, world, held):
        token = world.person("ada")
        assert world.ask("GET", "v1/holds", token=token)[0] == 200
        world.person("ada", "none")
        assert world.ask("GET", "v1/holds", token=token)[0] == 403
        assert did(world, "approve", held, token)[0] == 403

    @pytest.mark.parametrize("kind", ["TokenReview", "SubjectAccessReview"])
    @pytest.mark.parametrize("status", [403, 500, 503])
    def test_stays_open_while_nobody_can_say(self, world, held, kind, status):
        token, before = world.person("ada"), world.keys()
        world.cluster.fault(kind=kind, status=status, times=1 if status == 403 else 2)
        with pytest.raises(AkesoError) as refused:
            did(world, "approve", held, token)
        assert answer.refusal(refused.value)[0] == 503
        assert nothing_moved(world, before)
        assert did(world, "approve", held, token)[0] == 200

    def test_needs_no_kubernetes_to_look_and_to_be_told_no(self, world, held):
        world.cluster.stop()
        assert world.ask("GET", "v1/holds", token=world.shared)[0] == 200
        assert did(world, "approve", held, world.shared)[0] == 403
        with pytest.raises(UnavailableError):
            did(world, "approve", held, "a-token")


class TestAnOddAnswer:
    """What an API server may say that is no proof."""

    @pytest.fixture
    def server(self, world, tmp_path):
        server = Server()
        kube = connect(kubeconfig(tmp_path / "scripted", server.url, token="t"), "akeso-api")
        world.here.kube = kube
        yield server
        kube.close()
        server.stop()

    @pytest.mark.parametrize(
        "status",
        [
            {},
            None,
            [],
            {"user": {"username": "ada"}},
            {"authenticated": False, "user": {"username": "ada"}, "audiences": ["akeso"]},
            {"authenticated": "true", "user": {"username": "ada"}, "audiences": ["akeso"]},
            {"authenticated": 1, "user": {"username": "ada"}, "audiences": ["akeso"]},
            {"authenticated": True, "user": {"username": "ada"}},
            {"authenticated": True, "user": {"username": "ada"}, "audiences": ["other"]},
            {"authenticated": True, "audiences": ["akeso"]},
            {"authenticated": True, "user": None, "audiences": ["akeso"]},
            {"authenticated": True, "user": {"username": ""}, "audiences": ["akeso"]},
            {"authenticated": True, "user": {"username": 7}, "audiences": ["akeso"]},
            {"authenticated": True, "user": {"username": "a\u202eb"}, "audiences": ["akeso"]},
            {"authenticated": True, "user": {"username": "x" * 201}, "audiences": ["akeso"]},
        ],
        ids=range(15),
    )
    def test_about_the_token_is_nobody(self, world, server, status):
        server.answers = [(201, {"kind": "TokenReview", "status": status})]
        with pytest.raises(ForbiddenError):
            world.ask("GET", "v1/status", token="some-token")

    @pytest.mark.parametrize("status", [{}, {"allowed": "true"}, {"allowed": 1}, {"allowed": False}, {"denied": True}])
    def test_about_a_right_is_no(self, world, server, status):
        known = {"authenticated": True, "user": {"username": "ada", "groups": ["g"]}, "audiences": ["akeso"]}
        server.answers = [(201, {"status": known}), (201, {"status": status})]
        said = world.ask("GET", "v1/status", token="some-token")
        assert said[0] == 403
        asked = [json.loads(seen.body)["spec"] for seen in server.seen]
        assert asked[0] == {"token": "some-token", "audiences": ["akeso"]}
        assert (asked[1]["user"], asked[1]["groups"]) == ("ada", ["g"])

    def test_hands_on_all_that_tells_people_apart(self, world, server):
        user = {"username": "ada", "uid": "u-1", "groups": ["g"], "extra": {"team": ["sre"]}}
        known = {"authenticated": True, "user": user, "audiences": ["akeso"]}
        server.answers = [(201, {"status": known}), (201, {"status": {"allowed": True}})]
        assert world.ask("GET", "v1/status", token="some-token")[0] == 200
        asked = json.loads(server.seen[-1].body)["spec"]
        assert {name: asked[name] for name in ("user", "uid", "groups", "extra")} == {
            "user": "ada", "uid": "u-1", "groups": ["g"], "extra": {"team": ["sre"]},
        }  # fmt: skip


class TestTheSharedToken:
    @pytest.mark.parametrize("word", sorted(set(DEEDS) - SHARED))
    def test_is_nobodys_and_moves_nothing(self, world, held, word):
        before = world.keys()
        status, said = did(world, word, held, world.shared)
        assert (status, said["error"]) == (403, "nobody")
        assert "AKESO_TOKEN_FILE" in said["text"]
        assert nothing_moved(world, before)

    def test_takes_nothing_back(self, world):
        incident = world.heal()
        attempt = world.ok("GET", f"v1/incidents/{incident}")["attempts"][0]["id"]
        assert world.ask("POST", "v1/undo", {**WHY, "attempt": attempt}, token=world.shared)[0] == 403

    @pytest.mark.parametrize("word", ["stop", "freeze"])
    def test_keeps_the_machine_still_under_a_typed_name(self, world, held, word):
        status, said = did(world, word, held, world.shared)
        assert (status, said["mode"], said["by"]) == (200, word, "eve (typed name)")

    def test_must_say_who_stops(self, world):
        status, said = world.ask("POST", "v1/stop", {"mode": "stop", "reason": "r"}, token=world.shared)
        assert (status, said["error"]) == (400, "ask")

    def test_sees_what_a_run_would_do_but_is_no_approver_there(self, world):
        world.checkout()
        world.autonomy("approve")
        dry = {**RUN, "dry_run": True}
        assert world.ok("POST", "v1/run", dry, token=world.shared)["decision"] == "held"
        assert world.ok("POST", "v1/run", dry)["decision"] == "approved"


class TestWhoMay:
    @pytest.mark.parametrize("word", DEEDS)
    def test_nobody_without_the_verb(self, world, held, word):
        token, before = world.person("ada", *(set(VERBS) - {word})), world.keys()
        status, said = did(world, word, held, token)
        assert (status, said["error"]) == (403, "not-allowed")
        assert said["text"].startswith(f"ada may not {word}")
        assert nothing_moved(world, before)

    @pytest.mark.parametrize("word", sorted(set(DEEDS) - {"promote"}))
    def test_whoever_has_the_verb(self, world, held, word):
        assert did(world, word, held, world.person("ada", word))[0] == 200

    @pytest.mark.parametrize("word", ["approve", "deny", "run", "promote"])
    def test_only_where_the_role_is(self, world, held, word):
        assert did(world, word, held, world.person("ada", namespace="other"))[0] == 403
        assert did(world, word, held, world.person("bo", namespace="shop"))[0] != 403

    @pytest.mark.parametrize("word", ["approve", "deny", "run", "promote"])
    def test_only_the_actions_that_the_role_names(self, world, held, word):
        assert did(world, word, held, world.person("ada", actions=["restart_pod"]))[0] == 403
        assert did(world, word, held, world.person("bo", actions=["scale_deployment"]))[0] != 403

    def test_only_the_undo_where_the_role_is(self, world):
        incident = world.heal()
        body = {**WHY, "attempt": world.ok("GET", f"v1/incidents/{incident}")["attempts"][0]["id"]}
        for wrong in ({"namespace": "other"}, {"actions": ["restart_pod"]}):
            assert world.ask("POST", "v1/undo", body, token=world.person("ada", **wrong))[0] == 403
        right = world.person("bo", "undo", namespace="shop", actions=["scale_deployment"])
        assert world.ask("POST", "v1/undo", body, token=right)[0] == 200

    def test_whoever_is_in_a_group_that_may(self, world, held):
        token = world.person("ada", "none", groups=["sre"])
        assert did(world, "approve", held, token)[0] == 403
        world.cluster.rights.group("sre", [_everywhere("approve")])
        assert did(world, "approve", held, token)[0] == 200

    @pytest.mark.parametrize("word", ["stop", "freeze", "resume"])
    def test_hold_and_let_go_of_their_own_part_alone(self, world, word):
        token = world.person("ada", word, namespace="shop")
        body = {**WHY, "mode": "run" if word == "resume" else word}
        assert world.ask("POST", "v1/stop", {**body, "namespace": "shop"}, token=token)[0] == 200
        for part in ({}, {"namespace": "web"}, {"action": "restart_pod"}, {"tenant": "default"}):
            assert world.ask("POST", "v1/stop", body | part, token=token)[0] == 403

    @pytest.mark.parametrize("path", ["v1/status", "v1/holds", "v1/guard", "v1/incidents", "v1/actions", "metrics"])
    def test_look_only_with_get(self, world, path):
        assert world.ask("GET", path, token=world.person("ada", *(set(VERBS) - {"get"})))[0] == 403
        assert world.ask("GET", path, token=world.person("bo", "get"))[0] == 200

    def test_a_run_counts_as_its_authors_yes_only_where_he_might_approve(self, world):
        world.checkout()
        world.autonomy("approve")
        world.ok("POST", "v1/run", RUN, token=world.person("ada", "run"))
        (event,) = world.sink.events
        assert [emit.type for emit in world.drive(event)][-1] == "remediation.held"
        assert world.replicas() == 1


def _everywhere(verb):
    from shared.dev.cluster_rights import Granted

    return Granted("", {"apiGroups": ["akeso.dev"], "resources": ["remediations"], "verbs": [verb]})
