"""Every bootstrap default is pinned here, and no name that is not known gets through."""

import re

import pytest
from pydantic import BaseModel, ValidationError

from shared import settings
from shared.action import render
from shared.action.catalogue import Catalogue
from shared.errors import MalformedError
from shared.settings import Settings, load

DEFAULTS = {
    "AKESO_DEV": False,
    "AKESO_ACTION": "",
    "AKESO_IMAGE": "",
    "AKESO_ACTIONS_DIR": "",
    "AKESO_SECRETS_DIR": "/etc/akeso/secrets",
    "AKESO_AUDIT_FILE": "",
    "AKESO_BROKER": "",
    "AKESO_INTAKE": "",
    "AKESO_EMBARGO_S": 900,
    "AKESO_REDIS__URL": "redis://127.0.0.1:6379/0",
    "AKESO_REDIS__TIMEOUT_MS": 250,
    "AKESO_KUBE__KUBECONFIG": "",
    "AKESO_KUBE__NAMESPACE": "akeso-system",
    "AKESO_KUBE__TIMEOUT_MS": 5000,
    "AKESO_ALERTMANAGER__URL": "",
    "AKESO_ALERTMANAGER__TENANT": "default",
    "AKESO_ALERTMANAGER__CLUSTER": "default",
    "AKESO_TICKETS__CHANNEL": "webhook",
    "AKESO_TICKETS__URL": "",
    "AKESO_TICKETS__TIMEOUT_MS": 5000,
}
OTHER = {bool: "1", int: "777", str: "other", "AKESO_REDIS__URL": "redis://other"}


def flat(model, prefix="AKESO_"):
    found = {}
    for name in type(model).model_fields:
        value = getattr(model, name)
        variable = f"{prefix}{name.upper()}"
        found |= flat(value, f"{variable}__") if isinstance(value, BaseModel) else {variable: value}
    return found


def refusal(**environ):
    with pytest.raises(MalformedError) as caught:
        load(environ)
    assert caught.value.reason == "settings"
    text = str(caught.value)
    assert "\n" not in text
    return text


class TestDefaults:
    def test_are_these(self):
        assert flat(Settings()) == DEFAULTS
        assert flat(load({})) == DEFAULTS

    def test_write_nowhere_and_dare_nothing(self):
        plain = load({})
        assert not plain.dev
        assert not plain.kube.kubeconfig
        assert plain.tickets.channel != "console"

    def test_cannot_be_changed_afterwards(self):
        for model, name in ((load({}), "dev"), (load({}).redis, "url")):
            with pytest.raises(ValidationError):
                setattr(model, name, "other")

    def test_hold_a_lost_redis_at_bay_for_the_longest_cooldown(self):
        longest = max(action.cooldown_s for action in Catalogue.home().all())
        assert load({}).embargo_s >= longest


class TestNames:
    @pytest.mark.parametrize("name", DEFAULTS)
    def test_each_sets_its_own_value_and_no_other(self, name):
        kind = type(DEFAULTS[name])
        other = OTHER.get(name, OTHER[kind])
        changed = flat(load({name: other}))
        assert changed == DEFAULTS | {name: kind(other)}

    @pytest.mark.parametrize(
        "name",
        ["AKESO_EMBARGO", "AKESO_REDIS_URL", "AKESO_REDIS__URI", "AKESO_REDIS__TIMEOUT", "AKESO_X", "AKESO_X__Y",
         "AKESO_KUBE__", "AKESO_", "AKESO_REDIS__URL__X", "AKESO_KUBE__KUBECONFIG_",
         "AKESO_dev"],
    )  # fmt: skip
    def test_that_are_misspelt_are_refused_by_name(self, name):
        assert name in refusal(**{name: "1"})

    @pytest.mark.parametrize("group", ["REDIS", "KUBE", "ALERTMANAGER", "TICKETS"])
    def test_of_groups_are_no_settings_whatever_else_is_set(self, group):
        plain, inner = f"AKESO_{group}", f"AKESO_{group}__URL" if group != "KUBE" else "AKESO_KUBE__NAMESPACE"
        for environ in ({plain: "x"}, {plain: "x", inner: "y"}, {inner: "y", plain: "x"}):
            assert f"{plain}:" in refusal(**environ)

    def test_that_are_no_groups_have_no_parts(self):
        assert "AKESO_ACTION" in refusal(AKESO_ACTION__NAME="x")

    def test_that_are_wrong_are_all_told_at_once(self):
        text = refusal(AKESO_ONE="1", AKESO_DEV="perhaps", AKESO_REDIS__TIMEOUT_MS="soon", PATH="/bin")
        for name in ("AKESO_ONE", "AKESO_DEV", "AKESO_REDIS__TIMEOUT_MS"):
            assert name in text

    def test_of_others_are_none_of_ours(self):
        assert load({"PATH": "/bin", "MYAKESO_X": "1", "akeso_x": "1", "PORT": "8080"}) == Settings()

    @pytest.mark.parametrize("name", sorted(settings._FOREIGN))
    def test_of_other_parts_of_the_product_are_left_to_them(self, name):
        assert load({name: "anything"}) == Settings()


class TestValues:
    @pytest.mark.parametrize(
        ("name", "value"),
        [
            ("AKESO_REDIS__TIMEOUT_MS", "9"), ("AKESO_REDIS__TIMEOUT_MS", "5001"), ("AKESO_REDIS__TIMEOUT_MS", ""),
            ("AKESO_KUBE__TIMEOUT_MS", "99"), ("AKESO_KUBE__TIMEOUT_MS", "25001"), ("AKESO_EMBARGO_S", "-1"),
            ("AKESO_TICKETS__TIMEOUT_MS", "20001"), ("AKESO_EMBARGO_S", "86401"), ("AKESO_EMBARGO_S", "1.5"),
            ("AKESO_DEV", ""), ("AKESO_DEV", "dev"), ("AKESO_DEV", "2"),
        ],
    )  # fmt: skip
    def test_out_of_bounds_are_refused(self, name, value):
        assert f"{name}:" in refusal(**{name: value})

    def test_never_stand_in_the_refusal(self):
        assert "hunter2" not in refusal(AKESO_EMBARGO_S="hunter2", AKESO_REDIS="redis://:hunter2@x", AKESO_X="hunter2")

    @pytest.mark.parametrize(
        "url",
        [
            "", "other", "localhost:6379", "http://host:1", "REDIS://host", "unix:///run/redis.sock", "sentinel://h:1/s",
            "redis+sentinel://", "redis+sentinel://h:1", "redis+sentinel://h:1/", "redis+sentinel://h/s",
            "redis+sentinel://h:x/s", "redis+sentinel://h:0/s", "redis+sentinel://h:65536/s", "redis+sentinel://h:1,/s",
            "redis+sentinel://h:1,:2/s", "redis+sentinel://h:1/s/x", "redis+sentinel://h:1/s/-1", "redis+sentinel://h:1/s/",
            "redis+sentinel://h:1/s/0/1", "redis+sentinel://h:1/s?db=1", "redis+sentinel://h:1/s#0",
            "redis+sentinel://@h:1/s", "redis+sentinel://ann:hunter2@h:1/s", "redis+sentinel://:hunter2@h:1/s",
            "redis+sentinel://h:²/s", "redis+sentinel://h:1/s/²",
        ],
    )  # fmt: skip
    def test_that_name_no_redis_are_refused_without_repeating_them(self, url):
        said = refusal(AKESO_REDIS__URL=url)
        assert "AKESO_REDIS__URL: " in said
        assert "hunter2" not in said

    @pytest.mark.parametrize("url", ["redis://h", "rediss://u:p@h:1/2", "redis://:p@[::1]:1/0"])
    def test_of_a_url_may_name_the_server_itself(self, url):
        assert load({"AKESO_REDIS__URL": url}).redis.sentinel() is None

    @pytest.mark.parametrize(
        ("url", "meant"),
        [
            ("redis+sentinel://a:1/akeso", ((("a", 1),), "akeso", 0, "", False)),
            ("redis+sentinel://a:1,b:2,10.0.0.3:26379/my%20one/3",
             ((("a", 1), ("b", 2), ("10.0.0.3", 26379)), "my one", 3, "", False)),
            ("rediss+sentinel://ann%40x@[::1]:1,b.svc:2/s", ((("::1", 1), ("b.svc", 2)), "s", 0, "ann@x", True)),
        ],
    )  # fmt: skip
    def test_of_a_url_may_name_the_sentinels(self, url, meant):
        assert load({"AKESO_REDIS__URL": url}).redis.sentinel() == meant

    @pytest.mark.parametrize(("value", "meant"), [("1", True), ("true", True), ("0", False), ("false", False)])
    def test_of_dev_are_truths(self, value, meant):
        assert load({"AKESO_DEV": value}).dev is meant

    def test_of_knative_win(self):
        assert load({"AKESO_BROKER": "http://mine", "K_SINK": "http://broker"}).broker == "http://broker"
        assert load({"AKESO_BROKER": "http://mine", "K_SINK": ""}).broker == "http://mine"


class TestManifests:
    @pytest.mark.parametrize("overlay", render.overlays())
    def test_name_only_settings_that_exist(self, overlay):
        objects = render.render(
            overlay, image="akeso:1", alertmanager="http://a:9093", redis_secret="redis", catalogue=Catalogue.home()
        )
        named = set()
        for service in render.triggers_and_services(objects).services:
            (container,) = service["spec"]["template"]["spec"]["containers"]
            named |= {item["name"] for item in container.get("env", ())}
        assert {name for name in named if name.startswith("AKESO_")} <= DEFAULTS.keys()

    def test_and_code_name_no_other(self):
        code = "".join(path.read_text() for path in render.HOME.parent.glob("shared/**/*.py"))
        named = set(re.findall(r"AKESO_[A-Z][A-Z_]*[A-Z]", code))
        placeholders = {"AKESO_GROUP__FIELD"}
        assert named - placeholders <= DEFAULTS.keys() | settings._FOREIGN
