"""The emulated Jobs: how they end, what is left of them, and what a Job may not be."""

import pytest

from shared.dev.cluster_job import AFTER, OUTCOME
from shared.dev.cluster_seeds import job_spec
from tests.cluster.api import MERGE_PATCH

JOBS = "/apis/batch/v1/namespaces/shop/jobs"


def status(cluster, name="j"):
    return cluster.get("Job", "shop", name).get("status", {})


def conditions(cluster):
    return [(one["type"], one["status"], one["reason"]) for one in status(cluster).get("conditions", [])]


class TestAJob:
    def test_runs_and_then_has_succeeded(self, cluster, advance):
        cluster.job("shop", "j", {AFTER: "30"})
        advance()
        advance(29)
        assert (status(cluster)["active"], conditions(cluster)) == (1, [])

        advance(1)
        assert conditions(cluster) == [
            ("SuccessCriteriaMet", "True", "CompletionsReached"), ("Complete", "True", "CompletionsReached"),
        ]  # fmt: skip
        assert status(cluster)["succeeded"] == 1
        assert "active" not in status(cluster)
        assert status(cluster)["completionTime"] > status(cluster)["startTime"]

    def test_fails_when_its_template_says_so(self, cluster, advance):
        cluster.job("shop", "j", {OUTCOME: "fail"})
        advance()
        advance(1)

        assert conditions(cluster)[-1] == ("Failed", "True", "BackoffLimitExceeded")
        assert (status(cluster)["failed"], "succeeded" in status(cluster)) == (1, False)

    def test_that_takes_longer_than_it_may_is_late(self, cluster, advance):
        cluster.job("shop", "j", {AFTER: "60"})
        cluster.edit("Job", "shop", "j", {"spec": {"activeDeadlineSeconds": 10}})
        advance()
        advance(9)
        assert conditions(cluster) == []

        advance(1)
        assert conditions(cluster)[-1] == ("Failed", "True", "DeadlineExceeded")

    def test_that_is_suspended_waits(self, cluster, advance):
        cluster.job("shop", "j")
        cluster.edit("Job", "shop", "j", {"spec": {"suspend": True}})
        advance()
        advance(60)
        assert (status(cluster), cluster.all("Pod")) == ({}, [])

        cluster.edit("Job", "shop", "j", {"spec": {"suspend": False}})
        advance()
        advance(1)
        assert conditions(cluster)[-1][0] == "Complete"

    def test_that_has_ended_stays_so(self, cluster, advance):
        cluster.job("shop", "j")
        advance()
        advance(1)
        version = cluster.store.version
        advance(600)

        assert cluster.store.version == version

    def test_goes_after_its_time(self, cluster, advance):
        cluster.job("shop", "j")
        cluster.edit("Job", "shop", "j", {"spec": {"ttlSecondsAfterFinished": 60}})
        advance()
        advance(1)
        advance(58)
        assert cluster.all("Job")

        advance(2)
        advance()
        assert cluster.all("Job") == cluster.all("Pod") == []

    def test_in_a_state_that_a_test_has_given_it_stays_in_it(self, cluster, advance):
        cluster.job("shop", "j")
        cluster.set_status("Job", "shop", "j", {"active": 1})
        advance()
        advance(60)

        assert status(cluster) == {"active": 1}


class TestItsPod:
    def test_tells_whose_it_is_and_what_it_wrote_and_how_it_ended(self, cluster, advance, kube):
        cluster.job("shop", "j", {"emulator.akeso.dev/log": "freed 3 files\n"})
        advance()
        (pod,) = kube.list("Pod", "shop", labels="job-name=j")
        assert pod["status"]["phase"] == "Running"
        advance(1)

        (pod,) = cluster.all("Pod")
        assert pod["status"]["phase"] == "Succeeded"
        assert pod["status"]["containerStatuses"][0]["state"] == {"terminated": {"exitCode": 0, "reason": "Completed"}}
        name = pod["metadata"]["name"]
        assert kube.log("shop", name, "app", previous=False, tail_lines=9, limit_bytes=99) == "freed 3 files\n"

    def test_goes_with_it(self, cluster, advance):
        job = cluster.job("shop", "j")
        advance()
        assert cluster.all("Pod")[0]["metadata"]["ownerReferences"][0]["uid"] == job["metadata"]["uid"]

        cluster.delete("Job", "shop", "j")
        advance()
        assert cluster.all("Pod") == []


class TestTheApi:
    def test_takes_a_job_of_a_cron_jobs_template(self, cluster, send, advance):
        cluster.cronjob("shop", "nightly")
        advance()
        assert cluster.all("Job") == []

        template = cluster.get("CronJob", "shop", "nightly")["spec"]["jobTemplate"]
        assert send("POST", JOBS, {"metadata": {"name": "j"}, **template})[0] == 201
        advance()
        advance(1)
        assert conditions(cluster)[-1][0] == "Complete"

    @pytest.mark.parametrize(
        ("spec", "fields"),
        [
            ({}, {"spec.template.spec.containers", "spec.template.spec.restartPolicy"}),
            ({"template": {"spec": {"restartPolicy": "Always", "containers": [{"name": "a", "image": "x"}]}}},
             {"spec.template.spec.restartPolicy"}),
        ],
    )  # fmt: skip
    def test_refuses_what_is_no_job(self, cluster, send, spec, fields):
        cluster.namespace("shop")
        status, body = send("POST", JOBS, {"metadata": {"name": "j"}, "spec": spec})

        assert status == 422
        assert {cause["field"] for cause in body["details"]["causes"]} == fields

    def test_refuses_another_template_for_one_that_is_there(self, cluster, send):
        cluster.job("shop", "j")
        other = {"spec": {"template": {"spec": {"containers": [{"name": "app", "image": "other"}]}}}}

        status, body = send("PATCH", f"{JOBS}/j", other, form=MERGE_PATCH)
        assert (status, body["details"]["causes"][0]["field"]) == (422, "spec.template.spec")

    def test_refuses_a_cron_job_that_never_comes(self, cluster, send):
        cluster.namespace("shop")
        path = "/apis/batch/v1/namespaces/shop/cronjobs"
        status, body = send("POST", path, {"metadata": {"name": "c"}, "spec": {"jobTemplate": {"spec": job_spec()}}})

        assert (status, body["details"]["causes"][0]["field"]) == (422, "spec.schedule")
