import pytest

from shared.errors import MalformedError
from shared.guard.policy import Policy
from shared.guard.policy_read import MAX_TEXT, of_file, of_spec, read, spec_revision

FULL = """
protected_objects: [Deployment/shop/ledger, "*/vault/*", Node/gpu-*]
rules:
- name: never in payments
  namespaces: [pay-*]
  autonomy: "off"
- name: critical nodes by two people
  actions: [drain_node]
  kinds: [Node]
  severities: [critical]
  autonomy: approve
  approvers: 2
windows:
- {name: nights, kind: maintenance, actions: [drain_node], from: 22:00, to: 06:00, timezone: Europe/Berlin}
- {name: christmas, kind: freeze, start: 2026-12-24T00:00:00Z, end: 2026-12-27T00:00:00Z}
working_hours: {days: [mon, tue, wed, thu, fri], from: 09:00, to: 17:00}
"""


def faults(text: str, actions: list[str] | None = None) -> list[str]:
    policy, wrong = of_file(text, actions)
    assert (policy is None) == bool(wrong)
    return wrong


def refused(text: str, actions: list[str] | None = None) -> str:
    with pytest.raises(MalformedError) as caught:
        read(text, actions)
    return str(caught.value)


class TestRules:
    def test_are_read_in_their_order(self):
        rules = read(FULL).rules

        assert [(rule.name, rule.autonomy, rule.approvers) for rule in rules] == [
            ("never in payments", "off", 1),
            ("critical nodes by two people", "approve", 2),
        ]

    @pytest.mark.parametrize(
        ("rule", "why"),
        [
            ("name: r", "says neither autonomy nor approvers nor a bound"),
            ("autonomy: auto", "rules.0.name: Field required"),
            ("name: r, autonomy: off", "write 'off' in quotes"),
            ("name: r, autonomy: never", "'observe'"),
            ("name: r, approvers: 3", "rules.0.approvers"),
            ("name: r, most_replicas: -1", "rules.0.most_replicas"),
            ("name: r, least_replicas: many", "rules.0.least_replicas"),
            ("name: r, least_replicas: 3, most_replicas: 2", "least_replicas is above most_replicas"),
            ("name: r, approvers: 0", "rules.0.approvers"),
            ("name: r, approvers: true", "rules.0.approvers"),
            ("name: r, autonomy: auto, actions: []", "at least 1"),
            ("name: r, autonomy: auto, kinds: [Deploymnt]", "'Deployment'"),
            ("name: r, autonomy: auto, namespaces: [Shop]", "must be a namespace"),
            ("name: r, autonomy: auto, severities: ['a b']", "must be a severity"),
            ('name: "a\\u0007b", autonomy: auto', "printable"),
            ("name: '', autonomy: auto", "printable"),
            (f"name: {'r' * 101}, autonomy: auto", "at most 100 characters"),
        ],
    )
    def test_that_say_nothing_or_nonsense_are_refused(self, rule, why):
        assert why in refused(f"rules: [{{{rule}}}]")

    def test_of_one_name_cannot_be_told_apart(self):
        assert "two are named 'r'" in refused(
            "rules: [{name: r, autonomy: auto}, {name: r, autonomy: auto}]",
        )

    def test_a_policy_that_refuses_everything_is_one(self):
        assert read("rules: [{name: nothing at all, autonomy: 'off'}]").rules[0].autonomy == "off"
        assert read("risk_refuse: 0").risk_refuse == 0

    def test_an_action_that_does_not_exist_is_named_with_its_place(self):
        known = ["drain_node", "restart_pod"]

        assert faults("rules: [{name: r, autonomy: auto, actions: [drain_nodes]}]", known) == [
            "rules.0.actions: no action 'drain_nodes', did you mean drain_node?"
        ]
        assert faults("windows: [{name: r, kind: freeze, days: [mon], actions: [restart]}]", known) == [
            "windows.0.actions: no action 'restart', did you mean restart_pod?"
        ]
        assert faults(FULL, known) == []


class TestObjects:
    @pytest.mark.parametrize(
        "key", ["Deployment/shop/web", "Node/a.b.c", "*/shop/*", "Deployment/*/web", "Stateful*/a/b"]
    )
    def test_are_named_as_scopes_are(self, key):
        assert read(f"protected_objects: ['{key}']").protected_objects == (key,)

    @pytest.mark.parametrize(
        ("key", "why"),
        [
            ("shop/web", "Kind/namespace/name"),
            ("Deployment", "Kind/namespace/name"),
            ("Deployment/", "Kind/namespace/name"),
            ("Deployment/shop/web/x", "Kind/namespace/name"),
            ("Deployment/shop/Web", "Kind/namespace/name"),
            ("Deploymnt/shop/web", "did you mean Deployment?"),
            ("ConfigMap/shop/web", "no target has the kind"),
            ("*/*/*a*", "at most 3 *"),
        ],
    )
    def test_that_nothing_could_be_are_refused(self, key, why):
        assert why in refused(f"protected_objects: ['{key}']")


class TestUnknownKeys:
    @pytest.mark.parametrize(
        ("text", "where", "nearest"),
        [
            ("rules: [{name: r, autonomy: auto, namespace: [a]}]", "rules.0.namespace", "namespaces"),
            ("windows: [{name: w, kind: freeze, days: [mon], form: 10:00}]", "windows.0.form", "from"),
            ("windows: [{name: w, kind: freeze, days: [mon], from_: 10:00}]", "windows.0.from_", "from"),
            ("working_hours: {day: [mon]}", "working_hours.day", "days"),
            ("working_hours: {days: [mon], start: 2026-01-01}", "working_hours.start", "to"),
            ("protected_namespace: [a]", "protected_namespace", "protected_namespaces"),
        ],
    )
    def test_are_refused_at_every_level_with_the_nearest_known_one(self, text, where, nearest):
        assert f"unknown key '{where}', did you mean {nearest}?" in refused(text)

    @pytest.mark.parametrize("text", ["rules: [3]", "rules: {}", "windows: w", "working_hours: [mon]", "rules: [[]]"])
    def test_a_value_of_another_shape_is_refused_with_its_place(self, text):
        assert text.partition(":")[0] in refused(text)


class TestFaults:
    def test_are_one_line_each(self):
        found = faults("repeats: 0\nrules: [{nam: r}]\nwindows: [{name: w, kind: frost, days: [mon]}]\n")

        assert [line.partition(":")[0] for line in found] == [
            "rules.0.name",
            "unknown key 'rules.0.nam', did you mean name?",
            "windows.0.kind",
            "repeats",
        ]
        assert not any("\n" in line for line in found)

    def test_are_none_of_a_good_policy(self):
        assert faults(FULL) == []

    def test_of_a_policy_that_is_wrong_everywhere_are_bounded(self):
        found = faults("".join(f"a{n}: 1\n" for n in range(1000)))

        assert len(found) < 30
        assert found[-1].endswith("more")

    def test_limits_that_contradict_each_other_are_told(self):
        assert "above risk_refuse" in refused("risk_approve: 91\nrisk_refuse: 90")
        assert "above backoff_max_s" in refused("backoff_max_s: 59")

    @pytest.mark.parametrize(
        "number", ["-1", "-9223372036854775809", "1e400", "9" * 4000, ".nan", "0x10", "1_000", "010"]
    )
    def test_wild_numbers_are_no_limits(self, number):
        assert "rate_per_hour" in refused(f"rate_per_hour: {number}")


class TestTheObjectsSpec:
    def test_reads_the_same_as_the_text(self):
        policy = read(FULL)

        assert of_spec(policy.model_dump(mode="json", exclude_unset=True)) == policy

    @pytest.mark.parametrize("spec", [[], "x", 3, {"a": 1}, {"repeats": "3"}, {"rules": "x" * MAX_TEXT}])
    def test_what_is_no_policy_is_refused(self, spec):
        with pytest.raises(MalformedError):
            of_spec(spec)

    def test_without_one_it_is_the_defaults(self):
        assert of_spec({}) == of_spec(None) == Policy()

    def test_has_a_revision_of_its_content_alone(self):
        assert spec_revision({"repeats": 2, "hold": ["*"]}) == spec_revision({"hold": ["*"], "repeats": 2})
        assert spec_revision({"repeats": 2}) != spec_revision({"repeats": 3})


class TestAFile:
    HEAD = "apiVersion: akeso.dev/v1\nkind: RemediationPolicy\nmetadata: {name: akeso, namespace: akeso-system}\n"

    def test_may_be_the_object_itself(self):
        policy, wrong = of_file(self.HEAD + "spec: {repeats: 2}")

        assert (policy, wrong) == (Policy(repeats=2), [])

    @pytest.mark.parametrize(
        ("text", "why"),
        [
            (HEAD + "spec: {repeat: 2}", "did you mean repeats?"),
            (HEAD.replace("name: akeso,", "name: mine,"), "only the RemediationPolicy named akeso"),
            (HEAD.replace("{name: akeso, namespace: akeso-system}", "3"), "only the RemediationPolicy named akeso"),
            (HEAD.replace("akeso.dev/v1", "akeso.dev/v2"), "not a RemediationPolicy of akeso.dev/v1"),
            ("kind: ConfigMap\napiVersion: v1\ndata: {}", "is a ConfigMap of v1"),
            (HEAD + "spec: [1]", "must be a mapping"),
        ],
    )
    def test_of_something_else_is_refused(self, text, why):
        assert why in faults(text)[0]
