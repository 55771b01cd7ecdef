"""The owner's own maintenance, run once and waited for; what nobody has declared is not made up."""

import pytest

from shared.action.catalogue import Catalogue
from shared.model.details import Details, Run, Runs, Task, Tasks
from shared.model.facts import Facts, Scope
from shared.model.plan import Refusal

ACTION = Catalogue.home().load("compact_storage")
SCOPE = Scope(kind="StatefulSet", namespace="shop", name="db", uid="s-1")


def task(name="vacuum", what="compact", **more):
    return Task(name=name, uid=f"j-{name}", task=what, **more)


def run(state="running", *, what="compact", attempt="a-1", at=1, **more):
    return Run(kind="Job", name=f"akeso-{attempt}", task=what, attempt=attempt, created_at=at, state=state, **more)


def facts(tasks=(), runs=(), scope=SCOPE, attempt=""):
    details = Details(tasks=Tasks(tasks=tuple(tasks)), runs=Runs(runs=tuple(runs)))
    return Facts(taken_at=1, scope=scope, details=details, pod_count=3, attempt=attempt)


def plan(*tasks, **changes):
    return ACTION.plan(facts(tasks, **changes), ACTION.Params())


class TestThePlan:
    def test_creates_a_job_of_the_declared_cronjob_and_waits(self):
        made = plan(task("backup", "backup"), task())
        create, watch = made.writes

        assert (create.verb, create.target.kind, create.target.namespace) == ("create", "Job", "shop")
        assert create.target.name == "akeso-compact-"
        assert create.after["from"] == {
            "kind": "CronJob", "name": "vacuum", "uid": "j-vacuum", "path": "/spec/jobTemplate",
        }  # fmt: skip
        assert create.after["metadata"]["labels"] == {"akeso.dev/task": "compact"}
        assert create.after["metadata"]["annotations"] == {
            "akeso.dev/for": "StatefulSet/db", "cronjob.kubernetes.io/instantiate": "manual",
        }  # fmt: skip
        assert (watch.verb, watch.target.uid) == ("watch", "s-1")

    def test_lets_the_cronjob_own_it_so_that_its_history_is_bounded(self):
        (owner,) = plan(task()).writes[0].after["metadata"]["ownerReferences"]

        assert (owner["kind"], owner["name"], owner["uid"], owner["controller"]) == (
            "CronJob", "vacuum", "j-vacuum", True,
        )  # fmt: skip
        assert "blockOwnerDeletion" not in owner

    def test_takes_one_that_is_suspended_because_it_is_for_this(self):
        assert plan(task(suspended=True)).writes

    def test_disturbs_nobody_and_cannot_be_taken_back(self):
        made = plan(task())

        assert (made.touches.unit, made.touches.count, made.touches.population) == ("pod", 0, 3)
        assert made.inverse("grant-1") is None

    def test_is_the_same_whenever_it_ran_before(self):
        assert plan(task(), runs=[run("complete"), run("failed")]).hash == plan(task()).hash


@pytest.mark.parametrize(
    ("tasks", "changes", "reason", "word"),
    [
        ([], {}, "undeclared", "akeso.dev/task=compact"),
        ([task(what="backup")], {}, "undeclared", "akeso.dev/for=StatefulSet/NAME"),
        ([task()], {"runs": [run()]}, "nothing-to-do", "akeso-a-1"),
        ([task()], {"runs": [run(at=9), run("failed")]}, "nothing-to-do", "at it already"),
        ([task()], {"scope": SCOPE.model_copy(update={"uid": ""})}, "not-found", "db"),
        ([task()], {"scope": Scope(kind="Node", name="n1", uid="n-1")}, "unsupported", "Node"),
    ],
)
def test_refuses_and_names_the_reason(tasks, changes, reason, word):
    refused = plan(*tasks, **changes)

    assert isinstance(refused, Refusal)
    assert refused.reason == reason
    assert word in refused.text


class TestWhatRunsAlready:
    def test_of_the_cronjobs_own_is_waited_for_by_whoever_asks(self):
        assert plan(task(active=1)).reason == "nothing-to-do"
        assert "wait for its end" in plan(task(active=1)).text

    def test_where_nobody_could_tell_how_it_ended(self):
        assert plan(task(vanishes=True)).reason == "unsupported"
        assert "history limit of 0" in plan(task(vanishes=True)).text

    def test_of_another_cronjob_is_no_hindrance(self):
        assert not isinstance(plan(task("backup", "backup", active=1), task()), Refusal)


def test_another_task_under_way_is_no_hindrance():
    assert plan(task(), runs=[run(what="backup")]).writes


def test_how_to_declare_it_is_told_in_a_sentence_however_long_the_name():
    refused = plan(scope=SCOPE.model_copy(update={"name": "x" * 253}))

    assert len(refused.text) <= 300


class TestTheWait:
    def arrived(self, *runs, attempt="a-1"):
        return ACTION.arrived(facts(runs=runs, attempt=attempt), ACTION.Params())

    def test_ends_when_the_job_is_complete(self):
        assert self.arrived(run("complete")) == ""

    def test_goes_on_while_it_runs(self):
        assert "not done yet" in self.arrived(run())

    def test_ends_as_failed_when_the_job_has_failed(self):
        refused = self.arrived(run("failed", why="DeadlineExceeded"))

        assert (refused.reason, "DeadlineExceeded" in refused.text) == ("failed", True)

    def test_looks_at_its_own_job_alone(self):
        others = [run("complete", attempt="a-0", at=9), run("complete", what="backup", at=8)]

        assert self.arrived(*others, run("failed")).reason == "failed"
        assert self.arrived(*others).reason == "failed"
        assert "gone" in self.arrived(*others).text

    def test_of_nobody_is_no_success(self):
        assert self.arrived(run("complete", attempt=""), attempt="").reason == "failed"


@pytest.mark.parametrize(
    ("runs", "healthy"),
    [([], False), ([run()], False), ([run("failed")], False), ([run("complete", at=2), run("failed")], True)],
)
def test_healthy_when_the_newest_one_is_complete(runs, healthy):
    assert ACTION.healthy(facts(runs=runs)) is healthy
