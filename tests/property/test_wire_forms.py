"""Properties of the wire: values survive it, bytes are either a value or a WireError, and each value has one form."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import msgpack
import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from gateway.errors import WireError
from gateway.keys.link import DOWN, UP, LinkCipher, LinkKeys
from gateway.wire import control, frame, kinds, packet

U8, U16, U32 = st.integers(0, 255), st.integers(0, 2**16 - 1), st.integers(0, 2**32 - 1)
U64, I64 = st.integers(0, 2**64 - 1), st.integers(-(2**63), 2**63 - 1)
SAMPLE = st.integers(0, frame.SAMPLE_NUMBER_MAX)
ID32 = st.integers(1, 2**32 - 1)
NONCE = st.binary(min_size=16, max_size=16)
TOTALS = st.lists(st.tuples(U16, SAMPLE), max_size=8, unique_by=lambda row: row[0])
WORD = st.text(max_size=12)


def short_text(most: int, least: int = 0) -> st.SearchStrategy[str]:
    return st.text(max_size=most).filter(lambda text: least <= len(text.encode()) <= most)


@st.composite
def ranges(draw: st.DrawFn) -> list[int]:
    cuts = sorted(draw(st.sets(U64, max_size=8)))
    return cuts[: len(cuts) // 2 * 2]


TOPIC_NAME = st.text("abcdefghijklmnopqrstuvwxyz0123456789-", min_size=1, max_size=32)
FRAMES = st.builds(frame.Frame, U16, st.integers(0, 300), SAMPLE, st.binary(max_size=300))
DATA = st.builds(frame.Data, U64, TOTALS, st.lists(FRAMES, max_size=5))
BYE = st.builds(frame.Bye, U64, TOTALS, st.sampled_from(sorted(frame.BYE_REASONS)))
VERSIONS = st.lists(st.integers(1, 255), min_size=1, max_size=control.MAX_VERSIONS, unique=True).map(sorted)
HELD = st.lists(ID32, max_size=control.MAX_LINKS)
BODIES: dict[type, st.SearchStrategy[Any]] = {
    control.Pair: st.builds(
        control.Pair, NONCE, short_text(64).filter(control.is_device_name), st.binary(max_size=300)
    ),
    control.Paired: st.builds(control.Paired, NONCE, NONCE, ID32, TOPIC_NAME),
    control.Hello: st.builds(control.Hello, ID32, U64, NONCE, VERSIONS, HELD, st.binary(max_size=400)),
    control.Welcome: st.builds(
        control.Welcome,
        NONCE,
        st.one_of(NONCE, st.just(b"")),
        U32,
        TOPIC_NAME,
        st.one_of(NONCE, st.just(b"")),
        U8,
        VERSIONS,
        st.sampled_from(control.STATES),
        WORD,
        HELD,
        st.lists(U8, max_size=20),
        I64,
    ),
    control.Receipt: st.builds(
        control.Receipt,
        st.lists(st.tuples(U64, st.sampled_from((b"", bytes(range(32)))), ranges()), max_size=4),
        st.lists(st.tuples(WORD, ranges()), max_size=4),
        st.lists(st.tuples(U64, U16, WORD), max_size=4),
        st.lists(st.tuples(U16, SAMPLE, SAMPLE, SAMPLE, SAMPLE), max_size=4),
    ),
    control.Answer: st.builds(
        control.Answer, st.lists(st.tuples(U64, st.sampled_from(sorted(control.RESULTS))), max_size=5)
    ),
    control.Probe: st.builds(control.Probe, I64),
    control.ProbeReply: st.builds(control.ProbeReply, I64, I64, I64),
    control.Command: st.builds(
        control.Command,
        st.sampled_from(sorted(control.COMMANDS)),
        st.lists(
            st.one_of(I64, st.floats(allow_nan=False, allow_infinity=False), st.text(max_size=20)), max_size=4
        ),
    ),
    control.Reset: st.builds(control.Reset, U64, NONCE, st.sampled_from(sorted(control.RESET_REASONS))),
}
Decode = Callable[[bytes], Any]


def decoder(kind: type) -> Decode:
    if kind is frame.Data:
        return frame.decode_data
    if kind is frame.Bye:
        return frame.decode_bye
    if kind is frame.Frame:
        return frame.decode_frame
    return lambda data: control.decode(kind, data)


def encode(value: Any) -> bytes:
    for kind, encoder in (
        (frame.Data, frame.encode_data),
        (frame.Bye, frame.encode_bye),
        (frame.Frame, frame.encode_frame),
    ):
        if isinstance(value, kind):
            return encoder(value)
    return control.encode(value)


ALL: dict[type, st.SearchStrategy[Any]] = {frame.Frame: FRAMES, frame.Data: DATA, frame.Bye: BYE, **BODIES}
ANYTHING = st.one_of(*ALL.values())

# What MessagePack can say at all, so that shapes near the right one come up more often than in random bytes.
SCALARS = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-(2**63), 2**64 - 1),
    st.floats(),
    st.text(max_size=8),
    st.binary(max_size=70),
)
TREES = st.recursive(
    SCALARS,
    lambda inner: st.one_of(
        st.lists(inner, max_size=6), st.dictionaries(st.text(max_size=4), inner, max_size=3)
    ),
    max_leaves=20,
)


def plain(value: Any) -> Any:
    """A value as lists and scalars."""
    if hasattr(value, "__struct_fields__"):
        return [plain(getattr(value, name)) for name in value.__struct_fields__]
    return [plain(item) for item in value] if isinstance(value, list | tuple) else value


def value_or_wire_error(decode: Decode, data: bytes) -> None:
    """The one property of all parsers: a value whose form is these bytes, or a WireError."""
    try:
        value = decode(data)
    except WireError:
        return
    assert encode(value) == data


@given(ANYTHING)
def test_a_value_survives_the_wire(value: Any) -> None:
    assert decoder(type(value))(encode(value)) == value


@given(ANYTHING)
def test_the_form_is_that_of_another_library(value: Any) -> None:
    assert encode(value) == msgpack.packb(plain(value), use_bin_type=True)


@pytest.mark.parametrize("kind", ALL, ids=lambda kind: kind.__name__)
@given(data=st.binary(max_size=200))
@example(b"")
@example(b"\x92\xa1\xff\x90")
@example(b"\x93\x00\x90\xa1\xff")
@example(b"\xdd\xff\xff\xff\xff")
@example(b"\x91" * 1160)
@example(b"\x81\xa1\xff\x00")
def test_any_bytes_are_a_value_or_a_wire_error(kind: type, data: bytes) -> None:
    value_or_wire_error(decoder(kind), data)


@pytest.mark.parametrize("kind", ALL, ids=lambda kind: kind.__name__)
@given(tree=st.lists(TREES, max_size=12))
def test_any_messagepack_is_a_value_or_a_wire_error(kind: type, tree: list[Any]) -> None:
    value_or_wire_error(decoder(kind), msgpack.packb(tree, use_bin_type=True))


@given(ANYTHING, st.data())
def test_a_changed_byte_gives_a_value_or_a_wire_error(value: Any, data: st.DataObject) -> None:
    sound = encode(value)
    at = data.draw(st.integers(0, len(sound) - 1))
    changed = sound[:at] + bytes([sound[at] ^ data.draw(st.integers(1, 255))]) + sound[at + 1 :]
    value_or_wire_error(decoder(type(value)), changed)


@given(ANYTHING, st.integers(1, 40))
def test_a_cut_or_lengthened_body_is_malformed(value: Any, count: int) -> None:
    sound = encode(value)
    for wrong in (sound[: -min(count, len(sound))], sound + bytes(count)):
        with pytest.raises(WireError) as refused:
            decoder(type(value))(wrong)
        assert refused.value.code == "malformed"


def longer_forms(value: Any) -> st.SearchStrategy[bytes]:
    """The value with one integer, text, binary or array in a longer form than its shortest."""

    def walk(item: Any, path: tuple[int, ...]) -> list[tuple[int, ...]]:
        below = [p for n, x in enumerate(item) for p in walk(x, (*path, n))] if isinstance(item, list) else []
        return [] if isinstance(item, float) else [path, *below]

    def write(item: Any, path: tuple[int, ...], target: tuple[int, ...]) -> bytes:
        long = path == target
        if isinstance(item, list):
            head = (
                b"\xdd" + len(item).to_bytes(4, "big")
                if long
                else msgpack.packb([0] * len(item))[: -len(item) or None]
            )
            return head + b"".join(write(x, (*path, n), target) for n, x in enumerate(item))
        if not long:
            return bytes(msgpack.packb(item, use_bin_type=True))
        if isinstance(item, int):
            return (
                b"\xcf" + item.to_bytes(8, "big")
                if item >= 0
                else b"\xd3" + item.to_bytes(8, "big", signed=True)
            )
        data = item.encode() if isinstance(item, str) else item
        return (b"\xdb" if isinstance(item, str) else b"\xc6") + len(data).to_bytes(4, "big") + data

    tree = plain(value)
    return st.sampled_from(walk(tree, ())).map(lambda target: write(tree, (), target))


@given(st.data())
def test_a_longer_form_is_not_canonical(data: st.DataObject) -> None:
    value = data.draw(ANYTHING)
    form = data.draw(longer_forms(value))
    if form == encode(value):  # a number that needs its nine bytes
        assert decoder(type(value))(form) == value
        return
    with pytest.raises(WireError) as refused:
        decoder(type(value))(form)
    assert refused.value.code == "not_canonical"


@given(st.sampled_from(sorted(packet.TYPE_NAMES)), U32, U64, I64, st.binary(max_size=100))
def test_a_header_survives(kind: int, link: int, seq: int, t_send_ns: int, body: bytes) -> None:
    whole = packet.pack_header(kind, link, seq, t_send_ns) + body + bytes(packet.TAG_BYTES)
    assert packet.parse_header(whole) == (kind, link, seq, t_send_ns)
    assert packet.body_of(whole) == body


@given(st.one_of(st.binary(max_size=1300), st.binary(max_size=100).map(lambda rest: b"VT1" + rest)))
def test_any_bytes_have_a_header_or_a_wire_error(data: bytes) -> None:
    try:
        head = packet.parse_header(data)
    except WireError as error:
        refused = error.code
    else:
        refused = ""
        assert packet.pack_header(*head) == data[: packet.HEADER_BYTES]
    assert refused in {"", "oversize", "truncated", "magic", "type"}


@given(st.sampled_from(sorted(kinds.KINDS)) | st.integers(0, 300), st.binary(max_size=1300))
def test_any_samples_are_counted_or_refused(number: int, samples: bytes) -> None:
    one = frame.Frame(1, number, 0, samples)
    refused = ""
    try:
        count = frame.sample_count(one)
        frame.check_samples(one)
    except WireError as error:
        refused = error.code
    if refused:
        assert refused in {"kind", "sample_size", "malformed", "schema", "not_finite"}
        return
    kind = kinds.KINDS[number]
    assert count == 1 if kind.variable else count * kind.sample_bytes == len(samples)
    assert len(kinds.capture_times(kind, samples)) == count


FIXED = [kind for kind in kinds.KINDS.values() if not kind.variable]


@given(st.sampled_from(FIXED), st.integers(1, 4), st.randoms(use_true_random=False))
def test_random_records_with_all_bits_cleared_are_data(kind: kinds.Kind, count: int, random: Any) -> None:
    samples = np.frombuffer(random.randbytes(count * kind.sample_bytes), kind.dtype).copy()
    for name in kind.dtype.names or ():
        if name.startswith("flags"):
            samples[name] = 0
    if kind.schema:
        samples["schema"], samples["count"] = kind.schema, samples["weights"].shape[1]
    if kind.number == kinds.HAND:
        samples["joints"]["flags"] = 0
    one = frame.Frame(1, kind.number, 0, samples.tobytes())
    assert frame.sample_count(one) == count
    unchecked = {kinds.HAPTIC: ("frequency_hz", "amplitude"), kinds.BUTTON: ("value",)}.get(kind.number, ())
    if all(math.isfinite(x) for name in unchecked for x in samples[name].ravel().tolist()):
        frame.check_samples(one)
    else:
        with pytest.raises(WireError) as refused:
            frame.check_samples(one)
        assert refused.value.code == "not_finite"


@given(st.binary(min_size=32, max_size=32), NONCE, NONCE, ID32, ID32, U64, st.binary(max_size=1160))
def test_a_link_decrypts_what_it_encrypted_and_no_other_direction_does(
    k_dev: bytes, nonce_d: bytes, nonce_g: bytes, device: int, link: int, seq: int, body: bytes
) -> None:
    up, down = (
        LinkCipher(LinkKeys.derive(k_dev, nonce_d, nonce_g, device, link, direction))
        for direction in (UP, DOWN)
    )
    sealed = up.crypt(seq, body)
    whole = packet.pack_header(packet.DATA, link, seq, 0) + sealed
    whole += up.tag(whole)
    assert up.matches(whole)
    assert not down.matches(whole)
    assert up.crypt(seq, sealed) == body
    if len(body) >= 16:
        assert sealed != body
        assert up.crypt(seq ^ 1, sealed) != body
        assert down.crypt(seq, sealed) != body


@given(st.integers(0, 2**64 - 1), st.binary(min_size=1, max_size=120), st.data())
def test_one_changed_bit_anywhere_breaks_the_tag(seq: int, body: bytes, data: st.DataObject) -> None:
    cipher = LinkCipher(LinkKeys.derive(bytes(32), bytes(16), bytes(16), 1, 2, UP))
    whole = packet.pack_header(packet.DATA, 2, seq, 0) + cipher.crypt(seq, body)
    whole += cipher.tag(whole)
    bit = data.draw(st.integers(0, len(whole) * 8 - 1))
    changed = bytearray(whole)
    changed[bit // 8] ^= 1 << bit % 8
    assert cipher.matches(whole)
    assert not cipher.matches(bytes(changed))


@given(st.integers(0, 400))
def test_padding_fills_exactly_wherever_it_can(rest: int) -> None:
    size = packet.HELLO_BYTES
    pad = control.padding(rest + 2, size)
    # an empty bin takes two bytes, up to 255 bytes two, above that three
    total = 40 + rest + (2 if len(pad) < 256 else 3) + len(pad)
    reachable = size - 40 - rest - 2 != 256
    assert total == (size if reachable else size - 1)
