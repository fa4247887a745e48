"""The proof document: one frame, or one batch, with everything that ties it to a signed log.

`verify_evidence` needs nothing but the document and the log's public key, and checks every link of
frame -> salted leaf -> part -> batch -> signed entry -> log -> checkpoint. JSON in RFC 8785 form with one line end.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Final

from gateway.app.evidence_form import FORMAT, Fields, decode_evidence, encode_evidence, link
from gateway.app.find import find_sample
from gateway.app.release import open_part
from gateway.core.part import SALT_BYTES, Core, leaves_of, parse_header
from gateway.core.records import PartRow
from gateway.entries.envelope import Body, decode_entry, unb64u, verify_entry
from gateway.entries.types import check_body
from gateway.errors import LocalError, ProofError
from gateway.keys.did import parse_did_key
from gateway.store.snapshot import Snapshot
from gateway.store.vault import Vault
from gateway.tlog.checkpoint import parse_checkpoint
from gateway.tlog.merkle import inclusion_path, leaf_hash, verify_inclusion
from gateway.tlog.note import ED25519, parse_note, parse_vkey
from gateway.tlog.policy import parse_policy
from gateway.tlog.proof import TlogProof, VerifiedProof, parse_tlog_proof, verify_tlog_proof
from gateway.tlog.text import encode_base64
from gateway.tlog.tiles import inclusion_from_tiles
from gateway.wire.frame import decode_frame

__all__ = ["Checked", "encode_evidence", "find_sample", "prove_batch", "prove_frame", "verify_evidence"]

NOT_TIME: Final = "when it happened: every time in it is the gateway's or the device's own word"
NOT_DEVICE: Final = "that the device told the truth about what it measured"
NOT_QUORUM: Final = (
    "that others saw this same log: no quorum of witnesses was asked for (name one with --policy)"
)
NOT_CLINIC: Final = "that the gateway's key belongs to the clinic: compare the DID with the one it publishes"


@dataclass(frozen=True, slots=True)
class Checked:
    """What a document has proven.

    Args:
        batch: number of the batch.
        root: its root.
        gateway: DID of who signed the entry.
        entry: the entry's body.
        frame: the frame's bytes; None in the proof of a batch.
        core: header of the part; None without one.
        log: index of the entry, checkpoint, and which witnesses cosigned it.
        proven, not_proven: in plain words.
    """

    batch: int
    root: bytes
    gateway: str
    entry: Body
    frame: bytes | None
    core: Core | None
    log: VerifiedProof
    proven: list[str] = field(default_factory=list)
    not_proven: list[str] = field(default_factory=list)


def prove_frame(
    snapshot: Snapshot,
    vault: Vault,
    subject_key: bytes,
    part_row: PartRow,
    frame_index: int,
    checkpoint: bytes,
) -> dict[str, Any]:
    """The document of one frame; it holds the frame in the clear, so `decide` was asked before.

    Args:
        snapshot: the database.
        vault: its segments.
        subject_key: 32 bytes.
        part_row: where the frame's part lies.
        frame_index: of the frame in its part.
        checkpoint: signed, of the log at a size that holds the batch.

    Raises:
        LocalError: `prove`, there is no such frame, or the checkpoint is older than the batch.
        Damage: what is stored is not what was signed.
    """
    header, payload = vault.read_row(part_row)
    part = open_part(header, payload, part_row.session, subject_key)
    if not 0 <= frame_index < len(part.leaves):
        raise LocalError("prove", f"the part has {len(part.leaves)} frames", "Count them from 0.")
    return {
        **prove_batch(snapshot, vault, part_row.batch, checkpoint, part_row.part),
        "frame": encode_base64(part.payload.frames[frame_index]),
        "salt": encode_base64(part.salts[SALT_BYTES * frame_index : SALT_BYTES * (frame_index + 1)]),
        "frame_index": frame_index,
        "frame_count": len(part.leaves),
        "frame_path": [encode_base64(digest) for digest in inclusion_path(frame_index, part.leaves)],
    }


def prove_batch(
    snapshot: Snapshot, vault: Vault, batch: int, checkpoint: bytes, part: int | None = None
) -> dict[str, Any]:
    """The document of one batch; it shows nothing but sums.

    Args:
        snapshot, vault, checkpoint: as in `prove_frame`.
        batch: its number.
        part: number of a part whose header is to be proven too.

    Raises:
        LocalError: `prove`, there is no such batch or part, or the checkpoint is older than the batch.
        Damage: what is stored is not what was signed.
    """
    row = snapshot.batch(batch)
    entry = snapshot.entry(row.entry) if row else None
    size = parse_checkpoint(parse_note(checkpoint).text).size
    if row is None or entry is None or row.entry >= size:
        raise LocalError(
            "prove", f"batch {batch} is not in the log at {size} entries", "See `vestibule status`."
        )
    path = tuple(inclusion_from_tiles(snapshot, row.entry, size))
    document: dict[str, Any] = {
        "format": FORMAT,
        "entry": encode_base64(entry),
        "tlog_proof": TlogProof(row.entry, path, checkpoint).encode().decode(),
    }
    if part is not None:
        rows = snapshot.parts_of(batch)
        if not 0 <= part < len(rows):
            raise LocalError("prove", f"batch {batch} has {len(rows)} parts", "Count them from 0.")
        document |= {
            "header": encode_base64(vault.read_row(rows[part])[0]),
            "part_index": part,
            "part_count": len(rows),
            "header_path": [
                encode_base64(digest) for digest in inclusion_path(part, [item.header_hash for item in rows])
            ],
        }
    return document


def verify_evidence(document: bytes, vkey: str, policy: str | None = None) -> Checked:
    """Check every link of a document, with nothing else at hand.

    Args:
        document: the file.
        vkey: verifier key of the log (signed-note).
        policy: whose quorum must have cosigned (tlog-policy); None asks for no witness.

    Raises:
        ProofError: the link that is broken is its code: `document`, `frame`, `frame_path`, `header`, `header_path`,
            `entry`, `entry_signature`, `log`, `policy`, `vkey`.
    """
    with link("vkey", "the log's key cannot be read"):
        key = parse_vkey(vkey)
        if key.sig_type != ED25519:
            raise ProofError("vkey", "it is not the key of a log")
    with link("policy", "the policy cannot be read"):
        rules = parse_policy(policy.encode("utf-8", "surrogateescape")) if policy is not None else None
    fields = decode_evidence(document)
    frame = core = None
    with link("entry", "the entry is not one of a batch"):
        entry = decode_entry(fields.raw("entry"))
        if check_body(entry.body) != "batch":
            raise ProofError("entry", "another type")
        gateway, root = str(entry.body["gateway"]), unb64u(str(entry.body["root"]))
    if "header" in fields.values:
        with link("header", "the part header is not one"):
            header = fields.raw("header")
            core, _, _ = parse_header(header)
    if core is not None and "frame" in fields.values:
        with link("frame", "the frame is not one"):
            frame, salt = fields.raw("frame"), fields.raw("salt")
            decode_frame(frame)
            if len(salt) != SALT_BYTES:
                raise ProofError("frame", f"a salt has {SALT_BYTES} bytes")
        with link("frame_path", "the frame is not one of its part"):
            leaf = leaves_of([frame], salt)[0]
            _check_path(leaf, fields, "frame", core.counts[0], core.root)
    if core is not None:
        with link("header_path", "the part is not one of its batch"):
            _check_path(leaf_hash(header), fields, "part", int(str(entry.body["parts"])), root)
    with link("entry_signature", "the entry is not signed by its gateway"):
        verify_entry(entry, parse_did_key(gateway))
    with link("log", "the entry is not in the signed log"):
        log = verify_tlog_proof(fields.text("tlog_proof"), entry.raw, key, rules)
    number = int(str(entry.body["batch"]))
    checked = Checked(number, root, gateway, entry.body, frame, core, log)
    _tell(checked)
    return checked


def claimed_origin(document: bytes) -> str:
    """The log that a proof says it is of, verified by nothing; empty where it does not say so properly."""
    try:
        proof = parse_tlog_proof(decode_evidence(document).text("tlog_proof"))
        return parse_checkpoint(parse_note(proof.note).text).origin
    except (ProofError, KeyError):
        return ""


def _check_path(leaf: bytes, fields: Fields, what: str, count: int, root: bytes) -> None:
    if fields.number(f"{what}_count") != count:
        raise ProofError("count", "of another count than what was signed")
    path = fields.path("frame_path" if what == "frame" else "header_path")
    verify_inclusion(leaf, fields.number(f"{what}_index"), count, path, root)


def _tell(checked: Checked) -> None:
    log, core, proven = checked.log, checked.core, checked.proven
    if checked.frame is not None and core is not None:
        proven.append(
            f"this frame of {len(checked.frame)} bytes is one of the {core.counts[0]} of its part, unchanged"
        )
    if core is not None:
        proven.append(f"the part, with {core.counts[1]} samples, is one of batch {checked.batch}")
    proven.append(f"batch {checked.batch} was signed by the gateway {checked.gateway}")
    origin, size = log.checkpoint.origin, log.checkpoint.size
    proven.append(f"it is entry {log.index} of the log {origin}, whose key signed it at {size} entries")
    if log.report is not None:
        proven.append(
            f"witnesses of the policy saw that log: {', '.join(log.report.witnesses) or 'none is needed'}"
        )
    checked.not_proven.extend((NOT_TIME, NOT_DEVICE, NOT_CLINIC))
    if log.report is None:
        checked.not_proven.append(NOT_QUORUM)
