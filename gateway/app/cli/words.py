"""Reasons in words: what each code of the daemon means to the person who reads it, and what helps."""

from __future__ import annotations

from typing import Final

from gateway.app.cli import output
from gateway.app.cli.replies import BadTags, DeviceRow

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
    "withdrawing": "withdrawn, closing",
    "withdrawn": "withdrawn",
}


SILENT: Final = frozenset(("no_answer", "ended"))
"""Results of a command that are no word of the device."""

_DID: Final[dict[str, str]] = {
    "haptic": "played it",
    "text": "showed it",
    "marker": "recorded it",
}


def answer(verb: str, result: str, device: int, wait_s: float) -> tuple[str, str]:
    """What became of a command, and the next step."""
    match result:
        case "done":
            return f"Device {device} {_DID.get(verb, 'did it')}", ""
        case "unsupported":
            return f"the app on device {device} does not carry out {verb!r}", "Its plugin says which it does."
        case "refused":
            return (
                f"device {device} refused it",
                "It does not have that target, or more than 20 commands came in a second.",
            )
        case "ended":
            return (
                f"device {device} stopped recording before it answered",
                "See `vestibule device list`, and ask again once it records.",
            )
        case _:
            return (
                f"no answer from device {device} in {wait_s:g} s; it may have heard it all the same",
                "Is it still heard? See `vestibule device list`.",
            )


def bad_tags(row: DeviceRow, now_ms: int) -> list[tuple[str, str]]:
    """What does not verify of what names a device: what is so and why, likely, and what to do."""
    if row.state != "active":
        return []
    return [_bad_tags(row, bad, now_ms) for bad in row.bad_tags]


def _bad_tags(row: DeviceRow, bad: BadTags, now_ms: int) -> tuple[str, str]:
    name = f"device {row.device} ({output.clean(row.name)})"
    if bad.on == "hellos":
        what = f"{name}: {output.plural(bad.count, 'HELLO')} under a wrong key {_when(bad, now_ms)}"
        if row.fresh_ms >= bad.since_ms:
            return (
                f"{what}; since the device itself is heard, something else uses its number",
                "Find the app that has a copy of its key file, or one that was paired with another gateway. Nothing of "
                "it is taken.",
            )
        if row.rotating:
            return (
                f"{what}; its key is being changed, and the key that it has is neither the old nor the new one",
                f"Put the new one on it: `vestibule device rotate {row.device} --out FILE`, or pair it again.",
            )
        return (
            f"{what}; its app has an older key, or that of another gateway, or somebody sends in its name",
            f"If that headset shows no answer, pair it again: `vestibule pair`. Once it records under its new number: "
            f"`vestibule device revoke {row.device}`.",
        )
    return (
        f"{name}: {output.plural(bad.count, 'packet')} on its links not authentic {_when(bad, now_ms)}; altered on the "
        "way, or sent by somebody else in its name",
        "Nothing of them was stored. Look at the network between; if it does not record, pair it again.",
    )


def bad_codes(bad: BadTags, now_ms: int) -> tuple[str, str]:
    """Pairings that were tried under no code on offer."""
    return (
        f"{output.plural(bad.count, 'pairing')} tried under a wrong code {_when(bad, now_ms)}: mistyped, expired, "
        "or of another gateway",
        "Make a new code and scan it: `vestibule pair`. If nobody pairs a headset here, somebody tries.",
    )


def _when(bad: BadTags, now_ms: int) -> str:
    return (
        f"(first {output.ago(bad.since_ms, now_ms)}, last {output.ago(bad.last_ms, now_ms)})"
        if bad.count > 1
        else output.ago(bad.last_ms, now_ms)
    )


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
