"""Whom feeds and the API trust, and which variable of the environment is to blame where they cannot."""

from __future__ import annotations

import ssl
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from syncd.errors import ConfigError
from syncd.sources.http import BearerAuth, HeaderAuth, Tls
from syncd.sources.http.credentials import TlsContexts
from syncd.trust import verifying_context
from syncd.tuya.transport import Gate
from tests.sources.fetching import HOST, OTHER_HOST, TEXTS, Text, failure, read
from tests.sources.server import CALENDAR, FeedServer, published

PAGE = "/calendar.ics"
Key = ec.EllipticCurvePrivateKey


class Authority:
    """A certificate authority that signs what it is told to, with as few extensions as possible."""

    def __init__(
        self,
        name: str,
        issuer: Authority | None = None,
        *,
        constraints: bool | None = True,
        host: str | None = None,
    ) -> None:
        """`constraints`: whether basicConstraints is critical, or None; with `host` it is a server's."""
        self.key: Key = ec.generate_private_key(ec.SECP256R1())
        self.name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
        now = datetime.now(UTC)
        signer = issuer or self
        builder = (
            x509.CertificateBuilder()
            .subject_name(self.name)
            .issuer_name(signer.name)
            .public_key(self.key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - timedelta(days=1))
            .not_valid_after(now + timedelta(days=1))
        )
        if constraints is not None:
            extension = x509.BasicConstraints(ca=host is None, path_length=None)
            builder = builder.add_extension(extension, critical=constraints)
        if host is not None:
            names = x509.SubjectAlternativeName([x509.DNSName(host)])
            builder = builder.add_extension(names, critical=False)
        self.certificate = builder.sign(signer.key, hashes.SHA256())

    @property
    def pem(self) -> bytes:
        """Its certificate."""
        return self.certificate.public_bytes(serialization.Encoding.PEM)

    def server(self, folder: Path, *chain: Authority) -> FeedServer:
        """A server that shows this certificate, and those of `chain`."""
        file = folder / "server.pem"
        key = self.key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
        file.write_bytes(key + self.pem + b"".join(one.pem for one in chain))
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(file)
        return FeedServer(context, {PAGE: published()})

    def file(self, folder: Path) -> Path:
        """Its certificate as a file."""
        path = folder / "ca.pem"
        path.write_bytes(self.pem)
        return path


def test_flags_do_not_depend_on_the_version_of_python() -> None:
    """What Python 3.13 added to the defaults, strict reading, is not asked for; verifying always is."""
    context = verifying_context()
    assert context.verify_mode == ssl.CERT_REQUIRED
    assert context.check_hostname
    assert not context.verify_flags & ssl.VerifyFlags.VERIFY_X509_STRICT
    assert context.verify_flags & ssl.VerifyFlags.VERIFY_X509_PARTIAL_CHAIN


def test_feeds_share_the_authorities_of_the_system() -> None:
    """One context for all feeds that name no authorities of their own, however many there are."""
    contexts = TlsContexts()
    assert len({id(contexts.of(Tls())) for _ in range(20)}) == 1


@pytest.mark.parametrize("constraints", [True, False])
def test_an_authority_as_a_small_office_makes_it(
    tmp_path: Path, constraints: bool
) -> None:
    """Without key identifiers, with basicConstraints critical or not, an authority is trusted if named."""
    authority = Authority("Office CA", constraints=constraints)
    with Authority(HOST, authority, host=HOST).server(tmp_path).running() as server:
        ca = authority.file(tmp_path)
        assert read(server, tls=Tls(ca=ca)).document.body == CALENDAR
        assert "name the authority that signed it in tls.ca" in str(failure(server))


def test_the_certificate_of_the_server_itself(tmp_path: Path) -> None:
    """A self-signed certificate is good if tls.ca names it, and the sentence says so if not."""
    alone = Authority(HOST, host=HOST, constraints=None)
    with alone.server(tmp_path).running() as server:
        assert read(server, tls=Tls(ca=alone.file(tmp_path))).document.body == CALENDAR
        assert "name the certificate itself in tls.ca" in str(failure(server))


def test_an_authority_between(tmp_path: Path) -> None:
    """The authority that signed is enough, whether or not its own issuer is known."""
    between = Authority("Department CA", Authority("Company CA"))
    with Authority(HOST, between, host=HOST).server(tmp_path).running() as server:
        assert (
            read(server, tls=Tls(ca=between.file(tmp_path))).document.body == CALENDAR
        )


def test_another_authority_and_another_name(tmp_path: Path) -> None:
    """Who named the wrong authority is told to name the right one, and who wrote another name that."""
    with (
        Authority(HOST, Authority("Office CA"), host=HOST)
        .server(tmp_path)
        .running() as server
    ):
        other = Authority("Other CA").file(tmp_path)
        assert "name the authority that signed it" in str(
            failure(server, tls=Tls(ca=other))
        )
    alone = Authority(HOST, host=HOST)
    with alone.server(tmp_path).running() as server:
        error = failure(server, host=OTHER_HOST, tls=Tls(ca=alone.file(tmp_path)))
        assert "write into url the name that the certificate is for" in str(error)


VARIABLES = (
    "SSL_CERT_FILE",
    "SSL_CERT_DIR",
    "SSLKEYLOGFILE",
    "ALL_PROXY",
    "HTTPS_PROXY",
)


@pytest.fixture(autouse=True)
def _nothing_in_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in VARIABLES:
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.lower(), raising=False)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("SSLKEYLOGFILE", "/nonexistent/keys"),
        ("SSLKEYLOGFILE", "/"),
        ("SSL_CERT_FILE", "/nonexistent.pem"),
        ("SSL_CERT_FILE", "/dev/null"),
        ("SSL_CERT_FILE", "/etc/passwd"),
        ("SSL_CERT_DIR", "/nonexistent"),
    ],
)
def test_the_variable_that_is_wrong_is_named(
    tls_server: FeedServer, monkeypatch: pytest.MonkeyPatch, name: str, value: str
) -> None:
    """A variable of the environment that cannot be used is named, for feeds and for the API, and no other."""
    monkeypatch.setenv(name, value)
    for said in (str(failure(tls_server)), _refusal_of_the_api()):
        assert said.startswith(name)
        assert not any(other in said for other in {*VARIABLES, "tls.ca"} - {name})


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("ALL_PROXY", "socks5://127.0.0.1:1080"),
        ("all_proxy", "socks5h://127.0.0.1:1080"),
        ("HTTPS_PROXY", "ftp://127.0.0.1"),
        ("https_proxy", "http://127.0.0.1:port"),
        ("https_proxy", "http://[127.0.0.1"),
    ],
)
def test_the_proxy_that_is_wrong_is_named(
    monkeypatch: pytest.MonkeyPatch, name: str, value: str
) -> None:
    """A proxy of a kind that is not spoken, or no address, is blamed on the variable that names it."""
    monkeypatch.setenv(name, value)
    assert _refusal_of_the_api().startswith(
        f"{name}: names a proxy that cannot be used"
    )


@pytest.mark.parametrize(
    "value",
    ["http://127.0.0.1:3128", "127.0.0.1:3128", " http://proxy.example:80 ", ""],
)
def test_a_proxy_that_can_be_used(monkeypatch: pytest.MonkeyPatch, value: str) -> None:
    """A proxy is named with or without its scheme, as curl has it; an empty variable names none."""
    monkeypatch.setenv("HTTPS_PROXY", value)
    monkeypatch.setenv("ALL_PROXY", "http://127.0.0.1:1")
    _gate().close()


@pytest.mark.parametrize(
    "value",
    ["openapi.tuyaeu.com", "*", ".tuyaeu.com", "other.example, openapi.tuyaeu.com"],
)
def test_where_no_proxy_is_wanted_it_is_not_looked_at(
    monkeypatch: pytest.MonkeyPatch, value: str
) -> None:
    """A proxy that cannot be used does no harm where NO_PROXY takes the API out."""
    monkeypatch.setenv("ALL_PROXY", "socks5://127.0.0.1:1080")
    monkeypatch.setenv("no_proxy", value)
    _gate().close()


def test_keys_are_logged_where_that_is_wanted(
    tls_server: FeedServer,
    ca_file: Path,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:
    """SSLKEYLOGFILE works for feeds as for other programs."""
    monkeypatch.setenv("SSLKEYLOGFILE", str(tmp_path / "keys"))
    tls_server.pages[PAGE] = published()
    read(tls_server, tls=Tls(ca=ca_file))
    assert "TRAFFIC_SECRET" in (tmp_path / "keys").read_text()


def test_files_of_tls_are_regular(tls_server: FeedServer, tmp_path: Path) -> None:
    """A directory or a device in the place of a PEM file is named and not waited for."""
    for path in (tmp_path, Path("/dev/zero")):
        assert "it is not a regular file" in str(failure(tls_server, tls=Tls(ca=path)))


@pytest.mark.parametrize("secret", ["pässword", "пароль", "密码"])
def test_a_secret_beyond_ascii(
    feed_server: FeedServer, monkeypatch: pytest.MonkeyPatch, secret: str
) -> None:
    """A token or header with letters beyond ASCII is sent as UTF-8."""
    monkeypatch.setitem(TEXTS, "token", secret)
    feed_server.pages[PAGE] = published()
    read(feed_server, auth=BearerAuth(Text("token")))
    read(feed_server, auth=HeaderAuth("X-Api-Key", Text("token")))
    sent = [
        r.headers.get("authorization") or r.headers["x-api-key"]
        for r in feed_server.requests
    ]
    as_bytes = secret.encode().decode("latin-1")
    assert sent == [f"Bearer {as_bytes}", as_bytes]


def _gate() -> Gate:
    return Gate("https://openapi.tuyaeu.com", lambda _method: None, lambda: None)


def _refusal_of_the_api() -> str:
    with pytest.raises(ConfigError) as caught:
        _gate()
    return caught.value.problems[0]
