"""Trees, proofs and tiles against RFC 6962's own recursive definitions, written out here a second time."""

from __future__ import annotations

from functools import cache
from hashlib import sha256

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.errors import LocalError, ProofError
from gateway.tlog.merkle import (
    EMPTY_ROOT,
    Frontier,
    consistency_path,
    consistency_ranges,
    inclusion_path,
    inclusion_ranges,
    leaf_hash,
    levels_of,
    node_hash,
    path_in,
    root_of,
    verify_consistency,
    verify_inclusion,
)
from gateway.tlog.text import MAX_SIZE
from gateway.tlog.tiles import (
    ENTRIES_LEVEL,
    TileCoord,
    consistency_from_tiles,
    decode_bundle,
    encode_bundle,
    frontier_from_tiles,
    hash_at,
    inclusion_from_tiles,
    parse_tile_path,
    root_from_tiles,
    tails_after,
    tails_at,
    tile_path,
    tile_updates,
    tiles_of,
    width_at,
)

LARGEST = 300
LEAVES = [b"leaf %d" % i for i in range(LARGEST)]
HASHES = [leaf_hash(leaf) for leaf in LEAVES]


@cache
def mth(start: int, end: int) -> bytes:
    """MTH(D[start:end]) of RFC 6962 section 2.1."""
    if end == start:
        return sha256(b"").digest()
    if end - start == 1:
        return sha256(b"\0" + LEAVES[start]).digest()
    k = split(end - start)
    return sha256(b"\1" + mth(start, start + k) + mth(start + k, end)).digest()


def split(n: int) -> int:
    k = 1
    while k * 2 < n:
        k *= 2
    return k


def naive_path(m: int, start: int, end: int) -> list[bytes]:
    """PATH(m, D[start:end]) of section 2.1.1."""
    if end - start == 1:
        return []
    k = split(end - start)
    if m < k:
        return [*naive_path(m, start, start + k), mth(start + k, end)]
    return [*naive_path(m - k, start + k, end), mth(start, start + k)]


def naive_subproof(m: int, start: int, end: int, whole: bool) -> list[bytes]:
    """SUBPROOF(m, D[start:end], whole) of section 2.1.2."""
    if m == end - start:
        return [] if whole else [mth(start, end)]
    k = split(end - start)
    if m <= k:
        return [*naive_subproof(m, start, start + k, whole), mth(start + k, end)]
    return [*naive_subproof(m - k, start + k, end, False), mth(start, start + k)]


class Rows:
    """Rows of tiles in memory, as the store keeps them: the newest content only, earlier widths are slices."""

    def __init__(self) -> None:
        self.rows: dict[tuple[int, int], bytes] = {}
        self.asked: set[TileCoord] = set()
        self.size = 0

    def append(self, hashes: list[bytes]) -> None:
        tails = {tail.level: self.rows[tail.level, tail.n] for tail in tails_at(self.size)}
        for write in tile_updates(self.size, hashes, tails):
            old = self.rows.get((write.level, write.n), b"")
            assert write.data.startswith(old)
            assert write.data != old
            self.rows[write.level, write.n] = write.data
        self.size += len(hashes)

    def hash_tile(self, level: int, n: int, width: int) -> bytes:
        self.asked.add(TileCoord(level, n, width))
        return self.rows[level, n][: 32 * width]


@pytest.fixture(scope="module")
def rows() -> Rows:
    made = Rows()
    made.append(HASHES)
    return made


@pytest.fixture(scope="module")
def large() -> Rows:
    made = Rows()
    made.append([leaf_hash(b"%d" % i) for i in range(70_000)])
    return made


def test_roots_of_every_size() -> None:
    frontier = Frontier()
    assert root_of([]) == frontier.root() == EMPTY_ROOT == mth(0, 0)
    for size in range(1, LARGEST + 1):
        frontier.append(HASHES[size - 1])
        assert root_of(HASHES[:size]) == frontier.root() == mth(0, size)
        assert Frontier(frontier.size, frontier.hashes).root() == mth(0, size)


def test_every_inclusion_proof() -> None:
    for size in range(1, LARGEST + 1):
        levels = levels_of(HASHES[:size])
        root = mth(0, size)
        for index in range(size):
            path = path_in(levels, index)
            assert path == naive_path(index, 0, size)
            verify_inclusion(HASHES[index], index, size, path, root)
        for index in {0, size // 2, size - 1}:
            assert inclusion_path(index, HASHES[:size]) == naive_path(index, 0, size)


def test_every_consistency_proof() -> None:
    for n in range(1, LARGEST + 1):
        for m in range(1, n + 1):
            path = naive_subproof(m, 0, n, True)
            verify_consistency(m, n, path, mth(0, m), mth(0, n))
            if (m + n) % 3 == 0 or m in (1, n - 1, n):
                assert consistency_path(m, HASHES[:n]) == path
            else:
                assert [mth(start, end) for start, end in consistency_ranges(m, n)] == path


def test_inclusion_from_tiles_of_every_size(rows: Rows) -> None:
    for size in range(1, LARGEST + 1):
        assert root_from_tiles(rows, size) == mth(0, size)
        assert frontier_from_tiles(rows, size).root() == mth(0, size)
        for index in {*range(0, size, 37), size // 2, size - 1, min(size - 1, 255), min(size - 1, 256)}:
            assert inclusion_from_tiles(rows, index, size) == naive_path(index, 0, size)


def test_consistency_from_tiles_of_every_size(rows: Rows) -> None:
    for n in range(1, LARGEST + 1):
        assert consistency_from_tiles(rows, 0, n) == []
        for m in {1, n, *range(1, n, 29), *(s for s in (128, 255, 256, 257) if s <= n)}:
            assert consistency_from_tiles(rows, m, n) == naive_subproof(m, 0, n, True)


@pytest.mark.parametrize("size", [255, 256, 257, 65_535, 65_536, 65_537, 69_999, 70_000])
def test_proofs_over_three_levels_of_tiles(large: Rows, size: int) -> None:
    hashes = [leaf_hash(b"%d" % i) for i in range(size)]
    root = root_of(hashes)
    assert root_from_tiles(large, size) == root
    frontier = frontier_from_tiles(large, size)
    assert frontier.root() == root
    levels = levels_of(hashes)
    for index in (0, 1, size // 3, size - 2, size - 1):
        path = inclusion_from_tiles(large, index, size)
        assert path == path_in(levels, index)
        verify_inclusion(hashes[index], index, size, path, root)
    for m in (1, 2, 255, size // 2, size - 1):
        path = consistency_from_tiles(large, m, size)
        verify_consistency(m, size, path, root_of(hashes[:m]), root)
    frontier.append(leaf_hash(b"%d" % size))
    assert frontier.root() == root_of([*hashes, leaf_hash(b"%d" % size)])


def test_proofs_ask_for_the_tiles_that_tiles_of_names(large: Rows) -> None:
    for size in (300, 65_537, 70_000):
        for ranges in (inclusion_ranges(size // 3, size), consistency_ranges(size // 3, size), [(0, size)]):
            large.asked.clear()
            if ranges == [(0, size)]:
                root_from_tiles(large, size)
            elif ranges == inclusion_ranges(size // 3, size):
                inclusion_from_tiles(large, size // 3, size)
            else:
                consistency_from_tiles(large, size // 3, size)
            assert tiles_of(ranges, size) == sorted(large.asked)
            assert all(0 < coord.width <= 256 for coord in large.asked)


def test_a_subtree_hash_is_that_of_its_leaves(rows: Rows) -> None:
    for level in range(9):
        for index in range(LARGEST >> level):
            assert hash_at(rows, LARGEST, level, index) == mth(index << level, (index + 1) << level)
        with pytest.raises(ProofError):
            hash_at(rows, LARGEST, level, LARGEST >> level)


def test_a_tile_of_the_wrong_width_is_refused(rows: Rows) -> None:
    class Short:
        def hash_tile(self, level: int, n: int, width: int) -> bytes:
            return rows.hash_tile(level, n, width)[:-1]

    with pytest.raises(ProofError) as caught:
        root_from_tiles(Short(), 300)
    assert caught.value.code == "tile_length"


@settings(max_examples=60, deadline=None)
@given(st.lists(st.integers(1, 600), min_size=1, max_size=8))
def test_rows_are_the_same_however_the_leaves_arrive(cuts: list[int]) -> None:
    hashes = [sha256(b"%d" % i).digest() for i in range(sum(cuts))]
    whole, pieces = Rows(), Rows()
    whole.append(hashes)
    tails: dict[int, bytes] = {}
    start = 0
    for cut in cuts:
        writes = tile_updates(start, hashes[start : start + cut], tails)
        tails = tails_after(tails, writes)
        pieces.append(hashes[start : start + cut])
        start += cut
        assert tails == {tail.level: pieces.rows[tail.level, tail.n] for tail in tails_at(start)}
    assert pieces.rows == whole.rows
    for (level, n), data in whole.rows.items():
        assert len(data) == 32 * width_at(whole.size, level, n)
    assert root_from_tiles(pieces, pieces.size) == root_of(hashes)


def test_a_tail_that_is_not_the_log_s_is_refused() -> None:
    for tails in ({}, {0: bytes(32 * 43)}, {0: bytes(32 * 44)}, {0: bytes(32 * 44), 1: bytes(31)}):
        with pytest.raises(ProofError) as caught:
            tile_updates(300, HASHES[:256], tails)
        assert caught.value.code == "tile_length"


def test_wrong_places_are_refused() -> None:
    for size in (1, 2, 3, 7, 8, 200):
        for index in (0, size // 2, size - 1):
            path = inclusion_path(index, HASHES[:size])
            root = mth(0, size)
            for wrong_index, wrong_size in (
                (index + 1, size),
                (index, size + 200),
                (size, size),
                (-1, size),
                (0, 0),
            ):
                with pytest.raises(ProofError):
                    verify_inclusion(HASHES[index], wrong_index, wrong_size, path, root)
            with pytest.raises(ProofError):
                verify_inclusion(HASHES[index], index, size, [*path, HASHES[0]], root)
            if path:
                with pytest.raises(ProofError):
                    verify_inclusion(HASHES[index], index, size, path[:-1], root)
                with pytest.raises(ProofError):
                    verify_inclusion(HASHES[index], index, size, path[1:], root)


def test_wrong_consistency_is_refused() -> None:
    for m, n in ((1, 2), (3, 7), (4, 8), (6, 8), (7, 8), (128, 300), (255, 256), (200, 201)):
        path = consistency_path(m, HASHES[:n])
        old, new = mth(0, m), mth(0, n)
        for wrong in ([], path[:-1], path[1:], [*path, HASHES[0]], [HASHES[0], *path[1:]]):
            if wrong != path:
                with pytest.raises(ProofError):
                    verify_consistency(m, n, wrong, old, new)
        for a, b, root_a, root_b in (
            (m, n, new, new),
            (m, n, old, old),
            (n, m, old, new),
            (m, m, old, new),
            (n, n, old, new),
            (0, n, old, new),
            (-1, n, old, new),
        ):
            with pytest.raises(ProofError):
                verify_consistency(a, b, path, root_a, root_b)


def test_nothing_to_prove_needs_an_empty_path() -> None:
    verify_consistency(0, 5, [], EMPTY_ROOT, mth(0, 5))
    verify_consistency(5, 5, [], mth(0, 5), mth(0, 5))
    verify_consistency(0, 0, [], EMPTY_ROOT, EMPTY_ROOT)
    for m, old in ((0, EMPTY_ROOT), (5, mth(0, 5))):
        with pytest.raises(ProofError) as caught:
            verify_consistency(m, 5, [HASHES[0]], old, mth(0, 5))
        assert caught.value.code == "path_length"


@pytest.mark.parametrize("wrong", [b"", bytes(31), bytes(33), bytes(64)])
def test_what_is_not_a_hash_is_refused_before_it_is_hashed(wrong: bytes) -> None:
    good = HASHES[0]
    attempts = [
        lambda: node_hash(wrong, good),
        lambda: node_hash(good, wrong),
        lambda: root_of([good, wrong]),
        lambda: Frontier().append(wrong),
        lambda: Frontier(1, [wrong]),
        lambda: verify_inclusion(wrong, 0, 1, [], wrong),
        lambda: verify_inclusion(good, 0, 2, [wrong], good),
        lambda: verify_inclusion(good, 0, 1, [], wrong),
        lambda: verify_consistency(1, 2, [wrong], good, good),
        lambda: verify_consistency(1, 1, [], wrong, wrong),
        lambda: tile_updates(0, [wrong], {}),
    ]
    for attempt in attempts:
        with pytest.raises(ProofError) as caught:
            attempt()
        assert caught.value.code == "hash_length"


def test_a_frontier_has_one_hash_for_each_set_bit() -> None:
    for size, count in ((0, 1), (1, 0), (3, 1), (4, 2), (-1, 1)):
        with pytest.raises(ProofError):
            Frontier(size, HASHES[:count])
    with pytest.raises(ProofError):
        Frontier(MAX_SIZE, HASHES[:63]).append(HASHES[0])


def test_a_copied_frontier_grows_alone() -> None:
    frontier = Frontier(3, [mth(0, 2), HASHES[2]])
    plan = frontier.copy()
    plan.extend(HASHES[3:10])
    assert (frontier.size, frontier.root()) == (3, mth(0, 3))
    assert (plan.size, plan.root()) == (10, mth(0, 10))


coords = st.builds(TileCoord, st.integers(ENTRIES_LEVEL, 63), st.integers(0, MAX_SIZE), st.integers(1, 256))


@given(coords)
def test_tile_paths_come_back(coord: TileCoord) -> None:
    assert parse_tile_path(tile_path(coord.level, coord.n, coord.width)) == coord


@pytest.mark.parametrize(
    "path",
    [
        "",
        "tile/0/5",
        "tile/0/0005",
        "tile/00/005",
        "tile/64/005",
        "tile/-1/005",
        "tile/entries/x000/005",
        "tile/0/x001/x000",
        "tile/0/001/000",
        "tile/0/005.p/0",
        "tile/0/005.p/01",
        "tile/0/005.p/256",
        "tile/0/005.p/",
        "tile/0/005/",
        "/tile/0/005",
        "tile/0/005\n",
        "tile/0/\u0660\u0660\u0665",
        "tile/0/" + "x999/" * 20 + "999",
        "tile/0/x009/x223/x372/x036/x854/x775/808",
        "checkpoint",
    ],
)
def test_other_paths_are_refused(path: str) -> None:
    with pytest.raises(ProofError) as caught:
        parse_tile_path(path)
    assert caught.value.code == "tile_path"


@given(st.lists(st.binary(max_size=80), min_size=1, max_size=256))
def test_bundles_come_back(entries: list[bytes]) -> None:
    data = encode_bundle(entries)
    assert decode_bundle(data, len(entries)) == entries
    for wrong, width in (
        (data[:-1], len(entries)),
        (data + b"\0", len(entries)),
        (data, len(entries) + 1),
        (data, 0),
    ):
        with pytest.raises(ProofError):
            decode_bundle(wrong, width)


def test_an_entry_too_long_for_a_bundle_is_refused() -> None:
    assert decode_bundle(encode_bundle([bytes(65_535)]), 1) == [bytes(65_535)]
    with pytest.raises(LocalError):
        encode_bundle([bytes(65_536)])
