"""A server that is reached over the network: by TLS only, with passwords, as every managed one is."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path

import psycopg
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from psycopg import sql

from support.servers import Server, open_folder, running_15


@dataclass(frozen=True)
class Secured:
    """A PostgreSQL 15 that takes nobody from the network without TLS and a password."""

    #: as its superuser, through its socket
    server: Server
    port: int
    #: the certificate of who signed its own
    authority: Path

    def login(self, name: str, password: str, options: str = "LOGIN") -> None:
        """Make a role that logs in."""
        with psycopg.connect(self.server.url, autocommit=True) as connection:
            made = sql.SQL("CREATE ROLE {} {} PASSWORD {}")
            connection.execute(made.format(sql.Identifier(name), sql.SQL(options), sql.Literal(password)))

    def database(self, owner: str) -> str:
        """Make a database that a role owns; return its name."""
        url = self.server.database()
        name = url.split("/")[3].split("?")[0]
        with psycopg.connect(self.server.url, autocommit=True) as connection:
            connection.execute(sql.SQL("ALTER DATABASE {} OWNER TO {}").format(sql.Identifier(name), sql.Identifier(owner)))
        return name

    def address(self, database: str, user: str = "", mode: str = "verify-full") -> str:
        """Return the address of a database, with who comes (`name:password`) and how."""
        ours = f"&sslrootcert={self.authority}" if mode.startswith("verify") else ""
        return f"postgresql://{user}{'@' if user else ''}localhost:{self.port}/{database}?sslmode={mode}{ours}"


@contextmanager
def secured() -> Iterator[Secured]:
    """Run such a server."""
    with open_folder() as folder:
        authority = certify(folder)
        with socket.create_server(("127.0.0.1", 0)) as free:
            port = free.getsockname()[1]
        with running_15(folder, port=port) as server:
            rules = folder / "data/pg_hba.conf"
            rules.write_text("local all all trust\nhostssl all all 127.0.0.1/32 scram-sha-256\n", encoding="utf-8")
            with psycopg.connect(server.url, autocommit=True) as connection:
                connection.execute("SELECT pg_reload_conf()")
            yield Secured(server, port, authority)


def certify(folder: Path) -> Path:
    """Write the certificate and key of a server named localhost; return the file of the authority that signed it."""
    authority, name = (
        ec.generate_private_key(ec.SECP256R1()),
        x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "an authority")]),
    )
    own, its = ec.generate_private_key(ec.SECP256R1()), x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "localhost")])
    root = (
        _begun(name, name, authority.public_key())
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(authority, hashes.SHA256())
    )
    names = x509.SubjectAlternativeName([x509.DNSName("localhost"), x509.IPAddress(ip_address("127.0.0.1"))])
    certificate = _begun(its, name, own.public_key()).add_extension(names, critical=False).sign(authority, hashes.SHA256())
    pem = serialization.Encoding.PEM
    (folder / "server.crt").write_bytes(certificate.public_bytes(pem))
    written = own.private_bytes(pem, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    (folder / "server.key").write_bytes(written)
    (folder / "authority.crt").write_bytes(root.public_bytes(pem))
    return folder / "authority.crt"


def _begun(subject: x509.Name, issuer: x509.Name, key: ec.EllipticCurvePublicKey) -> x509.CertificateBuilder:
    now = datetime.now(UTC)
    begun = x509.CertificateBuilder().subject_name(subject).issuer_name(issuer).public_key(key)
    return (
        begun.serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
    )
