"""The vectors of VT1 against the gateway's intake and seal: the whole way of a packet, and what it is counted as."""

from __future__ import annotations

import json
from collections import Counter
from typing import Any

import pytest
from paths import VECTORS

from gateway.core.batcher import Batcher
from gateway.core.effects import Arrival
from gateway.core.handshake import Names
from gateway.core.intake import Intake, Limits
from gateway.core.records import Device, LinkRecord, Pairing, Session
from gateway.core.registry import Registry
from gateway.ids import DeviceId, LinkId, RunId, SessionId, SubjectRef
from gateway.permit import FOREVER_NS, Permit
from gateway.wire import kinds

Json = dict[str, Any]
FILES = {
    name: json.loads((VECTORS / "vt1" / f"{name}.json").read_text(encoding="ascii"))
    for name in ("corrupt", "pairing", "handshake", "uplink")
}
NOW_NS, NOW_MS = 90_000_000_000_000, 1_790_000_000_000
SESSION = SessionId(bytes(16))
ALLOWED = Permit(True, "", FOREVER_NS, 1)


def intake() -> Intake:
    """A gateway that knows the device and the link of the vectors, and has heard nothing yet."""
    file = FILES["uplink"]
    device, k_dev = DeviceId(file["device"]), bytes.fromhex(file["k_dev"])
    registry = Registry(Names("clinic-a-1", "clinic-a"), bytes, lambda: NOW_NS, 1)
    link = LinkRecord(
        link=LinkId(file["link"]),
        device=device,
        run=RunId(1),
        session=SESSION,
        transport="udp",
        nonce_d=bytes.fromhex(file["nonce_d"]),
        nonce_g=bytes.fromhex(file["nonce_g"]),
        key=k_dev,
        hello_seq=0,
        hello=b"",
        welcome=b"",
        established=True,
        state="live",
        fresh_ms=NOW_MS,
    )
    session = Session(
        SESSION, bytes(32), SubjectRef(b""), "test", (device,), tuple(kinds.KINDS), "open", NOW_MS
    )
    registry.restore(
        [Device(device, "", k_dev, "active", NOW_MS)],
        [Pairing(FILES["pairing"]["code"], NOW_MS + 600_000)],
        [session],
        [link],
        [],
        next_link=file["link"] + 1,
        next_device=device + 1,
    )
    return Intake(registry, lambda *_: ALLOWED, lambda: 1, Limits())


def counters(packet: str) -> dict[str, int]:
    """What a fresh gateway counts for one packet, from its arrival to the seal (where values are looked at)."""
    gateway, batcher = intake(), Batcher(1, 1 << 20)
    arrival = Arrival(packet=bytes.fromhex(packet), source=("192.0.2.7", 4747), arrived_ns=NOW_NS)
    gateway.step([arrival], NOW_NS, NOW_MS)
    counted = gateway.refused + gateway.admission.refused
    batcher.add(gateway.admitted, NOW_NS, NOW_MS)
    sealed = batcher.seal(
        session_of=lambda session: gateway.registry.sessions[session],
        subject_key=lambda _: bytes(32),
        permit=lambda *_: ALLOWED,
        random=bytes,
        now_ns=NOW_NS,
    )
    return dict(counted + (sealed.withdrawn if sealed else Counter()))


@pytest.mark.parametrize(
    "twin", [pytest.param(t, id=t["name"]) for t in FILES["corrupt"]["packets"] if t["receiver"] == "gateway"]
)
def test_the_intake_counts_a_corrupted_twin_under_its_reason(twin: Json) -> None:
    assert counters(twin["packet"]) == {twin["reason"]: 1}


def state_reason(entry: Json) -> str:
    """Why a gateway that heard nothing yet refuses a sound packet whose numbers are far on."""
    if int(entry["seq"]) > 2**20 and entry["type"] != "hello":
        return "seq_jump"
    jump = any(int(total) > 2**24 for _, total in entry["fields"].get("totals", []))
    return "totals" if jump else ""


@pytest.mark.parametrize(
    "entry",
    [
        pytest.param(entry, id=entry["name"])
        for name in ("pairing", "handshake", "uplink")
        for entry in FILES[name]["packets"]
        if entry["type"] not in ("paired", "welcome", "reset")
    ],
)
def test_the_intake_takes_a_sound_packet(entry: Json) -> None:
    reason = state_reason(entry)
    assert counters(entry["packet"]) == ({reason: 1} if reason else {})
