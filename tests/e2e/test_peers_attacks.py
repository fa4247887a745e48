"""Attacks on real gateways by a member that has its keys and no scruples, and by strangers: what each once did, or must
never do. What needs no daemon is in unit/test_peers_attacks.py, TLS and HTTP in test_peer_abuse.py."""

from __future__ import annotations

import contextlib
import os
import socket
import threading
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest
from e2e.circle import ROSTER_KEY, Circle, without
from e2e.daemon import Gateway
from e2e.rogue import Rogue
from e2e.test_peers_fork import submit

from gateway.app.roster_edit import with_member
from gateway.core import member as members
from gateway.core import roster as rosters_module
from gateway.core.member import Member
from gateway.core.roster import SignedRoster, sign_roster
from gateway.errors import VestibuleError
from gateway.tlog.checkpoint import Checkpoint, origin_hash, sign_checkpoint
from gateway.tlog.fork import Fork
from gateway.tlog.merkle import EMPTY_ROOT
from gateway.tlog.note import VerifierKey
from gateway.tlog.text import MAX_SIZE
from gateway.tlog.tiles import ENTRIES_LEVEL, encode_bundle, parse_tile_path
from gateway.tlog.witness import AddCheckpoint
from gateway.wire import peer as wire
from tests.sim.peer_logs import key_of

pytestmark = pytest.mark.slow

LONGEST = 65_000  # bytes of an entry; 256 of them are a bundle of 16 MiB


@pytest.fixture(scope="module")
def hall(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Circle, Rogue]]:
    """Two honest gateways, and one member that is none. Nothing that it does may change what the next test finds."""
    with Circle(tmp_path_factory.mktemp("peers"), 2, relayed=False) as circle, Rogue() as rogue:
        circle.start()
        rogue.join(circle)
        yield circle, rogue


def grows(circle: Circle, gateway: Gateway) -> int:
    """A gateway records, the others hear of it; how large its log is then."""
    circle.work(gateway)
    size = int(gateway.call("status")["log"]["size"])
    for other in circle.running():
        circle.until(lambda other=other: circle.heads(other)[gateway.origin] >= size, "its head everywhere")
    return size


def sound(circle: Circle) -> None:
    """All gateways run, none is accused, and none failed in a way that nobody thought of."""
    assert len(circle.running()) == len(circle.gateways)
    for gateway in circle.running():
        assert not gateway.call("status")["peers"]["frozen"]
        assert not gateway.call("status")["peers"]["down"]
        assert '"event": "bug"' not in gateway.log()


def refused(gateway: Gateway, name: str) -> dict[str, int]:
    """What was held against a member so far."""
    return next(dict(r["refused"]) for r in gateway.call("peer.list")["peers"] if r["name"] == name)


def memory_mib(gateway: Gateway) -> int:
    assert gateway.process is not None
    status = Path(f"/proc/{gateway.process.pid}/status").read_text()
    return int(status.partition("VmRSS:")[2].split()[0]) // 1024


def get(gateway: Gateway, path: str) -> bytes:
    with urllib.request.urlopen(f"http://127.0.0.1:{gateway.http_port}/{path}", timeout=10) as reply:
        return bytes(reply.read())


# ---- false alarms ----------------------------------------------------------------------------------------------------


def test_what_a_log_really_signed_is_never_held_against_it(hall: tuple[Circle, Rogue]) -> None:
    """Its own older heads, evidence made of them, and heads out of this world under another's key: no alarm."""
    circle, rogue = hall
    one, two = circle.gateways.values()
    old = get(one, "checkpoint")
    grows(circle, one)
    new = get(one, "checkpoint")
    ours = bytes.fromhex(origin_hash(one.origin))
    size = int(old.split(b"\n")[1])
    for gateway in (one, two):
        for old_size in (0, size, size + 1, MAX_SIZE):
            rogue.say(gateway, wire.Head(ours, old, old_size, b"x" * 32, [b"x" * 32], []))
            assert submit(gateway, AddCheckpoint(min(old_size, size), (), old)) in (200, 409, 422)
        for a, b, root in ((old, new, b"x" * 32), (old, old, b"x" * 32), (new, old, EMPTY_ROOT)):
            rogue.say(gateway, wire.Evidence(ours, Fork(a, b, root, ()).encode()))
        stolen = sign_checkpoint(
            Checkpoint(one.origin, MAX_SIZE, b"z" * 32), one.origin, key_of("mallory", "log 1")
        )
        rogue.say(gateway, wire.Head(ours, stolen, size, b"z" * 32, [], []))
        assert submit(gateway, AddCheckpoint(size, (), stolen)) == 403
        time_s = (1 << 63) - 1
        rogue.say(gateway, wire.Cosig(ours, size, b"z" * 32, [f"— gateway.test/rig-2 {time_s}\n"]))
        circle.until(lambda g=gateway: "note_unknown" in refused(g, "mallory"), "it is held against the liar")
    grows(circle, one)
    sound(circle)


# ---- rosters ---------------------------------------------------------------------------------------------------------


def unchecked(circle: Circle, bad: Member) -> SignedRoster:
    """The next roster with this member, signed by its keeper with a program that does not look."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(rosters_module, "derive_policy", members._policy)
        card = Rogue(bad.name).card
        roster = with_member(circle.roster(), card, 1)
        roster = rosters_module.make_roster(
            roster.federation,
            roster.version,
            roster.prev,
            1,
            roster.keys,
            roster.threshold,
            roster.faulty,
            [*roster.members[:-1], bad],
        )
        return sign_roster(roster, circle.key, ROSTER_KEY)


def test_a_roster_that_nobody_can_follow_ends_nobody(hall: tuple[Circle, Rogue]) -> None:
    """One control character in the name of a log ended all gateways of a federation, and none started any more."""
    circle, rogue = hall
    one, two = circle.gateways.values()
    vkey = VerifierKey.of("eve\x7f/vrlog", key_of("eve", "log 1").public)
    signed = unchecked(circle, Rogue("eve", log=(vkey,)).member)
    version = circle.roster().version

    async def serve(method: str, path: str, body: bytes) -> tuple[int, bytes]:
        return (
            (200, wire.encode_body([wire.RosterDoc(signed.raw)])) if method == "POST" else (200, signed.raw)
        )

    before = rogue.serve
    rogue.serve = serve
    try:
        for gateway in (one, two):
            rogue.say(gateway, wire.RosterDoc(signed.raw))
            circle.until(lambda g=gateway: refused(g, "mallory").get("roster", 0) > 1, "it is refused")
            with pytest.raises(VestibuleError, match="no policy follows"):
                gateway.call("peer.roster.publish", raw=signed.raw.decode())
    finally:
        rogue.serve = before
    assert two.stop() == 0
    two.restart()
    assert two.call("peer.roster")["version"] == version
    sound(circle)


# ---- floods ----------------------------------------------------------------------------------------------------------


def test_strangers_that_ask_for_long_answers_and_do_not_take_them(hall: tuple[Circle, Rogue]) -> None:
    """Sixty connections of one address made a gateway hold sixty bundles of 16 MiB at once: 1.7 GB, measured."""
    circle, rogue = hall
    one = circle.gateways["rig-1"]
    entries, tile = [bytes(LONGEST)] * 256, f"{rogue.hash.hex()}/tile/entries/000"
    rogue.log.adopt(entries)

    async def serve(method: str, path: str, body: bytes) -> tuple[int, bytes]:
        if method == "POST":
            return 200, wire.EMPTY_BODY
        if path == "tile/entries/000":
            return 200, encode_bundle(entries)
        return (200, rogue.log.hash_tile(*at)) if (at := _tile(path)) is not None else (404, b"")

    rogue.serve = serve
    rogue.say(one, wire.Head(rogue.hash, rogue.log.note(), 0, EMPTY_ROOT, [], []))
    circle.until(lambda: len(get(one, tile)) == 256 * (2 + LONGEST), "the bundle is copied", 20)
    before = memory_mib(one)
    with contextlib.ExitStack() as stack:
        for _ in range(60):
            asker = stack.enter_context(socket.create_connection(("127.0.0.1", one.http_port), 5))
            asker.sendall(f"GET /{tile} HTTP/1.1\r\nHost: x\r\n\r\n".encode())
        most = 0
        for _ in range(30):
            most = max(most, memory_mib(one))
            time.sleep(0.1)  # how much it is at its worst: there is nothing to be told by
    assert most - before < 320, f"{before} MiB before, {most} MiB at most"
    sound(circle)


def _tile(path: str) -> tuple[int, int, int] | None:
    with contextlib.suppress(VestibuleError):
        coord = parse_tile_path(path)
        return None if coord.level == ENTRIES_LEVEL else (coord.level, coord.n, coord.width)
    return None


def test_a_member_that_floods_keeps_nobody_from_recording_or_gossip(hall: tuple[Circle, Rogue]) -> None:
    """Bodies that are junk, questions without end, answers that are junk, all at once and as fast as it can."""
    circle, rogue = hall
    one, two = circle.gateways.values()
    table = [wire.Row(rogue.hash, MAX_SIZE, b"z" * 32, 0)]
    bodies = [
        os.urandom(wire.MAX_BODY_BYTES),
        wire.encode_body([wire.Heads(table, [], True)]),
        wire.encode_body([wire.Summary(0, bytes(32), bytes(32), bytes(32), True)]),
        wire.encode_body([wire.Evidence(rogue.hash, b"{" * wire.MAX_FORK_BYTES) for _ in range(3)]),
    ]

    async def serve(method: str, path: str, body: bytes) -> tuple[int, bytes]:
        return 200, bodies[len(body) % len(bodies)]

    def flood(gateway: Gateway) -> None:
        number = 0
        while not enough.is_set():
            number += 1
            with contextlib.suppress(VestibuleError):
                rogue.say_bytes(gateway, bodies[number % len(bodies)])

    enough, before, rogue.serve = threading.Event(), memory_mib(one), serve
    floods = [threading.Thread(target=flood, args=(gateway,)) for gateway in (one, one, two, two)]
    for thread in floods:
        thread.start()
    try:
        for _ in range(3):
            started = time.monotonic()
            grows(circle, one)
            grows(circle, two)
            assert time.monotonic() - started < 10.0
            assert get(one, "livez") == b"ok\n"
        circle.until(lambda: refused(one, "mallory").get("rate", 0) > 50, "most of it costs nothing")
    finally:
        enough.set()
        for thread in floods:
            thread.join(20)
    assert memory_mib(one) - before < 100
    sound(circle)


# ---- leaving ---------------------------------------------------------------------------------------------------------


def test_whoever_brings_the_roster_that_leaves_it_out_breaks_nothing(hall: tuple[Circle, Rogue]) -> None:
    """The answer that removes its sender cancelled the very task that was taking it: half of it was lost."""
    circle, rogue = hall
    one, two = circle.gateways.values()
    signed = sign_roster(without(circle.roster(), "mallory", 1), circle.key, ROSTER_KEY)
    asked = []

    async def serve(method: str, path: str, body: bytes) -> tuple[int, bytes]:
        asked.append(path)
        return 200, wire.encode_body([wire.RosterDoc(signed.raw)])

    rogue.serve = serve
    circle.until_all_know(signed.roster.version)
    assert asked
    grows(circle, one)
    grows(circle, two)
    rows = {
        gateway.name: [row["name"] for row in gateway.call("peer.list")["peers"]] for gateway in (one, two)
    }
    assert all("mallory" not in names for names in rows.values())
    with pytest.raises(VestibuleError):
        rogue.say_bytes(one, wire.EMPTY_BODY)
    sound(circle)
