"""What only real nodes can tell: a scheduler that keeps off, kubelets that end pods, a budget that is waited for."""

import time
from contextlib import ExitStack

import pytest

from shared.action.render import executor_name
from shared.kube.mark import TEMPORARY, UNTIL

pytestmark = pytest.mark.usefixtures("nothing_broke")

ILL, WELL = "n2", "n1"
TICK_S = 4
DRAINS = [f"patch pods {executor_name('drain_node')}", f"create pods/eviction {executor_name('drain_node')}"]


@pytest.fixture
def nodes(story):
    """The real nodes, opted in for this story, long after the last one about them; they take pods again after it."""
    story.world.advance(601)
    story.heartbeat()
    with ExitStack() as made:
        for name in (ILL, WELL):
            made.callback(_edit, story, name, {"spec": {"unschedulable": None}})
            made.callback(_edit, story, name, {"metadata": {"labels": {"akeso.dev/autonomy": None}}})
            # Each in a pool of its own, so that what is still under way for one story keeps no other out.
            pool = {"akeso.dev/autonomy": "auto", "karpenter.sh/nodepool": f"{name}-{story.number}"}
            _edit(story, name, {"metadata": {"labels": pool}})
        story.old = story.new()  # the same node is the patient of several stories
        yield


def _edit(story, node, merge):
    story.cluster.edit("Node", "", node, merge, manager="akeso-test")


def _node(story, name=ILL):
    return story.cluster.get("Node", "", name)


def _cordoned(story, name=ILL):
    return _node(story, name)["spec"].get("unschedulable", False)


def _place(story, replicas=2):
    """Idle pods that begin on the ill node, in a namespace that has not opted in."""
    namespace = story.namespace("")
    _edit(story, WELL, {"spec": {"unschedulable": True}})
    story.cluster.deployment(namespace, "web", replicas)
    story.until(lambda: len(story.on(namespace, ILL, ready=True)) == replicas)
    _edit(story, WELL, {"spec": {"unschedulable": None}})
    return namespace


def _run(story, action, **params):
    story.asked("v1/run", {
        "action": action, "target": {"kind": "Node", "name": ILL}, "params": params, "dry_run": False,
        "reason": "a test",
    })  # fmt: skip


def _until(story, word, ticks=0, budget=""):
    """`ticks`: so many sweeps, some seconds apart: a place in a budget that is lost comes back in two minutes."""

    def said():
        mine = (one for one in story.new() - story.old if story.record(one).get("scope") == f"Node/{ILL}")
        return next((one for one in mine if word in story.words(one)), "")

    for _ in range(ticks):
        if said():
            break
        story.tick()
        story.world.advance(20)
        time.sleep(TICK_S)
    status = (story.cluster.get("PodDisruptionBudget", budget, "web") or {}).get("status") if budget else ""
    return story.until(said, lambda: f"never {word!r}: {status} {story.audit(story.incident_of(f'Node/{ILL}'))}")


@pytest.mark.usefixtures("nodes")
class TestADrain:
    def test_across_two_nodes_waits_for_its_budget_and_is_lifted_by_the_sweeper(self, story):
        namespace = _place(story)
        story.cluster.pdb(namespace, "web", {"app": "web"}, min_available=2)
        before = {pod["metadata"]["uid"] for pod in story.on(namespace)}

        _run(story, "drain_node", minutes=10)
        incident = _until(story, "progressing")
        assert _cordoned(story)
        assert {pod["metadata"]["uid"] for pod in story.on(namespace)} == before

        story.cluster.edit("PodDisruptionBudget", namespace, "web", {"spec": {"minAvailable": 1}})
        _until(story, "succeeded", ticks=40, budget=namespace)

        assert story.on(namespace, ILL) == []
        story.until(lambda: len(story.on(namespace, WELL, ready=True)) == 2)
        assert sorted(story.effects(namespace)) == sorted(DRAINS * 2)
        assert UNTIL in _node(story)["metadata"]["annotations"]
        story.pass_(200, step=100)
        _until(story, "verified")
        story.pass_(660, step=330)
        story.until(lambda: not _cordoned(story), lambda: str(story.audit(incident)))
        assert TEMPORARY not in _node(story)["metadata"]["labels"]

    def test_that_a_budget_never_allows_is_given_up_and_the_node_takes_pods_again(self, story):
        namespace = _place(story)
        story.cluster.pdb(namespace, "web", {"app": "web"}, min_available=2)
        before = {pod["metadata"]["uid"] for pod in story.on(namespace)}

        _run(story, "drain_node")
        incident = _until(story, "progressing")
        story.until_held_up(incident)
        story.pass_(1620, step=1620)
        _until(story, "failed")

        assert story.lines(incident, "failed")[0]["reason"] == "disruption-budget"
        story.tick()
        story.until(lambda: not _cordoned(story), lambda: str(story.audit(incident)))
        assert {pod["metadata"]["uid"] for pod in story.on(namespace, ILL)} == before
        assert story.effects(namespace).count(DRAINS[1]) == 0


@pytest.mark.usefixtures("nodes")
class TestACordon:
    def test_keeps_the_scheduler_off_until_the_sweeper_lifts_it(self, story):
        alert = story.alert("monitoring", alertname="KubeNodePressure", node=ILL)

        story.fire(alert)
        incident = _until(story, "succeeded")
        namespace = story.namespace("")
        story.cluster.deployment(namespace, "web", 3)
        story.until(lambda: len(story.on(namespace, WELL, ready=True)) == 3)
        assert story.on(namespace, ILL) == []
        story.resolve(alert)
        _until(story, "resolved")
        story.pass_(122, step=61)
        _until(story, "verified")

        story.pass_(3660, step=610)

        story.until(lambda: not _cordoned(story), lambda: str(story.audit(incident)))
