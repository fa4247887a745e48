"""The closed sets of words that events are made of: reasons, types, states. Each is a label of a metric too.

What is outside of a set becomes `other`, so that no text from elsewhere gets into a log line or a metric.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Literal, get_args

Level = Literal["debug", "info", "warning", "error"]

Transport = Literal["udp", "mqtt"]

Reason = Literal[
    # packets, before their tag is known to be good
    "truncated", "oversize", "magic", "type", "unknown_link", "unknown_device", "bad_tag", "throttled", "stranger_rate",
    "transport", "topic", "spent", "hello_replay", "version",
    # packets with a good tag
    "malformed", "not_canonical", "numbers", "too_many", "too_many_streams", "copy", "seq_jump", "totals", "no_session",
    "link_ended", "link_revoked", "link_moved", "revoked",
    # frames
    "kind", "kind_changed", "sample_size", "schema", "not_finite", "overlap", "late", "closed", "not_permitted",
    "withdrawn",
    # load and the disk
    "queue", "rate", "disk_low", "disk_full", "disk_io", "store_busy", "row",
    # the broker
    "outbox", "network", "timeout", "tls", "not_authorized", "refused", "not_subscribed", "shutdown", "taken_over",
    # what no row above names: the set stays closed whatever a library says
    "other",
]  # fmt: skip
"""Why something was refused, shed, reset or held: also the label of its metric."""

PeerReason = Literal[
    "body", "roster", "head", "signature", "proof", "entries", "evidence", "rate", "too_large", "network", "tls",
    "status", "store", "other",
]  # fmt: skip
"""Why something of a peer was refused, or a request to one failed."""

EntryWord = Literal[
    "log.open", "log.close", "log.adopt", "log.generation", "log.restore", "key.rotate", "id.key", "cred.issue",
    "cred.revoke", "policy.set", "consent.grant", "consent.revoke", "batch", "session", "metric", "access", "erase",
    "rectify", "ai.model", "ai.infer",
    "gov.propose", "gov.vote", "insight", "attest", "peer", "roster", "other",
]  # fmt: skip
"""Type of an entry of the log, as a word for people and metrics; the types themselves belong to entries/."""

DeviceState = Literal["recording", "waiting", "refused"]

CommandVerb = Literal["open", "stop", "hold", "rotate", "haptic", "text", "marker", "other"]

CommandResult = Literal["done", "refused", "unsupported", "no_answer", "ended", "other"]
"""What became of a command: what the device said, no answer in time, or its link ended first."""

Op = Literal["prove", "export", "view", "live", "other"]

_REASONS = frozenset(get_args(Reason))
_PEER_REASONS = frozenset(get_args(PeerReason))
_ENTRY_WORDS = frozenset(get_args(EntryWord))
_COMMAND_VERBS = frozenset(get_args(CommandVerb))
_COMMAND_RESULTS = frozenset(get_args(CommandResult))


def reason(code: str) -> Reason:
    """Return `code` as a word of the closed set, `other` where it is none."""
    return code if code in _REASONS else "other"  # type: ignore[return-value]


def peer_reason(code: str) -> PeerReason:
    """Return `code` as a word of the closed set, `other` where it is none."""
    return code if code in _PEER_REASONS else "other"  # type: ignore[return-value]


def entry_word(kind: str) -> EntryWord:
    """Return an entry's type as a word of the closed set, `other` where it is none."""
    return kind if kind in _ENTRY_WORDS else "other"  # type: ignore[return-value]


def command_verb(verb: str) -> CommandVerb:
    """Return a command's verb as a word of the closed set, `other` where it is none."""
    return verb if verb in _COMMAND_VERBS else "other"  # type: ignore[return-value]


def command_result(result: str) -> CommandResult:
    """Return what became of a command as a word of the closed set, `other` where it is none."""
    return result if result in _COMMAND_RESULTS else "other"  # type: ignore[return-value]


@dataclass(frozen=True, slots=True)
class Event:
    """Base of all events."""

    level: ClassVar[Level] = "info"
