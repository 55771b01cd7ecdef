import threading

import pytest

from shared.errors import MalformedError, UnavailableError
from tests.broker.scripted import HTTP, eventually


@pytest.fixture
def url(serve):
    return serve().url + "/services"


def test_method_path_query_headers_and_body_pass(url, functions):
    headers = {"authorization": "Bearer t", "x-own": "1", "content-encoding": "gzip"}
    functions.script["/intake/v1/a%2Fb?x=1&y=%20"] = [{"status": 418, "body": "tea", "headers": {"x-back": "2"}}]
    answer = HTTP.request("PUT", f"{url}/intake/v1/a%2Fb?x=1&y=%20", headers=headers, content=b"\x1f\x8b")
    assert (answer.status_code, answer.text, answer.headers["x-back"]) == (418, "tea", "2")
    run = functions.runs["/intake/v1/a%2Fb?x=1&y=%20"][0]
    assert (run.method, run.body, run.headers["authorization"], run.headers["x-own"]) == (
        "PUT",
        b"\x1f\x8b",
        "Bearer t",
        "1",
    )
    assert "ce-id" not in run.headers


def test_redirects_and_failures_are_the_callers_business(url, functions):
    functions.script |= {"/f/r": [{"status": 307, "headers": {"location": "/f/x"}}], "/f/e": [{"status": 503}]}
    assert HTTP.get(f"{url}/f/r").headers["location"] == "/f/x"
    assert HTTP.get(f"{url}/f/e").status_code == 503
    assert (len(functions.runs["/f/e"]), len(functions.runs["/f/x"])) == (1, 0)


def test_a_service_without_a_path_is_asked_for_its_root(url, functions):
    assert HTTP.get(f"{url}/f").status_code == 204
    assert len(functions.runs["/f/"]) == 1


def test_a_body_over_the_bound_is_413(url, functions):
    assert HTTP.post(f"{url}/f/", content=b"x" * (16 << 20)).status_code == 204
    assert HTTP.post(f"{url}/f/", content=b"x" * ((16 << 20) + 1)).status_code == 413
    assert len(functions.runs["/f/"]) == 1


@pytest.mark.parametrize(("error", "status"), [(MalformedError, 404), (UnavailableError, 503)])
def test_a_service_that_is_unknown_or_does_not_start(serve, error, status):
    async def resolve(service):
        raise error(f"{service} is not there")

    answer = HTTP.get(serve(resolve=resolve).url + "/services/f/")
    assert (answer.status_code, answer.text) == (status, "f is not there\n")


def test_a_service_that_is_gone_is_502(serve):
    async def resolve(service):
        return "http://127.0.0.1:9"

    assert HTTP.get(serve(resolve=resolve).url + "/services/f/").status_code == 502


def test_requests_share_the_services_room_and_count_as_in_flight(serve, functions):
    seen = threading.Event()
    functions.script["/f/"] = [{"gate": seen}]
    told = []
    broker = serve(concurrency={"f": 1}, begin=told.append, end=lambda _: told.append("end"))
    answers = []
    threads = [threading.Thread(target=lambda: answers.append(HTTP.get(f"{broker.url}/services/f/"))) for _ in "abc"]
    for thread in threads:
        thread.start()
    eventually(lambda: len(told) == 3 and functions.at_once)  # all wait, and one of them there
    assert not broker.idle()
    seen.set()
    for thread in threads:
        thread.join()
    eventually(broker.idle)
    assert ([answer.status_code for answer in answers], functions.most_at_once) == ([204] * 3, 1)
    assert sorted(told) == ["end"] * 3 + ["f"] * 3
