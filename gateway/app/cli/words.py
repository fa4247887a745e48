"""Reasons in words: what each code of the daemon means to the person who reads it, and what helps."""

from __future__ import annotations

from typing import Final

HELD: Final[dict[str, tuple[str, str]]] = {
    "disk_low": ("the disk is nearly full, so no batch is begun", "Free some space; it resumes by itself."),
    "disk_full": ("the disk is full", "Free some space; it resumes by itself."),
    "disk_io": ("the disk answers with errors", "Look at `dmesg` and at the disk's SMART values."),
    "store_busy": ("the database is held by another program", "End that program; a backup tool, perhaps."),
}
"""Why nothing is recorded at the moment: code -> what is wrong, what to do."""

BROKER: Final[dict[str, tuple[str, str]]] = {
    "network": ("it cannot be reached", "Check that it runs, and [mqtt] host and port."),
    "timeout": ("it does not answer", "Check that it runs, and the network to it."),
    "tls": (
        "its certificate is not accepted",
        "Check [mqtt] tls_ca_file, and that host is a name of its certificate.",
    ),
    "not_authorized": ("it does not know us", "Check [mqtt] username and the file of its password."),
    "refused": ("it refuses the connection", "See the broker's log."),
    "not_subscribed": ("its rules keep our topics from us", "Compare them with configs/mosquitto.acl."),
    "shutdown": ("it was stopped", "Start it again."),
    "taken_over": (
        "another gateway of this name is there",
        "Give each gateway a name and a user of its own.",
    ),
}
"""Why the MQTT broker is not connected: code -> what is wrong, what to do."""

REASONS: Final[dict[str, str]] = {
    "truncated": "shorter than a packet can be",
    "oversize": "larger than a packet may be",
    "magic": "not a packet of ours",
    "type": "of an unknown type",
    "unknown_link": "of a link that is not kept",
    "unknown_device": "of a device that is not paired",
    "bad_tag": "not authentic: another key, or altered on the way",
    "throttled": "from a source whose packets did not authenticate",
    "stranger_rate": "too many handshakes from one address",
    "transport": "over another transport than their link's",
    "topic": "on another topic than their link's",
    "spent": "for a pairing code that was used already",
    "hello_replay": "a HELLO that was sent before",
    "version": "of a protocol version that is not spoken here",
    "malformed": "not readable",
    "not_canonical": "not written canonically",
    "numbers": "with sample numbers that contradict earlier ones",
    "too_many": "more at once than allowed",
    "too_many_streams": "more streams than one link may carry",
    "copy": "a copy of what came before",
    "seq_jump": "too far ahead of the others",
    "totals": "with totals that contradict earlier ones",
    "no_session": "outside of any session",
    "link_ended": "of a link that has ended",
    "link_revoked": "of a revoked device",
    "link_moved": "of a link that went on elsewhere",
    "revoked": "of a revoked device",
    "kind": "of an unknown kind",
    "kind_changed": "of another kind than their stream's",
    "sample_size": "of the wrong size for their kind",
    "schema": "of another schema than their kind's",
    "not_finite": "with values that are no numbers",
    "overlap": "with numbers that are stored already",
    "late": "after their numbers were given up",
    "closed": "after their session was closed",
    "not_permitted": "of a kind that the session does not permit",
    "withdrawn": "after consent was withdrawn",
    "queue": "the queue was full",
    "rate": "more than a device may send",
}
"""Why packets or samples were refused or shed, to follow "12,345 "."""

_APP: Final = "A fault of the headset's app: report it to its author."
_OTHERS: Final = "Nothing. If it goes on, find out what else sends to this port."
_BY_ITSELF: Final = "Nothing: the headset makes a new link by itself."
_PAIR_AGAIN: Final = "Pair that headset again. If several are hit, look at the network."
_REVOKED: Final = "Switch that headset off, or pair it anew: `vestibule pair`."

ADVICE: Final[dict[str, str]] = {
    "truncated": _OTHERS,
    "oversize": _OTHERS,
    "magic": _OTHERS,
    "type": "Update the gateway, or the headset's app.",
    "unknown_link": "Nothing: the headset says HELLO again. If it goes on, it belongs to another gateway.",
    "unknown_device": "A headset tries that is not paired here, or that means another gateway: `vestibule pair`.",
    "bad_tag": _PAIR_AGAIN,
    "throttled": _PAIR_AGAIN,
    "stranger_rate": "A headset in a loop, or somebody tries. If many share one address: [limits] stranger_packets_s.",
    "transport": _BY_ITSELF,
    "topic": "Check user and rules of that headset at the broker: configs/mosquitto.acl.",
    "spent": "Make a new code: `vestibule pair`.",
    "hello_replay": "Nothing, it is a copy. If that headset never connects, pair it again.",
    "version": "Update the headset's app, or the gateway.",
    "malformed": _APP,
    "not_canonical": _APP,
    "numbers": _APP,
    "too_many": _APP,
    "too_many_streams": "A fault of the headset's app, or raise [limits] max_streams_per_link.",
    "copy": "Nothing: devices send again until they have a receipt.",
    "seq_jump": "Nothing: the headset makes a new link. If it goes on, report it to the author of its app.",
    "totals": _APP,
    "no_session": "Open one: `vestibule session open --help`.",
    "link_ended": "Nothing: its session was closed, or a newer link took its place.",
    "link_revoked": _REVOKED,
    "link_moved": _BY_ITSELF,
    "revoked": _REVOKED,
    "kind": "Update the gateway.",
    "kind_changed": _APP,
    "sample_size": _APP,
    "schema": _APP,
    "not_finite": _APP,
    "overlap": "A fault of the headset's app: report it to its author. Nothing is lost.",
    "late": "Nothing: the headset was away for very long.",
    "closed": "Nothing. If it is much, that headset does not probe its clock: update its app.",
    "not_permitted": "A session permits only the kinds it was opened with: `vestibule session list`.",
    "withdrawn": "Nothing: that is what a withdrawal is for.",
    "queue": "Devices send it again. If it goes on: fewer headsets here, a faster machine, [limits] queue_packets.",
    "rate": "Devices send it again. Find out why one sends so much; its limit is [limits] device_packets_s.",
}
"""The next step for each of them, as docs/operator.md has it under "Refusals"."""

DEVICE_STATES: Final[dict[str, str]] = {"active": "paired", "revoked": "revoked"}
SESSION_STATES: Final[dict[str, str]] = {
    "open": "recording",
    "draining": "closing",
    "closed": "closed",
}


def held(code: str) -> tuple[str, str]:
    """What stops recording, and what to do about it."""
    return HELD.get(code, (f"nothing is recorded ({code})", "See the daemon's log."))


def refused(code: str) -> tuple[str, str]:
    """Why something was refused or shed, and what to do about it."""
    return REASONS.get(code, code), ADVICE.get(code, "See docs/operator.md, Refusals.")


def broker(code: str) -> tuple[str, str]:
    """Why the broker is not connected, and what to do about it."""
    what, step = BROKER.get(code, (code or "no answer yet", "Check [mqtt], and the broker's log."))
    return f"the broker is not connected: {what}", f"{step} Devices keep what they have."


def reasons(counts: dict[str, int]) -> str:
    """The reasons in one cell: "not_permitted 12, late 3", the most frequent first."""
    ordered = sorted(counts.items(), key=lambda item: (-item[1], item[0]))
    return ", ".join(f"{reason} {number:,}" for reason, number in ordered if number)
