"""A plan is shown to whoever has to say yes: what there is, what there would be, and nothing without bounds."""

import pytest

from shared.model.facts import ObjectRef
from shared.model.hold import difference
from shared.model.plan import Plan, Write

WEB = ObjectRef(kind="Deployment", namespace="shop", name="web", uid="u")
OLD, NEW = ({"kind": "ReplicaSet", "name": name, "uid": "u", "path": "/spec/template"} for name in ("web-1", "web-2"))


@pytest.mark.parametrize(
    ("write", "lines"),
    [
        (
            Write(verb="patch", target=WEB, path="/spec/replicas", before=1, after=3),
            ["  Deployment/shop/web /spec/replicas", "- 1", "+ 3"],
        ),
        (Write(verb="patch", target=WEB, path="/x", after={"a": 1}), ["  Deployment/shop/web /x", '+ {"a": 1}']),
        (
            Write(verb="copy", target=WEB, path="/spec/template", before=NEW, after=OLD),
            ["  Deployment/shop/web /spec/template", "- as ReplicaSet web-2 has it", "+ as ReplicaSet web-1 has it"],
        ),
        (
            Write(verb="create", target=WEB, after={"from": OLD}),
            ["  Deployment/shop/web", "+ created, as ReplicaSet web-1 has it"],
        ),
        (Write(verb="create", target=WEB, after={"spec": {}}), ["  Deployment/shop/web", '+ created: {"spec": {}}']),
        (Write(verb="evict", target=WEB), ["  Deployment/shop/web", "- this pod, evicted"]),
        (Write(verb="delete", target=WEB, before={"attempt": "a"}), ["  Deployment/shop/web", "- delete"]),
        (Write(verb="watch", target=WEB, patience_s=90), ["  waits for at most 90 s until it has arrived"]),
    ],
)  # fmt: skip
def test_each_kind_of_write_says_what_it_does(write, lines):
    assert difference(Plan(writes=(write,))) == lines


def test_a_temporary_change_says_when_it_ends():
    write = Write(verb="patch", target=WEB, path="/spec/replicas", before=1, after=3)

    assert difference(Plan(writes=(write,), until_s=1800))[-1] == "  taken back after 30 min"


def test_a_huge_value_is_cut():
    write = Write(verb="patch", target=WEB, path="/x", before=None, after={"a": "y" * 10_000})

    assert max(map(len, difference(Plan(writes=(write,))))) < 500
