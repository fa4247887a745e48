"""The words of a verdict, for an author: what each means and what to do (SPEC, "Reasons"), in full sentences."""

from __future__ import annotations

from typing import Final

TAKEN: Final = "taken in"
SENT: Final = "sent"
LOST: Final = "lost on purpose"
FORGED: Final = "forged on purpose"
COPIED: Final = "copied on purpose"

WORDS: Final[dict[str, tuple[str, str]]] = {
    TAKEN: ("good; its receipt comes with the next commit, a second later", ""),
    SENT: ("the gateway sent it", ""),
    LOST: ("the trial lost it as a network would", "send it again if no receipt comes"),
    COPIED: ("the trial sent it twice", "act on it once"),
    FORGED: ("the trial made it up, with a tag or a number that is wrong", "drop it and count it"),
    "oversize": ("longer than a packet may be (1,200 bytes over UDP)", "put fewer samples into a packet"),
    "truncated": ("shorter than the 40 bytes of header and tag", "send the whole packet in one datagram"),
    "magic": ("the first three bytes are not VT1", "write 56 54 31 first"),
    "type": ("a type that does not exist, or that only gateways send", "see the table of types in SPEC, 2"),
    "unknown_link": (
        "the gateway knows no such link",
        "send HELLO after 10 s of silence; use the link of WELCOME",
    ),
    "unknown_device": ("no device of this number is paired here", "pair, or use the key file of this check"),
    "bad_tag": ("the tag does not verify", "compare with keys.json; the lines below say what was tried"),
    "throttled": (
        "too many bad tags came from this address; its packets are not looked at",
        "mend the tag first, wait a second",
    ),
    "stranger_rate": (
        "more than 20 PAIR or HELLO a second from this address",
        "repeat PAIR every second, HELLO after 250 ms, doubling to 5 s",
    ),
    "spent": ("another PAIR under a code that is used", "repeat the very same bytes until PAIRED comes"),
    "hello_replay": (
        "the HELLO counter is not above the highest that was seen",
        "persist counter + 1 before the HELLO leaves",
    ),
    "transport": ("the link was made over the other transport", "send a new HELLO on this one"),
    "topic": ("published on another device's topic", "use the device number of the key"),
    "version": ("no protocol version in common", "offer version 1"),
    "revoked": ("the device was revoked", "show it; pair again"),
    "no_session": ("DATA on a link that waits", "send no DATA until WELCOME says `recording`"),
    "rate": (
        "more packets than a device may send; not seen, so it may come again",
        "slow down and send it again later",
    ),
    "queue": ("the gateway was overloaded; not seen, so it may come again", "send it again later"),
    "copy": ("this seq came before; if it is done its verdict is told again", "nothing, if it was a resend"),
    "seq_jump": ("seq is more than 2^20 above the newest", "count seq up by one; write it little-endian"),
    "link_ended": ("the link is over", "take the RESET: forget the link, send HELLO"),
    "link_revoked": ("the device was revoked", "take the RESET and show it"),
    "link_moved": ("the link went on elsewhere", "take the RESET: forget the link, send HELLO"),
    "malformed": ("it does not parse", "the lines below say where"),
    "not_canonical": ("MessagePack that is not in its shortest form", "the lines below say which byte"),
    "numbers": ("a field is out of its range", "the lines below say which"),
    "too_many": ("more than 64 frames or totals", "make smaller packets"),
    "too_many_streams": ("more than 64 streams on one link", "use fewer streams"),
    "totals": (
        "a total that does not cover its frame, or that jumps",
        "total = last sample number + 1, counted at capture",
    ),
    "kind": ("a kind that does not exist", "see the table of kinds in SPEC, 13"),
    "kind_changed": ("the stream had another kind before", "give each kind a stream of its own"),
    "sample_size": ("not whole records, or a length other than the header says", "compare with frames.json"),
    "schema": (
        "a face record that names another schema or count than its kind",
        "write the pair of SPEC, 13",
    ),
    "not_finite": ("NaN or infinity where a bit says valid", "clear the bit, write 0x7fc00000"),
    "overlap": (
        "sample numbers that are settled already",
        "never number a sample twice; go on counting after a pause",
    ),
    "late": (
        "sample numbers that were closed already",
        "keep packets until their receipt; do not raise the floor above them",
    ),
    "not_permitted": (
        "the session does not permit this kind",
        "send only the kinds of WELCOME, and `clock` and `info`",
    ),
    "withdrawn": ("consent was withdrawn", "stop and show it"),
    "closed": (
        "captured after the session's end, or its seq was closed by a floor",
        "stop capturing at COMMAND stop; keep the floor at the lowest held seq",
    ),
}


def meaning(verdict: str) -> tuple[str, str]:
    """What a verdict means and what to do; empty texts for a word that is not known."""
    return WORDS.get(verdict, ("", ""))
