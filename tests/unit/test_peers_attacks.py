"""Attacks of peers on the machines, without a daemon: what each of them once did, or must never do."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import replace
from functools import cache
from hashlib import sha256
from pathlib import Path

import pytest
from rosters import card, following, key, member, outside, roster, signed, vkey

from gateway.app.cli.main import root as cli
from gateway.app.roster_edit import Proposal
from gateway.core import gossip_events as ev
from gateway.core.card import parse_card
from gateway.core.follow import Followed, KeepEntries, Logs
from gateway.core.mirror import MAX_PULLS
from gateway.core.roster import Member, _document, parse_roster, unsigned
from gateway.core.witness import Witness
from gateway.errors import LocalError, WireError
from gateway.ids import U32_MAX
from gateway.keys import sign
from gateway.keys.sign import SigningKey
from gateway.tlog import note as note_module
from gateway.tlog.checkpoint import Checkpoint, origin_hash, sign_checkpoint
from gateway.tlog.merkle import leaf_hash, node_hash, range_root
from gateway.tlog.note import (
    COSIGNATURE,
    ED25519,
    VerifierKey,
    join_note,
    key_id,
    parse_note,
    sign_note,
    verify_note,
)
from gateway.tlog.tiles import ENTRIES_LEVEL, encode_bundle, parse_tile_path
from gateway.tlog.witness import AddCheckpoint
from gateway.wire import peer as wire
from tests.federations import Station
from tests.gossipers import PERIOD, Gateway
from tests.log_server import LogServer
from tests.mirror_world import World, branch, followed, honest
from tests.sim.peer_logs import Branch, key_of, log_vkey, origin_of

NAMES = ("a", "b", "c", "d")

# ---- rosters and cards that would be followed by everybody, at once and at every start -------------------------------


@cache
def two_of_one_id(sig_type: int, name: str) -> tuple[VerifierKey, VerifierKey]:
    """Two keys of one name and one id: four bytes are found twice after some tens of thousands of keys."""
    seen: dict[bytes, bytes] = {}
    for number in range(1 << 20):
        public = sha256(f"{name} {number}".encode()).digest()  # an id is of any 32 bytes
        before = seen.setdefault(key_id(name, sig_type, public), public)
        if before != public:
            return VerifierKey.of(name, before, sig_type), VerifierKey.of(name, public, sig_type)
    raise AssertionError("no two ids are the same")


def poisoned(how: str) -> Member:
    """A member whose row looks proper, and of which no trust policy can be made."""
    match how:
        case "control character":
            return member("m", log=(vkey("m.example\x7f/vrlog", "m log", ED25519),))
        case "witness with a control character":
            return member("m", witness=(vkey("m.example\x7f/witness", "m witness", COSIGNATURE),))
        case "two log keys of one id":
            return member("m", log=two_of_one_id(ED25519, "m.example/vrlog"))
    return member("m", witness=two_of_one_id(COSIGNATURE, "m.example/witness"))


POISON = (
    "control character",
    "witness with a control character",
    "two log keys of one id",
    "two witness keys of one id",
)


@pytest.mark.parametrize("how", POISON)
def test_whoever_cannot_be_followed_gets_into_no_roster(how: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Such a roster counted, was kept, and then no gateway of the federation started any more."""
    with pytest.raises(LocalError, match="no policy follows"):
        roster(member("a"), poisoned(how))
    with pytest.raises(LocalError, match="no policy follows"):
        card("m", **{name: getattr(poisoned(how), name) for name in ("log", "witness")})
    raw = _unchecked(monkeypatch, poisoned(how))
    with pytest.raises(WireError, match="no policy follows"):
        parse_roster(raw)


def _unchecked(monkeypatch: pytest.MonkeyPatch, bad: Member) -> bytes:
    """A roster as somebody else's program would sign it."""
    from gateway.core import member as members
    from gateway.core import roster as rosters_module

    with monkeypatch.context() as patch:
        patch.setattr(rosters_module, "derive_policy", members._policy)
        return signed(roster(member("a"), bad)).raw


def test_a_version_that_no_summary_can_tell_is_none() -> None:
    """A card of such a federation ended the daemon of whoever accepted it, for ever."""
    made = roster(member("a"), version=U32_MAX, prev=bytes(32))
    assert parse_roster(signed(made).raw).roster.version == U32_MAX
    with pytest.raises(LocalError, match="versions"):
        roster(member("a"), version=U32_MAX + 1, prev=bytes(32))
    document = unsigned(made).raw.replace(b'"version":%d' % U32_MAX, b'"version":%d' % (U32_MAX + 1))
    with pytest.raises(WireError, match="versions"):
        parse_roster(document)


def test_a_card_says_whose_it_is_with_all_its_keys() -> None:
    assert parse_card(card("m").raw).member == member("m")


# ---- what it costs to look at something ------------------------------------------------------------------------------


def test_a_line_that_is_there_sixty_times_is_verified_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Anybody can copy a good line; a head cost thirty times, a request to the witness sixty times as much."""
    of = Branch("d")
    of.grow(3)
    text, _, line = of.note().partition(b"\n\n")
    looks: list[bytes] = []

    def counted(public: bytes, message: bytes, signature: bytes) -> bool:
        looks.append(signature)
        return sign.verify(public, message, signature)

    monkeypatch.setattr(note_module, "verify", counted)
    note = parse_note(text + b"\n\n" + line * 60)
    assert verify_note(note, [log_vkey("d")]) == [log_vkey("d")]
    assert len(looks) == 1


# ---- disks ---------------------------------------------------------------------------------------------------------


def test_without_room_heads_are_followed_and_entries_are_not_kept() -> None:
    """A member that floods its own log with real entries fills no disk by gossip either."""
    here = Gateway("a", NAMES)
    room = [False]
    here.machine._hearing._room = lambda: room[0]
    d = Branch("d")
    for _ in range(4):
        d.grow(8)
        here.now_ns += 10 * PERIOD
        here.hear("d", wire.Head(here.log("d").hash, d.note(), 0, d.roots[0], [], d.data))
        assert not here.of(KeepEntries)
        assert (here.log("d").size, here.log("d").tree.size) == (d.size, 0)
        assert here.of(ev.Behind) == [ev.Behind(d.origin, "d")]
    room[0] = True
    here.hear("d", wire.Head(here.log("d").hash, d.note(), 0, d.roots[0], [], d.data))
    assert here.log("d").tree.size == d.size == 32


# ---- mirrors -------------------------------------------------------------------------------------------------------

ENDLESS = (1 << 40) + 5
ENTRY = b"the same again"


@cache
def perfect(level: int) -> bytes:
    """Root over 2^level times the same entry."""
    return leaf_hash(ENTRY) if level == 0 else node_hash(perfect(level - 1), perfect(level - 1))


def endless(name: str) -> Followed:
    """A log that says it has a trillion entries, and does: they are all the same, so it costs its owner nothing."""
    log = Followed(origin_of(name), (log_vkey(name),))
    root = range_root(0, ENDLESS, lambda level, index: perfect(level))
    checkpoint = Checkpoint(log.origin, ENDLESS, root)
    log.advance(checkpoint, sign_checkpoint(checkpoint, log.origin, key_of(name, "log 1")))
    return log


def more_and_more(path: str) -> bytes:
    coord = parse_tile_path(path)
    if coord.level == ENTRIES_LEVEL:
        return encode_bundle([ENTRY] * coord.width)
    return perfect(8 * coord.level) * coord.width


def test_logs_without_end_do_not_keep_others_from_being_copied() -> None:
    """As many of them as are pulled at a time kept everybody else waiting for ever."""
    one, size = branch("alice", 700), 700
    logs = Logs([endless(f"liar-{number}") for number in range(MAX_PULLS)])
    logs.add(followed(one, 0, size))

    def serve(origin: str, path: str) -> bytes | None:
        return honest(one)(origin, path) if origin == one.origin else more_and_more(path)

    world = World(logs, {"bob": serve})
    for log in logs:
        world.pull(log.origin, steps=0)
    for _ in range(3000):
        world.answer()
        if world.wholes:
            break
    assert world.wholes == [(one.origin, size)]
    liars = [log.tree.size for log in logs if log.origin != one.origin]
    assert min(liars) > 0, "they are pulled too, in turns"


# ---- the witness ---------------------------------------------------------------------------------------------------


def test_nobody_strips_a_head_of_the_signatures_that_it_has() -> None:
    """While a log's key is rotated, a stranger could put a note with one signature in the place of one with both."""
    old, new = key_of("d", "log 1"), key_of("d", "another")
    of = Branch("d")
    of.grow(5)
    vkeys = (log_vkey("d"), VerifierKey.of(of.origin, new.public))
    text = Checkpoint(of.origin, of.size, of.roots[-1]).encode()
    by_old, by_new = sign_note(text, of.origin, old), sign_note(text, of.origin, new)
    log = Followed(of.origin, vkeys)
    witness = Witness("here.example/witness", key("here"), Logs([log]), lambda origin: of)

    def ask(*lines: str) -> int:
        keeps, answer = witness.add_checkpoint(
            AddCheckpoint(log.size, (), join_note(text, lines)).encode(), 1
        )
        assert answer.status == 200
        return len(keeps)

    assert ask(by_old) == 1
    assert ask(by_new) == 1, "the other signature is new"
    for lines in ((by_old,), (by_new,), (by_new, by_old), (by_old, by_new)):
        assert ask(*lines) == 0, (
            "nothing to write down: a stranger may ask for this two hundred times a second"
        )
    assert sorted(parse_note(log.note).signatures, key=repr) == sorted(
        parse_note(join_note(text, (by_old, by_new))).signatures, key=repr
    )


# ---- a key of our log that somebody stole ----------------------------------------------------------------------------


@pytest.fixture
async def robbed(tmp_path: Path) -> AsyncIterator[tuple[Station, SigningKey]]:
    """A gateway whose first log key was stolen, and that has another one since."""
    station = await Station.make(tmp_path / "store")
    await station.shut()
    stolen = SigningKey(bytes(range(32)))
    keys = replace(station.house.keys, first_log=stolen)
    station.house = replace(station.house, keys=keys, log_vkeys=keys.known_log_vkeys)
    await station.open()
    yield station, stolen
    await station.close()


def forged(station: Station, stolen: SigningKey) -> bytes:
    origin = station.house.keys.origin
    return sign_checkpoint(Checkpoint(origin, 1_000_000, b"z" * 32), origin, stolen)


async def test_a_retired_key_stops_nobody(robbed: tuple[Station, SigningKey]) -> None:
    """Anybody who had it could stop the gateway by one request, at any time."""
    station, stolen = robbed
    await station.publish(station.first())
    station.sign()
    status, _, _ = await station.federation.add_checkpoint(
        AddCheckpoint(0, (), forged(station, stolen)).encode()
    )
    assert status == 403
    assert not station.stopped


async def test_a_retired_key_keeps_nobody_from_starting(
    robbed: tuple[Station, SigningKey], tmp_path: Path
) -> None:
    station, stolen = robbed
    folder = tmp_path / "served" / origin_hash(station.house.keys.origin)
    folder.mkdir(parents=True)
    (folder / "checkpoint").write_bytes(forged(station, stolen))
    with LogServer(folder.parent) as server:
        liar = replace(outside("liar"), url=server.url)
        first = station.first()
        await station.publish(first)
        await station.publish(following(first, outside=(liar,), outside_threshold=1))
        report = await station.federation.guard(station.head)
        assert server.asked
    assert [answer.word for answer in report.answers] == ["unusable"]


async def test_a_key_that_the_roster_still_lists_is_an_alarm(robbed: tuple[Station, SigningKey]) -> None:
    """Until the others have the new card, what it signs convinces them."""
    station, stolen = robbed
    us = station.member()
    listed = VerifierKey.of(us.origin, stolen.public)
    await station.publish(roster(replace(us, log=(listed, *us.log))))
    station.sign()
    await station.federation.add_checkpoint(AddCheckpoint(0, (), forged(station, stolen)).encode())
    assert [error.code for error in station.stopped] == ["rolled_back"]


# ---- files that are handed over --------------------------------------------------------------------------------------


def test_what_a_file_names_moves_no_cursor(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The name of a key in a proposal came to the terminal as it was, in the words of an error."""
    keeper = vkey("keeper\x9b31m\u202efdp", "keeper", ED25519)
    document = _document(roster(member("a"), keys=(keeper,)), ((keeper, bytes(64)),))
    file = tmp_path / "a.proposal"
    file.write_bytes(Proposal(None, document).encode())
    with pytest.raises(SystemExit) as ended:
        cli.main(["peer", "sign", str(file), "--dry-run"])
    assert ended.value.code == 65
    said = "".join(capsys.readouterr())
    assert "does not verify" in said
    assert all(letter.isprintable() or letter == "\n" for letter in said)
