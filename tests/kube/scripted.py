"""A server that says what a test wants the API server to say, plain or with TLS, and remembers what it was asked."""

import datetime as dt
import http.server
import ipaddress
import json
import ssl
import threading
from types import SimpleNamespace

import yaml
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from shared.settings import Kube as KubeSettings
from shared.settings import Settings

TIMEOUT_MS, PATIENT_MS = 600, 20_000  # where the server lets wait, and where it answers


class Server:
    """Answers each request with the next prepared (status, body) or, at the end, with the last one again.

    With `tokens` it believes those bearers alone. A status may be `close`, `hang` or `drip`, too.
    """

    def __init__(self, tls=None):
        self.answers = [(200, {"metadata": {}})]
        self.headers = {}
        self.tokens = None
        self.seen = []
        outer = self

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            disable_nagle_algorithm = True  # headers and body are two writes

            def answer(self):
                body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
                peer = self.connection.getpeercert() if tls else None
                outer.seen.append(
                    SimpleNamespace(method=self.command, path=self.path, headers=self.headers, body=body, peer=peer)
                )
                bearer = self.headers.get("Authorization", "").partition(" ")[2]
                if outer.tokens is not None and bearer not in outer.tokens:
                    return self.say(401, {"kind": "Status", "message": "Unauthorized"})
                status, reply = outer.answers.pop(0) if len(outer.answers) > 1 else outer.answers[0]
                if status in {"close", "hang"}:
                    outer.released.wait(10 if status == "hang" else 0)
                    self.close_connection = True
                    return None
                return self.say(status, reply)

            def say(self, status, reply):
                data = reply if isinstance(reply, bytes) else json.dumps(reply).encode()
                self.send_response(200 if status == "drip" else status)
                self.send_header("Content-Length", str(len(data)))
                for name, value in outer.headers.items():
                    self.send_header(name, value)
                if status in {301, 302, 307}:
                    self.send_header("Location", "/elsewhere")
                self.end_headers()
                if status == "drip":
                    return self.drip(data)
                return self.wfile.write(data)

            def drip(self, data):
                try:
                    for byte in data:
                        self.wfile.write(bytes([byte]))
                        outer.released.wait(TIMEOUT_MS / 3000)
                except OSError:
                    self.close_connection = True

            do_GET = do_POST = do_PATCH = do_DELETE = answer  # noqa: N815 - the base class's names

            def log_message(self, *args):
                pass

        self.released = threading.Event()
        self.http = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        if tls:
            self.http.socket = tls.server().wrap_socket(self.http.socket, server_side=True)
        self.http.daemon_threads = True
        threading.Thread(target=self.http.serve_forever, args=(0.01,), daemon=True).start()
        self.port = self.http.server_port
        self.url = f"{'https' if tls else 'http'}://127.0.0.1:{self.port}"

    def bearers(self):
        return [seen.headers["Authorization"] for seen in self.seen]

    def stop(self):
        self.released.set()
        self.http.shutdown()
        self.http.server_close()


class Authority:
    """A CA of one's own in a folder: `ca`, and certificate and key of the server and of one client, as files."""

    def __init__(self, folder):
        self.folder = folder
        folder.mkdir()
        self._key = ec.generate_private_key(ec.SECP256R1())
        self._name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "test-ca")])
        self.ca = self._write("ca", self._sign("test-ca", self._key.public_key(), ca=True))
        self.client, self.client_key = self.issue("somebody")
        self._server = self.issue("api")

    def issue(self, name):
        """Certificate and key files for that name; both are good for 127.0.0.1."""
        key = ec.generate_private_key(ec.SECP256R1())
        pem = key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
        return self._write(name, self._sign(name, key.public_key())), self._write(f"{name}-key", pem)

    def server(self):
        """What a server needs that shows its certificate and looks at a client's where there is one."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(*self._server)
        context.load_verify_locations(self.ca)
        context.verify_mode = ssl.CERT_OPTIONAL
        return context

    def _sign(self, name, public, *, ca=False):
        now = dt.datetime.fromtimestamp(1_700_000_000, dt.UTC)
        builder = (
            x509.CertificateBuilder()
            .subject_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)]))
            .issuer_name(self._name)
            .public_key(public)
            .serial_number(x509.random_serial_number())
            .not_valid_before(now)
            .not_valid_after(now + dt.timedelta(days=36_500))
            .add_extension(x509.BasicConstraints(ca=ca, path_length=None), critical=True)
            .add_extension(x509.SubjectKeyIdentifier.from_public_key(public), critical=False)
            .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(self._key.public_key()), critical=False)
            .add_extension(
                x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]), critical=False
            )
        )
        if ca:
            usage = dict.fromkeys(
                ("digital_signature", "content_commitment", "key_encipherment", "data_encipherment", "key_agreement",
                 "crl_sign", "encipher_only", "decipher_only"), False,
            )  # fmt: skip
            builder = builder.add_extension(x509.KeyUsage(key_cert_sign=True, **usage), critical=True)
        return builder.sign(self._key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM)

    def _write(self, name, data):
        path = self.folder / f"{name}.pem"
        path.touch(mode=0o600)
        path.write_bytes(data)
        return path


def kubeconfig(path, url, *, cluster=None, timeout_ms=PATIENT_MS, **user):
    """Settings with a kubeconfig of one cluster and one user."""
    path.write_text(
        yaml.safe_dump(
            {
                "apiVersion": "v1",
                "kind": "Config",
                "current-context": "c",
                "clusters": [{"name": "c", "cluster": {"server": url, **(cluster or {})}}],
                "users": [{"name": "u", "user": user}],
                "contexts": [{"name": "c", "context": {"cluster": "c", "user": "u"}}],
            }
        )
    )
    return Settings(kube=KubeSettings(kubeconfig=str(path), timeout_ms=timeout_ms))
