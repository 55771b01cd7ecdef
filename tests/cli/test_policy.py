"""`akeso policy`: what people see of a policy before it is in force."""

import json
from pathlib import Path

import pytest

from shared import clock

GOOD = "rules:\n- {name: never in payments, namespaces: [pay-*], autonomy: 'off'}\nattempts_per_day: 2\n"
CASES = """
policy: policy.yaml
cases:
- name: payments are left alone
  given: {action: scale_deployment, target: Deployment/pay-eu/web}
  expect: {decision: denied, check: rule}
- name: the shop is healed
  given: {action: scale_deployment, target: Deployment/shop/web}
  expect: {decision: approved}
"""

# What a reader that follows every reference never comes to the end of.
BOMB = ", ".join(f"k{n}: &k{n} [{', '.join([f'*k{n - 1}'] * 10) if n else '1'}]" for n in range(12))


@pytest.fixture
def file(tmp_path):
    def write(name, text):
        (tmp_path / name).write_text(text)
        return tmp_path / name

    return write


def record(at="2026-11-26T12:00:00Z", namespace="shop", decision="approved", **more):
    asked = {"scope": f"Deployment/{namespace}/web", "namespace": namespace, "action": "scale_deployment",
             "incident": "i1", "taken_at": clock.parse_ms(at), "cooldown": 300_000, "soak": 60_000}  # fmt: skip
    return {"at": clock.parse_ms(at), "decision": decision, "asked": asked, **more}


class TestCheck:
    def test_a_good_one_needs_no_words(self, akeso, file):
        said = akeso("policy", "check", file("p.yaml", GOOD))

        assert (said.exit_code, said.stdout, said.stderr) == (0, "", "")

    def test_faults_are_one_line_each_and_the_answer_is_no(self, akeso, file):
        said = akeso("policy", "check", file("p.yaml", "repeat: 1\nhold: [scale_deploymet]\nrate_per_hour: 0\n"))

        assert said.exit_code == 1
        assert said.stdout.splitlines() == [
            "rate_per_hour: Input should be greater than or equal to 1",
            "unknown key 'repeat', did you mean repeats?",
        ]

    def test_an_action_that_does_not_exist_is_a_fault(self, akeso, file):
        said = akeso("policy", "check", file("p.yaml", "hold: [scale_deploymet]"))

        assert said.stdout == "hold: no action 'scale_deploymet', did you mean scale_deployment?\n"

    def test_takes_the_object_and_stdin(self, akeso):
        text = "apiVersion: akeso.dev/v1\nkind: RemediationPolicy\nmetadata: {name: akeso}\nspec: {repeats: 0}\n"
        said = akeso("policy", "check", "--json", "-", stdin=text)

        assert json.loads(said.stdout) == {
            "good": False,
            "faults": ["repeats: Input should be greater than or equal to 1"],
        }

    def test_references_to_references_come_to_an_end(self, akeso, file):
        assert "unknown key 'k0'" in akeso("policy", "check", file("p.yaml", f"{{{BOMB}}}")).stdout

    @pytest.mark.parametrize("name", ["missing.yaml", "."])
    def test_a_file_that_cannot_be_read_is_no_fault_of_the_policy(self, akeso, name):
        assert akeso("policy", "check", name).exit_code == 2

    def test_bytes_that_are_no_text_are_one_line(self, akeso, tmp_path):
        (tmp_path / "p.yaml").write_bytes(b"\xff\xfe\x00")
        said = akeso("policy", "check", tmp_path / "p.yaml")

        assert (said.exit_code, "no UTF-8" in said.stderr) == (2, True)

    def test_nothing_in_it_moves_a_terminal(self, akeso, file):
        said = akeso("policy", "check", file("p.yaml", '"\\e[31mred": 1'))

        assert said.exit_code == 1
        assert "\x1b" not in said.stdout


class TestTest:
    def test_says_how_many_are_as_expected(self, akeso, file):
        file("policy.yaml", GOOD)
        said = akeso("policy", "test", file("cases.yaml", CASES))

        assert (said.exit_code, said.stdout) == (0, "2 of 2 cases are as expected\n")

    def test_names_what_is_not_with_what_was_found(self, akeso, file):
        file("policy.yaml", "risk_refuse: 0")
        said = akeso("policy", "test", file("cases.yaml", CASES))

        assert said.exit_code == 1
        assert said.stdout.splitlines()[1:] == [
            "the shop is healed: expected approved, found denied (risk)",
            "0 of 2 cases are as expected",
        ]

    def test_a_thousand_cases_fit_into_a_file(self, akeso, file):
        cases = "".join(CASES[CASES.index("- name") :].replace("name: ", f"name: {n} ") for n in range(500))
        said = akeso("policy", "test", file("cases.yaml", f"policy: {{}}\ncases:\n{cases}"))

        assert "500 of 1000 cases are as expected" in said.stdout

    def test_another_policy_can_be_named(self, akeso, file):
        cases = file("cases.yaml", CASES)
        said = akeso("policy", "test", cases, "--policy", file("other.yaml", "hold: ['*']"), "--json")

        assert said.exit_code == 1
        assert [one["found"] for one in json.loads(said.stdout)] == ["held", "held"]

    @pytest.mark.parametrize(
        ("text", "why"),
        [
            ("cases: []", "at least 1"),
            ("[]", "must be a mapping"),
            (
                "cases: [{name: a, given: {action: scale_deployment, target: nobody}, expect: {decision: held}}]",
                "no target",
            ),
            ("cases: [{name: a, given: {actoin: x}, expect: {decision: held}}]", "did you mean action?"),
            (
                CASES.replace("scale_deployment, target: Deployment/shop", "scale_dep, target: Deployment/shop"),
                "no action",
            ),
            (CASES.replace("policy.yaml", "missing.yaml"), "No such file"),
            (CASES.replace("policy.yaml", "{repeat: 1}"), "did you mean repeats?"),
            (CASES.replace("policy: policy.yaml", f"policy: {{{BOMB}}}"), "unknown key 'k0'"),
            (CASES.replace("decision: approved", "decision: approved, check: rule"), "only what is denied"),
        ],
    )
    def test_cases_that_are_none_are_one_line(self, akeso, file, text, why):
        file("policy.yaml", GOOD)
        said = akeso("policy", "test", file("cases.yaml", text))

        assert said.exit_code == 2
        assert why in said.stderr


class TestDiff:
    def test_says_which_of_the_decisions_on_record_would_change(self, akeso, file):
        found = file("d.json", json.dumps({"decisions": [record(namespace="pay-eu"), record()]}))
        said = akeso("policy", "diff", file("a.yaml", ""), file("b.yaml", GOOD), "--from", found)

        assert said.exit_code == 1
        first, head, row = said.stdout.splitlines()
        assert first == "1 of the last 2 decisions would change"
        assert head.split() == ["AT", "TARGET", "ACTION", "A", "B"]
        assert row.split() == [
            "2026-11-26T12:00:00Z", "Deployment/pay-eu/web", "scale_deployment", "approved", "denied", "(rule)",
        ]  # fmt: skip

    def test_the_same_policy_changes_nothing(self, akeso, file):
        found = file("d.json", json.dumps([record()]))
        said = akeso("policy", "diff", file("a.yaml", GOOD), file("b.yaml", GOOD), "--from", found)

        assert (said.exit_code, said.stdout) == (0, "0 of the last 1 decisions would change\n")

    def test_nothing_on_record_is_no_change(self, akeso, file):
        said = akeso("policy", "diff", file("a.yaml", ""), file("b.yaml", GOOD), "--from", file("d.json", "[]"))

        assert (said.exit_code, said.stdout) == (0, "0 of the last 0 decisions would change\n")

    @pytest.mark.usefixtures("ready")
    def test_the_running_installation_is_asked_for_its_record(self, akeso, file, world):
        world.heal()
        said = akeso("policy", "diff", file("a.yaml", ""), file("b.yaml", "risk_refuse: 0"), "--json")

        assert said.exit_code == 1
        told = json.loads(said.stdout)
        assert (told["of"], told["as_recorded"]) == (1, 1)
        assert told["changed"][0]["b"] == {"decision": "denied", "check": "risk"}

    @pytest.mark.parametrize(
        "text",
        [
            "", "{", "3", "{}", "[3]", '[{"at": -1}]', json.dumps([record(decision="perhaps")]),
            json.dumps([{**record(), "at": 10**40}]), json.dumps([{**record(), "asked": {"scope": ""}}]),
            json.dumps([record()]).replace('"soak": 60000', '"soak": NaN'), "[" * 5000,
            json.dumps([{**record(), "asked": {**record()["asked"], "touches": {"unit": "pod", "count": 10**30}}}]),
        ],
    )  # fmt: skip
    def test_a_record_that_is_none_is_one_line(self, akeso, file, text):
        said = akeso("policy", "diff", file("a.yaml", ""), file("b.yaml", ""), "--from", file("d.json", text))

        assert said.exit_code == 2


class TestTheShippedExamples:
    EXAMPLES = Path(__file__).parents[2] / "examples"

    def test_are_a_policy_and_cases_that_hold_under_it(self, akeso):
        assert akeso("policy", "check", self.EXAMPLES / "policy.yaml").exit_code == 0
        said = akeso("policy", "test", self.EXAMPLES / "policy-cases.yaml")
        assert (said.exit_code, "8 of 8" in said.stdout) == (0, True)

    def test_are_what_the_readme_shows(self):
        readme = (self.EXAMPLES.parent / "README.md").read_text()
        assert (self.EXAMPLES / "policy.yaml").read_text() in readme
