"""More for one container and never less, in amounts compared as numbers, as far as there is room for it."""

import pytest
from pydantic import ValidationError

from shared.action.catalogue import Catalogue
from shared.model.details import Details
from shared.model.facts import ContainerState, Facts, PodFacts, Replicas, Scope
from shared.model.plan import Refusal

ACTION = Catalogue.home().load("increase_resources")
SCOPE = Scope(kind="Deployment", namespace="shop", name="web", uid="d-1")
MIB = 2**20
NAME = "app"


def amounts(memory="256Mi", cpu=None):
    values = {"256Mi": 256 * MIB, "268435456": 256 * MIB, "128Mi": 128 * MIB, "1Gi": 1024 * MIB}
    found = {"memory": {"value": values[memory], "text": memory}} if memory else {}
    return found | ({"cpu": {"value": {"500m": 500, "0.5": 500}[cpu], "text": cpu}} if cpu else {})


def container(limits=None, requests=None, **more):
    limits = amounts() if limits is None else limits
    return {"name": NAME, "index": 0, "plain": True, "limits": limits, "requests": requests or {}} | more


def live(number, limits=None, requests=None, **more):
    limits = amounts() if limits is None else limits
    one = container(limits, limits if requests is None else requests, **{"running": True, **more})
    return {"name": f"web-{number:02}", "uid": f"u-{number}", "node": "n1", "containers": [one]}


def killed(number, *, reason="OOMKilled", name=NAME, crashed=False):
    state = ContainerState(name=name, terminated=reason, restarts=2, crashed=crashed)
    return PodFacts(name=f"web-{number:02}", uid=f"u-{number}", containers=(state,))


def facts(containers=None, room=None, **changes):
    details = {"containers": {"containers": [container()], **(containers or {})}, "room": room or {}}
    base = {"scope": SCOPE, "replicas": Replicas(desired=4, ready=4), "pod_count": 4}
    return Facts(taken_at=1, **{**base, "details": Details.model_validate(details)} | changes)


def plan(containers=None, room=None, *, changes=None, **params):
    return ACTION.plan(facts(containers, room, **(changes or {})), ACTION.Params(container=NAME, **params))


def in_place(*pods, ill=(), params=None, room=None, template=None, **seen):
    containers = {"pods": list(pods), "in_place": True, "containers": [template or container()], **seen}
    return ACTION.plan(facts(containers, room, pods=tuple(ill)), ACTION.Params(container=NAME, **(params or {})))


def grown(made):
    assert not isinstance(made, Refusal), made
    return [(write.target.name, write.before, write.after) for write in made.writes if write.path.endswith("resources")]


class TestByTheTemplate:
    def test_notes_what_the_owner_had_set_and_raises_all_of_it_at_once(self):
        note, grow = plan().writes
        assert (note.path, note.before, note.after) == (
            "/metadata/annotations/akeso.dev~1resources-of", None, "app/memory=256Mi",
        )  # fmt: skip
        assert grow.path == "/spec/template/spec/containers/[name=app]/resources"
        assert (grow.before, grow.after) == ({"limits": {"memory": "256Mi"}}, {"limits": {"memory": "384Mi"}})
        assert grow.target.model_dump() == {"kind": "Deployment", "namespace": "shop", "name": "web", "uid": "d-1"}
        assert grow.sub == ""

    @pytest.mark.parametrize(
        ("request_", "after"),
        [
            (amounts("256Mi"), {"memory": "384Mi"}),
            (amounts("268435456"), {"memory": "384Mi"}),  # as much in other words
            (amounts("128Mi"), {"memory": "128Mi"}),
        ],
    )
    def test_who_asks_for_all_that_it_may_have_still_does(self, request_, after):
        made = plan({"containers": [container(requests=request_)]})
        assert grown(made)[0][2]["requests"] == after

    def test_a_later_one_keeps_the_note_and_counts_from_it(self):
        seen = {"containers": [container(amounts("1Gi"))], "kept": "app/memory=256Mi"}
        assert plan(seen).reason == "bounds"
        (grow,) = plan({"kept": "app/memory=128Mi"}).writes
        assert grow.after == {"limits": {"memory": "384Mi"}}

    def test_a_note_of_another_container_stays(self):
        note, _ = plan({"kept": "web/cpu=500m"}).writes
        assert (note.before, note.after) == ("web/cpu=500m", "app/memory=256Mi,web/cpu=500m")

    def test_a_note_that_the_owner_has_overtaken_is_made_anew(self):
        note, _ = plan({"containers": [container(amounts("128Mi"))], "kept": "app/memory=256Mi"}).writes
        assert note.after == "app/memory=128Mi"

    @pytest.mark.parametrize("kept", ["?", "app/memory", "app/memory=much", "a=1=2", ","])
    def test_a_note_that_cannot_be_read_is_none_to_go_by(self, kept):
        assert plan({"kept": kept}).reason == "unsupported"

    def test_can_be_taken_back_whole(self):
        back = plan().inverse()
        assert [(write.before, write.after) for write in back.writes] == [
            ({"limits": {"memory": "384Mi"}}, {"limits": {"memory": "256Mi"}}), ("app/memory=256Mi", None),
        ]  # fmt: skip

    @pytest.mark.parametrize(("strategy", "count"), [(None, 1), ("Recreate", 4), ("OnDelete", 4)])
    def test_disturbs_what_is_away_at_once(self, strategy, count):
        made = plan(changes={"spec": {"strategy": strategy} if strategy else {}})
        assert (made.touches.unit, made.touches.count, made.touches.population) == ("pod", count, 4)


class TestInPlace:
    def test_resizes_those_that_were_killed_and_waits(self):
        made = in_place(live(1), live(2), live(3), ill=[killed(2), killed(3, name="other"), killed(1, reason="Error")])
        write, watch = made.writes
        assert write.target.model_dump() == {"kind": "Pod", "namespace": "shop", "name": "web-02", "uid": "u-2"}
        assert (write.sub, write.path) == ("resize", "/spec/containers/[name=app]/resources")
        assert write.after == {"limits": {"memory": "384Mi"}, "requests": {"memory": "384Mi"}}
        assert watch.verb == "watch"
        assert made.takes_back
        assert made.touches.count == 0

    def test_or_all_where_none_was_killed_or_it_is_about_cpu(self):
        assert [name for name, _, _ in grown(in_place(live(2), live(1)))] == ["web-01", "web-02"]
        cpu = amounts("256Mi", "500m")
        made = in_place(
            live(1, cpu), live(2, cpu), ill=[killed(1)], params={"resource": "cpu"}, template=container(cpu)
        )
        assert [after["limits"] for _, _, after in grown(made)] == [{"cpu": "750m", "memory": "256Mi"}] * 2

    def test_counts_from_what_each_has_and_what_the_template_says(self):
        assert in_place(live(1, amounts("1Gi"))).reason == "bounds"

    def test_disturbs_them_where_a_resize_restarts(self):
        assert in_place(live(1), live(2), template=container(resize_memory="RestartContainer")).touches.count == 2

    @pytest.mark.parametrize(
        "made",
        [
            in_place(*(live(number) for number in range(11))),
            in_place(live(1), more=True),
            in_place(live(1), in_place=False),
            in_place(live(1, plain=False)),
            in_place(live(1, running=False)),
            in_place(live(1), live(2, running=False), ill=[killed(1), killed(2)]),
            in_place(live(1), live(2), ill=[killed(1), killed(2, crashed=True)]),
            in_place(),
        ],
        ids=[
            "too many",
            "more than are listed",
            "an old node",
            "something else",
            "waits",
            "one of two waits",
            "runs between two kills",
            "none",
        ],
    )
    def test_is_by_the_template_otherwise(self, made):
        assert [write.sub for write in made.writes] == ["", ""]

    def test_ten_are_not_too_many(self):
        assert len(grown(in_place(*(live(number) for number in range(10))))) == 10

    def test_is_nobodys_in_git_and_needs_no_rollout(self):
        containers = {"pods": [live(1)], "in_place": True}
        for changes in ({"gitops_owner": "flux"}, {"paused": True}):
            assert plan(containers, changes=changes).writes[0].sub == "resize"
            assert plan(changes=changes).reason in ("gitops", "paused")


class TestAmounts:
    @pytest.mark.parametrize(
        ("params", "after"),
        [
            ({}, "384Mi"), ({"factor": 1.1}, "282Mi"), ({"factor": 2.0}, "512Mi"), ({"amount": "512Mi"}, "512Mi"),
            ({"amount": "0.5Gi"}, "512Mi"), ({"amount": "512e6"}, "500000Ki"), ({"amount": "1G"}, "1G"),
            ({"amount": "1Gi"}, "1Gi"),
        ],
    )  # fmt: skip
    def test_are_written_in_one_notation(self, params, after):
        assert grown(plan(**params))[0][2]["limits"]["memory"] == after

    @pytest.mark.parametrize(("amount", "after"), [("0.75", "750m"), ("1", "1"), ("1e3m", None), ("1500m", "1500m")])
    def test_of_cpu_are_thousandths(self, amount, after):
        if after is None:
            with pytest.raises(ValidationError):
                ACTION.Params(container=NAME, amount=amount)
            return
        made = plan({"containers": [container(amounts("256Mi", "0.5"))]}, resource="cpu", amount=amount)
        assert grown(made)[0][2]["limits"]["cpu"] == after

    @pytest.mark.parametrize(
        ("amount", "reason"),
        [
            ("256Mi", "nothing-to-do"), ("268435456", "nothing-to-do"), ("262144Ki", "nothing-to-do"),
            ("0.25Gi", "nothing-to-do"), ("255Mi", "bounds"), ("256M", "bounds"), ("0", "bounds"), ("500m", "bounds"),
            ("1025Mi", "bounds"), ("1Ti", "bounds"),
        ],
    )  # fmt: skip
    def test_are_compared_as_numbers(self, amount, reason):
        assert plan(amount=amount).reason == reason

    @pytest.mark.parametrize(
        "params",
        [
            {"factor": 1.09}, {"factor": 2.01}, {"factor": float("nan")}, {"factor": float("inf")}, {"factor": -2},
            {"factor": "double"}, {"amount": ""}, {"amount": "-1Gi"}, {"amount": "NaN"}, {"amount": "1 Gi"},
            {"amount": "1Gb"}, {"amount": "9" * 33}, {"amount": "1e99"}, {"amount": 5},
            {"factor": 1.5, "amount": "1Gi"}, {"resource": "disk"}, {"container": ""},
            {"container": "a" * 64}, {"container": "A"}, {"container": "../x"},
        ],
    )  # fmt: skip
    def test_that_are_none_are_refused_before(self, params):
        with pytest.raises(ValidationError):
            ACTION.Params.model_validate({"container": NAME, **params})


class TestRoom:
    @pytest.mark.parametrize(
        ("room", "reason"),
        [
            ({"container": {"memory": 384 * MIB}}, ""),
            ({"container": {"memory": 384 * MIB - 1}}, "quota"),
            ({"pod": {"memory": 384 * MIB - 1}}, "quota"),
            ({"node": {"memory": 384 * MIB}}, ""),
            ({"node": {"memory": 384 * MIB - 1}}, "capacity"),
            # four times a half more, and one whole pod that stands beside the old ones
            ({"left": {"limits_memory": (4 * 128 + 384) * MIB}}, ""),
            ({"left": {"limits_memory": (4 * 128 + 384) * MIB - 1}}, "quota"),
            ({"left": {"requests_memory": (4 * 128 + 384) * MIB - 1}}, "quota"),
            ({"left": {"limits_memory": -5}}, "quota"),
            ({"left": {"limits_cpu": 0, "storage": 0}}, ""),
        ],
    )
    def test_is_what_a_range_a_quota_and_the_largest_node_leave(self, room, reason):
        made = plan(room=room)
        assert (made.reason if isinstance(made, Refusal) else "") == reason

    def test_in_place_is_only_what_is_more(self):
        assert grown(in_place(live(1), live(2), room={"left": {"limits_memory": 256 * MIB}}))
        assert in_place(live(1), live(2), room={"left": {"limits_memory": 256 * MIB - 1}}).reason == "quota"

    def test_of_a_pod_counts_its_other_containers(self):
        other = {**container(amounts("1Gi")), "name": "side"}
        made = plan({"containers": [container(), other]}, {"node": {"memory": 1100 * MIB}})
        assert made.reason == "capacity"

    def test_of_a_request_that_stays_is_not_asked_for(self):
        seen = {"containers": [container(requests=amounts("128Mi"))]}
        assert grown(plan(seen, {"left": {"requests_memory": 0}}))


class TestRefuses:
    @pytest.mark.parametrize(
        ("given", "reason", "word"),
        [
            (plan({"containers": []}), "not-found", "no container app"),
            (plan({"containers": [container({})]}), "nothing-to-do", "no memory limit"),
            (plan({"containers": [container(plain=False)]}), "unsupported", "by hand"),
            (plan(changes={"details": Details()}), "not-found", "web"),
            (plan(changes={"replicas": None}), "not-found", "web"),
            (plan(changes={"scope": SCOPE.model_copy(update={"kind": "Job"})}), "unsupported", "Job"),
            (plan(changes={"gitops_owner": "argocd"}), "gitops", "Git"),
            (plan(changes={"paused": True}), "paused", "paused"),
        ],
    )
    def test_and_names_the_reason(self, given, reason, word):
        assert isinstance(given, Refusal), given
        assert given.reason == reason
        assert word in given.text


class TestHasArrived:
    def arrived(self, **more):
        containers = {"containers": [container()], "pods": [live(1, **more)]}
        return ACTION.arrived(facts(containers), ACTION.Params(container=NAME))

    def test_when_the_nodes_have_given_it(self):
        assert self.arrived() == ""
        assert "web-01" in self.arrived(actual_limits=amounts("128Mi"))

    def test_never_of_what_is_gone(self):
        assert ACTION.arrived(facts(details=Details()), ACTION.Params(container=NAME)).reason == "not-found"


FULL = Replicas(desired=1, ready=1, updated=1)


@pytest.mark.parametrize(
    ("changes", "healthy"),
    [
        ({"replicas": FULL}, True),
        ({"replicas": FULL, "rolling_out": True}, False),
        ({"replicas": FULL, "pods": (killed(1),)}, False),
        ({"replicas": Replicas(desired=2, ready=1)}, False),
        ({"replicas": None}, False),
    ],
)
def test_healthy_when_all_are_ready_and_none_waits(changes, healthy):
    assert ACTION.healthy(facts(**changes)) is healthy
