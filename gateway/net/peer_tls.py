"""TLS between peers: TLS 1.3, self-signed Ed25519 certificates, and the roster as the only list of whom to trust.

What the roster holds is the certificate itself (`keys/cert.py`), so whoever answers must show exactly those bytes: a
row of signatures that merely leads to them is not enough. Sources: RFC 8446, RFC 8410.
"""

from __future__ import annotations

import os
import ssl
from collections.abc import Iterable
from typing import Final, cast

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from gateway.errors import LocalError
from gateway.keys.cert import certificate, pin
from gateway.keys.sign import SigningKey

__all__ = ["certificate", "pin", "server_context", "trust", "client_context", "open_context"]

PROTOCOLS: Final = ["http/1.1"]


def server_context(key: SigningKey, der: bytes, trusted: Iterable[bytes]) -> ssl.SSLContext:
    """For the listener: a certificate of the other side is welcome, not needed.

    A handshake with a certificate that is not in `trusted` fails. Which of these is still a member is for the
    application to say, at each request: trust can be added to a context, and never taken from it.

    Args:
        key, der: our TLS key and its certificate.
        trusted: certificates of the members.

    Raises:
        LocalError: `certificate`, one of them is none, or ours does not fit the key.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    _harden(context)
    context.verify_mode = ssl.CERT_OPTIONAL
    context.num_tickets = (
        0  # connections are kept; a ticket would carry an identity past a change of the roster
    )
    _load_key(context, key, der)
    trust(context, trusted)
    return context


def trust(context: ssl.SSLContext, certs: Iterable[bytes]) -> None:
    """Trust more certificates, from the next handshake on. What is trusted already stays as it is.

    Args:
        context: of `server_context`, in use or not.
        certs: DER.

    Raises:
        LocalError: `certificate`, one of them is none.
    """
    joined = b"".join(certs)
    if not joined:
        return
    try:
        context.load_verify_locations(cadata=joined)
    except (ssl.SSLError, ValueError) as error:
        raise LocalError("certificate", "a certificate of the roster cannot be read") from error


def client_context(key: SigningKey | None, der: bytes | None, trusted: Iterable[bytes]) -> ssl.SSLContext:
    """For one peer: whoever answers must show one of these certificates, byte for byte.

    Args:
        key, der: our TLS key and its certificate; None to come without one.
        trusted: the certificates of this peer alone, one or two.

    Raises:
        LocalError: `certificate`.
    """
    pins = frozenset(trusted)
    context = _PinnedContext(ssl.PROTOCOL_TLS_CLIENT)
    _harden(context)
    context.pins = pins
    context.sslobject_class = _PinnedObject
    context.check_hostname = False  # the certificate says who it is, wherever it answers
    trust(context, pins)
    if key is not None and der is not None:
        _load_key(context, key, der)
    return context


def open_context() -> ssl.SSLContext:
    """For reads whose bytes prove themselves by their signatures: nobody's certificate is looked at.

    TLS 1.2 is taken here: the witness or mirror may be anybody's server.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    context.set_alpn_protocols(PROTOCOLS)
    return context


class _PinnedContext(ssl.SSLContext):
    """A context that knows which certificates it will take."""

    pins: frozenset[bytes] = frozenset()


class _PinnedObject(ssl.SSLObject):
    """Ends the handshake with an error unless the certificate is one of the pinned, before a byte of ours is sent.

    OpenSSL alone would also take a certificate that a pinned key has signed.
    """

    def do_handshake(self) -> None:
        """As of `ssl.SSLObject`."""
        super().do_handshake()
        if self.getpeercert(True) not in cast(_PinnedContext, self.context).pins:
            raise ssl.SSLCertVerificationError("the peer shows another certificate than the roster has")


def _harden(context: ssl.SSLContext) -> None:
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    # A certificate of the roster is trusted because it is there, not because of who signed it.
    context.verify_flags |= ssl.VerifyFlags.VERIFY_X509_PARTIAL_CHAIN
    context.set_alpn_protocols(PROTOCOLS)


def _load_key(context: ssl.SSLContext, key: SigningKey, der: bytes) -> None:
    # Python takes keys from files only. This one is in memory, has no name, and nobody else can open it.
    private = Ed25519PrivateKey.from_private_bytes(key.seed)
    pem = ssl.DER_cert_to_PEM_cert(der).encode()
    pem += private.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    with open(os.memfd_create("tls", os.MFD_CLOEXEC), "wb") as file:
        os.fchmod(file.fileno(), 0o600)
        file.write(pem)
        file.flush()
        try:
            context.load_cert_chain(f"/proc/self/fd/{file.fileno()}")
        except (ssl.SSLError, ValueError) as error:
            raise LocalError("certificate", "our certificate does not fit our TLS key") from error
