"""The emulated Deployments' history: revisions as `kubectl rollout history` shows them, and what a rollback finds."""

import pytest

REVISION = "deployment.kubernetes.io/revision"


@pytest.fixture
def web(cluster, advance):
    """A finished Deployment of two."""
    cluster.deployment("shop", "web", 2)
    advance()
    advance(2)
    return cluster


def roll(cluster, image):
    spec = {"template": {"spec": {"containers": [{"name": "app", "image": image}]}}}
    cluster.edit("Deployment", "shop", "web", {"spec": spec})


def history(cluster):
    """Image and wanted pods of each revision."""
    return {
        found["metadata"]["annotations"][REVISION]: (
            found["spec"]["template"]["spec"]["containers"][0]["image"],
            found["spec"]["replicas"],
        )
        for found in cluster.all("ReplicaSet")
    }


def images(cluster):
    return sorted(pod["spec"]["containers"][0]["image"] for pod in cluster.all("Pod"))


def deployment(cluster):
    return cluster.get("Deployment", "shop", "web")


def progressing(cluster):
    (found,) = deployment(cluster)["status"]["conditions"]
    return found["status"], found["reason"]


class TestRevisions:
    def test_count_up_with_each_template_and_old_ones_stay_without_pods(self, web, advance):
        for image in ("two", "three"):
            roll(web, image)
            advance()
            advance(2)
        advance()

        assert history(web) == {"1": ("registry.example/web:1", 0), "2": ("two", 0), "3": ("three", 2)}
        assert deployment(web)["metadata"]["annotations"] == {REVISION: "3"}

    def test_noted_on_the_deployment_are_no_new_generation(self, web):
        assert deployment(web)["metadata"]["generation"] == 1
        assert deployment(web)["status"]["observedGeneration"] == 1

    def test_of_a_template_that_comes_back_move_up_and_remember(self, web, advance):
        for image in ("two", "registry.example/web:1", "two", "registry.example/web:1"):
            roll(web, image)
            advance()
            advance(2)
        advance()

        assert history(web) == {"4": ("two", 0), "5": ("registry.example/web:1", 2)}
        (now,) = [found for found in web.all("ReplicaSet") if found["metadata"]["annotations"][REVISION] == "5"]
        assert now["metadata"]["annotations"]["deployment.kubernetes.io/revision-history"] == "1,3"

    def test_do_not_move_while_it_is_paused(self, web, advance):
        web.edit("Deployment", "shop", "web", {"spec": {"paused": True}})
        roll(web, "two")
        advance()

        assert set(history(web)) == {"1"}


class TestABadVersion:
    @pytest.fixture
    def bad(self, web, advance):
        roll(web, "registry.example/web:bad")
        advance()
        advance(60)
        return web

    def test_crashes_beside_the_old_pods_that_go_on(self, bad):
        assert images(bad) == ["registry.example/web:1"] * 2 + ["registry.example/web:bad"] * 2
        assert deployment(bad)["status"]["readyReplicas"] == 2
        reasons = {
            pod["status"]["containerStatuses"][0]["state"].get("waiting", {}).get("reason") for pod in bad.all("Pod")
        }
        assert reasons == {None, "CrashLoopBackOff"}

    def test_is_late_after_its_deadline_and_not_before(self, bad, advance):
        assert progressing(bad) == ("True", "ReplicaSetUpdated")

        advance(539)
        assert progressing(bad) == ("True", "ReplicaSetUpdated")
        advance(2)
        assert progressing(bad) == ("False", "ProgressDeadlineExceeded")

    def test_is_cured_by_the_template_before_it(self, bad, advance):
        advance(700)
        roll(bad, "registry.example/web:1")
        advance()
        assert progressing(bad)[0] == "True"
        advance(2)

        assert images(bad) == ["registry.example/web:1"] * 2
        assert progressing(bad) == ("True", "NewReplicaSetAvailable")
        assert set(history(bad)) == {"2", "3"}


class TestItsPods:
    def test_are_let_go_when_their_labels_are_taken_off_and_replaced(self, web, advance):
        name = min(pod["metadata"]["name"] for pod in web.all("Pod"))
        web.edit("Pod", "shop", name, {"metadata": {"labels": {"app": None, "pod-template-hash": None, "kept": "yes"}}})
        advance()
        advance(2)

        assert "ownerReferences" not in web.get("Pod", "shop", name)["metadata"]
        assert len(web.all("Pod", labels="app=web")) == 2
        assert deployment(web)["status"]["readyReplicas"] == 2

    def test_are_taken_back_with_their_labels_and_one_too_many_goes(self, web, advance):
        before = web.all("Pod")[0]
        name, labels = before["metadata"]["name"], before["metadata"]["labels"]
        web.edit("Pod", "shop", name, {"metadata": {"labels": dict.fromkeys(labels)}})
        advance()
        web.edit("Pod", "shop", name, {"metadata": {"labels": labels}})
        advance()

        assert len(web.all("Pod")) == 2
        after = web.get("Pod", "shop", name)
        assert after["metadata"]["ownerReferences"] == before["metadata"]["ownerReferences"]

    def test_of_a_deployment_that_is_gone_stay_if_they_were_let_go(self, web, advance):
        name = min(pod["metadata"]["name"] for pod in web.all("Pod"))
        web.edit("Pod", "shop", name, {"metadata": {"labels": {"app": None}}})
        advance()
        web.delete("Deployment", "shop", "web")
        advance()

        assert [pod["metadata"]["name"] for pod in web.all("Pod")] == [name]
