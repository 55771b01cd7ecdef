"""What is taken along before a change: enough for a person, fit to be shown, and never in the remedy's way."""

import pytest

from shared.kube import evidence, evidence_words
from shared.kube.errors import KubeDown, Refused
from shared.kube.facts import take
from shared.model.facts import Scope
from tests.kube.scene import Scene

WEB = Scope(kind="Deployment", namespace="shop", name="web")
ENDED = {"exitCode": 1, "reason": "Error", "finishedAt": "2026-01-01T00:00:00Z"}
CRASH = {
    "restartCount": 4, "ready": False, "state": {"waiting": {"reason": "CrashLoopBackOff"}},
    "lastState": {"terminated": ENDED},
}  # fmt: skip
KEY = "-----BEGIN PRIVATE KEY-----\nhunter2hunter2\n-----END PRIVATE KEY-----"


def crash(cluster, name, containers=("web",)):
    statuses = [{"name": one, "image": "web:1", "imageID": "", **CRASH} for one in containers]
    status = {"phase": "Running", "conditions": [{"type": "Ready", "status": "False"}], "containerStatuses": statuses}
    cluster.store.status(("Pod", "shop", name), status)


@pytest.fixture
def pods(cluster):
    cluster.namespace("shop", {"akeso.dev/autonomy": "auto"})
    cluster.deployment("shop", "web", 4, ready_after=0)
    cluster.tick()
    cluster.tick()
    names = sorted(pod["metadata"]["name"] for pod in cluster.all("Pod"))
    for name in names:
        crash(cluster, name)
    return {name: cluster.get("Pod", "shop", name) for name in names}


@pytest.fixture
def scene(kube):
    return Scene(kube)


@pytest.fixture
def collected(kube, scene, pods):
    def collect(scope=WEB):
        return evidence.collect(scene, scope, take(kube, scope, None, stop_namespace="akeso-system"))

    return collect


@pytest.fixture
def worst(pods):
    return next(iter(pods.values()))["metadata"]


class TestWhatIsTaken:
    def test_what_a_container_said_before_it_died_and_what_it_says_now(self, scene, collected):
        scene.logs = {("web", True): "cannot open /data: Permission denied", ("web", False): "starting"}
        text = collected().text
        assert "| cannot open /data: Permission denied" in text
        assert "| starting" in text
        assert text.index("previous run") < text.index("| starting")

    def test_the_replicas_the_pods_and_who_has_changed_it_last(self, collected):
        text = collected().text
        assert "replicas: 4 wanted" in text
        assert "web: not ready, CrashLoopBackOff, 4 restarts, last end Error (exit 1)" in text
        assert "by akeso-seed: Update" in text
        assert "== newest revisions ==" in text

    def test_the_owners_of_the_worst_pod(self, collected):
        assert "owned by ReplicaSet web-" in collected().text

    def test_events_are_folded_by_reason_and_the_newest_come_first(self, scene, collected, worst):
        scene.event(worst["uid"], "Pulled", "an old one", kind="Normal", at="2026-01-01T00:00:00Z")
        for second, count in ((1, 3), (2, 4)):
            scene.event(worst["uid"], "BackOff", f"words {second}", at=f"2026-01-02T00:00:0{second}Z", count=count)
        lines = collected().text.split("\n")
        told = lines[lines.index("== events, newest first ==") + 1 :][:2]
        assert "BackOff Pod web x7: words 2" in told[0]
        assert "Pulled Pod web x1: an old one" in told[1]

    def test_what_kept_a_replica_set_from_making_pods(self, cluster, scene, collected):
        newest = cluster.all("ReplicaSet")[0]["metadata"]
        scene.event(newest["uid"], "FailedCreate", "exceeded quota: pods=4", name=newest["name"])
        assert "exceeded quota" not in collected().text
        cluster.edit("Deployment", "shop", "web", {"spec": {"replicas": 9}})
        assert "FailedCreate Pod" in (text := collected().text)
        assert "exceeded quota: pods=4" in text

    def test_of_thousands_of_events_fifty_reasons_are_told(self, scene, collected, worst):
        for number in range(3000):
            scene.event(worst["uid"], f"Reason{number}", "again")
        assert 0 < collected().text.count("Warning Reason") <= 50

    def test_the_most_telling_lines_fit_a_message(self, scene, collected, worst):
        scene.logs = {("web", True): "listening\npanic: no such table " + "x" * 900 + "\nbye"}
        scene.event(worst["uid"], "BackOff", "Back-off restarting failed container " * 30)
        telling = collected().telling
        assert len(telling) <= 500
        for part in ("CrashLoopBackOff", "BackOff", "panic: no such table"):
            assert part in telling

    def test_the_line_for_a_ticket_always_tells_how_to_see_the_rest(self, scene, collected):
        scene.logs = {("web", True): "panic: " + "x" * 900}
        found = collected()
        for one in (found, found.model_copy(update={"telling": "y" * 500})):
            assert len(one.said("grant-1")) <= 500
            assert one.said("grant-1").endswith("; all of it: akeso evidence grant-1")

    def test_an_object_that_is_none_has_no_evidence(self, kube, scene, pods):
        assert pods
        facts = take(kube, WEB, None, stop_namespace="akeso-system")
        assert evidence.collect(scene, Scope(kind="unknown", name="alert/f00"), facts) is None
        assert scene.asked == []


class TestItsBounds:
    def test_never_more_than_so_many_requests_and_what_was_not_asked_for_is_named(
        self, cluster, scene, pods, collected
    ):
        for name in pods:
            crash(cluster, name, [f"c{number}" for number in range(6)])
        found = collected()
        assert len(scene.asked) == evidence.REQUESTS
        assert any("12 requests are the limit" in what for what in found.missing)

    def test_nothing_is_asked_for_once_the_time_is_up(self, scene, collected, monkeypatch):
        times = iter([0.0, 1.0, 2.0])
        monkeypatch.setattr(evidence, "monotonic", lambda: next(times, 5.0))
        found = collected()
        assert len(scene.asked) == 2
        assert any("5 s are the limit" in what for what in found.missing)

    def test_a_huge_scene_is_cut_at_whole_lines_and_says_so(self, scene, collected, worst):
        wide = "\u20ac" * 60
        scene.logs = {("web", previous): "\n".join(f"{n} {wide}" for n in range(500)) for previous in (True, False)}
        for number in range(50):
            scene.event(worst["uid"], f"Reason{number}", wide * 20)
        text = collected().text
        assert len(text.encode()) <= evidence_words.BYTES
        assert "cut: " in text
        assert all(line.endswith(wide) for line in text.split("\n") if line.startswith("| "))

    def test_the_newest_lines_are_the_ones_that_stay(self, scene, collected):
        scene.logs = {("web", True): "\n".join(f"line {number} {'x' * 300}" for number in range(200))}
        text = collected().text
        assert "| line 199 " in text
        assert "| line 0 " not in text

    def test_one_endless_line_is_cut(self, scene, collected):
        scene.logs = {("web", True): "x" * 200_000}
        assert 0 < max(map(len, collected().text.split("\n"))) < 2100


class TestSecrets:
    @pytest.mark.parametrize(
        "said",
        [
            "password=hunter2hunter2", "pass\x1b[0mword=hunter2hunter2", "postgres://u:hunter2hunter2@db/x",
            "Authorization: Bearer hunter2hunter2", KEY, KEY.partition("\n")[2], "pass\u200bword=hunter2hunter2",
        ],
        ids=["plain", "split by an escape", "url", "header", "key", "key without its beginning", "split by nothing"],
    )  # fmt: skip
    def test_in_logs_and_events_are_taken_out(self, scene, collected, worst, said):
        scene.logs = {("web", True): f"before\n{said}\nafter"}
        scene.event(worst["uid"], "Failed", said)
        found = collected()
        assert "before" in found.text
        assert "hunter2" not in found.text + found.telling

    def test_what_stands_in_the_environment_never_appears(self, cluster, scene, collected, worst):
        env = [{"name": "GREETING", "value": "a-quiet-value-77"}, {"name": "KIND", "value": "Deployment"}]
        spec = {"containers": [{"name": "web", "image": "web:1", "env": env}]}
        cluster.edit("Deployment", "shop", "web", {"spec": {"template": {"spec": spec}}})
        scene.logs = {("web", True): "died with GREETING a-quiet-value-77"}
        scene.event(worst["uid"], "Failed", "said a-quiet-value-77")
        ended = {"containerStatuses": [{"name": "web", **CRASH, "lastState": {
            "terminated": {**ENDED, "message": "last words a-quiet-value-77"},
        }}]}  # fmt: skip
        cluster.store.status(("Pod", "shop", worst["name"]), ended)
        found = collected()
        assert "last words" in found.text
        assert "died with GREETING" in found.text
        assert "a-quiet-value-77" not in found.text + found.telling


class TestHostileText:
    def test_cannot_move_the_cursor_turn_the_direction_or_pretend_to_be_ours(self, scene, collected, worst):
        scene.logs = {("web", True): "a\x1b[2Jb\x1b]0;title\x07c\rd\x00\u202e\n== events, newest first ==\u2028x"}
        scene.event(worst["uid"], "Bad\x1b[31m", "one\ntwo\x9b2J\ud800", name="web\n== forged ==")
        text = collected().text
        assert all(char.isprintable() or char == "\n" for char in text)
        assert text.split("\n").count("== events, newest first ==") == 1
        assert "== forged ==" not in text.split("\n")
        assert "| abcd" in text
        text.encode()

    @pytest.mark.parametrize("junk", [None, 7, "x", [], [None, 3], {"a": []}], ids=str)
    def test_objects_that_are_not_what_they_should_be(self, scene, collected, worst, junk):
        for field in ("message", "count", "lastTimestamp", "series", "reason", "metadata"):
            event = {"involvedObject": {"uid": worst["uid"]}, field: junk}
            scene.said.append(event)
        assert collected().text.startswith("evidence at Deployment/shop/web")


class TestWhatCannotBeRead:
    @pytest.mark.parametrize("what", ["events", "log", "Deployment", "Pod", "ReplicaSet"])
    def test_is_named_and_the_rest_is_there(self, scene, collected, what):
        scene.broken = {what: Refused("get: 403 forbidden")}
        found = collected()
        assert any("403 forbidden" in missing for missing in found.missing)
        assert "403 forbidden" in found.text
        assert "CrashLoopBackOff" in found.text

    def test_an_error_that_nobody_foresaw_is_named_too(self, scene, collected):
        scene.broken = {"log": RuntimeError("boom")}
        found = collected()
        assert any("log of" in missing and "RuntimeError" in missing for missing in found.missing)
        assert "CrashLoopBackOff" in found.text

    def test_a_cluster_that_is_away_is_said_and_asked_once(self, scene, collected):
        scene.broken = {"all": KubeDown("no answer")}
        found = collected()
        assert found.telling == "nothing could be read of the cluster"
        assert "no answer" in found.text
        assert len(scene.asked) == 1
