"""Holds a store whose daemon is dead against everything that was ever said: receipts, checkpoints, answers.

Read from the bytes on disk; the gateway's own check (`verify`, `fsck`) is one of several witnesses here.
"""

from __future__ import annotations

import base64
import contextlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from crash.headsets import HAPTIC, KINDS, Headset, Onlooker

from gateway.app.fsck import fsck_store
from gateway.app.release import open_part
from gateway.app.verify import verify_store
from gateway.core.part import ARRIVAL
from gateway.ids import StreamKey
from gateway.store.keyfiles import load_keys
from gateway.store.layout import Layout
from gateway.store.queries import DEVICES_SQL, Query
from gateway.store.snapshot import Snapshot
from gateway.store.subjects import Subjects
from gateway.store.vault import Vault
from gateway.tlog.checkpoint import open_checkpoint, origin_hash
from gateway.tlog.merkle import verify_consistency
from gateway.tlog.note import VerifierKey
from gateway.tlog.tiles import consistency_from_tiles, root_from_tiles
from gateway.wire import kinds
from gateway.wire.frame import decode_frame, sample_count


@dataclass
class Held:
    """What the durable parts hold.

    Args:
        arrivals: of each DATA packet its batch, and how many frames were stored and refused.
        samples: stream -> number of a sample -> its bytes.
    """

    arrivals: dict[tuple[int, int], tuple[int, int, int]] = field(default_factory=dict)
    samples: dict[StreamKey, dict[int, bytes]] = field(default_factory=dict)


def read(layout: Layout, snapshot: Snapshot) -> Held:
    """Open every part that a row names."""
    held = Held()
    keys = load_keys(layout)
    owners = snapshot.link_owners()
    with contextlib.ExitStack() as stack:
        subjects = Subjects(layout.subjects, keys.master, keys.old_master)
        stack.callback(subjects.close)
        vault = Vault.open(layout.vault, bytes.fromhex(origin_hash(keys.origin)))
        stack.callback(vault.close)
        for row in snapshot.iter_parts():
            session = snapshot.session(row.session)
            assert session is not None
            opened = open_part(*vault.read_row(row), row.session, subjects.key(session.subject))
            frames = iter(opened.payload.frames)
            for link, seq, _, _, _, stored, refused in ARRIVAL.iter_unpack(opened.payload.arrivals):
                assert (link, seq) not in held.arrivals, f"packet {link, seq} was stored twice"
                held.arrivals[link, seq] = (row.batch, stored, refused)
                for _ in range(stored):
                    frame = decode_frame(next(frames))
                    stream: StreamKey = (*owners[link], frame.stream)  # type: ignore[assignment]
                    samples = held.samples.setdefault(stream, {})
                    size = len(frame.samples) // sample_count(frame)
                    for at in range(sample_count(frame)):
                        number = frame.first_sample + at
                        assert number not in samples, (
                            f"sample {number} of stream {stream[3]} was stored twice"
                        )
                        samples[number] = frame.samples[at * size : (at + 1) * size]
    return held


def judge(layout: Layout, onlooker: Onlooker, headsets: Iterable[Headset]) -> Held:
    """Hold everything on disk against what was said; at any moment at which no daemon runs."""
    verify_store(layout)
    assert fsck_store(layout)[1] == []
    with Snapshot(layout.database) as snapshot:
        held = read(layout, snapshot)
        for headset in headsets:
            _receipts(snapshot, held, headset)
            _bytes(held, headset)
        _checkpoints(layout, snapshot, onlooker)
        made = {row[0] for row in snapshot._each(Query(DEVICES_SQL, lambda row: row))}
        assert made >= set(onlooker.devices), "a device that was answered is not there"
        opened = {row.session.hex() for row in snapshot.session_rows(all=True)}
        assert opened >= set(onlooker.sessions), "a session that was answered is not there"
    return held


def judge_drained(layout: Layout, onlooker: Onlooker, headsets: Sequence[Headset]) -> Held:
    """As `judge`, of a store that was stopped in order after its headsets got all their receipts."""
    held = judge(layout, onlooker, headsets)
    assert verify_store(layout).notes == []
    with Snapshot(layout.database) as snapshot:
        streams = {record.key: record for record in snapshot.iter_streams()}
    for record in streams.values():
        assert record.total == record.stored + sum(record.refused.values()) + record.missing
        assert record.stored == len(held.samples.get(record.key, ()))
    for headset in headsets:
        assert not headset.refused, headset.refused
        assert not headset.device.lost, headset.device.lost
        for stream, total in headset.device.totals().items():
            rows = [record for key, record in streams.items() if _is(key, headset) and key[3] == stream]
            sums = (
                sum(row.total for row in rows),
                sum(row.stored for row in rows),
                sum(row.missing for row in rows),
            )
            assert sums == (total, total, 0), f"device {headset.key.device}, stream {stream}"
            if stream in KINDS:
                size = kinds.KINDS[KINDS[stream]].sample_bytes
                assert total == len(headset.captured[stream]) // size
    return held


def _is(key: StreamKey, headset: Headset) -> bool:
    return (key[1], key[2]) == (headset.key.device, headset.device.config.run)


def _receipts(snapshot: Snapshot, held: Held, headset: Headset) -> None:
    roots: dict[int, bytes] = {}
    for receipt in headset.receipts:
        if receipt.batch:
            assert roots.setdefault(receipt.batch, receipt.root) == receipt.root, "two roots of one batch"
        for seq in range(receipt.first, receipt.last + 1):
            if seq not in headset.data[receipt.link]:
                continue
            found = held.arrivals.get((receipt.link, seq))
            assert found, f"packet {receipt.link, seq} has a receipt, and is in no durable part"
            batch, stored, refused = found
            assert stored
            assert not refused
            if receipt.batch:
                assert batch == receipt.batch, (
                    f"packet {receipt.link, seq} is not in the batch of its receipt"
                )
    for batch, root in roots.items():
        row = snapshot.batch(batch)
        assert row is not None, f"batch {batch} has a receipt, and is not there"
        assert row.root == root, f"batch {batch} has another root than its receipt says"


def _bytes(held: Held, headset: Headset) -> None:
    """Each stored sample is the one that was captured under its number, bit for bit."""
    for key, samples in held.samples.items():
        if _is(key, headset) and key[3] <= HAPTIC:
            size = kinds.KINDS[KINDS[key[3]]].sample_bytes
            captured = headset.captured[key[3]]
            for number, data in samples.items():
                assert captured[number * size : (number + 1) * size] == data


def _checkpoints(layout: Layout, snapshot: Snapshot, onlooker: Onlooker) -> None:
    """One root for each size over all that was ever seen, and each of them a beginning of the log as it is."""
    keys = load_keys(layout)
    vkey = VerifierKey.of(keys.origin, keys.log.public)
    seen = {(size, base64.b64decode(root)) for size, roots in onlooker.heads.items() for root in roots}
    for note in onlooker.notes:
        checkpoint = open_checkpoint(note, vkey)
        seen.add((checkpoint.size, checkpoint.root))
    assert len(seen) == len({size for size, _ in seen}), "two roots were seen at one size"
    head = snapshot.head()
    for size, root in seen:
        assert size <= head.size, f"a checkpoint of {size} entries was seen, and the log has {head.size}"
        verify_consistency(
            size, head.size, consistency_from_tiles(snapshot, size, head.size), root, head.root
        )
        assert root_from_tiles(snapshot, size) == root
