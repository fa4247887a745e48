"""The real daemon as a process of its own, on its own store and free ports: what every end-to-end test talks to."""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
import subprocess
import sys
import time
from collections import defaultdict
from pathlib import Path
from types import TracebackType
from typing import Any

import msgspec
from paths import ROOT

from gateway.app.desk import Desk
from gateway.app.init import init_store
from gateway.app.keyfile import DeviceKey, of_reply
from gateway.app.release import OpenedPart, open_part
from gateway.app.rig import Way
from gateway.errors import Unreachable, VestibuleError
from gateway.net.control import call
from gateway.store.keyfiles import load_keys
from gateway.store.layout import Layout
from gateway.store.snapshot import Snapshot
from gateway.store.subjects import Subjects
from gateway.store.vault import Vault
from gateway.tlog.checkpoint import origin_hash
from gateway.wire.frame import Frame, decode_frame, sample_count

ORIGIN = "gateway.test/rig-1"
NAME = "rig-1"
READY_S = 20.0
STOP_S = 20.0
ACTOR = f"uid:{os.getuid()}"
ALL_OPS = ["prove", "export", "view", "live"]
Tables = dict[str, dict[str, Any]]


def free_port(kind: socket.SocketKind = socket.SOCK_STREAM) -> int:
    """A port that nobody uses now."""
    with socket.socket(socket.AF_INET, kind) as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


class Gateway:
    """A store and its daemon. Use it in a `with` block, or call `start` and `stop`.

    Args:
        data_dir: of the store, made here unless it is there; a short path, since a Unix socket stands in it.
        seal_ms: how often batches are sealed; short, so that tests do not wait for receipts.
        config: tables of the configuration and their values, over those below.
        name: of the gateway; its home too.
        origin: of its log.
        environment: variables for the daemon, over those of this process.
    """

    def __init__(
        self,
        data_dir: Path,
        *,
        seal_ms: int = 200,
        config: Tables | None = None,
        name: str = NAME,
        origin: str = ORIGIN,
        environment: dict[str, str] | None = None,
    ) -> None:
        self.layout = Layout(data_dir)
        self.name, self.origin = name, origin
        self.udp_port = free_port(socket.SOCK_DGRAM)
        self.http_port = free_port()
        self.config: Tables = {
            "gateway": {"name": name, "origin": origin},
            "udp": {"listen": f"127.0.0.1:{self.udp_port}"},
            "http": {"listen": f"127.0.0.1:{self.http_port}"},
            "seal": {"interval_ms": seal_ms},
            "access": {"actors": {ACTOR: ALL_OPS}},
            "log": {"format": "json", "level": "debug"},
        }
        for table, values in (config or {}).items():
            self.config[table] = {**self.config.get(table, {}), **values}
        self.environment = environment or {}
        self.process: subprocess.Popen[bytes] | None = None
        self.starts = 0

    # ---- its life ---------------------------------------------------------------------------------------------

    def __enter__(self) -> Gateway:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self.process is not None and self.process.poll() is None:
            self.kill9() if kind is not None else self.stop()

    def init(self) -> None:
        """Make the store, and write the configuration; a store that is there keeps its data."""
        if not self.layout.mark.exists():
            self.layout.data_dir.mkdir(parents=True, exist_ok=True)
            self.write_config()
            asyncio.run(init_store(self.layout, self.origin, self.name, ACTOR))

    def write_config(self) -> None:
        """Write `config` for the next start."""
        lines = ["format = 1"]
        for table, values in self.config.items():
            lines += [f"[{table}]", *(f"{key} = {_toml(value)}" for key, value in values.items())]
        self.layout.config.write_text("\n".join(lines) + "\n")

    def start(self, *, wait: bool = True) -> None:
        """Start the daemon, and wait until it is ready."""
        self.init()
        self.starts += 1
        environment = {**os.environ, "PYTHONPATH": str(ROOT), **self.environment}
        # A runtime directory of the service that runs the tests is not this daemon's.
        environment.pop("RUNTIME_DIRECTORY", None)
        with self.log_path.open("ab") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "gateway", "--data-dir", str(self.layout.data_dir), "run"],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env=environment,
                # Ctrl-C in a terminal belongs to the test run; this process is ended by its id alone.
                start_new_session=True,
            )
        if wait:
            self.wait_ready()

    def wait_ready(self, timeout_s: float = READY_S) -> dict[str, Any]:
        """Wait until the control socket answers `status` of this very process; returns the status."""
        assert self.process is not None
        until = time.monotonic() + timeout_s
        while True:
            with contextlib.suppress(Unreachable):
                status = self.call("status")
                if status["pid"] == self.process.pid:
                    return status
            code = self.process.poll()
            assert code is None, f"the daemon ended with {code}:\n{self.log()[-4000:]}"
            assert time.monotonic() < until, f"the daemon is not ready:\n{self.log()[-4000:]}"
            # Polling another process: there is nothing to be told by.
            time.sleep(0.02)

    def stop(self) -> int:
        """Stop in order (SIGTERM), and return the exit code."""
        assert self.process is not None
        self.process.terminate()
        return self.process.wait(STOP_S)

    def kill9(self) -> None:
        """End it with SIGKILL, as a power cut would."""
        assert self.process is not None
        self.process.kill()
        self.process.wait(STOP_S)

    def restart(self) -> None:
        """Start again after `stop` or `kill9`, on the same ports and the same store."""
        assert self.process is None or self.process.poll() is not None, "it still runs"
        self.start()

    @property
    def log_path(self) -> Path:
        """Where its output goes."""
        return self.layout.data_dir.with_name(self.layout.data_dir.name + ".log")

    def log(self) -> str:
        """What it wrote, all starts together."""
        return self.log_path.read_text(errors="replace") if self.log_path.exists() else ""

    # ---- asking it --------------------------------------------------------------------------------------------

    @property
    def socket(self) -> Path:
        """Its control socket."""
        return self.layout.data_dir / "control.sock"

    @property
    def desk(self) -> Desk:
        """Its verbs, for asynchronous tests."""
        return Desk(self.socket)

    @property
    def way(self) -> Way:
        """The way of a device to it, by UDP."""
        return Way("127.0.0.1", self.udp_port)

    def call(self, verb: str, **args: Any) -> dict[str, Any]:
        """Ask a verb of the control socket."""
        return call(self.socket, verb, args, 30.0)

    def add_device(self, name: str = "headset") -> DeviceKey:
        """A new device and its key."""
        return of_reply(self.call("device.add", name=name))

    def open_session(
        self, devices: list[int], kinds: list[str], subject: str = "subject-1", purpose: str = "therapy"
    ) -> str:
        """Open a session; `kinds` are names. Returns its id."""
        reply = self.call("session.open", devices=devices, subject=subject, purpose=purpose, kinds=kinds)
        return str(reply["session"])

    def close_session(self, session: str, *, now: bool = False) -> str:
        """Begin to close a session; returns its state."""
        return str(self.call("session.close", session=session, now=now)["state"])

    def session_row(self, session: str) -> dict[str, Any]:
        """A session's row, closed or not."""
        rows = self.call("session.list", all=True)["sessions"]
        return next(row for row in rows if row["session"] == session)

    def until(self, holds: Any, what: str, timeout_s: float = 15.0) -> Any:
        """Ask `holds()` until it gives something true, and return that."""
        until = time.monotonic() + timeout_s
        while True:
            with contextlib.suppress(VestibuleError):
                if value := holds():
                    return value
            assert time.monotonic() < until, f"not in {timeout_s} s: {what}\n{self.log()[-2000:]}"
            time.sleep(0.05)

    # ---- reading its store, beside it or after it -------------------------------------------------------------

    def opened_parts(self, session: str) -> list[OpenedPart]:
        """All parts of a session, opened and checked down to their roots, in the order of their batches."""
        keys = load_keys(self.layout)
        with contextlib.ExitStack() as stack:
            snapshot = stack.enter_context(Snapshot(self.layout.database))
            subjects = Subjects(self.layout.subjects, keys.master, keys.old_master)
            stack.callback(subjects.close)
            vault = Vault.open(self.layout.vault, bytes.fromhex(origin_hash(keys.origin)))
            stack.callback(vault.close)
            record = snapshot.session(bytes.fromhex(session))
            assert record is not None
            key = subjects.key(record.subject)
            return [
                open_part(*vault.read_row(row), record.session, key)
                for row in snapshot.parts_of_session(record.session)
            ]

    def frames(self, session: str) -> list[Frame]:
        """All frames of a session, as they were stored."""
        return [decode_frame(frame) for part in self.opened_parts(session) for frame in part.payload.frames]

    def streams(self, session: str) -> dict[int, Stored]:
        """What a session of one device and one run holds, stream by stream."""
        found: dict[int, list[Frame]] = defaultdict(list)
        for frame in self.frames(session):
            found[frame.stream].append(frame)
        made = {}
        for stream, frames in found.items():
            frames.sort(key=lambda frame: frame.first_sample)
            numbers = [
                number
                for frame in frames
                for number in range(frame.first_sample, frame.first_sample + sample_count(frame))
            ]
            made[stream] = Stored(frames[0].kind, b"".join(frame.samples for frame in frames), numbers)
        return made


class Stored(msgspec.Struct, frozen=True):
    """One stream as it is read back.

    Args:
        kind: number of the kind.
        samples: its records, in the order of their numbers.
        numbers: of the samples, ascending; a number twice would be here twice.
    """

    kind: int
    samples: bytes
    numbers: list[int]


def _toml(value: Any) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, dict):
        return "{ " + ", ".join(f'"{key}" = {_toml(item)}' for key, item in value.items()) + " }"
    if isinstance(value, list | tuple):
        return "[" + ", ".join(_toml(item) for item in value) + "]"
    return str(value) if isinstance(value, int | float) else f'"{value}"'
