import pytest

from shared.errors import MalformedError
from shared.kube.selector import Selector


@pytest.mark.parametrize(
    ("text", "labels", "matches"),
    [
        ("", {}, True),
        ("app=web", {"app": "web"}, True),
        ("app==web", {"app": "web"}, True),
        ("app=web", {"app": "api"}, False),
        ("app=web", {}, False),
        ("app!=web", {"app": "api"}, True),
        ("app!=web", {}, True),
        ("app in (web, api),tier=a", {"app": "api", "tier": "a"}, True),
        ("app in (web, api),tier=a", {"app": "api", "tier": "b"}, False),
        ("app notin (web)", {"app": "web"}, False),
        ("app", {"app": "x"}, True),
        ("!app", {"app": "x"}, False),
        ("example.com/app=web", {"example.com/app": "web"}, True),
    ],
)
def test_a_query_selects_as_the_grammar_says(text, labels, matches):
    assert Selector.parse(text).matches(labels) is matches


@pytest.mark.parametrize(
    "text",
    [
        "app=web=x",
        "in (a)",
        "app in a",
        "!app=web",
        "app>3",
        ",",
        "a b",
        "-a",
        "a=-b",
        "a/b/c",
        "a=/",
        "a" * 64,
        "a=" + "b" * 64,
    ],
)
def test_a_query_that_is_none_is_refused(text):
    with pytest.raises(MalformedError):
        Selector.parse(text)


def test_an_object_selector_survives_the_way_through_a_query():
    expressions = [
        {"key": "tier", "operator": "In", "values": ["a", "b"]},
        {"key": "env", "operator": "NotIn", "values": ["dev"]},
        {"key": "zone", "operator": "Exists"},
        {"key": "old", "operator": "DoesNotExist"},
    ]

    selector = Selector.of({"matchLabels": {"app": "web"}, "matchExpressions": expressions})

    assert selector.text == "app=web,tier in (a,b),env notin (dev),zone,!old"
    assert Selector.parse(selector.text).matches({"app": "web", "tier": "b", "zone": "1"})
    assert not selector.matches({"app": "web", "tier": "b", "zone": "1", "env": "dev"})


def test_an_operator_that_does_not_exist_is_refused():
    with pytest.raises(MalformedError):
        Selector.of({"matchExpressions": [{"key": "a", "operator": "Gt", "values": ["1"]}]})
