"""The emulated cluster says who somebody is and what he may, in the answers of a real one."""

import pytest

from shared.dev.cluster_rights import API, Granted

TOKENS = "/apis/authentication.k8s.io/v1/tokenreviews"
ACCESS = "/apis/authorization.k8s.io/v1/subjectaccessreviews"
MAY = {"apiGroups": ["akeso.dev"], "resources": ["remediations"], "verbs": ["approve"]}


@pytest.fixture
def ada(cluster):
    return cluster.rights.person("ada", [Granted("shop", MAY)], groups=["sre"], audience="akeso")


@pytest.fixture
def whose(call):
    """Status of a TokenReview."""

    def whose(token, *audiences, by="a-token"):
        spec = {"token": token} | ({"audiences": list(audiences)} if audiences else {})
        code, body = call("POST", TOKENS, {"kind": "TokenReview", "spec": spec}, token=by)
        return body["status"] if code == 201 else code

    return whose


@pytest.fixture
def may(call):
    """Whether a SubjectAccessReview allows it."""

    def may(verb="approve", namespace="shop", name="", by="a-token", **who):
        about = {"group": "akeso.dev", "resource": "remediations", "verb": verb, "namespace": namespace, "name": name}
        code, body = call("POST", ACCESS, {"spec": {**who, "resourceAttributes": about}}, token=by)
        return body["status"]["allowed"] if code == 201 else code

    return may


class TestATokenReview:
    def test_names_the_person_and_the_groups(self, whose, ada):
        assert whose(ada, "akeso", "other") == {
            "authenticated": True,
            "user": {"username": "ada", "groups": ["sre", "system:authenticated"]},
            "audiences": ["akeso"],
        }

    @pytest.mark.parametrize("audiences", [(), (API,), ("other",)])
    def test_knows_nobody_by_a_token_for_another_audience(self, whose, ada, audiences):
        said = whose(ada, *audiences)
        assert "authenticated" not in said
        assert said["user"] == {}
        assert "audiences" in said["error"]

    @pytest.mark.parametrize("token", ["nobodys", "a-token"])
    def test_knows_nobody_by_what_it_did_not_make(self, whose, token):
        assert whose(token, "akeso") == {"user": {}, "error": "invalid bearer token"}

    def test_knows_an_account_for_the_api_server_alone(self, cluster, whose):
        token = cluster.rights.account("shop", "web")
        assert whose(token)["user"]["username"] == "system:serviceaccount:shop:web"
        assert whose(token, "akeso")["user"] == {}

    def test_wants_a_token(self, call):
        assert call("POST", TOKENS, {"spec": {}})[0] == 400
        assert call("POST", TOKENS, [])[0] == 400


class TestASubjectAccessReview:
    def test_goes_by_role_namespace_and_name(self, cluster, may):
        cluster.rights.person("bo", [Granted("", {**MAY, "resourceNames": ["restart_pod"]})])
        cluster.rights.person("ada", [Granted("shop", MAY)])
        assert may(user="ada")
        assert not may(user="ada", namespace="other")
        assert not may(user="ada", verb="deny")
        assert may(user="bo", namespace="other", name="restart_pod")
        assert not may(user="bo", name="scale_deployment")
        assert not may(user="nobody")

    def test_goes_by_groups_too(self, cluster, may):
        cluster.rights.group("sre", [Granted("", {**MAY, "verbs": ["*"]})])
        assert may(user="ada", groups=["sre"], verb="deny")
        assert may(groups=["sre"])
        assert not may(user="ada", groups=["dev"])

    def test_is_about_somebody(self, may):
        assert may() == 422


class TestAsking:
    def test_needs_a_right_of_its_own(self, cluster, whose, may, ada):
        nobody = cluster.rights.account("shop", "nobody")
        assert whose(ada, "akeso", by=nobody) == 403
        assert may(user="ada", by=nobody) == 403
        rules = [
            {"apiGroups": [f"{group}.k8s.io"], "resources": [plural], "verbs": ["create"]}
            for group, plural in (("authentication", "tokenreviews"), ("authorization", "subjectaccessreviews"))
        ]
        asker = cluster.rights.account("shop", "asker", [Granted("", rule) for rule in rules])
        assert whose(ada, "akeso", by=asker)["authenticated"]
        assert may(user="ada", by=asker)

    def test_is_refused_in_the_words_of_a_real_one(self, cluster, call):
        token = cluster.rights.account("shop", "nobody")
        code, body = call("POST", TOKENS, {"spec": {"token": "x"}}, token=token)
        who = 'is forbidden: User "system:serviceaccount:shop:nobody" cannot create resource "tokenreviews"'
        where = 'in API group "authentication.k8s.io" at the cluster scope'
        assert (code, body["message"]) == (403, f"tokenreviews.authentication.k8s.io {who} {where}")

    def test_a_token_for_another_audience_is_none_for_the_api_server(self, call, ada):
        assert call("GET", "/api/v1/namespaces/shop/pods", token=ada)[0] == 401

    def test_stores_nothing(self, cluster, whose, ada):
        before = cluster.store.version
        whose(ada, "akeso")
        assert cluster.store.version == before
        assert cluster.writes() == []
