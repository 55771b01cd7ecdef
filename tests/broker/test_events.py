"""What the ingress accepts beyond the measured rows, and how faithfully it passes it on."""

import http.client
import json

import pytest

from tests.broker.scripted import HTTP, event_headers

STRUCTURED = {"content-type": "application/cloudevents+json"}


@pytest.fixture
def send(serve, trigger, functions):
    broker = serve(trigger("f"))

    def post(content, headers=STRUCTURED):
        body = content if isinstance(content, bytes) else json.dumps(content).encode()
        status = HTTP.post(broker.url, content=body, headers=headers).status_code
        return status, functions.runs["/f/"]

    return post


def structured(**members):
    return {"specversion": "1.0", "id": "1", "source": "/t", "type": "f", **members}


def test_structured_data_is_passed_on_byte_for_byte(send):
    text = '{"specversion":"1.0", "id":"1","source":"/t","type":"f", "data" : {"b": 1.10,  "a":"\\u00e4"} }'
    status, runs = send(text.encode())
    assert (status, runs[0].body) == (202, b'{"b": 1.10,  "a":"\\u00e4"}')
    assert runs[0].headers["content-type"] == "application/json"


def test_text_and_base64_data(send):
    assert send(structured(datacontenttype="text/plain", data="hello"))[0] == 202
    status, runs = send(structured(datacontenttype="application/octet-stream", data_base64="AAH/"))
    assert status == 202
    assert [run.body for run in runs] == [b"hello", b"\x00\x01\xff"]
    assert [run.headers["content-type"] for run in runs] == ["text/plain", "application/octet-stream"]


def test_extension_values_of_other_types_become_text_and_null_vanishes(send):
    status, runs = send(structured(hop=3, flag=True, gone=None))
    assert (status, runs[0].headers["ce-hop"], runs[0].headers["ce-flag"]) == (202, "3", "true")
    assert "ce-gone" not in runs[0].headers
    assert "content-type" not in runs[0].headers


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{",
        b"[]",
        b'"text"',
        b"\xff\xfe",
        b"[" * 100_000,
        json.dumps(structured(specversion="2.0")).encode(),
        json.dumps(structured(time="yesterday")).encode(),
        json.dumps(structured(ext="a\nb")).encode(),
        json.dumps(structured(ext=[1])).encode(),
        json.dumps(structured(data_base64="!")).encode(),
        json.dumps(structured(id="")).encode(),
        b'{"specversion":"1.0","id":"1","source":"/t","type":"f","data":NaN}',
    ],
)
def test_unreadable_structured_events_are_refused(send, body):
    assert send(body) == (400, [])


def test_bytes_that_are_no_utf8_do_not_stop_an_event(serve, trigger, functions):
    broker = serve(trigger("f"))
    connection = http.client.HTTPConnection(broker.url.removeprefix("http://"))
    connection.putrequest("POST", "/")
    for name, value in event_headers("f", ext="\xff").items():
        connection.putheader(name, value.encode("latin-1"))
    connection.putheader("content-length", "2")
    connection.endheaders(b"{}")
    assert connection.getresponse().status == 202
    assert functions.runs["/f/"][0].headers["ce-ext"].encode("latin-1").decode() == "\N{REPLACEMENT CHARACTER}"
    connection.close()


def test_the_broker_adds_twelve_headers_and_passes_long_ones(send):
    extensions = {f"e{number}": "x" for number in range(87)}
    status, runs = send(b"{}", event_headers("f", **extensions))
    assert (status, len(runs[0].headers)) == (202, 87 + 12)
    status, runs = send(b"{}", event_headers("f", long="x" * 60_000))
    assert (status, len(runs[1].headers["ce-long"])) == (202, 60_000)


def test_headers_over_a_mebibyte_are_431(send):
    assert send(b"{}", event_headers("f", long="x" * 1_100_000)) == (431, [])


def test_bodies_have_no_bound(send):
    status, runs = send(b"x" * 5_000_000, event_headers("f"))
    assert (status, len(runs[0].body)) == (202, 5_000_000)


def test_a_redriven_event_keeps_what_it_says_of_its_first_failure(serve, trigger, functions):
    functions.script["/f/"] = [{"status": 400}]
    broker = serve(trigger("f"))
    HTTP.post(broker.url, headers=event_headers("f", knativeerrorcode="503"), content=b"{}")
    dead = functions.runs["/dls/"][0].headers
    assert dead["ce-knativeerrorcode"] == "503"
    assert dead["ce-knativeerrordest"] == "http://f.akeso.svc.cluster.local/"
