"""The table of answers, played against real functions through functions-framework's own wiring, without a socket."""

import json
from urllib.parse import unquote

import flask
import functions_framework
import gunicorn.config
import pytest

from shared import clock
from shared.errors import BusyError, EpochError, ForbiddenError, MalformedError, UnavailableError
from shared.event import codec, make
from shared.event.app import Call, WebAnswer, serve, serve_web
from shared.event.make import MAX_HOP, Emit
from shared.event.sign import sign, verify
from shared.event.types import PING, TYPES, EscalationData, IncidentData, RequestedData, full
from shared.model.wish import Wish
from shared.state.client import PREFIX
from tests.event.parts import KEY, OLD_KEY

WISHED = Emit("remediation.requested", RequestedData(incident="inc-1", wish=Wish(reason="look")), incident="inc-1")
TOLD = Emit("escalation.requested", EscalationData(incident="inc-1", reason="r"), incident="inc-1")
CLOSED = Emit("incident.closed", IncidentData(incident="inc-1"), incident="inc-1")


def event_of(emit=WISHED, **extensions):
    made = make.first("test", emit, id="id-1", tenant="default", cluster="dev")
    return sign(made.with_extensions(**extensions), KEY)


class Function:
    """A function behind functions-framework's own routes; `runs` are the events that it was given."""

    def __init__(self, name="triage", *, said=None, **options):
        self.runs = []
        self.said = said
        app = flask.Flask(name)
        app.wsgi_app = functions_framework.execution_id.WsgiMiddleware(app.wsgi_app)
        app.register_error_handler(500, functions_framework.crash_handler)
        functions_framework._configure_app(app, serve(name, self.work, **options), "http")
        self.client = app.test_client()

    def work(self, event, data, _):
        self.runs.append((event, data))
        if isinstance(self.said, Exception):
            raise self.said
        return self.said

    def send(self, event, *, path="/", structured=False):
        headers, body = codec.encode(event, structured=structured)
        return self.post(body, headers, path=path)

    def post(self, body=b"", headers=None, *, path="/", method="POST", **more):
        environ = {"PATH_INFO": unquote(path, "latin-1")} | more  # as a server gives it, `//` and all
        response = self.client.open("/", method=method, data=body, headers=headers or {}, environ_overrides=environ)
        return by_the_rules(response)


def by_the_rules(response):
    """What holds for every answer, whatever was asked."""
    assert not 300 <= response.status_code < 400
    if response.status_code < 300:
        assert bool(response.data) == ("ce-id" in response.headers)
        assert response.status_code == (200 if response.data else response.status_code)
    elif response.data:
        assert len(response.data) <= 512
        assert "Traceback" not in response.text
    return response


def error_of(response):
    assert response.headers["content-type"] == "application/json"
    return response.status_code, response.json["error"]


both_modes = pytest.mark.parametrize("structured", [False, True], ids=["binary", "structured"])


@pytest.mark.usefixtures("folder")
class TestDone:
    @both_modes
    def test_without_a_follow_up_is_an_empty_204(self, structured):
        function = Function()
        response = function.send(event_of(), structured=structured)
        assert (response.status_code, response.data) == (204, b"")
        ((event, data),) = function.runs
        assert event.id == "id-1"
        assert data == WISHED.data

    @both_modes
    def test_with_a_next_event_is_200_and_exactly_that(self, structured):
        response = Function(said=TOLD).send(event_of(), structured=structured)
        assert response.status_code == 200
        assert response.headers["content-type"] == "application/json"
        said = codec.decode(dict(response.headers), response.data)
        verify(said, [KEY])
        assert said.type == full("escalation.requested")
        assert said.data == TOLD.data.model_dump(mode="json")
        assert said.hop == 1
        assert said.get("causationid") == "id-1"

    def test_is_the_same_event_for_the_same_event(self):
        function = Function(said=TOLD)
        one, other = function.send(event_of()), function.send(event_of())
        assert (one.data, dict(one.headers)) == (other.data, dict(other.headers))

    def test_at_any_path(self):
        for path in ("/", "/x", "/a/b/", "//", "//x", "/x//y", "/x/../y", "/%2e%2e/", "/%C3%A4"):
            assert Function().send(event_of(), path=path).status_code == 204

    def test_of_an_event_that_the_previous_key_signed(self):
        assert Function().send(sign(event_of(), OLD_KEY)).status_code == 204


@pytest.mark.usefixtures("folder")
class TestRefused:
    @both_modes
    def test_without_signature(self, structured):
        function = Function()
        response = function.send(event_of().with_extensions(sig=""), structured=structured)
        assert error_of(response) == (403, "unsigned")
        assert function.runs == []

    @both_modes
    def test_with_a_foreign_signature(self, structured):
        function = Function()
        for forged in (sign(event_of(), b"x" * 32), event_of().with_extensions(sig="0" * 64)):
            assert error_of(function.send(forged, structured=structured)) == (403, "signature")
        assert function.runs == []

    def test_with_edited_data(self):
        headers, body = codec.encode(event_of())
        function = Function()
        assert error_of(function.post(body.replace(b"inc-1", b"inc-2"), headers)) == (403, "signature")
        assert function.runs == []

    def test_of_an_unknown_type(self):
        for name in ("dev.akeso.invented.v1", PING, "x" * 900):
            event = sign(codec.Event(type=name, source="/s", id="i"), KEY)
            assert error_of(Function().send(event)) == (400, "unknown-type")

    def test_of_another_functions_type(self):
        function = Function("router")
        assert error_of(function.send(event_of())) == (400, "wrong-function")
        assert function.runs == []

    @pytest.mark.parametrize("data", [{}, {"incident": 7}, {"wish": {"reason": "invented"}}, {"wish": None}])
    def test_of_another_schema(self, data):
        event = sign(codec.Event(type=full("remediation.requested"), source="/s", id="i", data=data), KEY)
        assert error_of(Function().send(event)) == (400, "schema")

    @pytest.mark.parametrize("name", sorted(TYPES))
    def test_with_a_key_that_no_schema_has(self, name):
        event = sign(codec.Event(type=name, source="/s", id="i", data={"unheard": 1}), KEY)
        function = Function(TYPES[name].subscriber or "escalate")
        status, reason = error_of(function.send(event))
        assert (status, reason) == (400, "schema" if TYPES[name].subscriber else "wrong-function")

    @pytest.mark.parametrize(
        ("headers", "body", "reason"),
        [
            ({}, b"", "not-an-event"), ({}, b"{", "not-an-event"), ({}, b"{}", "not-an-event"),
            ({"content-type": "application/cloudevents-batch+json"}, b"[]", "batch"),
            ({"content-type": "application/cloudevents+json"}, b"[" * 9999, "not-an-event"),
            ({"content-type": "application/x-www-form-urlencoded"}, b"a=b", "not-an-event"),
            ({"content-type": "multipart/form-data; boundary=x"}, b"--x--", "not-an-event"),
        ],
    )  # fmt: skip
    def test_what_is_no_event(self, headers, body, reason):
        assert error_of(Function().post(body, headers)) == (400, reason)

    def test_without_a_required_attribute(self):
        headers, body = codec.encode(event_of())
        for name in ("ce-id", "ce-source", "ce-type", "ce-specversion"):
            less = {key: value for key, value in headers.items() if key != name}
            assert error_of(Function().post(body, less)) == (400, "not-an-event")

    @pytest.mark.parametrize("data", [b"[]", b"x", b"", b'"x"', b'{"a": NaN}'])
    def test_with_data_that_is_not_what_was_signed(self, data):
        headers, _ = codec.encode(event_of())
        assert Function().post(data, headers).status_code in {400, 403}

    @pytest.mark.parametrize("method", ["GET", "PUT", "DELETE", "PATCH", "HEAD", "OPTIONS", "BREW"])
    def test_other_methods(self, method):
        function = Function()
        assert function.post(method=method).status_code == 405
        assert function.runs == []


class Endless:
    """A body that never ends; it keeps count of what was read of it."""

    def __init__(self):
        self.taken = 0

    def read(self, size=-1):
        assert size >= 0, "read whole, into memory"
        self.taken += size
        return b"x" * size

    readline = read


@pytest.mark.usefixtures("folder")
class TestTooLarge:
    def test_is_413(self):
        function = Function()
        headers, _ = codec.encode(event_of())
        assert error_of(function.post(b"x" * 10_000_000, headers)) == (413, "too-large")
        assert function.runs == []

    def test_at_the_first_byte_over(self):
        headers, body = codec.encode(event_of())
        padded = body + b" " * ((1 << 20) - len(body))
        assert Function().post(padded, headers).status_code == 204
        assert error_of(Function().post(padded + b" ", headers)) == (413, "too-large")

    @pytest.mark.parametrize("length", [10**12, None], ids=["announced", "chunked"])
    @pytest.mark.parametrize("path", ["events", "web"])
    def test_is_never_read_to_its_end(self, path, length):
        body = Endless()
        environ = {"wsgi.input": body, "wsgi.input_terminated": True}
        if length:
            environ["CONTENT_LENGTH"] = str(length)
        client = Function().client if path == "events" else Web(lambda *_: WebAnswer(200)).client
        assert by_the_rules(client.post("/", environ_overrides=environ)).status_code == 413
        assert body.taken <= 32 << 20

    def test_in_a_request_that_is_refused_anyway_is_not_read_at_all(self):
        body = Endless()
        environ = {"wsgi.input": body, "CONTENT_LENGTH": str(10**12)}
        assert by_the_rules(Function().client.put("/", environ_overrides=environ)).status_code == 405
        assert body.taken == 0

    def test_and_cut_short_is_400(self):
        headers, body = codec.encode(event_of())
        response = Function().post(body, headers, CONTENT_LENGTH=str(len(body) + 10))
        assert error_of(response) == (400, "body")


@pytest.mark.usefixtures("folder")
class TestWhatTheFunctionRaises:
    @pytest.mark.parametrize(
        ("error", "answer"),
        [
            (MalformedError("secret"), (400, "malformed")),
            (ForbiddenError("secret", reason="grant"), (403, "grant")),
            (BusyError("secret"), (409, "busy")),
            (UnavailableError("secret", reason="redis"), (503, "redis")),
            (EpochError("secret"), (503, "epoch")),
            (ValueError("secret"), (500, "internal")),
            (RecursionError("secret"), (500, "internal")),
        ],
    )
    def test_becomes_a_short_answer_without_its_text(self, error, answer):
        response = Function(said=error).send(event_of())
        assert error_of(response) == answer
        assert b"secret" not in response.data

    def test_and_an_answer_that_is_no_event_type_is_silent_as_well(self):
        assert error_of(Function(said=Emit("invented", TOLD.data)).send(event_of())) == (500, "internal")


class TestSecrets:
    def test_that_are_missing_make_it_unavailable(self, folder):
        (folder / "event-hmac").unlink()
        assert error_of(Function().send(event_of())) == (503, "secret-missing")

    @pytest.mark.parametrize("name", ["event-hmac", "event-hmac-previous"])
    def test_that_are_cut_short_are_no_keys(self, folder, name):
        (folder / name).write_bytes(b"k" * 31)
        assert error_of(Function().send(event_of())) == (503, "secret-short")

    def test_that_change_are_read_again(self, folder):
        function, other = Function(), b"n" * 32
        assert function.send(event_of()).status_code == 204
        (folder / "event-hmac").write_bytes(other)
        assert error_of(function.send(event_of())) == (403, "signature")
        assert function.send(sign(event_of(), other)).status_code == 204


class TestPure:
    @pytest.mark.usefixtures("state")
    def test_the_first_answer_stays(self):
        function = Function(pure=True, said=TOLD)
        first = function.send(event_of())
        function.said = CLOSED
        again = function.send(event_of())
        assert (first.status_code, again.status_code) == (200, 200)
        assert (first.data, first.headers["ce-id"]) == (again.data, again.headers["ce-id"])
        assert len(function.runs) == 1

    @pytest.mark.usefixtures("state")
    def test_an_answer_of_nothing_stays_as_well(self):
        function = Function(pure=True)
        assert function.send(event_of()).status_code == 204
        function.said = TOLD
        assert function.send(event_of()).status_code == 204

    @pytest.mark.usefixtures("state")
    def test_of_two_at_once_the_first_stored_wins(self):
        function = Function(pure=True, said=TOLD)
        other = Function(pure=True, said=CLOSED)
        function.said = None
        work = function.work

        def overtaken(event, data, here):
            other.send(event_of())
            return work(event, data, here)

        slow = flask.Flask("slow")
        functions_framework._configure_app(slow, serve("triage", overtaken, pure=True), "http")
        headers, body = codec.encode(event_of())
        response = slow.test_client().post("/", data=body, headers=headers)
        assert codec.decode(dict(response.headers), response.data).type == full("incident.closed")

    @pytest.mark.usefixtures("state")
    def test_another_event_is_another_run(self):
        function = Function(pure=True)
        for name in ("a", "b"):
            made = make.first("test", WISHED, id=name, tenant="default", cluster="dev")
            assert function.send(sign(made, KEY)).status_code == 204
        assert len(function.runs) == 2

    @pytest.mark.usefixtures("state")
    def test_a_failed_run_is_not_remembered(self):
        function = Function(pure=True, said=UnavailableError("down"))
        assert function.send(event_of()).status_code == 503
        function.said = TOLD
        assert function.send(event_of()).status_code == 200

    @pytest.mark.usefixtures("folder")
    def test_without_redis_it_is_unavailable_and_does_not_run(self):
        function = Function(pure=True)
        assert error_of(function.send(event_of())) == (503, "redis")
        assert function.runs == []

    def test_after_redis_was_lost_it_is_unavailable(self, state):
        state.store.read("FLUSHALL")
        assert error_of(Function(pure=True).send(event_of())) == (503, "epoch")


def past(seconds):
    return clock.iso(clock.now_ms() - seconds * 1000)


class TestExpired:
    def test_is_counted_and_not_worked_on(self, state):
        function = Function(expires=True)
        assert function.send(event_of(expirytime=past(5))).status_code == 204
        assert function.runs == []
        assert state.store.hash(f"{PREFIX}:counters")["expired_total|function=triage"] == "1"

    @pytest.mark.usefixtures("folder")
    def test_in_time_is_worked_on(self):
        function = Function(expires=True)
        assert function.send(event_of()).status_code == 204
        assert len(function.runs) == 1

    @pytest.mark.usefixtures("folder")
    def test_is_worked_on_where_only_the_function_may_judge(self):
        function = Function("executor", said=TOLD)
        approved = {"incident": "inc-1", "grant": "g", "plan": {}}
        event = codec.Event(type=full("remediation.approved"), source="/s", id="i", data=approved)
        response = function.send(sign(event.with_extensions(expirytime=past(5)), KEY))
        assert response.status_code == 200
        assert len(function.runs) == 1

    @pytest.mark.usefixtures("folder")
    def test_forged_is_refused_all_the_same(self):
        late = event_of(expirytime=past(5)).with_extensions(sig="0" * 64)
        assert error_of(Function(expires=True).send(late)) == (403, "signature")


class TestLoop:
    def test_is_ended_and_told(self, state):
        function = Function(said=TOLD)
        assert function.send(event_of(hop=str(MAX_HOP + 1))).status_code == 204
        assert function.runs == []
        assert state.store.hash(f"{PREFIX}:counters")["loops_total"] == "1"
        assert [member for member in state.store.read("ZRANGE", f"{PREFIX}:due", 0, -1) if "tell" in member]

    @pytest.mark.usefixtures("folder")
    def test_is_not_yet_one_at_the_last_hop(self):
        function = Function()
        assert function.send(event_of(hop=str(MAX_HOP))).status_code == 204
        assert len(function.runs) == 1

    @pytest.mark.usefixtures("folder")
    def test_without_redis_is_brought_again(self):
        assert error_of(Function().send(event_of(hop=str(MAX_HOP + 1)))) == (503, "redis")


def dead(said=None):
    return Function("deadletter", accepts="dead letters", said=said)


@pytest.mark.usefixtures("folder")
class TestDeadLetters:
    @pytest.mark.parametrize("emit", [WISHED, TOLD, CLOSED], ids=lambda emit: emit.type)
    def test_are_of_any_type(self, emit):
        function = dead()
        assert function.send(event_of(emit)).status_code == 204
        assert [data for _, data in function.runs] == [emit.data]

    def test_say_for_whom_they_were(self):
        for path, name in (("/triage", "triage"), ("/", ""), ("/" + "x" * 500, "x" * 64), ("/a b%C3%A4/c", "a?b?/c")):
            function = dead()
            assert function.send(event_of(), path=path).status_code == 204
            assert function.runs[0][0].get("deadfor") == name

    @pytest.mark.parametrize(
        "event",
        [event_of().with_extensions(sig=""), event_of().with_extensions(sig="0" * 64),
         sign(codec.Event(type="x", source="/s", id="i"), KEY)],
    )  # fmt: skip
    def test_that_are_not_ours_are_never_worked_on(self, event):
        function = dead()
        assert function.send(event).status_code == 204
        assert function.runs == []

    @pytest.mark.parametrize("body", [b"", b"{", b"x" * 3_000_000])
    def test_that_cannot_be_read_are_taken(self, body):
        assert dead().post(body).status_code == 204

    @pytest.mark.parametrize("error", [UnavailableError("x"), EpochError("x"), MalformedError("x"), ValueError("x")])
    def test_are_taken_whatever_happens(self, error):
        assert dead(said=error).send(event_of()).status_code == 204

    def test_are_taken_without_a_key(self, folder):
        (folder / "event-hmac").unlink()
        assert dead().send(event_of()).status_code == 204

    def test_may_be_expired_and_may_have_gone_round(self):
        function = dead()
        assert function.send(event_of(expirytime=past(9), hop="99")).status_code == 204
        assert len(function.runs) == 1


@pytest.mark.usefixtures("folder")
class TestPings:
    def test_need_no_signature(self):
        function = Function("sweeper", accepts="pings")
        ping = codec.Event(type=PING, source="/apis/v1/x", id="i", data={"anything": 1})
        assert function.send(ping).status_code == 204
        assert len(function.runs) == 1

    def test_are_all_that_is_taken(self):
        function = Function("sweeper", accepts="pings")
        assert error_of(function.send(event_of())) == (400, "unknown-type")
        assert function.runs == []

    def test_are_taken_by_nobody_else(self):
        ping = codec.Event(type=PING, source="/apis/v1/x", id="i")
        assert error_of(Function().send(sign(ping, KEY))) == (400, "unknown-type")


class TestHealth:
    def test_needs_nothing(self, folder):
        (folder / "event-hmac").unlink()
        response = Function().post(method="GET", path="/healthz")
        assert (response.status_code, response.data) == (200, b"")

    @pytest.mark.usefixtures("folder")
    def test_is_not_a_path_for_events(self):
        function = Function()
        assert function.send(event_of(), path="/healthz").status_code == 204
        assert len(function.runs) == 1

    @pytest.mark.usefixtures("state")
    def test_is_ready_with_a_redis_that_forgets_nothing(self):
        assert Function().post(method="GET", path="/readyz").status_code == 200

    @pytest.mark.usefixtures("folder")
    def test_is_not_ready_without_redis(self):
        for function in (Function(), dead()):
            assert error_of(function.post(method="GET", path="/readyz")) == (503, "redis")

    def test_is_not_ready_with_a_redis_that_may_forget(self, state, monkeypatch):
        monkeypatch.setenv("AKESO_DEV", "0")
        function = Function()
        assert function.post(method="GET", path="/readyz").status_code == 200
        state.store.read("CONFIG", "SET", "maxmemory-policy", "allkeys-lru")
        try:
            assert error_of(function.post(method="GET", path="/readyz")) == (503, "redis-not-durable")
        finally:
            state.store.read("CONFIG", "SET", "maxmemory-policy", "noeviction")


class TestStart:
    @pytest.mark.usefixtures("folder")
    @pytest.mark.parametrize("make_it", [Function, lambda: Web(None)], ids=["events", "web"])
    def test_with_a_setting_that_nobody_knows_ends_in_one_line(self, monkeypatch, make_it):
        monkeypatch.setenv("AKESO_REDIS__URI", "redis://x")
        with pytest.raises(SystemExit) as ended:
            make_it()
        assert "AKESO_REDIS__URI" in str(ended.value)
        assert "\n" not in str(ended.value)

    @pytest.mark.usefixtures("folder")
    def test_reads_no_secret_and_opens_no_connection(self, monkeypatch):
        monkeypatch.setenv("AKESO_SECRETS_DIR", "/nowhere")
        monkeypatch.setenv("AKESO_REDIS__URL", "redis://nowhere.invalid:1")
        Function()

    @pytest.mark.usefixtures("folder")
    def test_leaves_the_server_no_socket_by_which_it_could_be_commanded(self):
        Function()
        assert gunicorn.config.Config().control_socket_disable is True

    @pytest.mark.usefixtures("folder")
    def test_gives_a_function_by_its_name(self):
        assert serve("guard", lambda *_: None).__name__ == "guard"
        assert serve_web("api", lambda *_: WebAnswer(200), limit=1).__name__ == "api"


class Web:
    """A function for callers that speak no CloudEvents."""

    def __init__(self, work, limit=100):
        app = flask.Flask("web")
        functions_framework._configure_app(app, serve_web("api", work, limit=limit), "http")
        self.client = app.test_client()


@pytest.mark.usefixtures("folder")
class TestWeb:
    def test_gets_a_plain_call_and_gives_a_plain_answer(self):
        calls = []

        def work(call, here):
            calls.append(call)
            return WebAnswer(201, b"[1]")

        response = Web(work).client.post("/v1/x/?a=b", data=b"body", headers={"X-Thing": "T"})
        assert (response.status_code, response.data) == (201, b"[1]")
        assert response.headers["content-type"] == "application/json"
        (call,) = calls
        assert (call.method, call.path, call.query, call.body) == ("POST", "v1/x", {"a": "b"}, b"body")
        assert call.headers["x-thing"] == "T"

    def test_never_shows_a_body_by_accident(self):
        assert "secret" not in repr(Call("POST", "x", {}, {}, b"secret"))

    @pytest.mark.parametrize(
        ("error", "status"),
        [(ForbiddenError("t"), 403), (UnavailableError("t"), 503), (MalformedError("t"), 400), (ValueError("t"), 500)],
    )
    def test_what_it_raises_becomes_a_short_answer(self, error, status):
        def work(call, here):
            raise error

        response = by_the_rules(Web(work).client.post("/"))
        assert response.status_code == status
        assert set(json.loads(response.data)) == {"error"}

    def test_a_body_over_its_bound_is_413(self):
        web = Web(lambda *_: WebAnswer(200))
        assert web.client.post("/", data=b"x" * 100).status_code == 200
        assert error_of(web.client.post("/", data=b"x" * 101)) == (413, "too-large")

    def test_health_needs_no_work(self):
        response = Web(None).client.get("/healthz")
        assert (response.status_code, response.data) == (200, b"")
