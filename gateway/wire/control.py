"""Bodies of the packets that are not data: pairing, handshake, receipts, clock probes, commands, resets.

Each is a canonical MessagePack array (`plugins/SPEC.md` lists every field). Decoders check length first, then shape,
then that encoding again gives the same bytes; they raise only `WireError`.
"""

from __future__ import annotations

import math
from typing import Final, TypeVar

import msgspec

from gateway.errors import WireError
from gateway.ids import U32_MAX, U64_MAX

NONCE_BYTES: Final = 16
MAX_NAME_BYTES: Final = 64  # a device's own name at pairing
MAX_TOPIC_NAME_BYTES: Final = 32  # home and gateway names stand in MQTT topics
_TOPIC_ALPHABET: Final = frozenset("abcdefghijklmnopqrstuvwxyz0123456789-")
_CONTROLS: Final = frozenset(map(chr, (*range(0x20), *range(0x7F, 0xA0))))  # Unicode's category Cc
MAX_LINKS: Final = 24  # links that HELLO may list: as many fit HELLO_BYTES, and WELCOME's answer too
MAX_VERSIONS: Final = 8
VERSION: Final = 1

WAITING: Final = "waiting"
RECORDING: Final = "recording"
REFUSED: Final = "refused"
STATES: Final = (RECORDING, WAITING, REFUSED)

COMMANDS: Final = frozenset(("open", "stop", "hold", "rotate", "haptic", "text", "marker"))
"""Verbs of COMMAND. `open`: a session is open, send HELLO. `stop`: stop recording, the reason follows. `hold`: the
gateway cannot store at present, the reason follows. `rotate`: the device's next key, as `encode_key` writes it."""

HOLD_REASONS: Final = frozenset(("disk_full",))
KEY_DIGITS: Final = 64  # K_dev in `rotate`: text, since the arguments of COMMAND have no bytes
_HEX: Final = frozenset("0123456789abcdef")

RESULTS: Final = frozenset(("done", "refused", "unsupported"))


class _Body(msgspec.Struct, frozen=True, array_like=True, forbid_unknown_fields=True, gc=False):
    """Common options of all bodies."""


class Pair(_Body, frozen=True):
    """PAIR, tagged with the pairing key. `pad` fills the packet to `PAIR_BYTES`."""

    nonce_d: bytes
    name: str
    pad: bytes


class Paired(_Body, frozen=True):
    """PAIRED, tagged with the pairing key: the device's number and its home (the gateway's name in topics)."""

    nonce_d: bytes
    nonce_g: bytes
    device: int
    home: str


class Hello(_Body, frozen=True):
    """HELLO, tagged with the handshake key.

    Args:
        device: number from the pairing.
        run: u64, random at each start of the app.
        nonce_d: 16 fresh random bytes.
        versions: protocol versions the device speaks, ascending.
        links: links it still holds packets for, newest last.
        pad: fills the packet to `HELLO_BYTES`.
    """

    device: int
    run: int
    nonce_d: bytes
    versions: list[int]
    links: list[int]
    pad: bytes


class Welcome(_Body, frozen=True):
    """WELCOME, tagged with the handshake key; its header's seq is that of the HELLO it answers.

    Args:
        nonce_d: echoed.
        nonce_g: 16 fresh random bytes; empty when refused.
        link: the new link; 0 when refused.
        gateway: the gateway's name in MQTT topics.
        session: 16 bytes while recording, else empty.
        version: chosen.
        offered: the HELLO's versions echoed, so that a downgrade shows.
        state: `recording`, `waiting` or `refused`.
        reason: why it waits or is refused, a word of the closed set; else empty.
        kept: which of the HELLO's links the gateway still knows.
        kinds: numbers of the kinds that the session permits.
        at_ms: the gateway's UTC clock in milliseconds.
    """

    nonce_d: bytes
    nonce_g: bytes
    link: int
    gateway: str
    session: bytes
    version: int
    offered: list[int]
    state: str
    reason: str
    kept: list[int]
    kinds: list[int]
    at_ms: int


class Receipt(_Body, frozen=True):
    """RECEIPT from the gateway: idempotent, may come in several packets.

    Args:
        stored: `(batch, root, ranges)`; batch 0 with an empty root answers copies of what was stored earlier.
            `ranges` = first, last, first, last ... of packet seqs, ascending.
        refused: `(reason, ranges)` of packets none of whose frames was stored; `closed` among the reasons.
        frames: `(seq, stream, reason)` of frames refused in packets of which another frame was stored.
        totals: `(stream, total, stored, refused, missing)` in samples.
    """

    stored: list[tuple[int, bytes, list[int]]]
    refused: list[tuple[str, list[int]]]
    frames: list[tuple[int, int, str]]
    totals: list[tuple[int, int, int, int, int]]


class Answer(_Body, frozen=True):
    """RECEIPT from the device: `(seq of the COMMAND, result)`."""

    commands: list[tuple[int, str]]


class Probe(_Body, frozen=True):
    """SYNC from the device: its clock at the send, in nanoseconds."""

    t1_ns: int


class ProbeReply(_Body, frozen=True):
    """SYNC from the gateway: the probe's time, and the gateway's monotonic clock at arrival and at the send."""

    t1_ns: int
    t2_ns: int
    t3_ns: int


class Command(_Body, frozen=True):
    """COMMAND: a verb and its arguments (SPEC, "Commands"); the header's seq names it."""

    verb: str
    args: list[int | float | str]


class Reset(_Body, frozen=True):
    """RESET, tagged with the handshake key: the link named in the header is gone.

    Args:
        seq: seq of the packet it answers.
        tag: tag of that packet, so that no other RESET can be made from this one.
        reason: `ended`, `revoked`, `moved`.
    """

    seq: int
    tag: bytes
    reason: str


RESET_REASONS: Final = frozenset(("ended", "revoked", "moved"))

B = TypeVar("B", bound=_Body)
_encode = msgspec.msgpack.Encoder().encode
_DECODERS: Final[dict[type[_Body], msgspec.msgpack.Decoder[_Body]]] = {
    body: msgspec.msgpack.Decoder(body)
    for body in (Pair, Paired, Hello, Welcome, Receipt, Answer, Probe, ProbeReply, Command, Reset)
}


def encode(body: _Body) -> bytes:
    """The canonical bytes of a body."""
    return _encode(body)


def decode(kind: type[B], data: bytes) -> B:
    """Parse a body strictly.

    Args:
        kind: the class to parse.
        data: bytes between header and tag, decrypted where the type is encrypted.

    Raises:
        WireError: `malformed`, `not_canonical`, `numbers`.
    """
    try:
        body = _DECODERS[kind].decode(data)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise WireError("malformed", f"not a {kind.__name__} body") from error
    if _encode(body) != data:
        raise WireError("not_canonical", f"the {kind.__name__} body is not in its canonical form")
    assert isinstance(body, kind)
    if not _in_range(body):
        raise WireError("numbers", f"a field of {kind.__name__} is out of its range")
    return body


def _in_range(body: _Body) -> bool:
    match body:
        case Pair():
            return len(body.nonce_d) == NONCE_BYTES and is_device_name(body.name)
        case Paired():
            return (
                len(body.nonce_d) == len(body.nonce_g) == NONCE_BYTES
                and 0 < body.device <= U32_MAX
                and is_topic_name(body.home)
            )
        case Hello():
            return (
                0 < body.device <= U32_MAX
                and 0 <= body.run <= U64_MAX
                and len(body.nonce_d) == NONCE_BYTES
                and 0 < len(body.versions) <= MAX_VERSIONS
                and all(0 < version < 256 for version in body.versions)
                and body.versions == sorted(set(body.versions))
                and len(body.links) <= MAX_LINKS
                and all(0 < link <= U32_MAX for link in body.links)
            )
        case Welcome():
            return (
                body.state in STATES
                and len(body.nonce_d) == NONCE_BYTES
                and len(body.nonce_g) in (0, NONCE_BYTES)
                and len(body.session) in (0, 16)
                and 0 <= body.link <= U32_MAX
                and len(body.kept) <= MAX_LINKS
                and is_topic_name(body.gateway)
            )
        case Command():
            return body.verb in COMMANDS and all(
                not isinstance(arg, float) or math.isfinite(arg) for arg in body.args
            )
        case Answer():
            return all(0 <= seq <= U64_MAX and result in RESULTS for seq, result in body.commands)
        case Reset():
            return len(body.tag) == 16 and 0 <= body.seq <= U64_MAX and body.reason in RESET_REASONS
        case Receipt():
            return all(
                len(root) in (0, 32) and _is_ranges(ranges) for _, root, ranges in body.stored
            ) and all(_is_ranges(ranges) for _, ranges in body.refused)
        case _:
            return True


def is_device_name(name: str) -> bool:
    """Whether a device may call itself so: at most 64 bytes, and no control character that would move a cursor."""
    return len(name.encode()) <= MAX_NAME_BYTES and not _CONTROLS & set(name)


def is_topic_name(name: str) -> bool:
    """Whether a name may stand in an MQTT topic: 1 to 32 of `a-z`, `0-9` and `-`."""
    return 0 < len(name) <= MAX_TOPIC_NAME_BYTES and not set(name) - _TOPIC_ALPHABET


def _is_ranges(ranges: list[int]) -> bool:
    """Pairs of first and last, ascending and apart."""
    return (
        len(ranges) % 2 == 0
        and (not ranges or ranges[0] >= 0)
        and all(a <= b for a, b in zip(ranges[::2], ranges[1::2], strict=True))
        and all(b < a for b, a in zip(ranges[1::2], ranges[2::2], strict=False))
    )


def encode_key(k_dev: bytes) -> str:
    """K_dev as the argument of `rotate`.

    Args:
        k_dev: 32 bytes.
    """
    return k_dev.hex()


def decode_key(args: list[int | float | str]) -> bytes | None:
    """The key in the arguments of `rotate`; None when they are not exactly one text of 64 lower-case hex digits."""
    match args:
        case [str(text)] if len(text) == KEY_DIGITS and set(text) <= _HEX:
            return bytes.fromhex(text)
        case _:
            return None


def padding(body_bytes_without_pad: int, packet_bytes: int) -> bytes:
    """Zero bytes that bring a packet to its size.

    Args:
        body_bytes_without_pad: length of the encoded body with an empty pad.
        packet_bytes: `HELLO_BYTES` or `PAIR_BYTES`.

    Returns:
        The pad; MessagePack's longer length field is taken into account. Packets of MQTT are padded likewise.
    """
    room = packet_bytes - 40 - body_bytes_without_pad
    if room > 0xFF:
        return bytes(room - 1)  # bin16: one more length byte than the empty bin8
    return bytes(max(room, 0))
