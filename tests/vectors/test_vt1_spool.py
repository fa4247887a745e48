"""The vectors of the spool against `gateway.device.spool` and the files that a device keeps, byte for byte."""

from __future__ import annotations

from pathlib import Path

import pytest
from vectors.vt1_reader import Json, load, raw

from gateway.app.spool_files import SpoolFiles
from gateway.device import spool
from gateway.device.events import Keep, SendKept
from gateway.errors import WireError
from gateway.keys.link import LinkKeys

SEGMENTS = [pytest.param(entry, id=entry["name"]) for entry in load("spool")["segments"]]


def card() -> spool.LinkCard:
    file = load("spool")
    down = raw(file["down"])
    return spool.LinkCard(
        file["device"],
        int(file["run"]),
        file["link"],
        raw(file["session"]),
        file["gateway"],
        raw(file["k_mac_up"]),
        LinkKeys(down[:32], down[32:64], down[64:]),
    )


def test_headers_both_ways() -> None:
    header = raw(load("spool")["header"])
    assert spool.encode_header(card()) == header
    assert spool.decode_header(header) == (card(), len(header))
    name = load("spool")["file_name"]
    assert spool.parse_segment_name(name) == (card().link, 0)
    assert spool.segment_name(card().link, 0) == name


@pytest.mark.parametrize("segment", SEGMENTS)
def test_a_reader_takes_what_is_sound_and_cuts_there(segment: Json) -> None:
    data = raw(segment["file"])
    found, begin = spool.decode_header(data)
    records = list(spool.records(found, data, begin))
    assert [
        {
            "packet": data[record.offset : record.offset + record.packet.size].hex(),
            "seq": str(record.packet.seq),
            "samples": record.packet.samples,
            "bye": record.packet.final,
        }
        for record in records
    ] == segment["records"]
    end = records[-1].offset + records[-1].packet.size if records else begin
    assert end == segment["sound_bytes"]


@pytest.mark.parametrize("entry", [pytest.param(e, id=e["name"]) for e in load("spool")["unusable"]])
def test_what_has_no_sound_header_is_no_segment(entry: Json, tmp_path: Path) -> None:
    with pytest.raises(WireError):
        spool.decode_header(raw(entry["file"]))
    (tmp_path / load("spool")["file_name"]).write_bytes(raw(entry["file"]))
    files = SpoolFiles(tmp_path, card().device)
    assert files.load() == []
    assert files.faults == {"unreadable": 1}
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("segment", SEGMENTS)
def test_files_are_cut_and_read_back(segment: Json, tmp_path: Path) -> None:
    path = tmp_path / load("spool")["file_name"]
    path.write_bytes(raw(segment["file"]))
    files = SpoolFiles(tmp_path, card().device)
    links = files.load()
    if not segment["records"]:
        assert (links, list(tmp_path.iterdir())) == ([], [])
        return
    assert links[0].card == card()
    torn = segment["sound_bytes"] < len(segment["file"]) // 2
    assert path.stat().st_size == segment["sound_bytes"]
    assert files.faults == ({"torn": 1} if torn else {})
    by_seq = {int(record["seq"]): record["packet"] for record in segment["records"]}
    assert [packet.seq for packet in links[0].packets] == sorted(by_seq)
    for seq, packet in by_seq.items():
        assert files.perform(SendKept(card().link, seq, "")) == raw(packet)


def test_a_device_writes_the_same_bytes(tmp_path: Path) -> None:
    file = load("spool")
    whole = next(entry for entry in file["segments"] if entry["name"] == "whole")
    files = SpoolFiles(tmp_path, card().device)
    for record in whole["records"]:
        files.perform(Keep(card(), int(record["seq"]), record["samples"], raw(record["packet"])))
    files.flush()
    assert (tmp_path / file["file_name"]).read_bytes() == raw(whole["file"])
    files.close()


def test_what_another_device_left_is_deleted(tmp_path: Path) -> None:
    file = load("spool")
    (tmp_path / file["file_name"]).write_bytes(raw(file["segments"][0]["file"]))
    files = SpoolFiles(tmp_path, card().device + 1)
    assert files.load() == []
    assert files.faults == {"foreign": 1}
    assert list(tmp_path.iterdir()) == []
