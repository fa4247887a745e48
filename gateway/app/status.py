"""What `status` and the lists show: plain rows of the running house. Nothing here decides."""

from __future__ import annotations

import socket
from collections import Counter
from typing import Any

from gateway.app.house import House
from gateway.core.faults import Fault
from gateway.core.link import Link
from gateway.core.records import Session, StreamRecord
from gateway.wire import kinds

Row = dict[str, Any]


def sums(house: House) -> Row:
    """Counters since the start."""
    totals = house.totals
    refused = totals.refused + house.intake.refused
    # What a sender that does not resend sent = admitted + refused + copies + shed + what the kernel dropped.
    copies = refused.pop("copy", 0)
    return {
        "batches": totals.batches,
        "frames": totals.frames,
        "samples": totals.samples,
        "commit_ms": totals.commit_ms,
        "queue": {"packets": house.queue.packets, "bytes": house.queue.bytes},
        "admitted": house.intake.accepted,
        "copies": copies,
        "refused": dict(refused),
        "frames_refused": dict(totals.frames_refused + house.intake.admission.refused),
        "shed": dict(totals.shed + house.registry.shed),
        "disk_free_bytes": house.disk.free_bytes(),
    }


def devices(house: House) -> list[Row]:
    """All devices with the links that are kept."""
    registry = house.registry
    now_ms = _now_ms(house)
    rows: list[Row] = []
    for device in registry.devices.values():
        links = registry.links_of_device(device.device)
        rows.append(
            {
                "device": device.device,
                "name": device.name,
                "state": device.state,
                "created_ms": device.created_ms,
                "rotating": bool(device.next_key) and device.state == "active",
                "rotating_by_file": device.next_by_file,
                "bad_tags": [
                    {"on": on, **row}
                    for on, faults in (("links", registry.faults.links), ("hellos", registry.faults.hellos))
                    for row in _fault(faults.get(device.device), now_ms)
                ],
                "links": [
                    {
                        "link": link.number,
                        "state": link.record.state,
                        "waiting": not link.record.session,
                        "transport": link.record.transport,
                        "established": link.record.established,
                        "fresh_ms": max(link.record.fresh_ms, _heard_ms(house, link)),
                        "bad_tags": link.bad_tag_count,
                    }
                    for link in links
                ],
            }
        )
    return rows


def _now_ms(house: House) -> int:
    # Not `house.utc_ms`: that says that the spine has come round.
    return (house.registry.clock_ns() + house.registry.utc_offset_ns) // 1_000_000


def _heard_ms(house: House, link: Link) -> int:
    """UTC at which a link was last heard; while nothing can be stored its record does not say it."""
    return 0 if link.heard_ns is None else (link.heard_ns + house.registry.utc_offset_ns) // 1_000_000


def _fault(fault: Fault | None, now_ms: int) -> list[Row]:
    if fault is None or not fault.lasts(now_ms):
        return []
    return [{"count": fault.count, "since_ms": fault.first_ms, "last_ms": fault.last_ms}]


def bad_codes(house: House) -> list[Row]:
    """PAIRs under a code that is not on offer: none or one row, since they name nobody."""
    return _fault(house.registry.faults.pairs, _now_ms(house))


def session(record: Session, streams: list[StreamRecord], pseudonym: str) -> Row:
    """A session with the sums of its streams."""
    return {
        "session": record.session.hex(),
        "subject": pseudonym,
        "purpose": record.purpose,
        "devices": list(record.devices),
        "kinds": [kinds.KINDS[number].name for number in record.kinds if number in kinds.KINDS],
        "state": record.state,
        "opened_ms": record.opened_ms,
        "closed_ms": record.closed_ms,
        "commitment": record.commitment.hex(),
        "totals": _sum(streams),
        "streams": [
            {
                "device": stream.device,
                "run": f"{stream.run:016x}",
                "stream": stream.stream,
                "kind": kinds.KINDS[stream.kind].name if stream.kind else "",
                "total": stream.total,
                "stored": stream.stored,
                "refused": dict(stream.refused),
                "missing": stream.missing,
            }
            for stream in sorted(streams, key=lambda one: (one.device, one.run, one.stream))
        ],
    }


def _sum(streams: list[StreamRecord]) -> Row:
    refused: Counter[str] = Counter()
    for stream in streams:
        refused.update(stream.refused)
    return {
        "total": sum(stream.total for stream in streams),
        "stored": sum(stream.stored for stream in streams),
        "refused": dict(refused),
        "missing": sum(stream.missing for stream in streams),
    }


def host_for_headsets(listen: str) -> str:
    """The address that a headset on the same network can use.

    A wildcard is replaced by the address of the interface that leads out; no packet is sent to find it.
    """
    if listen not in ("0.0.0.0", "::", ""):
        return listen
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            # Connecting a datagram socket only asks the routing table. The address is one for documentation.
            probe.connect(("192.0.2.1", 9))
            return str(probe.getsockname()[0])
        except OSError:
            return "127.0.0.1"
