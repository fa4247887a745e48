"""The form of a proof document: JSON as RFC 8785 writes it, with one line end, read strictly.

Three shapes: a batch; a batch and one of its parts; those and one frame of the part.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Final

import msgspec
import rfc8785

from gateway.errors import ProofError, RemoteError
from gateway.store.vault import MAX_HEADER_BYTES
from gateway.tlog.merkle import MAX_PATH
from gateway.tlog.proof import MAX_PROOF_BYTES
from gateway.tlog.text import decode_base64
from gateway.tlog.tiles import MAX_ENTRY_BYTES
from gateway.wire.packet import MAX_MQTT_BYTES

FORMAT: Final = "vestibule-proof/1"
# base64 of a frame (it came in one packet), a header and an entry, two paths, and the log's proof
MAX_DOCUMENT_BYTES: Final = (
    2 * (MAX_MQTT_BYTES + MAX_HEADER_BYTES + MAX_ENTRY_BYTES + MAX_PROOF_BYTES) + 16_384
)

FRAME_FIELDS: Final = frozenset(("frame", "salt", "frame_index", "frame_count", "frame_path"))
PART_FIELDS: Final = frozenset(("header", "part_index", "part_count", "header_path"))
BATCH_FIELDS: Final = frozenset(("format", "entry", "tlog_proof"))


def encode_evidence(document: dict[str, Any]) -> bytes:
    """The document as a file: RFC 8785 and a line end."""
    return rfc8785.dumps(document) + b"\n"


class Fields:
    """Fields of a document, read as the types that they must have; each raises `ProofError` (`document`)."""

    def __init__(self, values: dict[str, Any]) -> None:
        self.values = values

    def text(self, name: str) -> str:
        """A text."""
        value = self.values[name]
        if not isinstance(value, str):
            raise ProofError("document", f"{name} is not a text")
        return value

    def raw(self, name: str) -> bytes:
        """Bytes, as base64."""
        return decode_base64(self.text(name), "document")

    def number(self, name: str) -> int:
        """A number."""
        value = self.values[name]
        if isinstance(value, bool) or not isinstance(value, int):
            raise ProofError("document", f"{name} is not a number")
        return value

    def path(self, name: str) -> list[bytes]:
        """A path; the lengths of its hashes are for whoever walks it."""
        value = self.values[name]
        if (
            not isinstance(value, list)
            or len(value) > MAX_PATH
            or not all(isinstance(item, str) for item in value)
        ):
            raise ProofError("document", f"{name} is not a path")
        return [decode_base64(item, "document") for item in value]


def decode_evidence(document: bytes) -> Fields:
    """Take a document apart; verifies nothing.

    Raises:
        ProofError: `document`.
    """
    if len(document) > MAX_DOCUMENT_BYTES:
        raise ProofError("document", f"a proof document has at most {MAX_DOCUMENT_BYTES} bytes")
    with link("document", "not a proof document"):
        try:
            values = msgspec.json.decode(document, type=dict[str, str | int | list[str]])
            canonical = encode_evidence(dict(values))
        except (msgspec.DecodeError, UnicodeError, RecursionError, rfc8785.CanonicalizationError) as error:
            raise ProofError("document", str(error)) from error
        names = frozenset(values)
        shapes = (BATCH_FIELDS, BATCH_FIELDS | PART_FIELDS, BATCH_FIELDS | PART_FIELDS | FRAME_FIELDS)
        if values.get("format") != FORMAT or names not in shapes:
            raise ProofError("document", "of another format, or with other fields")
        if canonical != document:
            raise ProofError("document", "not written canonically")
    return Fields(dict(values))


@contextmanager
def link(code: str, message: str) -> Iterator[None]:
    """Whatever breaks inside is this link of the proof."""
    try:
        yield
    except RemoteError as error:
        raise ProofError(code, f"{message}: {error.message}", error.hint) from error
