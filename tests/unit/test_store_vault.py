"""The vault: what is appended is read back, what is damaged is found, what no row names is cut off."""

from __future__ import annotations

import os
import resource
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from hashlib import sha256
from pathlib import Path

import pytest

from gateway.core.records import PartRow
from gateway.errors import Damage, StoreError
from gateway.ids import SessionId
from gateway.store.vault import RECORD_BYTES, SEGMENT_HEADER_BYTES, Location, Vault

ORIGIN_HASH = sha256(b"rig1.clinic.example/vestibule").digest()
EMPTY = (1, SEGMENT_HEADER_BYTES)


def part(seed: int, payload_bytes: int = 300) -> tuple[bytes, bytes]:
    payload = bytes([seed % 251]) * payload_bytes
    return b"core %d" % seed + sha256(payload).digest(), payload


def row(batch: int, number: int, at: Location, header: bytes) -> PartRow:
    return PartRow(
        batch=batch,
        part=number,
        session=SessionId(bytes(16)),
        segment=at.segment,
        offset=at.offset,
        header_bytes=at.header_bytes,
        payload_bytes=at.payload_bytes,
        frames=1,
        samples=1,
        first_ns=0,
        last_ns=0,
        header_hash=sha256(b"\0" + header).digest(),
    )


def opened(directory: Path, segment_bytes: int = 2000) -> Vault:
    return Vault.open(directory, ORIGIN_HASH, segment_bytes=segment_bytes)


@contextmanager
def no_file_beyond(n_bytes: int) -> Iterator[None]:
    """A real failure of write: no file of this process may become longer."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    try:
        resource.setrlimit(resource.RLIMIT_FSIZE, (n_bytes, before[1]))
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
        signal.signal(signal.SIGXFSZ, handler)


def test_opening_an_empty_vault_changes_nothing(tmp_path: Path) -> None:
    vault = opened(tmp_path)
    assert vault.tail == EMPTY
    assert vault.empty
    assert list(tmp_path.iterdir()) == []
    assert vault.append(1, []) == []
    assert list(tmp_path.iterdir()) == []
    assert vault.free_bytes() > 0


def test_parts_are_read_back_also_by_another_reader(tmp_path: Path) -> None:
    vault = opened(tmp_path)
    parts = [part(n) for n in range(3)]
    locations = vault.append(7, parts)
    vault.sync()
    assert locations[0].offset == SEGMENT_HEADER_BYTES
    assert vault.tail == (1, locations[-1].end)
    assert not vault.empty
    for reader in (vault, opened(tmp_path)):
        assert reader.tail == vault.tail
        assert [reader.read_part(location) for location in locations] == parts
        for number, (location, (header, payload)) in enumerate(zip(locations, parts, strict=True)):
            assert reader.read_row(row(7, number, location, header)) == (header, payload)
    assert (tmp_path / "00000001.seg").stat().st_mode & 0o777 == 0o600


def test_the_bytes_on_disk_are_those_of_the_format(tmp_path: Path) -> None:
    vault = opened(tmp_path)
    header, payload = part(3, 10)
    vault.append(0x0102030405, [(header, payload)])
    vault.sync()
    expected = b"VTSEG\x01\0\0" + b"\x01\0\0\0" + b"\x01" + bytes(7) + ORIGIN_HASH
    expected = expected.ljust(64, b"\0") + b"VTP1" + b"\x05\x04\x03\x02\x01\0\0\0" + bytes(4)
    expected += len(header).to_bytes(4, "little") + (10).to_bytes(8, "little") + header + payload
    assert (tmp_path / "00000001.seg").read_bytes() == expected


def test_a_full_segment_is_followed_by_a_new_one(tmp_path: Path) -> None:
    vault = opened(tmp_path)
    locations = [
        at for batch in range(1, 8) for at in vault.append(batch, [part(batch, 500), part(batch + 50, 500)])
    ]
    vault.sync()
    numbers = vault.segments()
    assert numbers == list(range(1, len(numbers) + 1))
    assert len(numbers) > 2
    assert all(path.stat().st_size <= 2000 for path in tmp_path.iterdir())
    assert [
        at for number in numbers for at in (record.location for record in vault.iter_records(number))
    ] == locations
    # a part that is larger than a segment gets one of its own
    large = vault.append(9, [part(9, 5000), part(10)])
    assert large[0].offset == SEGMENT_HEADER_BYTES
    assert large[1].segment == large[0].segment + 1
    assert vault.read_part(large[0]) == part(9, 5000)


def test_a_restart_goes_on_where_the_rows_end(tmp_path: Path) -> None:
    vault = opened(tmp_path)
    first = vault.append(1, [part(1)])[0]
    vault.sync()
    vault.append(2, [part(2), part(3, 1500), part(4)])
    vault.close()
    assert len(list(tmp_path.iterdir())) > 1
    again = opened(tmp_path)
    again.cut(first.segment, first.end)
    assert again.tail == (1, first.end)
    assert [path.name for path in tmp_path.iterdir()] == ["00000001.seg"]
    second = again.append(2, [part(5)])[0]
    again.sync()
    assert second.offset == first.end
    assert [record.batch for record in again.iter_records(1)] == [1, 2]
    assert again.read_part(first) == part(1)


@pytest.mark.parametrize("length", [0, 1, 63, 64, 64 + RECORD_BYTES, 200])
def test_a_torn_first_segment_is_begun_again(length: int, tmp_path: Path) -> None:
    vault = opened(tmp_path)
    vault.append(1, [part(1)])
    vault.close()
    os.truncate(tmp_path / "00000001.seg", length)
    again = opened(tmp_path)
    again.cut(*EMPTY)
    assert again.tail == EMPTY
    at = again.append(1, [part(2)])[0]
    again.sync()
    assert opened(tmp_path).read_part(at) == part(2)


def test_a_segment_of_zeros_that_no_row_names_is_begun_again(tmp_path: Path) -> None:
    (tmp_path / "00000001.seg").write_bytes(bytes(500))
    vault = opened(tmp_path)
    vault.cut(*EMPTY)
    at = vault.append(1, [part(1)])[0]
    assert vault.read_part(at) == part(1)


def test_a_vault_shorter_than_its_rows_is_damage(tmp_path: Path) -> None:
    vault = opened(tmp_path)
    at = vault.append(1, [part(1)])[0]
    vault.sync()
    os.truncate(tmp_path / "00000001.seg", at.end - 1)
    again = opened(tmp_path)
    for segment, offset in [(1, at.end), (2, SEGMENT_HEADER_BYTES + 10), (3, SEGMENT_HEADER_BYTES)]:
        with pytest.raises(Damage) as caught:
            again.cut(segment, offset)
        assert caught.value.code == "vault_short"
        assert caught.value.where == {"segment": segment, "offset": offset}
    with pytest.raises(Damage) as caught:
        again.read_part(at)
    assert caught.value.code == "vault_short"


def test_a_hole_among_the_segments_is_damage(tmp_path: Path) -> None:
    vault = opened(tmp_path)
    for batch in range(1, 8):
        vault.append(batch, [part(batch, 1000)])
    vault.sync()
    (tmp_path / "00000002.seg").unlink()
    with pytest.raises(Damage) as caught:
        opened(tmp_path)
    assert caught.value.where == {"segment": 2}


def test_every_flipped_bit_is_found(tmp_path: Path) -> None:
    vault = opened(tmp_path)
    header, payload = part(5, 40)
    at = vault.append(1, [(header, payload)])[0]
    vault.sync()
    expected = row(1, 0, at, header)
    path = tmp_path / "00000001.seg"
    good = path.read_bytes()
    for index in range(len(good)):
        path.write_bytes(good[:index] + bytes([good[index] ^ (1 << index % 8)]) + good[index + 1 :])
        with pytest.raises(Damage) as caught:
            vault.read_row(expected)
        assert caught.value.where["segment"] == 1
        assert caught.value.where["offset"] == at.offset
        assert (caught.value.code == "segment_header") == (index < SEGMENT_HEADER_BYTES), index
    path.write_bytes(good)
    assert vault.read_row(expected) == (header, payload)


def test_lengths_that_are_lies_cost_no_memory(tmp_path: Path) -> None:
    vault = opened(tmp_path)
    at = vault.append(1, [part(1)])[0]
    vault.sync()
    path = tmp_path / "00000001.seg"
    data = bytearray(path.read_bytes())
    data[at.offset + 20 : at.offset + 28] = (1 << 62).to_bytes(8, "little")
    path.write_bytes(data)
    with pytest.raises(Damage) as caught:
        vault.read_part(at)
    assert caught.value.code == "record_header"


def test_a_row_that_names_another_part_is_damage(tmp_path: Path) -> None:
    vault = opened(tmp_path)
    (header, _), other = part(1), part(2)
    first, second = vault.append(1, [part(1), other])
    vault.sync()
    for wrong in (row(1, 1, first, header), row(2, 0, first, header), row(1, 1, second, header)):
        with pytest.raises(Damage):
            vault.read_row(wrong)


def test_iterating_stops_at_a_torn_record(tmp_path: Path) -> None:
    vault = opened(tmp_path)
    at = vault.append(1, [part(1), part(2)])[1]
    vault.sync()
    os.truncate(tmp_path / "00000001.seg", at.end - 5)
    records = vault.iter_records(1)
    assert next(records).payload == part(1)[1]
    with pytest.raises(Damage) as caught:
        next(records)
    assert caught.value.where == {"segment": 1, "offset": at.offset}


def test_a_segment_of_another_store_is_refused(tmp_path: Path) -> None:
    vault = opened(tmp_path)
    at = vault.append(1, [part(1)])[0]
    vault.sync()
    other = Vault.open(tmp_path, sha256(b"other").digest())
    with pytest.raises(Damage) as caught:
        other.read_part(at)
    assert caught.value.code == "segment_header"


def test_a_full_disk_leaves_what_was_there(tmp_path: Path) -> None:
    vault = opened(tmp_path, 100_000)
    first = vault.append(1, [part(1)])[0]
    vault.sync()
    with no_file_beyond(first.end + 500), pytest.raises(StoreError) as caught:
        vault.append(2, [part(2), part(3)])
    assert not caught.value.fatal
    assert vault.tail == (1, first.end)
    assert (tmp_path / "00000001.seg").stat().st_size == first.end
    # and it goes on by itself
    second = vault.append(2, [part(4)])[0]
    vault.sync()
    assert [record.payload for record in vault.iter_records(1)] == [part(1)[1], part(4)[1]]
    assert second.offset == first.end


def test_a_full_disk_at_a_new_segment_leaves_no_file_behind(tmp_path: Path) -> None:
    vault = opened(tmp_path, 800)
    first = vault.append(1, [part(1, 500)])[0]
    vault.sync()
    with no_file_beyond(700), pytest.raises(StoreError) as caught:
        vault.append(2, [part(2, 500), part(3, 5000)])
    assert not caught.value.fatal
    assert vault.tail == (1, first.end)
    assert [path.name for path in tmp_path.iterdir()] == ["00000001.seg"]
    at = vault.append(2, [part(2, 500)])[0]
    vault.sync()
    assert vault.read_part(at) == part(2, 500)


def test_another_writer_is_noticed_before_anything_is_written(tmp_path: Path) -> None:
    vault = opened(tmp_path)
    vault.append(1, [part(1)])
    vault.sync()
    behind = opened(tmp_path)
    vault.append(2, [part(2)])
    vault.sync()
    before = (tmp_path / "00000001.seg").read_bytes()
    for _ in range(2):
        with pytest.raises(StoreError) as caught:
            behind.append(2, [part(3)])
        assert caught.value.fatal
    assert (tmp_path / "00000001.seg").read_bytes() == before


def test_a_part_that_no_record_can_hold_is_refused(tmp_path: Path) -> None:
    vault = opened(tmp_path)
    with pytest.raises(StoreError) as caught:
        vault.append(1, [part(1), (bytes(2 << 20), b"")])
    assert caught.value.code == "part_size"
    assert not caught.value.fatal
    assert list(tmp_path.iterdir()) == []
