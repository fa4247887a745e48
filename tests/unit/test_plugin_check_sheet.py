"""The check of plugins as a whole: corrupted twins, fuzz, the sheet, folding, and the intake under the tap."""

from __future__ import annotations

import json
import random
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from paths import ROOT
from plugin_check_side import DEVICE, KEY, Lab, S, encode, poses

from gateway.app.plugin_check import meanings, reading, sheet_text
from gateway.app.plugin_check.orders import expected
from gateway.app.plugin_check.say import Finding, Folder, Line
from gateway.app.plugin_check.sheet import FAIL, NOT_SEEN, PASS, REVIEW, ROWS, sheet
from gateway.app.plugin_check.watcher import KnownLink, Watcher
from gateway.app.plugin_check.wire import Conditions, Tap
from gateway.core.effects import Arrival, Send
from gateway.keys.link import LinkKeys
from gateway.keys.mistakes import Handshake
from gateway.wire import kinds
from gateway.wire import packet as wire
from gateway.wire.frame import Data, Frame, encode_data

VECTORS = ROOT / "tests" / "vectors" / "vt1"
CORRUPT: dict[str, Any] = json.loads((VECTORS / "corrupt.json").read_text())
KEYS: dict[str, Any] = json.loads((VECTORS / "keys.json").read_text())
TWINS = [twin for twin in CORRUPT["packets"] if twin["receiver"] == "gateway"]

# The gateway's word -> what one of the findings' codes must begin with.
RIGHT = {
    "oversize": ("header.oversize",),
    "truncated": ("header.truncated",),
    "magic": ("header.magic",),
    "type": ("header.type", "header.way"),
    "unknown_link": ("header.link",),
    "unknown_device": ("hello.device",),
    "bad_tag": ("tag.", "pair.code", "resend.changed"),
    "malformed": ("hello.size", "pair.size", "pair.seq", "body.", "frame.text"),
    "not_canonical": ("body.not_shortest",),
    "numbers": ("body.",),
    "too_many": ("body.",),
    "kind": ("frame.kind", "body.range"),
    "sample_size": ("frame.size",),
    "schema": ("frame.schema",),
    "not_finite": ("frame.not_finite",),
}


def lab_of_the_vectors() -> Watcher:
    """A watcher that knows the link of the vectors."""
    watcher = Watcher()
    named = json.loads((VECTORS / "pairing.json").read_text())
    hello = json.loads((VECTORS / "handshake.json").read_text())
    watcher.ring.offer(find(named, "code"))
    watcher.ring.know(CORRUPT["device"], bytes.fromhex(find(KEYS, "k_dev") or find(hello, "k_dev")))
    up, down = (
        LinkKeys(*(bytes.fromhex(CORRUPT["keys"][way][name]) for name in ("k_enc", "k_mac", "iv4")))
        for way in ("up", "down")
    )
    salt = bytes.fromhex(CORRUPT["keys"]["up"]["salt"])
    of = Handshake(
        watcher.ring.devices[CORRUPT["device"]][0], salt[:16], salt[16:], CORRUPT["device"], CORRUPT["link"]
    )
    watcher.ring.links[CORRUPT["link"]] = KnownLink(of, 1, b"s" * 16, frozenset(kinds.KINDS), up, down)
    return watcher


def find(document: Any, name: str) -> Any:
    """The first value of a member, wherever it stands."""
    if isinstance(document, dict):
        if isinstance(document.get(name), str):
            return document[name]
        document = list(document.values())
    if isinstance(document, list):
        for one in document:
            if (found := find(one, name)) is not None:
                return found
    return None


@pytest.mark.parametrize("twin", TWINS, ids=lambda twin: twin["name"])
def test_each_corrupted_twin_is_explained(twin: dict[str, Any]) -> None:
    line = lab_of_the_vectors().up(bytes.fromhex(twin["packet"]), "here", twin["reason"], 100 * S)
    codes = [finding.code for finding in line.new]
    assert any(code.startswith(RIGHT[twin["reason"]]) for code in codes), (twin["reason"], codes, twin["why"])
    assert all(finding.what and finding.mend for finding in line.new)


def test_sound_packets_of_the_vectors_are_called_sound() -> None:
    watcher = lab_of_the_vectors()
    document = json.loads((VECTORS / "uplink.json").read_text())
    packets = [one for one in document["packets"] if one.get("link", CORRUPT["link"]) == CORRUPT["link"]]
    assert len(packets) > 10
    for one in packets:
        line = watcher.up(bytes.fromhex(one["packet"]), "here", meanings.TAKEN, 100 * S)
        wrong = [
            f.code
            for f in line.new
            if f.fails and f.code.partition(".")[0] in ("tag", "cipher", "body", "header", "frame")
        ]
        assert wrong == [], one["name"]


# ---- nothing makes it raise ----------------------------------------------------------------------------------------


@given(st.lists(st.tuples(st.binary(max_size=200), st.sampled_from(sorted(meanings.WORDS))), max_size=6))
def test_bytes_never_raise(packets: list[tuple[bytes, str]]) -> None:
    lab = Lab()
    for data, verdict in packets:
        lab.up(data, verdict)
        lab.up(b"VT1" + data, verdict)
        lab.watcher.down(data, "x", "sent", lab.now)
        for kind in (5, 6, 7, 8, 9):
            lab.send(kind, data)
            lab.down(kind, data)
        lab.later(7)
        lab.tick()
    sheet(lab.watcher)


@given(st.integers(0, 2**32), st.integers(1, 12))
def test_mutated_packets_never_raise(seed: int, count: int) -> None:
    draw = random.Random(seed)
    lab = Lab(kinds=tuple(kinds.KINDS))
    for _ in range(count):
        kind = draw.choice(list(kinds.KINDS.values()))
        samples = draw.randbytes(kind.sample_bytes * draw.randint(0, 3)) + draw.randbytes(
            draw.choice([0, 0, 1])
        )
        body = encode_data(Data(0, [(1, 5)], [Frame(1, kind.number, draw.choice([0, 2**53 - 1]), samples)]))
        if draw.random() < 0.5:
            at = draw.randrange(len(body))
            body = body[:at] + draw.randbytes(2) + body[at + draw.choice([0, 1, 9]) :]
        packet = lab.seal(draw.choice([5, 5, 5, 6, 7, 9]), body, t=draw.choice([0, -(2**63), 2**63 - 1]))
        if draw.random() < 0.3:
            at = draw.randrange(len(packet))
            packet = packet[:at] + draw.randbytes(1) + packet[at + 1 :]
        lab.up(
            packet,
            draw.choice(sorted(meanings.WORDS)),
        )
        lab.command(draw.choice(["stop", "haptic", "rotate"]), draw.choice([1, "x", 0.5]))
        lab.later(draw.random() * 9)
        lab.tick()
    sheet(lab.watcher)


@given(st.binary(max_size=400))
def test_reading_never_raises_and_agrees_with_the_decoder(data: bytes) -> None:
    import msgspec

    found = reading.read(data)
    try:
        value = msgspec.msgpack.decode(data)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError, ValueError):
        return
    if found.root is not None and found.broken is None and not found.foreign and not found.longer:
        assert encode(value) == data


# ---- the sheet -----------------------------------------------------------------------------------------------------


def spec_lines() -> dict[int, str]:
    text = (ROOT / "plugins" / "SPEC.md").read_text().partition("## 21 Checklist")[2].partition("## 22")[0]
    rows = [line.split("|")[1:3] for line in text.splitlines() if line.startswith("| ") and line[2].isdigit()]
    return {int(number): text.strip() for number, text in rows}


def test_the_sheet_has_the_lines_of_the_checklist() -> None:
    told = spec_lines()
    assert [number for number, _, _ in ROWS] == sorted(told) == list(range(1, len(ROWS) + 1))
    for number, text, _ in ROWS:
        # Shortened here and there, but never another line: its first words are those of SPEC.
        assert text.split(":")[0].split(",")[0].split(" for ")[0][:20] in told[number], number


def test_nothing_seen_is_never_a_pass() -> None:
    rows = sheet(Watcher())
    assert {row.state for row in rows} == {NOT_SEEN, REVIEW}
    assert all(row.why for row in rows)
    assert "not shown to be right" in sheet_text.summary(rows)


def test_a_finding_fails_its_line_and_says_what_to_mend() -> None:
    lab = Lab()
    lab.data(Frame(0, kinds.POSE, 0, poses(2, orientation=0)))
    rows = {row.number: row for row in sheet(lab.watcher)}
    assert rows[18].state == FAIL
    assert "all zero" in rows[18].why
    assert "Mend: clear the bit" in rows[18].why
    document = sheet_text.as_document(list(rows.values()))
    assert document["failed"]
    assert json.loads(json.dumps(document)) == document
    markdown = sheet_text.as_markdown(list(rows.values()), {"Plugin": "a | b"})
    assert "| 18 | validity bits, no zero-fill | fail |" in markdown
    assert "`record.zero_filled`" in markdown
    assert "It does not pass." in sheet_text.as_text(list(rows.values()))


def test_what_is_only_worth_a_look_fails_nothing() -> None:
    watcher = Watcher()
    watcher.note(Finding("x.y", 10, "odd", "look", fails=False), 1)
    row = next(row for row in sheet(watcher) if row.number == 10)
    assert row.state == NOT_SEEN
    assert "worth a look: odd" in sheet_text.as_text([row])
    assert PASS not in row.state


def test_limits_of_commands_are_those_of_the_reference() -> None:
    from gateway.device.commands import Commands
    from gateway.device.config import DeviceConfig
    from gateway.wire.control import Command

    config = DeviceConfig(DEVICE, KEY, "home", -1, 1)
    draw = random.Random(4)
    values: list[Any] = [
        0,
        1,
        2,
        3,
        255,
        256,
        -1,
        10_000,
        10_001,
        0.0,
        0.5,
        1.0,
        1.5,
        1000.0,
        1001.0,
        "",
        "x",
        "x" * 512,
        "x" * 513,
    ]
    for number in range(4000):
        verb = draw.choice(["haptic", "text", "marker"])
        args = [
            draw.choice(values)
            for _ in range(draw.randint(0, 5) if number % 2 else {"haptic": 4, "text": 1, "marker": 2}[verb])
        ]
        result = Commands(config).judge(Command(verb, args), 10 * S)
        assert result in expected(verb, args), (verb, args, result)


# ---- folding -------------------------------------------------------------------------------------------------------


def test_repeats_are_folded_and_what_is_new_is_shown_at_once() -> None:
    folder = Folder()
    shown: list[tuple[int, int]] = []

    def take(number: int, at_s: float, **values: Any) -> None:
        line = Line(
            number, int(at_s * S), True, "device 7", values.pop("kind", "DATA"), 1, verdict="taken in"
        )
        line.new = values.pop("new", [])
        shown.extend((one.number, count) for one, count in folder.add(line))

    take(1, 0)
    for number in range(2, 215):
        take(number, number / 100)
    assert shown == [(1, 1)]
    take(215, 3, kind="BYE")
    take(216, 3.1, new=[Finding("a.b", 1, "x", "y")])
    assert shown[1:] == [(215, 1), (214, 213), (216, 1)]
    take(217, 3.2)
    assert [(one.number, count) for one, count in folder.rest()] == [(217, 1)]
    assert sum(count for _, count in shown) + 1 == 217


# ---- the tap -------------------------------------------------------------------------------------------------------


def test_the_tap_tells_in_order_loses_on_purpose_and_never_tells_its_own_copies() -> None:
    watcher, lines, passed, sent = Watcher(), [], [], []
    tap = Tap(watcher, lambda: 5 * S, lines.append)
    tap.pass_up, tap.pass_down = passed.extend, sent.append
    arrivals = [
        Arrival(wire.pack_header(5, 9, seq, 0) + bytes(30), ("1.2.3.4", 5), 4 * S) for seq in range(8)
    ]
    tap.conditions = Conditions(lose_data=4, copies=True)
    tap.arrived(arrivals)
    assert len(passed) == 12
    for arrival in reversed(passed):
        tap.judged(arrival, "unknown_link", ())
    assert [line.seq for line in lines] == list(range(8))
    assert [line.verdict for line in lines] == [
        "lost on purpose" if seq % 4 == 3 else "unknown_link" for seq in range(8)
    ]
    tap.conditions = Conditions(lose_receipts=1)
    tap.send(Send(("1.2.3.4", 5), wire.pack_header(6, 9, 1, 0) + bytes(30)))
    tap.send(Send(("1.2.3.4", 5), wire.pack_header(7, 9, 2, 0) + bytes(30)))
    assert [one.packet[3] for one in sent] == [7]
    tap.conditions = Conditions(down=True)
    tap.arrived(arrivals[:2])
    assert lines[-1].verdict == "lost on purpose"


def test_an_answer_that_leaves_early_overtakes_nothing_that_came_before_it() -> None:
    now, lines, passed = 5 * S, [], []
    tap = Tap(Watcher(), lambda: now, lines.append)
    tap.pass_up = passed.extend
    packets = [wire.pack_header(5, 9, seq, 0) + bytes(30) for seq in range(3)]
    tap.arrived([Arrival(packet, ("1.2.3.4", 5), 4 * S) for packet in packets])
    for late in (0, 2):
        tap.judged(passed[late], "unknown_link", ())
        tap.send(Send(("1.2.3.4", 5), wire.pack_header(6, 9, 90 + late, 0) + bytes(30)))
    assert [line.seq for line in lines] == [0]
    tap.judged(passed[1], "unknown_link", ())
    assert [line.seq for line in lines] == [0, 1, 2, 90, 92]

    tap.arrived([Arrival(packets[0], ("1.2.3.4", 5), 4 * S), Arrival(packets[1], ("1.2.3.4", 5), 6 * S)])
    tap.judged(passed[4], "unknown_link", ())
    assert len(lines) == 5
    now = 6 * S + 1
    tap.flush()
    assert [(line.seq, line.verdict) for line in lines[5:]] == [(0, "queue"), (1, "unknown_link")]
    tap.arrived([Arrival(packets[2], ("1.2.3.4", 5), now)])
    tap.flush(rest=True)
    assert [(line.seq, line.verdict) for line in lines[7:]] == [(2, "queue")]


# ---- the command ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("args", "said"),
    [
        (["--without", "clock"], "neither info nor clock"),
        (["--kinds", "pose,gase"], "unknown kind gase"),
        (["--kinds", "gaze"], "one kind of several"),
        (["--out", "not/there", "--port", "0"], "is no directory"),
    ],
)
def test_wrong_usage_says_what_to_do(args: list[str], said: str) -> None:
    from click.testing import CliRunner

    from gateway.app.cli.main import root

    done = CliRunner().invoke(root, ["plugin-check", *args])
    assert done.exit_code == 2
    assert said in done.stderr


def test_the_help_says_that_json_is_one_object_a_line() -> None:
    from click.testing import CliRunner

    from gateway.app.cli.main import root

    said = " ".join(CliRunner().invoke(root, ["plugin-check", "--help"]).stdout.split())
    assert "--json One JSON object a line." in said
    assert "three minutes" in said


def test_a_line_on_the_screen_says_what_is_wrong_and_how_to_mend_it(
    capsys: pytest.CaptureFixture[str],
) -> None:
    from gateway.app.cli.plugin_check_view import View

    lab = Lab()
    for as_json in (False, True):
        view = View(as_json, verbose=not as_json)
        lab.watcher, lab.seq = Watcher(), 0
        lab.watcher.ring.know(DEVICE, KEY)
        lab.connect()
        view.line(lab.send(5, b"\x93\xcc\x00" + encode([0, [], []])[2:]))
        view.rest()
        said = capsys.readouterr().out
        if as_json:
            told = json.loads(said)
            assert told["findings"][0]["code"] == "body.not_shortest"
            assert told["spots"] == [{"offset": 1, "packet": False, "said": "cc009090", "wanted": "00"}]
        else:
            assert "wrong: the integer 0 in 2 bytes is not the shortest form (byte 1 of the body)" in said
            assert "mend: write 00" in said
            assert "body[1]: cc 00 90 90   wanted: 00" in said
