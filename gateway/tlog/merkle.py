"""RFC 6962 Merkle trees: roots, proofs and their verification, and the right edge of a growing tree.

Guards one rule before all others: whatever is not 32 bytes is refused before it is hashed, so that no proof can pass
off data as a hash. Source: RFC 6962 section 2.1, RFC 9162 sections 2.1.3-2.1.4.

Everything is built from *perfect subtrees*: the hash at (level, index) covers the leaves
index * 2^level to (index + 1) * 2^level - 1. `NodeHash` gives one; lists of hashes and tiles both can.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from hashlib import sha256

from gateway.errors import ProofError
from gateway.tlog.text import HASH_BYTES, MAX_SIZE

EMPTY_ROOT = sha256(b"").digest()
MAX_PATH = 64  # a tree of 2^63 leaves has paths of 63 hashes; a consistency proof has one more

NodeHash = Callable[[int, int], bytes]
"""(level, index) -> hash of that perfect subtree."""

Range = tuple[int, int]
"""Leaves start..end-1."""


def leaf_hash(data: bytes) -> bytes:
    """SHA-256(00 || data)."""
    return sha256(b"\x00" + data).digest()


def node_hash(left: bytes, right: bytes) -> bytes:
    """SHA-256(01 || left || right).

    Raises:
        ProofError: `hash_length`.
    """
    if len(left) != HASH_BYTES or len(right) != HASH_BYTES:
        raise ProofError("hash_length", f"a node joins two hashes of {HASH_BYTES} bytes")
    return sha256(b"\x01" + left + right).digest()


def root_of(hashes: Sequence[bytes]) -> bytes:
    """Root over leaf hashes, level by level; a last hash without a partner rises as it is.

    Args:
        hashes: leaf hashes of 32 bytes each, in order; may be empty.

    Returns:
        32 bytes; `EMPTY_ROOT` for no leaves.

    Raises:
        ProofError: `hash_length`.
    """
    _check_hashes(hashes)
    if not hashes:
        return EMPTY_ROOT
    level = hashes
    while len(level) > 1:
        level = _above(level)
    return level[0]


def levels_of(hashes: Sequence[bytes]) -> list[list[bytes]]:
    """All levels of a tree, leaf hashes first; for many paths of one tree.

    Raises:
        ProofError: `hash_length`, `tree_empty`.
    """
    _check_hashes(hashes)
    if not hashes:
        raise ProofError("tree_empty", "a tree without leaves has no levels")
    levels = [list(hashes)]
    while len(levels[-1]) > 1:
        levels.append(_above(levels[-1]))
    return levels


def path_in(levels: Sequence[Sequence[bytes]], index: int) -> list[bytes]:
    """Inclusion path of one leaf from `levels_of`.

    Raises:
        ProofError: `index_range`.
    """
    if not 0 <= index < len(levels[0]):
        raise ProofError("index_range", "a leaf index is not below the size of its tree")
    path = []
    for level in levels:
        sibling = index ^ 1
        if sibling < len(level):
            path.append(level[sibling])
        index >>= 1
    return path


def inclusion_path(index: int, hashes: Sequence[bytes]) -> list[bytes]:
    """Inclusion path of leaf `index`, its sibling first.

    Raises:
        ProofError: `hash_length`, `tree_empty`, `index_range`.
    """
    return path_in(levels_of(hashes), index)


def consistency_path(m: int, hashes: Sequence[bytes]) -> list[bytes]:
    """Proof that the tree over `hashes` continues the tree over its first `m`.

    Raises:
        ProofError: `hash_length`, `tree_empty`, `size_range` unless 0 < m <= len(hashes).
    """
    levels = levels_of(hashes)
    ranges = consistency_ranges(m, len(hashes))
    return [range_root(start, end, lambda level, index: levels[level][index]) for start, end in ranges]


def inclusion_ranges(index: int, size: int) -> list[Range]:
    """The ranges whose roots make up an inclusion path, the leaf's sibling first (RFC 6962 section 2.1.1).

    Raises:
        ProofError: `size_range`, `index_range`.
    """
    _check_size(size)
    if not 0 <= index < size:
        raise ProofError("index_range", "a leaf index is not below the size of its tree")
    start, end = 0, size
    ranges: list[Range] = []
    while end - start > 1:
        middle = start + _split(end - start)
        if index < middle:
            ranges.append((middle, end))
            end = middle
        else:
            ranges.append((start, middle))
            start = middle
    ranges.reverse()
    return ranges


def consistency_ranges(m: int, n: int) -> list[Range]:
    """The ranges whose roots make up a consistency proof, deepest first (RFC 6962 section 2.1.2).

    Raises:
        ProofError: `size_range` unless 0 < m <= n.
    """
    _check_size(n)
    if not 0 < m <= n:
        raise ProofError(
            "size_range", "a consistency proof goes from a non-empty tree to one at least as large"
        )
    start, end = 0, n
    whole = True  # the old root itself is known to the verifier as long as nothing was split off on its left
    ranges: list[Range] = []
    while m != end:
        middle = start + _split(end - start)
        if m <= middle:
            ranges.append((middle, end))
            end = middle
        else:
            ranges.append((start, middle))
            start = middle
            whole = False
    if not whole:
        ranges.append((start, end))
    ranges.reverse()
    return ranges


def subtrees(start: int, end: int) -> list[tuple[int, int]]:
    """Perfect subtrees (level, index) of a range that RFC 6962 cuts out of a tree, largest first."""
    parts = []
    while start < end:
        level = (end - start).bit_length() - 1
        parts.append((level, start >> level))
        start += 1 << level
    return parts


def range_root(start: int, end: int, node: NodeHash) -> bytes:
    """Root over the leaves of one of the ranges above."""
    return _fold([node(level, index) for level, index in subtrees(start, end)])


def root_from_inclusion(leaf: bytes, index: int, size: int, path: Sequence[bytes]) -> bytes:
    """The root that a leaf and its path lead to.

    Args:
        leaf: leaf hash, 32 bytes.
        index: of the leaf, 0 <= index < size.
        size: of the tree.
        path: the leaf's sibling first.

    Raises:
        ProofError: `hash_length`, `size_range`, `index_range`, `path_length`.
    """
    _check_hashes((leaf,))
    _check_hashes(path)
    _check_size(size)
    if not 0 <= index < size:
        raise ProofError("index_range", "a leaf index is not below the size of its tree")
    at, last = index, size - 1
    root = leaf
    for sibling in path:
        if last == 0:
            raise ProofError("path_length", "an inclusion path is too long for its tree")
        if at & 1 or at == last:
            root = node_hash(sibling, root)
            while at and not at & 1:
                at >>= 1
                last >>= 1
        else:
            root = node_hash(root, sibling)
        at >>= 1
        last >>= 1
    if last:
        raise ProofError("path_length", "an inclusion path is too short for its tree")
    return root


def verify_inclusion(leaf: bytes, index: int, size: int, path: Sequence[bytes], root: bytes) -> None:
    """Check that a leaf stands at `index` of the tree with this size and root.

    Raises:
        ProofError: `inclusion` if it leads to another root; else as `root_from_inclusion`.
    """
    _check_hashes((root,))
    if root_from_inclusion(leaf, index, size, path) != root:
        raise ProofError("inclusion", "an inclusion path leads to another root")


def verify_consistency(m: int, n: int, path: Sequence[bytes], root_m: bytes, root_n: bytes) -> None:
    """Check that the tree (n, root_n) continues the tree (m, root_m).

    For m = 0 any tree is a continuation, so only an empty path to the empty root is accepted (tlog-witness); for
    m = n the path is empty and the roots are equal.

    Raises:
        ProofError: `hash_length`, `size_range`, `path_length`, `consistency`.
    """
    _check_hashes((root_m, root_n))
    _check_hashes(path)
    _check_size(n)
    if not 0 <= m <= n:
        raise ProofError("size_range", "the older tree is larger than the newer one")
    if m in (0, n):
        if path:
            raise ProofError("path_length", "nothing is to be proved, so the path must be empty")
        if (m == 0 and root_m != EMPTY_ROOT) or (m == n and root_m != root_n):
            raise ProofError("consistency", "two roots of trees of one size differ")
        return
    old, new = roots_from_consistency(m, n, path, root_m)
    if old != root_m or new != root_n:
        raise ProofError("consistency", "a consistency path leads to other roots")


def roots_from_consistency(m: int, n: int, path: Sequence[bytes], root_m: bytes) -> tuple[bytes, bytes]:
    """The roots at `m` and at `n` that a consistency path leads to.

    Args:
        m, n: sizes, 0 < m < n.
        path: the proof.
        root_m: root at `m`; the path starts from it where `m` is a power of two, and else does not need it.

    Raises:
        ProofError: `hash_length`, `path_length`.
    """
    # RFC 9162 section 2.1.4.2
    _check_hashes((root_m, *path))
    hashes = [root_m, *path] if m & (m - 1) == 0 else list(path)
    if not hashes:
        raise ProofError("path_length", "a consistency path is empty")
    at, last = m - 1, n - 1
    while at & 1:
        at >>= 1
        last >>= 1
    old = new = hashes[0]
    for sibling in hashes[1:]:
        if last == 0:
            raise ProofError("path_length", "a consistency path is too long for its trees")
        if at & 1 or at == last:
            old = node_hash(sibling, old)
            new = node_hash(sibling, new)
            while at and not at & 1:
                at >>= 1
                last >>= 1
        else:
            new = node_hash(new, sibling)
        at >>= 1
        last >>= 1
    if last:
        raise ProofError("path_length", "a consistency path is too short for its trees")
    return old, new


class Frontier:
    """The right edge of a growing tree: roots of its perfect subtrees from left to right, largest first.

    Mutable; whoever made it owns it. Appending costs O(1) hashes on average, the root at most 63.

    Args:
        size: leaves so far.
        hashes: one hash for each set bit of `size`.

    Raises:
        ProofError: `size_range`, `hash_length`, `frontier_length`.
    """

    __slots__ = ("_hashes", "_root", "_size")

    def __init__(self, size: int = 0, hashes: Iterable[bytes] = ()) -> None:
        self._root = b""
        self._hashes = list(hashes)
        self._size = size
        _check_size(size)
        _check_hashes(self._hashes)
        if len(self._hashes) != size.bit_count():
            raise ProofError("frontier_length", "a right edge has one hash for each set bit of its size")

    @property
    def size(self) -> int:
        """Leaves so far."""
        return self._size

    @property
    def hashes(self) -> tuple[bytes, ...]:
        """The edge, largest subtree first; with `size` it is the whole state."""
        return tuple(self._hashes)

    def copy(self) -> Frontier:
        """An edge that grows independently, to try out a plan that may yet be discarded."""
        return Frontier(self._size, self._hashes)

    def append(self, leaf: bytes) -> None:
        """Add one leaf hash.

        Raises:
            ProofError: `hash_length`, `size_range`.
        """
        _check_hashes((leaf,))
        _check_size(self._size + 1)
        carry = self._size
        while carry & 1:
            leaf = node_hash(self._hashes.pop(), leaf)
            carry >>= 1
        self._hashes.append(leaf)
        self._size += 1
        self._root = b""

    def extend(self, leaves: Iterable[bytes]) -> None:
        """Add leaf hashes in order."""
        for leaf in leaves:
            self.append(leaf)

    def root(self) -> bytes:
        """Root of the tree so far."""
        if not self._root:
            self._root = _fold(self._hashes) if self._hashes else EMPTY_ROOT
        return self._root


def _above(level: Sequence[bytes]) -> list[bytes]:
    # the hot path of sealing: one iterator in two places pairs the hashes, which takes half the time of slicing
    hash_ = sha256
    prefix = b"\x01"
    hashes = iter(level)
    above = [hash_(prefix + left + right).digest() for left, right in zip(hashes, hashes, strict=False)]
    if len(level) & 1:
        above.append(level[-1])
    return above


def _fold(hashes: Sequence[bytes]) -> bytes:
    root = hashes[-1]
    for left in reversed(hashes[:-1]):
        root = node_hash(left, root)
    return root


def _split(size: int) -> int:
    # largest power of two below size
    return 1 << ((size - 1).bit_length() - 1)


def _check_hashes(hashes: Sequence[bytes]) -> None:
    if hashes and set(map(len, hashes)) != {HASH_BYTES}:
        raise ProofError("hash_length", f"a hash has {HASH_BYTES} bytes")


def _check_size(size: int) -> None:
    if not 0 <= size <= MAX_SIZE:
        raise ProofError("size_range", "a tree size is out of range")
