"""Certificates of peers, byte for byte, and who gets through a handshake: no sockets, two TLS engines and two pipes."""

from __future__ import annotations

import datetime
import os
import ssl
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import NameOID

from gateway.errors import LocalError, WireError
from gateway.keys.cert import certificate, check_certificate, pin
from gateway.keys.sign import SigningKey
from gateway.net.peer_tls import client_context, open_context, server_context, trust

KEYS = [SigningKey(bytes([number]) * 32) for number in range(4)]
NAMES = ["alice", "bob", "carol", "dave"]
CERTS = [certificate(key, name) for key, name in zip(KEYS, NAMES, strict=True)]
ALICE, BOB, CAROL, DAVE = range(4)


# ---- the certificate -------------------------------------------------------------------------------------------------


def test_a_certificate_is_the_same_for_ever() -> None:
    assert pin(certificate(SigningKey(bytes(range(32))), "gw-01")) == (
        "a132f8772ae70b5b175a4a9e67265cafa23c676b1dcf7b2e57bcc1f89d6b4c38"
    )


@pytest.mark.parametrize("name", ["a", "gw-01", "x" * 64])
def test_another_library_reads_it(name: str) -> None:
    read = x509.load_der_x509_certificate(certificate(KEYS[0], name))
    read.verify_directly_issued_by(read)
    assert read.subject.rfc4514_string() == f"CN={name}"
    key = read.public_key()
    assert isinstance(key, Ed25519PublicKey)
    assert key.public_bytes_raw() == KEYS[0].public
    assert read.not_valid_before_utc == datetime.datetime(2020, 1, 1, tzinfo=datetime.UTC)
    assert read.not_valid_after_utc == datetime.datetime(9999, 12, 31, 23, 59, 59, tzinfo=datetime.UTC)
    constraints = read.extensions.get_extension_for_class(x509.BasicConstraints)
    assert constraints.critical
    assert not constraints.value.ca
    assert read.public_bytes(Encoding.DER) == certificate(KEYS[0], name)


@pytest.mark.parametrize("name", ["", "x" * 65, "ä", "a\n", "a\0"])
def test_a_name_that_is_none_is_refused(name: str) -> None:
    with pytest.raises(LocalError, match="1 to 64"):
        certificate(KEYS[0], name)
    with pytest.raises(WireError, match="1 to 64"):
        check_certificate(CERTS[0], name)


def test_the_key_is_read_from_a_certificate() -> None:
    for key, name, cert in zip(KEYS, NAMES, CERTS, strict=True):
        assert check_certificate(cert, name) == key.public


def test_every_changed_byte_is_seen() -> None:
    for at in range(len(CERTS[0])):
        changed = bytearray(CERTS[0])
        changed[at] ^= 1
        with pytest.raises(WireError):
            check_certificate(bytes(changed), "alice")


@pytest.mark.parametrize("der", [b"", CERTS[0][:-1], CERTS[0] + b"\0", CERTS[0][:100], bytes(len(CERTS[0]))])
def test_other_lengths_are_seen(der: bytes) -> None:
    with pytest.raises(WireError):
        check_certificate(der, "alice")


def test_another_name_and_another_form_are_seen() -> None:
    with pytest.raises(WireError):
        check_certificate(CERTS[ALICE], "alicf")
    with pytest.raises(WireError):
        check_certificate(foreign(KEYS[ALICE], "alice", authority=False), "alice")


def foreign(key: SigningKey, name: str, *, authority: bool, issuer: SigningKey | None = None) -> bytes:
    """A certificate as others write it, signed by itself or by somebody else's key."""
    private = Ed25519PrivateKey.from_private_bytes(key.seed)
    signer = Ed25519PrivateKey.from_private_bytes((issuer or key).seed)
    issuer_name = NAMES[KEYS.index(issuer)] if issuer is not None else name
    return (
        x509.CertificateBuilder()
        .subject_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)]))
        .issuer_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, issuer_name)]))
        .public_key(private.public_key())
        .serial_number(7)
        .not_valid_before(datetime.datetime(2020, 1, 1))
        .not_valid_after(datetime.datetime(2999, 1, 1))
        .add_extension(x509.BasicConstraints(ca=authority, path_length=None), critical=True)
        .sign(signer, None)
        .public_bytes(Encoding.DER)
    )


# ---- handshakes ------------------------------------------------------------------------------------------------------


def handshake(server: ssl.SSLContext, asker: ssl.SSLContext) -> bytes | None:
    """Shake hands, and send a byte each way.

    Returns:
        What the server saw of the other side.

    Raises:
        ssl.SSLError: of the side that found the fault first.
    """
    to_server, to_asker = ssl.MemoryBIO(), ssl.MemoryBIO()
    there = server.wrap_bio(to_server, to_asker, server_side=True)
    here = asker.wrap_bio(to_asker, to_server)
    waiting = [here.do_handshake, there.do_handshake]
    for _ in range(8):
        for step in list(waiting):
            try:
                step()
                waiting.remove(step)
            except ssl.SSLWantReadError:
                pass
    assert not waiting
    here.write(b"?")
    assert there.read(2) == b"?"
    there.write(b"!")
    assert here.read(2) == b"!"
    assert here.version() == "TLSv1.3"
    return there.getpeercert(True)


def alice(*trusted: int) -> ssl.SSLContext:
    return server_context(KEYS[ALICE], CERTS[ALICE], [CERTS[number] for number in trusted])


def asking(who: int | None, *pinned: bytes) -> ssl.SSLContext:
    if who is None:
        return client_context(None, None, pinned)
    return client_context(KEYS[who], CERTS[who], pinned)


def test_a_member_is_seen_by_its_certificate() -> None:
    server = alice(BOB, CAROL)
    for who in (BOB, CAROL):
        assert handshake(server, asking(who, CERTS[ALICE])) == CERTS[who]


def test_whoever_has_no_certificate_is_let_in_as_nobody() -> None:
    assert handshake(alice(BOB), asking(None, CERTS[ALICE])) is None
    assert handshake(alice(), asking(None, CERTS[ALICE])) is None
    assert handshake(alice(BOB), open_context()) is None


def test_an_unknown_certificate_does_not_get_through() -> None:
    for server in (alice(BOB), alice()):
        with pytest.raises(ssl.SSLCertVerificationError):
            handshake(server, asking(CAROL, CERTS[ALICE]))


def test_trust_is_added_to_a_context_in_use() -> None:
    server = alice(BOB)
    with pytest.raises(ssl.SSLCertVerificationError):
        handshake(server, asking(CAROL, CERTS[ALICE]))
    trust(server, [CERTS[BOB], CERTS[CAROL]])
    trust(server, [])
    assert handshake(server, asking(CAROL, CERTS[ALICE])) == CERTS[CAROL]
    assert handshake(server, asking(BOB, CERTS[ALICE])) == CERTS[BOB]


def test_two_certificates_of_one_name_are_both_trusted() -> None:
    """As while a member changes its key; OpenSSL looks certificates up by name."""
    newer = certificate(KEYS[CAROL], "bob")
    for order in ([CERTS[BOB], newer], [newer, CERTS[BOB]]):
        server = server_context(KEYS[ALICE], CERTS[ALICE], order)
        assert handshake(server, client_context(KEYS[BOB], CERTS[BOB], [CERTS[ALICE]])) == CERTS[BOB]
        assert handshake(server, client_context(KEYS[CAROL], newer, [CERTS[ALICE]])) == newer
        moving = server_context(KEYS[CAROL], newer, [])
        assert handshake(moving, asking(None, *order)) is None


def test_only_the_pinned_certificate_is_an_answer() -> None:
    for wrong in ([CERTS[BOB]], [CERTS[BOB], CERTS[CAROL]], [certificate(KEYS[DAVE], "alice")], []):
        with pytest.raises(ssl.SSLCertVerificationError):
            handshake(alice(BOB), asking(BOB, *wrong))


def test_a_certificate_that_a_pinned_key_signed_is_another() -> None:
    """OpenSSL alone takes it: whoever is pinned could otherwise lend its place to others."""
    root = foreign(KEYS[BOB], "bob", authority=True)
    leaf = foreign(KEYS[CAROL], "carol", authority=False, issuer=KEYS[BOB])
    server = server_context(KEYS[CAROL], leaf, [])
    plain = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    plain.check_hostname = False
    plain.load_verify_locations(cadata=root)
    assert handshake(server, plain) is None
    with pytest.raises(ssl.SSLCertVerificationError, match="another certificate"):
        handshake(server, asking(None, root))


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2])
def test_nothing_older_than_tls_1_3(version: ssl.TLSVersion) -> None:
    old_asker = open_context()
    old_asker.maximum_version = version
    with pytest.raises(ssl.SSLError, match="UNSUPPORTED_PROTOCOL|PROTOCOL_VERSION"):
        handshake(alice(BOB), old_asker)
    old_server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    old_server.maximum_version = version
    with pytest.raises(ssl.SSLError):
        handshake(old_server, asking(BOB, CERTS[ALICE]))


def test_no_ticket_carries_an_identity_on() -> None:
    assert alice(BOB).num_tickets == 0


# ---- keys and files --------------------------------------------------------------------------------------------------


def test_no_key_is_left_in_a_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    before = sorted(os.listdir("/proc/self/fd"))
    for _ in range(3):
        alice(BOB)
        asking(BOB, CERTS[ALICE])
    assert list(tmp_path.iterdir()) == []
    assert sorted(os.listdir("/proc/self/fd")) == before


def test_a_certificate_of_another_key_is_refused() -> None:
    before = sorted(os.listdir("/proc/self/fd"))
    with pytest.raises(LocalError, match="does not fit"):
        server_context(KEYS[ALICE], CERTS[BOB], [])
    assert sorted(os.listdir("/proc/self/fd")) == before


@pytest.mark.parametrize("rubbish", [b"no certificate", CERTS[BOB][:-1]])
def test_what_is_no_certificate_is_refused(rubbish: bytes) -> None:
    with pytest.raises(LocalError, match="cannot be read"):
        server_context(KEYS[ALICE], CERTS[ALICE], [CERTS[CAROL], rubbish])
    with pytest.raises(LocalError, match="cannot be read"):
        client_context(KEYS[ALICE], CERTS[ALICE], [rubbish])
