"""What the tests of the engines share: an engine in an open session, and the sum that must close on both sides."""

from __future__ import annotations

import concurrent.futures
import contextlib
import json
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, TypeVar

import msgspec
from e2e.daemon import Gateway, Stored
from engines.reference import difference, expected
from engines.rig import Rig

from gateway.core.part import ARRIVAL
from gateway.store.snapshot import Snapshot
from gateway.wire import kinds
from gateway.wire.frame import Frame, decode_frame, sample_count

T = TypeVar("T")
Json = dict[str, Any]
EVERYTHING = sorted(kind.name for kind in kinds.KINDS.values())
CLOCK, INFO = 65_535, 10
"""Streams that speak of the device: as many samples as there was time for, not of a tape."""
HOST = "127.0.0.1"


class Bed:
    """One engine with a device number of its own, in a session of its own.

    Args:
        gateway: that it records to.
        engine: a rig that runs.
        port: where it sends to; the gateway's, or a proxy's.
    """

    def __init__(self, gateway: Gateway, engine: Rig, port: int | None = None) -> None:
        self.gateway, self.rig = gateway, engine
        self.port = port or gateway.udp_port
        self.key = msgspec.to_builtins(gateway.add_device(engine.engine))
        self.device = int(self.key["device"])
        self.session = ""

    def begin(self, allowed: Sequence[str] = EVERYTHING, **options: Any) -> Json:
        """Open a session, and let the engine record in it; returns its status."""
        self.session = self.gateway.open_session([self.device], list(allowed), f"subject-{self.device}")
        return self.take_up(**options)

    def take_up(self, **options: Any) -> Json:
        """Give the engine its identity unless it has one, and let it record."""
        if not (self.rig.dir / "identity.json").exists():
            self.rig.give_identity(self.key, HOST, self.port)
        self.rig.make(HOST, self.port, **options)
        self.rig.ask("start")
        return self.rig.recording()

    def finish(self, timeout_s: float = 30.0) -> Json:
        """Stop, wait for the last receipt, close the session; returns the engine's last status."""
        self.rig.ask("stop", reason="end")
        self.rig.until(lambda status: status["state"] == "not_recording", "it stopped")
        status = self.rig.drained(timeout_s)
        self.close()
        return status

    def close(self) -> None:
        """Close the session, and wait until it is closed."""
        self.gateway.close_session(self.session)
        self.gateway.until(lambda: self.row["state"] == "closed", f"session {self.session} is closed", 30)

    @property
    def row(self) -> Json:
        """The session's row."""
        return self.gateway.session_row(self.session)

    @property
    def rows(self) -> list[Json]:
        """The rows of its streams."""
        return [row for row in self.row["streams"] if row["device"] == self.device]

    def assert_closes(self, missing: int = 0, refused: Iterable[str] = ()) -> None:
        """Every stream's sum closes: total = stored + refused + missing.

        Args:
            missing: how many are missing in all.
            refused: reasons for which some may have been refused.
        """
        rows = self.rows
        for row in rows:
            assert row["total"] == row["stored"] + sum(row["refused"].values()) + row["missing"], row
            assert set(row["refused"]) <= set(refused), row
        assert sum(row["missing"] for row in rows) == missing, f"{missing} lost at the device; here {rows}"

    def assert_whole(self, status: Json) -> None:
        """Nothing was lost or refused, and both sides count the same."""
        self.assert_closes()
        assert not any(status["refused"].values()), status["refused"]
        assert not any(status["lost"].values()), status["lost"]
        assert status["queue_dropped"] == 0, status
        assert status["captured"] == status["stored"] == sum(row["stored"] for row in self.rows), status

    def assert_vault(self, rows: list[Json]) -> dict[int, Stored]:
        """The vault holds what a tape gave, byte for byte, each sample once and in order."""
        streams = self.gateway.streams(self.session)
        for stream, (kind, samples, count) in expected(rows, self.rig.engine).items():
            stored = streams[stream]
            where = f"{self.rig.engine}, stream {stream}"
            assert stored.kind == kind, where
            assert stored.numbers == list(range(count)), f"{where}: each sample once, from 0 to {count - 1}"
            wrong = difference(stored.samples, samples, kind)
            assert not wrong, f"{where}: {wrong}"
        assert_once(streams)
        return streams

    def streams_of_run(self, run: str) -> dict[int, tuple[list[int], bytes]]:
        """Streams of one run of the app -> numbers and records that are stored, in the order of their numbers."""
        with Snapshot(self.gateway.layout.database) as snapshot:
            runs = {link: f"{owner[2]:016x}" for link, owner in snapshot.link_owners().items()}
        found: dict[int, list[Frame]] = {}
        for part in self.gateway.opened_parts(self.session):
            at = 0
            # A part holds the frames of all links of a session; whose they are is told by the packets they came in.
            for link, *_, frames, _ in ARRIVAL.iter_unpack(part.payload.arrivals):
                if runs.get(link) == run:
                    for one in map(decode_frame, part.payload.frames[at : at + frames]):
                        found.setdefault(one.stream, []).append(one)
                at += frames
        made = {}
        for stream, brought in found.items():
            brought.sort(key=lambda frame: frame.first_sample)
            numbers = [
                number
                for one in brought
                for number in range(one.first_sample, one.first_sample + sample_count(one))
            ]
            made[stream] = (numbers, b"".join(one.samples for one in brought))
        return made


def assert_once(streams: dict[int, Stored]) -> None:
    """No sample is there twice, and none is out of order."""
    for stream, stored in streams.items():
        assert all(a < b for a, b in zip(stored.numbers, stored.numbers[1:], strict=False)), stream


def described(streams: dict[int, Stored]) -> dict[int, list[Json]]:
    """Stream -> its descriptions, from the info samples of one session."""
    found: dict[int, list[Json]] = {}
    data = streams[INFO].samples
    while data:
        length = int.from_bytes(data[8:10], "little")
        info = json.loads(data[10 : 10 + length])
        found.setdefault(int(info["stream"]), []).append(info)
        data = data[10 + length :]
    return found


@contextlib.contextmanager
def bed(gateway: Gateway, engine: str, folder: Path, port: int | None = None) -> Iterator[Bed]:
    """An engine that runs, with a device number of its own."""
    with Rig(engine, folder / engine) as running:
        yield Bed(gateway, running, port)


def side_by_side(work: Callable[[str], T], engines: Sequence[str]) -> dict[str, T]:
    """Do the same with several engines at once, since they mostly wait; the first failure is raised when all ended."""
    with concurrent.futures.ThreadPoolExecutor(len(engines)) as pool:
        doing = {engine: pool.submit(work, engine) for engine in engines}
    return {engine: one.result() for engine, one in doing.items()}
