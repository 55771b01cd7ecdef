"""Jobs of the emulated cluster: one pod each, which ends after its time, well or badly as its template says.

CronJobs start nothing: whoever wants a Job makes it of their template.
"""

from typing import Final

from shared import clock
from shared.dev.cluster_pods import Pods, key_of
from shared.dev.cluster_store import Object, Store

AFTER: Final = "emulator.akeso.dev/job-after"  # seconds until the pod ends, 1 unless told
OUTCOME: Final = "emulator.akeso.dev/job"  # fail; anything else succeeds
_DONE: Final = ("CompletionsReached", "Reached expected number of succeeded pods")
_FAILED: Final = ("BackoffLimitExceeded", "Job has reached the specified backoff limit")
_LATE: Final = ("DeadlineExceeded", "Job was active longer than specified deadline")


class Jobs:
    def __init__(self, store: Store, pods: Pods) -> None:
        self._store, self._pods = store, pods
        self._started: dict[str, int] = {}  # Job's uid to ms

    def tick(self) -> None:
        for job in self._store.all("Job"):
            self._job(job)

    def _job(self, job: Object) -> None:
        status, spec, now = job.get("status") or {}, job["spec"], clock.now_ms()
        if status.get("conditions"):
            self._expire(job, now)
            return
        # A Job that a test has put there in a state of its own stays in it.
        if spec.get("suspend") or (status and job["metadata"]["uid"] not in self._started):
            return
        started = self._started.setdefault(job["metadata"]["uid"], now)
        status = {"startTime": clock.iso(started)}
        pods = self._pods.of(job) or [self._pod(job)]
        notes = (spec["template"].get("metadata") or {}).get("annotations") or {}
        age, ends = (now - started) / 1000, float(notes.get(AFTER, 1))
        most = float(spec.get("activeDeadlineSeconds", "inf"))
        if age < min(ends, most):
            self._store.status(key_of(job), status | {"active": 1})
            return
        late = most < ends
        good = not late and notes.get(OUTCOME) != "fail"
        for pod in pods:
            self._end(pod, good=good)
        if good:
            told = _conditions("SuccessCriteriaMet", "Complete", _DONE)
            status |= {"succeeded": 1, "completionTime": clock.iso(now), "conditions": told}
        else:
            status |= {"failed": 1, "conditions": _conditions("FailureTarget", "Failed", _LATE if late else _FAILED)}
        self._store.status(key_of(job), status)

    def _pod(self, job: Object) -> Object:
        name, uid = job["metadata"]["name"], job["metadata"]["uid"]
        labels = {"job-name": name, "batch.kubernetes.io/job-name": name, "batch.kubernetes.io/controller-uid": uid}
        return self._pods.make(job, again=False, labels=labels)

    def _end(self, pod: Object, *, good: bool) -> None:
        code, reason = (0, "Completed") if good else (1, "Error")
        ended = {"state": {"terminated": {"exitCode": code, "reason": reason}}, "ready": False, "restartCount": 0}
        names = [one.get("name", "app") for one in pod["spec"].get("containers") or []]
        self._store.status(key_of(pod), {
            "phase": "Succeeded" if good else "Failed",
            "containerStatuses": [{"name": name, **ended} for name in names],
            "conditions": [{"type": "Ready", "status": "False", "reason": "PodCompleted" if good else "PodFailed"}],
        })  # fmt: skip

    def _expire(self, job: Object, now: int) -> None:
        kept = job["spec"].get("ttlSecondsAfterFinished")
        ended = max((one.get("lastTransitionTime", "") for one in job["status"]["conditions"]), default="")
        if kept is not None and ended and now - clock.parse_ms(ended) >= kept * 1000:
            self._store.delete(key_of(job))


def _conditions(first: str, last: str, why: tuple[str, str]) -> list[Object]:
    said = {"status": "True", "reason": why[0], "message": why[1], "lastTransitionTime": clock.iso(clock.now_ms())}
    return [{"type": first, **said}, {"type": last, **said}]
