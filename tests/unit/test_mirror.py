"""The mirror machine: huge claims, useless sources, its limits, and the turns of many logs."""

from __future__ import annotations

import tracemalloc
from itertools import pairwise

import pytest
from mirror_world import (
    World,
    advance,
    branch,
    check_whole,
    followed,
    honest,
    nobody,
)

from gateway.core import mirror as machine
from gateway.core.follow import Followed, KeepEntries, Logs
from gateway.core.mirror import Blamed, Broken, Fetch, Got, Mirror, Missing, Source, Tick, Wanted, Whole
from gateway.core.pull import WINDOW
from gateway.tlog.checkpoint import Checkpoint
from gateway.tlog.merkle import Frontier, leaf_hash, range_root, root_of
from gateway.tlog.tiles import (
    ENTRIES_LEVEL,
    MAX_BUNDLE_BYTES,
    TILE_WIDTH,
    encode_bundle,
    parse_tile_path,
)
from tests.sim.peer_logs import Branch, log_vkey, origin_of, signed
from tests.sim.peer_memory import PeerStore

HUGE = 1 << 40


def same_entries(entry: bytes, levels: int = 8) -> list[bytes]:
    """Level of tiles -> the hash of each tile there, in a log whose entries are all the same."""
    hashes = [leaf_hash(entry)]
    for _ in range(levels):
        hashes.append(root_of([hashes[-1]] * TILE_WIDTH))
    return hashes


def head(name: str, size: int, root: bytes) -> Followed:
    log = Followed(origin_of(name), (log_vkey(name),))
    log.advance(Checkpoint(log.origin, size, root), signed(name, size, root))
    return log


def test_a_claim_of_2_to_the_40_entries_costs_nothing() -> None:
    log = head("mallory", HUGE, b"\x01" * 32)
    asked = []

    def garbage(origin: str, path: str) -> bytes:
        asked.append(path)
        return bytes(32 * parse_tile_path(path).width)

    world = World(Logs([log]), {"mallory": garbage, "mate": nobody})
    tracemalloc.start()
    world.pull(log.origin, steps=200)
    _, most = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert set(asked) == {"tile/5/000.p/1"}  # the whole right edge: one hash
    assert world.blamed == {"mallory"}
    assert not world.of(KeepEntries)
    assert most < 1 << 20
    assert world.now_ns > 3600 * 10**9  # and it is asked again less and less often
    assert len(world.effects) < 400


def test_a_log_of_2_to_the_40_true_entries_is_looked_at_a_tile_at_a_time() -> None:
    hashes = same_entries(b"same")
    log = head("mallory", HUGE, range_root(0, HUGE, lambda level, index: hashes[level // 8]))

    def serve(origin: str, path: str) -> bytes:
        coord = parse_tile_path(path)
        if coord.level == ENTRIES_LEVEL:
            return encode_bundle([b"same"] * coord.width)
        return hashes[coord.level] * coord.width

    world = World(Logs([log]), {"mallory": serve})
    tracemalloc.start()
    world.pull(log.origin, steps=100)
    _, most = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    tiles = [path for _, path in world.asked if not path.startswith("tile/entries/")]
    assert sorted(tiles) == ["tile/1/000", "tile/2/000", "tile/3/000", "tile/4/000", "tile/5/000.p/1"]
    assert len(world.store.mirrors[log.origin].data) > 16_000
    assert most < 16 << 20
    assert world.mirror.progress()[0].size == HUGE


def test_no_fetch_asks_for_more_than_its_tile_may_have() -> None:
    log = followed(branch(), 0, 66_000)
    world = World(Logs([log]), {"alice": honest(branch())})
    limits = {}
    world.step(Wanted(log.origin))
    while world.pending:
        limits.update({fetch.path: fetch.limit for fetch in world.pending})
        world.answer()
    for path, limit in limits.items():
        coord = parse_tile_path(path)
        each = MAX_BUNDLE_BYTES // TILE_WIDTH if coord.level == ENTRIES_LEVEL else 32
        assert limit == coord.width * each


def test_entries_of_the_largest_size() -> None:
    one = Branch("large")
    one.grow(600, 65_535)
    log = followed(one, 0, 600)
    world = World(Logs([log]), {"large": honest(one)})
    world.pull(log.origin)
    check_whole(world, one, 600)
    assert world.most_entries <= WINDOW * TILE_WIDTH  # a transaction ends earlier where entries are large


@pytest.mark.parametrize(
    ("at", "strange_at", "level"),
    [(300, 290, 0), (300, 10, 1), (65_000, 64_999, 0), (65_000, 7, 1), (65_900, 7, 2)],
)
def test_a_mirror_that_is_no_beginning_is_found_out_before_anything_is_kept(
    at: int, strange_at: int, level: int
) -> None:
    """Whatever level of tiles shows it; above the lowest, before a bundle is fetched."""
    data = branch().data[:at]
    strange = Branch("alice", "strange")
    strange.adopt([*data[:strange_at], b"another", *data[strange_at + 1 :]])
    log = followed(strange, at, at)
    advance(log, branch(), 66_100)
    world = World(Logs([log]), {"alice": honest(branch())})
    world.step(Wanted(log.origin))
    while not world.of(Broken):
        assert world.answer()
    assert not world.of(KeepEntries)
    bundles = [path for _, path in world.asked if path.startswith("tile/entries/")]
    assert bool(bundles) == (level == 0)


def test_a_right_edge_that_is_not_that_of_its_tiles_is_found_out() -> None:
    log = followed(branch(), 300, 300)
    advance(log, branch(), 700)
    log.tree = Frontier(300, [bytes(32)] * 4)
    world = World(Logs([log]), {"alice": honest(branch())})
    world.step(Wanted(log.origin))
    while not world.of(Broken):
        assert world.answer()
    assert not world.of(Whole)


@pytest.mark.parametrize(
    "path",
    [
        "tile/1/000",
        "tile/2/000.p/1",
        "tile/1/001.p/1",
        "tile/0/257.p/208",
        "tile/entries/000",
        "tile/entries/100",
        "tile/entries/257.p/208",
    ],
)
def test_whatever_is_a_lie_is_found_out(path: str) -> None:
    whole = honest(branch())

    def liar(origin: str, asked: str) -> bytes | None:
        data = whole(origin, asked)
        if data is None or asked != path:
            return data
        changed = bytearray(data)
        changed[-1] ^= 1
        return bytes(changed)

    log = followed(branch(), 0, 66_000)
    world = World(Logs([log]), {"mallory": liar, "bob": whole})
    world.pull(log.origin)
    check_whole(world, branch(), 66_000)
    why = "bundle" if "entries" in path else "tile"
    assert {(effect.source.name, effect.why) for effect in world.of(Blamed)} == {("mallory", why)}
    assert not world.of(Broken)


def test_a_broken_mirror_is_not_pulled_over_and_over() -> None:
    log = followed(branch(), 0, 700)
    world = World(Logs([log]), {"alice": honest(branch())})
    strange = branch().fork(10, "strange")
    strange.grow(300)
    breaks = 0
    world.step(Wanted(log.origin))
    while world.now_ns < 10 * machine.BROKEN_NS:
        log.tree, log.tails = strange.frontier, dict(strange.tails)  # whatever puts it there again
        assert world.answer()
        world.step(Wanted(log.origin))
        breaks = len(world.of(Broken))
    assert 2 < breaks <= 11


def test_what_is_here_already_needs_only_its_note() -> None:
    log = followed(branch(), 500, 500)
    log.whole, log.whole_size = branch().note(400), 400
    world = World(Logs([log]), {})
    effects = world.mirror.step(Wanted(log.origin), 0)
    note = branch().note(500)
    assert effects == [
        KeepEntries(log.origin, 500, (), (), 500, branch().roots[500], note),
        Whole(log.origin, 500),
    ]
    assert (log.whole, log.whole_size) == (note, 500)
    assert world.mirror.step(Wanted(log.origin), 0) == []


@pytest.mark.parametrize("why", ["frozen", "dropped", "heads alone", "nothing new", "unknown"])
def test_what_is_not_pulled(why: str) -> None:
    log = followed(branch(), 300, 300 if why == "nothing new" else 500)
    log.frozen, log.data = why == "frozen", why != "heads alone"
    logs = Logs([log])
    if why == "dropped":
        logs.drop(log.origin)
    world = World(logs, {"alice": honest(branch())})
    assert world.mirror.step(Wanted("nowhere.example/log" if why == "unknown" else log.origin), 0) == []
    assert not world.mirror.pulling(log.origin)


@pytest.mark.parametrize("why", ["frozen", "dropped", "replaced", "grown by gossip"])
def test_a_pull_ends_when_its_log_does(why: str) -> None:
    log = followed(branch(), 0, 2000)
    logs = Logs([log])
    world = World(logs, {"alice": honest(branch())})
    world.pull(log.origin, steps=3)
    assert world.pending
    match why:
        case "frozen":
            log.frozen = True
        case "dropped":
            logs.drop(log.origin)
        case "replaced":
            logs.drop(log.origin)
            logs.add(followed(branch(), 0, 2000))
        case "grown by gossip":
            log.tree, log.tails = followed(branch(), 2000, 2000).tree, {}
            log.whole, log.whole_size = log.note, 2000
    world.pull()
    if why == "replaced":
        check_whole(world, branch(), 2000)
    else:
        assert not world.of(KeepEntries)
    assert not world.mirror.pulling(log.origin)
    assert world.mirror.wake_at == machine.NEVER


def test_answers_that_nobody_asked_for_change_nothing() -> None:
    log = followed(branch(), 0, 2000)
    world = World(Logs([log]), {"alice": honest(branch())})
    world.step(Wanted(log.origin))
    known = world.pending[0]
    strange = Fetch(Source("mallory", "x"), log.origin, known.path, known.limit, 77)
    assert world.mirror.step(Got(strange, b"junk"), 0) == []
    assert world.mirror.step(Missing(strange), 0) == []
    world.pull()
    assert world.mirror.step(Got(known, b"late"), 0) == []
    check_whole(world, branch(), 2000)


def test_a_source_that_is_away_is_asked_less_and_less_and_at_once_when_it_is_back() -> None:
    log = followed(branch(), 0, 2000)
    sources = {"alice": nobody}
    world = World(Logs([log]), sources)
    world.step(Wanted(log.origin))
    times: list[int] = []
    while len(times) < 9:
        if world.pending:
            times.append(world.now_ns)
        while world.pending:
            world.answer()
        world.answer()
    gaps = [round((after - before) / 10**9) for before, after in pairwise(times)]
    assert gaps == [1, 2, 4, 8, 16, 32, 64, 64]
    sources["alice"] = honest(branch())
    world.pull()
    check_whole(world, branch(), 2000)
    assert not world.blamed  # nothing wrong came from it


def test_the_first_source_is_asked_while_it_is_of_use() -> None:
    log = followed(branch(), 0, 5000)
    served: list[str] = []

    def counted(name: str) -> object:
        whole = honest(branch())

        def serve(origin: str, path: str) -> bytes | None:
            served.append(name)
            return whole(origin, path)

        return serve

    world = World(Logs([log]), {"alice": counted("alice"), "bob": counted("bob")})  # type: ignore[dict-item]
    world.pull(log.origin)
    assert set(served) == {"alice"}


def test_tiles_of_a_head_are_of_one_source_so_that_no_other_is_blamed() -> None:
    log = followed(branch(), 0, 700)
    world = World(Logs([log]), {"mallory": nobody, "bob": honest(branch())})
    first, second = [effect for effect in world.step(Wanted(log.origin)) if isinstance(effect, Fetch)]
    assert (first.source.name, second.source.name) == ("mallory", "mallory")
    world.pending.clear()
    world.step(Missing(first, answered=False))  # bob is asked from here on
    assert {fetch.path for fetch in world.pending} == {first.path, second.path}  # all of it, and at once
    world.step(Got(second, bytes(second.limit)))
    world.pending.sort(key=lambda fetch: fetch.path == second.path)
    fetch = world.pending.pop(0)
    world.step(Got(fetch, honest(branch())(fetch.origin, fetch.path) or b""))
    world.pull()
    check_whole(world, branch(), 700)
    assert not world.blamed


def test_what_fails_at_once_is_held_against_a_source_once() -> None:
    log = followed(branch(), 0, 5000)
    sources = {"alice": honest(branch()), "bob": honest(branch())}
    world = World(Logs([log]), sources)
    world.step(Wanted(log.origin))
    while not all("entries" in fetch.path for fetch in world.pending):
        world.answer()
    assert len(world.pending) == WINDOW
    sources["alice"] = nobody
    world.pull()
    check_whole(world, branch(), 5000)
    sources["alice"] = honest(branch())
    world.now_ns += machine.AWAY_NS
    advance(log, branch(), 5100)
    world.step(Wanted(log.origin))
    assert {fetch.source.name for fetch in world.pending} == {"alice"}


def test_nothing_is_fetched_while_the_disk_has_no_room() -> None:
    log = followed(branch(), 0, 2000)
    world = World(Logs([log]), {"alice": honest(branch())})
    world.room = False
    world.step(Wanted(log.origin))
    assert not world.pending
    assert [row.why for row in world.mirror.progress()] == ["room"]
    for _ in range(3):
        assert world.mirror.wake_at == world.now_ns + machine.ROOM_NS
        world.now_ns = world.mirror.wake_at
        world.step(Tick())
        assert not world.pending
    world.room = True
    world.pull()
    check_whole(world, branch(), 2000)


def test_many_logs_have_their_turns_and_those_without_a_source_stop_nobody() -> None:
    logs, there = [], []
    for number in range(30):
        one = branch(f"gateway{number}", 700)
        logs.append(followed(one, 0, 700))
        if number % 3 == 0:
            there.append(one)

    def serve(origin: str, path: str) -> bytes | None:
        one = next((one for one in there if one.origin == origin), None)
        return honest(one)(origin, path) if one else None

    world = World(Logs(logs), {"some": serve})
    for log in logs:
        world.step(Wanted(log.origin))
    whole: dict[str, int] = {}
    for step in range(400):
        world.answer()
        for origin, _ in world.wholes:
            whole.setdefault(origin, step)
    assert set(whole) == {one.origin for one in there}
    assert max(whole.values()) < 200
    assert world.most_pending <= machine.MAX_FETCHES
    for one in there:
        check_whole(world, one, 700)
    waiting = {row.origin for row in world.mirror.progress()}
    assert waiting == {log.origin for log in logs} - set(whole)


def test_large_logs_share_what_may_be_fetched_at_once() -> None:
    ones = [branch(f"large{number}", 5000) for number in range(machine.MAX_PULLS)]
    world = World(Logs([followed(one, 0, 5000) for one in ones]), {"all": honest(*ones)})
    for one in ones:
        world.step(Wanted(one.origin))
    for _ in range(40):
        world.answer()
    assert {origin for origin, _ in world.asked} == {one.origin for one in ones}
    assert not world.wholes
    world.pull()
    for one in ones:
        check_whole(world, one, 5000)


def test_a_log_that_nobody_serves_gives_up_its_turn_before_all_are_asked() -> None:
    there = branch("there", 700)
    logs = [followed(branch(f"gateway{number}", 700), 0, 700) for number in range(machine.MAX_PULLS)]
    world = World(Logs([*logs, followed(there, 0, 700)]), {"there": honest(there)})
    everybody = [Source(f"away{number}", "") for number in range(50)]

    def sources(log: Followed) -> list[Source]:
        return [Source("there", "")] if log.origin == there.origin else everybody

    world.mirror = Mirror(world.logs, sources)
    world.sources |= {source.name: nobody for source in everybody}
    for log in world.logs:
        world.step(Wanted(log.origin))
    answers = 0
    while not world.wholes:
        assert world.answer()
        answers += 1
    assert answers < 100


def test_progress_is_told() -> None:
    store = PeerStore(Branch("me"))
    log = followed(branch(), 300, 5000, store)
    world = World(Logs([log]), {"alice": honest(branch())}, store=store)
    assert world.mirror.progress() == []
    world.step(Wanted(log.origin))
    (row,) = world.mirror.progress()
    assert (row.origin, row.at, row.size, row.source, row.why) == (log.origin, 300, 5000, "alice", "")
    world.pull()
    assert world.mirror.progress() == []
