"""What an attempt leaves on its target for `kubectl describe`: once, and never in the attempt's way."""

import pytest

from shared.kube import note as noting
from shared.kube.errors import KubeDown
from shared.kube.mark import MARK
from shared.kube.note import note
from shared.model.facts import ObjectRef

SAID = {
    "attempt": "grant-1", "step": 0, "action": "scale_deployment", "outcome": "succeeded", "why": "inc-1: too few",
    "by": "akeso", "field_manager": "akeso-scale_deployment",
}  # fmt: skip
WEB = ObjectRef(kind="Deployment", namespace="shop", name="web", uid="d-1")


@pytest.fixture
def say(cluster, kube):
    for name in ("shop", "default"):
        if cluster.get("Namespace", "", name) is None:
            cluster.namespace(name)

    def say(target=WEB, **changes):
        note(kube, target, **SAID | changes)
        return cluster.all("Event", target.namespace or "default")

    return say


class TestAnEvent:
    def test_says_who_did_what_and_why_and_how_to_take_it_back(self, say):
        (event,) = say()
        assert (event["type"], event["reason"]) == ("Normal", "AkesoScaleDeployment")
        assert event["involvedObject"] == {
            "apiVersion": "apps/v1", "kind": "Deployment", "namespace": "shop", "name": "web", "uid": "d-1",
        }  # fmt: skip
        for part in ("scale_deployment succeeded", "inc-1: too few", "by akeso", "grant-1", "akeso undo grant-1"):
            assert part in event["message"]
        assert event["source"] == {"component": "akeso"}
        assert event["reportingComponent"] == "akeso"

    def test_carries_the_attempts_mark_without_which_the_fence_lets_nothing_be_made(self, say):
        assert say()[0]["metadata"]["annotations"] == {MARK: "grant-1/0"}

    def test_is_written_once_however_often_it_is_said(self, say):
        say()
        assert len(say()) == 1

    def test_is_another_one_for_another_outcome_or_step(self, say):
        say()
        say(step=1)
        assert len(say(outcome="failed")) == 3

    @pytest.mark.parametrize("outcome", ["failed", "stopped", "unknown", "skipped"])
    def test_of_what_did_not_go_well_is_a_warning(self, say, outcome):
        assert say(outcome=outcome)[0]["type"] == "Warning"

    def test_about_a_node_is_where_such_events_are(self, say):
        (event,) = say(ObjectRef(kind="Node", name="n1", uid="n-1"))
        assert event["metadata"]["namespace"] == "default"
        assert event["involvedObject"]["uid"] == "n-1"

    @pytest.mark.parametrize("name", ["w" * 253, "a" * 199 + ".b" + "c" * 52])
    def test_about_the_longest_name_has_a_name_that_can_be(self, say, name):
        (event,) = say(WEB.model_copy(update={"name": name}))
        assert event["involvedObject"]["name"] == name

    def test_says_no_secret_and_nothing_that_moves_the_cursor(self, say):
        (event,) = say(why="token=hunter2hunter2\n\x1b[2J" + "x" * 5000, by="\u202eada")
        assert "hunter2" not in event["message"]
        assert event["message"].isprintable()
        assert len(event["message"]) < 1024


@pytest.fixture
def lines(monkeypatch):
    """What is logged, whoever in this process has set logging up."""

    class Lines(list):
        def warning(self, text, **more):
            self.append(f"{text} {more}")

    lines = Lines()
    monkeypatch.setattr(noting, "_log", lines)
    return lines


class TestOneThatCannotBeWritten:
    @pytest.mark.parametrize("status", [403, 404, 422, 429, 500])
    def test_is_one_line_in_the_log(self, cluster, say, status, lines):
        cluster.fault(kind="Event", status=status, times=2)
        assert say() == []
        assert len(lines) == 1

    def test_nor_does_anything_else_stand_in_the_way(self, say, lines):
        assert say(WEB.model_copy(update={"kind": "Nothing"})) == []
        assert "no Event on the target" in "".join(lines)

    def test_a_cluster_that_is_away_raises_nothing(self, lines):
        class Away:
            def create(self, *_, **__):
                raise KubeDown("no answer", unclear=True)

        note(Away(), WEB, **SAID)
        assert "no answer" in "".join(lines)
