"""What `status` and the lists show: plain rows of the running house. Nothing here decides."""

from __future__ import annotations

import socket
from collections import Counter
from typing import Any

from gateway.app.house import House
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
                "links": [
                    {
                        "link": link.number,
                        "state": link.record.state,
                        "waiting": not link.record.session,
                        "transport": link.record.transport,
                        "established": link.record.established,
                        "fresh_ms": link.record.fresh_ms,
                        "bad_tags": link.bad_tag_count,
                    }
                    for link in links
                ],
            }
        )
    return rows


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
