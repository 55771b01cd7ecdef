"""A claim grows by one step, within every bound that somebody has set, and never the other way."""

import pytest
from pydantic import ValidationError

from shared.action.catalogue import Catalogue
from shared.kube.quantity import whole
from shared.model.details import Amount, Claim, Condition, Details, Left, Mount, Room
from shared.model.facts import Facts, Scope
from shared.model.plan import Refusal

ACTION = Catalogue.home().load("expand_pvc")
SCOPE = Scope(kind="PersistentVolumeClaim", namespace="shop", name="data", uid="c-1")
GIB = 1 << 30


def size(text):
    return Amount(value=whole(text), text=text)


def facts(requested="10Gi", capacity="10Gi", *, room=None, scope=SCOPE, gitops_owner="", on=(), **claim):
    made = {"phase": "Bound", "storage_class": "fast", "expandable": True, **claim}
    made |= {"requested": requested and size(requested), "capacity": capacity and size(capacity)}
    conditions = tuple(Condition(name=name, status="True") for name in on)
    details = Details(claim=Claim(conditions=conditions, **made), room=room)
    return Facts(taken_at=1, scope=scope, details=details, gitops_owner=gitops_owner)


def plan(*sizes, percent=25, most_gib=1024, **changes):
    return ACTION.plan(facts(*sizes, **changes), ACTION.Params(percent=percent, most_gib=most_gib))


class TestTheStep:
    @pytest.mark.parametrize(
        ("now", "percent", "wanted"),
        [
            ("10Gi", 25, "12800Mi"), ("10Gi", 10, "11Gi"), ("10Gi", 100, "20Gi"), ("1Mi", 10, "2Mi"),
            ("1G", 50, "1431Mi"), ("1e9", 50, "1431Mi"), ("1073741824", 100, "2Gi"), ("0.5Gi", 100, "1Gi"),
            ("500M", 100, "954Mi"), ("10240Mi", 25, "12800Mi"),
        ],
    )  # fmt: skip
    def test_is_a_share_of_what_there_is_in_whatever_notation(self, now, percent, wanted):
        grow, watch = plan(now, now, percent=percent).writes

        assert (grow.verb, grow.path) == ("patch", "/spec/resources/requests/storage")
        assert (grow.before, grow.after) == (now, wanted)
        assert (watch.verb, watch.target) == ("watch", grow.target)
        assert grow.target.uid == "c-1"

    def test_starts_from_the_volume_where_that_is_larger_than_was_asked_for(self):
        assert plan("1Gi", "8Gi", percent=25).writes[0].after == "10Gi"

    @pytest.mark.parametrize("wrong", [9, 101, 0, -25, "all", float("nan"), None, 1e400])
    def test_has_bounds(self, wrong):
        with pytest.raises(ValidationError):
            ACTION.Params(percent=wrong)

    @pytest.mark.parametrize("wrong", [0, 16_385, -1, "1Gi"])
    def test_of_the_whole_has_bounds(self, wrong):
        with pytest.raises(ValidationError):
            ACTION.Params(most_gib=wrong)

    def test_disturbs_nobody_and_cannot_be_taken_back(self):
        made = plan(mounts=(Mount(name="db-0", uid="p-1"),))

        assert (made.touches.unit, made.touches.count, made.touches.population) == ("pod", 0, 1)
        assert made.inverse("grant-1") is None


class TestItsBounds:
    @pytest.mark.parametrize(
        ("changes", "wanted"),
        [
            ({"most_gib": 15}, "15Gi"),
            ({"room": Room(claim=12 * GIB)}, "12Gi"),
            ({"room": Room(left=Left(storage=3 * GIB))}, "13Gi"),
            ({"room": Room(left=Left(storage=GIB + 5))}, "11Gi"),  # whole MiB, rounded down
            ({"room": Room(claim=11 * GIB, left=Left(storage=9 * GIB))}, "11Gi"),
        ],
    )
    def test_shorten_the_step(self, changes, wanted):
        assert plan(percent=100, **changes).writes[0].after == wanted

    @pytest.mark.parametrize(
        ("changes", "reason", "word"),
        [
            ({"most_gib": 10}, "bounds", "10 GiB"),
            ({"most_gib": 1}, "bounds", "1 GiB"),
            ({"room": Room(claim=10 * GIB)}, "quota", "limit range"),
            ({"room": Room(claim=GIB)}, "quota", "limit range"),
            ({"room": Room(left=Left(storage=GIB - 1))}, "quota", "quota for storage"),
            ({"room": Room(left=Left(storage=-GIB))}, "quota", "quota for storage"),
        ],
    )
    def test_that_leave_less_than_a_step_refuse_it(self, changes, reason, word):
        refused = plan(percent=100, **changes)

        assert isinstance(refused, Refusal)
        assert refused.reason == reason
        assert word in refused.text


@pytest.mark.parametrize(
    ("changes", "reason", "word"),
    [
        ({"scope": SCOPE.model_copy(update={"kind": "StatefulSet"})}, "unsupported", "StatefulSet"),
        ({"scope": SCOPE.model_copy(update={"uid": ""})}, "not-found", "data"),
        ({"requested": None}, "not-found", "data"),
        ({"phase": "Pending", "capacity": None}, "unsupported", "Pending"),
        ({"phase": "Lost"}, "unsupported", "Lost"),
        ({"capacity": None}, "unsupported", "no volume yet"),
        ({"storage_class": ""}, "unsupported", "no storage class"),
        ({"expandable": False}, "unsupported", "fast"),
        ({"gitops_owner": "argocd"}, "gitops", "argocd"),
        ({"on": ["Resizing"]}, "nothing-to-do", "Resizing"),
        ({"on": ["ControllerResizeError"]}, "nothing-to-do", "ControllerResizeError"),
        ({"on": ["FileSystemResizePending"]}, "nothing-to-do", "a pod mounts it"),
        (
            {"on": ["FileSystemResizePending"], "mounts": (Mount(name="db-0", uid="p-1"),)},
            "nothing-to-do",
            "pod db-0 is restarted",
        ),
        ({"requested": "20Gi"}, "nothing-to-do", "20Gi"),
    ],
)
def test_refuses_and_names_the_reason(changes, reason, word):
    refused = plan(**changes)

    assert isinstance(refused, Refusal)
    assert refused.reason == reason
    assert word in refused.text


def test_refuses_what_nobody_has_looked_at():
    assert ACTION.plan(Facts(taken_at=1, scope=SCOPE), ACTION.Params()).reason == "not-found"


class TestTheWait:
    def arrived(self, *sizes, **changes):
        return ACTION.arrived(facts(*sizes, **changes), ACTION.Params())

    def test_ends_when_the_volume_has_the_size(self):
        assert self.arrived("20Gi", "20Gi") == ""
        assert self.arrived("20Gi", "21Gi") == ""

    def test_goes_on_while_it_has_not(self):
        assert "20Gi" in self.arrived("20Gi", "10Gi")

    def test_says_which_restart_would_end_it(self):
        pods = (Mount(name="db-0", uid="p-1"),)
        said = self.arrived("20Gi", "10Gi", on=["FileSystemResizePending"], mounts=pods)

        assert said == "its file system grows when pod db-0 is restarted"

    @pytest.mark.parametrize("condition", ["ControllerResizeError", "NodeResizeError"])
    def test_ends_as_failed_when_the_driver_says_so(self, condition):
        assert self.arrived("20Gi", "10Gi", on=[condition]).reason == "failed"

    def test_of_a_claim_that_is_gone_ends(self):
        assert ACTION.arrived(Facts(taken_at=1, scope=SCOPE), ACTION.Params()).reason == "not-found"


@pytest.mark.parametrize(
    ("sizes", "changes", "healthy"),
    [
        (("20Gi", "20Gi"), {}, True),
        (("20Gi", "10Gi"), {}, False),
        (("20Gi", None), {}, False),
        (("20Gi", "20Gi"), {"phase": "Lost"}, False),
    ],
)
def test_healthy_when_it_has_what_was_asked_for(sizes, changes, healthy):
    assert ACTION.healthy(facts(*sizes, **changes)) is healthy
