import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.telemetry.redact import CUT, MASK, MAX_DEPTH, MAX_ITEMS, MAX_TEXT, redact

JWT = "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxMjM0In0.dozjgNryP4J3jVmNHl0w5N_XgL0n3I9P"
PEM = "-----BEGIN RSA PRIVATE KEY-----\nMIIEpAIBAAKCAQEA7\nhunter2\n-----END RSA PRIVATE KEY-----"
PLAIN = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=50),
    lambda inner: st.lists(inner, max_size=5) | st.dictionaries(st.text(max_size=10), inner, max_size=5),
    max_leaves=30,
)


class TestTextWithSecrets:
    @pytest.mark.parametrize(
        ("text", "left"),
        [
            ("Authorization: Bearer hunter2hunter2", f"Authorization: {MASK}"),
            ("authorization=Basic aHVudGVyMg== x", f"authorization={MASK} x"),
            ('{"Authorization": "Bearer hunter2"}', f'{{"Authorization": {MASK}}}'),
            ("sent bearer hunter2hunter2, twice", f"sent bearer {MASK}, twice"),
            ("redis://:hunter2@redis:6379/0", f"redis://{MASK}@redis:6379/0"),
            ("postgres://bob:hunter2@db:5432/x?y=1", f"postgres://{MASK}@db:5432/x?y=1"),
            ("amqp://bob:hun/ter@2@mq/vhost", f"amqp://{MASK}@mq/vhost"),
            ("https://hunter2hunter2@github.com/x", f"https://{MASK}@github.com/x"),
            ("password=hunter2 host=db", f"password={MASK} host=db"),
            ("DB_PASSWORD: hunter2", f"DB_PASSWORD: {MASK}"),
            ('{"client_secret":"hun\\"ter2","a":1}', f'{{"client_secret":{MASK},"a":1}}'),
            ("token = 'hunter 2' next", f"token = {MASK} next"),
            ("https://x/?access_token=hunter2&a=1", f"https://x/?access_token={MASK}&a=1"),
            ("api-key: hunter2", f"api-key: {MASK}"),
            ("AWS_SECRET_ACCESS_KEY=wJalrXUtnFEMI/K7MDENG", f"AWS_SECRET_ACCESS_KEY={MASK}"),
            ("mysql --password hunter2 -h db", f"mysql --password {MASK} -h db"),
            ("key AKIAIOSFODNN7EXAMPLE used", f"key {MASK} used"),
            (f"got {JWT} back", f"got {MASK} back"),
            (f".{JWT}", f".{MASK}"),
            (f"session_{JWT}", MASK),
            (f"before {PEM} after", f"before {MASK} after"),
            ("-----BEGIN PRIVATE KEY-----\nMIIEhunter2", MASK),
            ("ghp_abcdefghijklmnopqrstuvwxyz012345", MASK),
        ],
    )
    def test_lose_them_and_keep_the_rest(self, text, left):
        assert redact(text) == left

    def test_lose_our_own_grants(self):
        assert redact("grant eyJncmFudCI6eyJhY3Rpb24iOi.Sz3_-x") == f"grant {MASK}"

    @pytest.mark.parametrize(
        "text",
        [
            "", "pod web-5d4f8 in shop restarted 12 times", "http://prometheus:9090/graph?g0.expr=up", "a@b.example",
            "Deployment/shop/web scaled 2 -> 4", "10.0.0.1:8080", "sha256:" + "ab" * 32, "x.y.z", "http://a:80/x",
            "akeso undo g-123 --yes", "the bearer of news", "v1.27.3-eyJ", "2023-11-14T22:13:20.000Z",
        ],
    )  # fmt: skip
    def test_text_without_secrets_stays_as_it_is(self, text):
        assert redact(text) == text


class TestData:
    @pytest.mark.parametrize(
        "key",
        [
            "password",
            "DB_PASSWORD",
            "token",
            "accessToken",
            "client-secret",
            "apiKey",
            "private_key",
            "Cookie",
            "aws_access_key_id",
            "Authorization",
        ],
    )
    @pytest.mark.parametrize("value", ["hunter2", 1234, ["hunter2"], {"a": "hunter2"}, b"hunter2"])
    def test_a_telling_key_loses_its_value_whatever_it_is(self, key, value):
        assert redact({key: value, "other": 1}) == {key: MASK, "other": 1}

    def test_a_switch_is_no_secret(self):
        assert redact({"automountServiceAccountToken": False, "token": None}) == {
            "automountServiceAccountToken": False,
            "token": None,
        }

    def test_is_walked_to_the_bottom(self):
        assert redact({"a": [{"b": ("x", {"c": f"Bearer {JWT}"})}]}) == {"a": [{"b": ["x", {"c": f"Bearer {MASK}"}]}]}

    def test_a_containers_environment_loses_the_value_beside_the_telling_name(self):
        env = [{"name": "DB_PASSWORD", "value": "hunter2"}, {"name": "MODE", "value": "fast"}]
        assert redact(env) == [{"name": "DB_PASSWORD", "value": MASK}, {"name": "MODE", "value": "fast"}]

    def test_an_argument_after_a_telling_flag_is_lost(self):
        assert redact(["run", "--token", "hunter2", "-v", "x"]) == ["run", "--token", MASK, "-v", "x"]

    def test_a_key_that_is_a_secret_itself_is_lost(self):
        assert redact({JWT: 1}) == {MASK: 1}

    def test_what_is_no_plain_data_becomes_text_without_secrets(self):
        class Odd:
            def __str__(self):
                return "password=hunter2"

        assert redact({"a": Odd(), "b": b"hunter2"}) == {"a": f"password={MASK}", "b": "[7 bytes]"}

    def test_the_original_is_left_alone(self):
        value = {"password": "hunter2", "a": ["x"]}
        redact(value)
        assert value == {"password": "hunter2", "a": ["x"]}

    @given(PLAIN)
    def test_plain_data_stays_plain_and_a_second_time_changes_nothing(self, value):
        once = redact(value)
        json.dumps(once)
        assert redact(once) == once


class TestBounds:
    def test_a_long_text_is_cut(self):
        assert redact("x" * MAX_TEXT) == "x" * MAX_TEXT
        assert redact("x" * 10 * MAX_TEXT) == "x" * MAX_TEXT + CUT

    @pytest.mark.parametrize("before", range(0, 700, 7))
    def test_a_secret_across_the_cut_is_not_half_shown(self, before):
        text = "x " * ((MAX_TEXT - before) // 2 + 256) + "postgres://bob:" + "hunter2" * 20 + "@db " + "y" * 1000
        assert "hunter2" not in redact(text)

    def test_a_secret_that_moves_up_when_another_is_taken_out_is_not_half_shown(self):
        text = (
            PEM.replace("hunter2", "A" * 2000) + "x" * (MAX_TEXT - 1600) + " postgres://bob:" + "hunter2" * 30 + "@db"
        )
        assert "hunter2" not in redact(text)

    def test_long_and_deep_data_is_cut(self):
        assert redact(list(range(MAX_ITEMS + 5))) == [*range(MAX_ITEMS), CUT]
        wide = redact({str(n): n for n in range(MAX_ITEMS + 5)})
        assert (len(wide), wide[CUT]) == (MAX_ITEMS + 1, 5)
        deep: list = []
        for _ in range(MAX_DEPTH * 3):
            deep = [deep]
        assert json.dumps(redact(deep)).count("[") == MAX_DEPTH + 1

    def test_data_that_holds_itself_is_cut(self):
        loop: dict = {}
        loop["again"] = loop
        assert CUT in json.dumps(redact(loop))

    def test_a_tree_that_grows_in_all_directions_is_cut(self):
        tree: list = ["x"]
        for _ in range(MAX_DEPTH - 1):
            tree = [tree] * 100
        assert len(json.dumps(redact(tree))) < 100_000

    def test_what_cannot_be_shown_is_said_to_be_so(self):
        class Broken:
            def __str__(self):
                raise RuntimeError("hunter2")

        assert redact([Broken()]) == "[list cannot be shown]"

    @pytest.mark.parametrize(
        "piece",
        [
            "eyJ",
            "a.",
            "a",
            "://",
            "://a:",
            "://a:b@",
            "token",
            "token=",
            "-token ",
            "-----BEGIN A-----",
            "bearer ",
            'password="',
            "A",
            "AKIA",
            "Authorization: ",
            '\\"',
            "-",
        ],
    )
    def test_hostile_repetition_comes_to_an_end(self, piece):
        # a pattern that backtracks without bound would not
        assert len(redact((piece * MAX_TEXT)[: 2 * MAX_TEXT])) <= 2 * MAX_TEXT
