"""Keys and certificates of one cluster, which nobody uses after it: one authority, one certificate a client."""

import datetime as dt
import ipaddress
from pathlib import Path
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.x509.oid import ExtendedKeyUsageOID as Usage
from cryptography.x509.oid import NameOID

from shared import clock

_BITS = 2048
_PEM, _PLAIN = serialization.Encoding.PEM, serialization.NoEncryption()


class Authority:
    """Writes `<name>.key` and `<name>.crt` into its folder; itself is `ca`."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        folder.mkdir(parents=True, exist_ok=True)
        self._key = rsa.generate_private_key(public_exponent=65537, key_size=_BITS)
        self._name = _name("akeso test cluster")
        self._write("ca", self._key, self._signed(self._name, self._key, x509.BasicConstraints(ca=True, path_length=0)))

    def client(self, file: str, user: str, group: str) -> None:
        """A client certificate: Kubernetes reads the user from its common name, the group from its organisation."""
        key = rsa.generate_private_key(public_exponent=65537, key_size=_BITS)
        usage = x509.ExtendedKeyUsage([Usage.CLIENT_AUTH])
        self._write(file, key, self._signed(_name(user, group), key, usage))

    def server(self, file: str, names: list[str], addresses: list[str]) -> None:
        key = rsa.generate_private_key(public_exponent=65537, key_size=_BITS)
        known = [x509.DNSName(name) for name in names]
        known += [x509.IPAddress(ipaddress.ip_address(address)) for address in addresses]
        usage = x509.ExtendedKeyUsage([Usage.SERVER_AUTH])
        self._write(file, key, self._signed(_name(names[0]), key, usage, x509.SubjectAlternativeName(known)))

    def key(self, file: str) -> None:
        """A bare key: the one that signs the tokens of ServiceAccounts."""
        self._write(file, rsa.generate_private_key(public_exponent=65537, key_size=_BITS), None)

    def _signed(self, subject: x509.Name, key: rsa.RSAPrivateKey, *extensions: Any) -> x509.Certificate:
        now = clock.now()
        made = x509.CertificateBuilder(issuer_name=self._name, subject_name=subject, public_key=key.public_key())
        made = made.serial_number(x509.random_serial_number())
        made = made.not_valid_before(now - dt.timedelta(days=1)).not_valid_after(now + dt.timedelta(days=30))
        for extension in extensions:
            made = made.add_extension(extension, critical=isinstance(extension, x509.BasicConstraints))
        return made.sign(self._key, hashes.SHA256())

    def _write(self, file: str, key: rsa.RSAPrivateKey, certificate: x509.Certificate | None) -> None:
        path = self.folder / f"{file}.key"
        path.touch(mode=0o600)
        path.write_bytes(key.private_bytes(_PEM, serialization.PrivateFormat.TraditionalOpenSSL, _PLAIN))
        if certificate is not None:
            (self.folder / f"{file}.crt").write_bytes(certificate.public_bytes(_PEM))


def _name(common: str, organisation: str = "") -> x509.Name:
    parts = [x509.NameAttribute(NameOID.COMMON_NAME, common)]
    if organisation:
        parts.append(x509.NameAttribute(NameOID.ORGANIZATION_NAME, organisation))
    return x509.Name(parts)
