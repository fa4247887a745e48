"""One engine under test: a process that uses the plugin as an app does, and takes orders over TCP.

It connects to a port of ours and speaks one JSON object a line, both ways: orders `{"id", "do", ...}`, answers
`{"id", "ok", ...}`, and events that nobody asked for `{"event": ...}`. Whatever goes wrong is told with the last lines
of the engine's own output.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from engines.engines import csharp, errors_of_godot, godot, godot_project
from paths import ROOT

ENGINES = ("godot", "coreclr", "mono")
"""The engines that the plugins run in."""
ALL = ("python", *ENGINES)
"""Those, and the reference device in Python, which the tests themselves are proven with."""

HERE = Path(__file__).parent
CORE = ROOT / "plugins" / "unity" / "com.vestibule.telemetry" / "Runtime" / "Core"
PURE = CORE.parent / "Unity" / "Pure"
"""The part of the adapter that knows no engine: it runs here as it does in Unity."""
CONNECT_S = 60.0  # on two busy cores, a cold start of an engine among others
ANSWER_S = 20.0
QUIT_S = 20.0
POLL_S = 0.05
STATUS_AGE_S = (
    0.6  # figures of a plugin are a quarter of a second old at most; a frame and a busy core besides
)

Json = dict[str, Any]


class Rig:
    """An engine at work. Use it in a `with` block: what it printed is judged at the end.

    Args:
        engine: one of `ALL`.
        folder: of its own: private storage, output, the engine's settings.
        options: further options of `make`.
    """

    def __init__(self, engine: str, folder: Path) -> None:
        self.engine = engine
        self.folder = folder
        self.dir = folder / "private"
        self.watch = folder / "watched"
        for made in (self.dir, self.watch, folder / "home"):
            made.mkdir(parents=True, exist_ok=True)
        self.starts = 0
        self.process: subprocess.Popen[bytes] | None = None
        self.events: list[Json] = []
        self._answers: dict[int, Json] = {}
        self._ids = 0
        self._changed = threading.Condition()
        self._connection: socket.socket | None = None
        self._reader: threading.Thread | None = None
        self._broken = ""

    # ---- its life ----------------------------------------------------------------------------------------------

    def __enter__(self) -> Rig:
        self.launch()
        return self

    def __exit__(self, kind: type[BaseException] | None, *rest: object) -> None:
        if self.process is None:
            return
        if kind is not None:
            self.kill9()
            return
        self.quit()
        self.judge_output()

    def launch(self) -> None:
        """Start the process, and wait until it takes orders."""
        assert self.process is None or self.process.poll() is not None, f"{self.engine} still runs"
        home = str(self.folder / "home")
        environment = {**os.environ, "HOME": home, "PYTHONPATH": f"{ROOT}:{ROOT / 'tests'}"}
        for name in ("DATA", "CONFIG", "CACHE", "STATE"):
            environment[f"XDG_{name}_HOME"] = home
        with socket.create_server(("127.0.0.1", 0)) as listening:
            listening.settimeout(0.2)
            command = command_of(self.engine, listening.getsockname()[1])
            self.starts += 1
            self._broken = ""
            with self.output_path.open("ab") as output:
                self.process = subprocess.Popen(
                    command,
                    stdin=subprocess.DEVNULL,
                    stdout=output,
                    stderr=output,
                    env=environment,
                    # Ctrl-C in a terminal belongs to the test run; this process is ended by its id alone.
                    start_new_session=True,
                )
            until = time.monotonic() + CONNECT_S
            while True:
                with contextlib.suppress(TimeoutError):
                    connection, _ = listening.accept()
                    break
                assert self.process.poll() is None, self._with_output(
                    f"{self.engine} ended with {self.process.returncode} before it took orders"
                )
                if time.monotonic() > until:
                    self.kill9()
                    raise AssertionError(
                        self._with_output(f"{self.engine} did not connect in {CONNECT_S:.0f} s")
                    )
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        connection.settimeout(None)
        self._connection = connection
        self._reader = threading.Thread(
            target=self._read, args=(connection,), daemon=True, name=f"rig-{self.engine}"
        )
        self._reader.start()

    def quit(self) -> None:
        """Let it leave in order."""
        assert self.process is not None
        if self.process.poll() is None:
            with contextlib.suppress(OSError):
                self._write({"id": self._next(), "do": "quit"})
            try:
                self.process.wait(QUIT_S)
            except subprocess.TimeoutExpired:
                self.kill9()
                raise AssertionError(
                    self._with_output(f"{self.engine} did not leave in {QUIT_S:.0f} s")
                ) from None
            assert self.process.returncode == 0, self._with_output(
                f"{self.engine} left with {self.process.returncode}"
            )
        self._close()

    def kill9(self) -> None:
        """End it with SIGKILL, as the system of a headset does with an app it needs the memory of."""
        assert self.process is not None
        with contextlib.suppress(ProcessLookupError):
            os.kill(self.process.pid, signal.SIGKILL)
        self.process.wait(QUIT_S)
        self._close()

    def _close(self) -> None:
        if self._connection is not None:
            with contextlib.suppress(OSError):
                self._connection.shutdown(socket.SHUT_RDWR)
            self._connection.close()
            self._connection = None
        if self._reader is not None:
            self._reader.join(QUIT_S)
            self._reader = None

    # ---- orders and answers --------------------------------------------------------------------------------------

    def ask(self, do: str, timeout_s: float = ANSWER_S, **args: Any) -> Json:
        """Give an order and wait for its answer.

        Raises:
            AssertionError: it was refused, or no answer came.
        """
        answer = self.ask_anyhow(do, timeout_s, **args)
        assert answer["ok"], self._with_output(f"{self.engine} refused {do}: {answer.get('error')}")
        return answer

    def ask_anyhow(self, do: str, timeout_s: float = ANSWER_S, **args: Any) -> Json:
        """Give an order and wait for its answer, also one that says no."""
        number = self._next()
        self._write({"id": number, "do": do, **args})
        return self._wait(lambda: self._answers.pop(number, None), f"an answer to {do}", timeout_s)

    def make(self, host: str, port: int, fps: int = 90, watch: bool = False, **options: Any) -> None:
        """Make the plugin object; its identity is what lies in `dir`."""
        self.ask(
            "make",
            dir=str(self.dir),
            watch=str(self.watch) if watch else "",
            host=host,
            port=port,
            fps=fps,
            options=options,
        )

    def give_identity(self, key: Json, host: str, port: int) -> None:
        """Write the identity file as if the device had paired: a key file, and where the gateway is."""
        identity = {**key, "host": host, "port": port}
        path = self.dir / "identity.json"
        path.write_text(json.dumps(identity))
        path.chmod(0o600)

    def status(self) -> Json:
        """What the plugin tells of itself, with whole numbers as such."""
        return {name: _numbers(value) for name, value in self.ask("status").items()}

    def until(self, holds: Callable[[Json], Any], what: str, timeout_s: float = 20.0) -> Json:
        """Ask for the status until something holds, and return it."""
        until = time.monotonic() + timeout_s
        while True:
            status = self.status()
            if holds(status):
                return status
            assert time.monotonic() < until, self._with_output(
                f"{self.engine}: not in {timeout_s:.0f} s: {what}; status {json.dumps(status)}"
            )
            # Polling another process: there is nothing to be told by.
            time.sleep(POLL_S)

    def recording(self, timeout_s: float = 20.0) -> Json:
        """Wait until it records, and its figures (a little older than its state) say so."""
        return self.until(
            lambda status: status["state"] == "recording" and status.get("link"), "it records", timeout_s
        )

    def drained(self, timeout_s: float = 20.0) -> Json:
        """Wait until everything that was captured has its receipt, and the figures tell so for longer than they age."""
        since: list[float] = []

        def holds(status: Json) -> bool:
            if status["held_packets"] or status["unsealed"]:
                since.clear()
            since.append(time.monotonic())
            return since[-1] - since[0] > STATUS_AGE_S

        return self.until(holds, "everything has its receipt", timeout_s)

    def event(self, kind: str, after: int = 0, timeout_s: float = 20.0, **fields: Any) -> Json:
        """Wait for an event.

        Args:
            kind: its word.
            after: how many of `events` are passed over.
            timeout_s: longest wait.
            fields: what must stand in it.
        """

        def find() -> Json | None:
            for event in self.events[after:]:
                if event["event"] == kind and all(event.get(name) == value for name, value in fields.items()):
                    return event
            return None

        return self._wait(find, f"the event {kind} {fields or ''}", timeout_s)

    def play(self, tape: Path, speed: float = 0, timeout_s: float = 60.0) -> int:
        """Play a tape to its end; returns how many samples it was."""
        seen = len(self.events)
        self.ask("clock", mode="tape")
        self.ask("tape", path=str(tape), speed=speed)
        return int(self.event("tape", seen, timeout_s, done=True)["samples"])

    def _next(self) -> int:
        self._ids += 1
        return self._ids

    def _write(self, order: Json) -> None:
        assert self._connection is not None, self._with_output(f"{self.engine} is not connected")
        self._connection.sendall(json.dumps(order).encode() + b"\n")

    def _read(self, connection: socket.socket) -> None:
        try:
            with connection.makefile("rb") as lines:
                for line in lines:
                    said = json.loads(line, strict=False)  # Godot writes control characters as they are
                    with self._changed:
                        if "event" in said:
                            self.events.append(said)
                        else:
                            self._answers[int(said["id"])] = said
                        self._changed.notify_all()
        except (OSError, ValueError) as error:
            self._broken = f" ({error})"
        with self._changed:
            self._broken = f"the connection ended{self._broken}"
            self._changed.notify_all()

    def _wait(self, find: Callable[[], Any], what: str, timeout_s: float) -> Any:
        until = time.monotonic() + timeout_s
        with self._changed:
            while (found := find()) is None:
                left = until - time.monotonic()
                assert not self._broken, self._with_output(
                    f"{self.engine}: {self._broken}; waited for {what}"
                )
                assert left > 0, self._with_output(
                    f"{self.engine}: {what} did not come in {timeout_s:.0f} s; events {self.events[-5:]}"
                )
                self._changed.wait(left)
        return found

    # ---- what it costs, what it printed -------------------------------------------------------------------------

    @property
    def rss_bytes(self) -> int:
        """Resident memory of the process."""
        return _proc(self.process, "VmRSS") * 1024

    @property
    def threads(self) -> int:
        """Threads of the process."""
        return _proc(self.process, "Threads")

    @property
    def output_path(self) -> Path:
        """Where its output goes."""
        return self.folder / f"{self.engine}.out"

    @property
    def output(self) -> str:
        """What it printed, all starts together."""
        return self.output_path.read_text(errors="replace") if self.output_path.exists() else ""

    def judge_output(self) -> None:
        """Fail where the engine told of an error that the plugin should have caught."""
        output = self.output
        bad = errors_of_godot(output) if self.engine == "godot" else ""
        if self.engine in ("coreclr", "mono"):
            bad = "\n".join(line for line in output.splitlines() if "Exception" in line)
        assert not bad, f"{self.engine} told of errors:\n{bad}"

    def _with_output(self, what: str) -> str:
        return f"{what}\n--- last output of {self.engine} ---\n{self.output[-3000:]}"


@contextlib.contextmanager
def rig(engine: str, folder: Path) -> Iterator[Rig]:
    """An engine, launched, at the end of the block ended."""
    with Rig(engine, folder / engine) as made:
        yield made


def command_of(engine: str, port: int) -> list[str | Path]:
    """How a rig is started."""
    if engine == "python":
        return [sys.executable, HERE / "python_rig.py", str(port)]
    if engine == "godot":
        return [godot(), "--headless", "--path", godot_rig(), *_scene(), "--", str(port)]
    wrapper = csharp().coreclr if engine == "coreclr" else csharp().mono
    return [wrapper, csharp_rig(), str(port)]


def godot_rig() -> Path:
    """The Godot project of the rig: the addon and its sample, and the rig beside them."""
    return godot_project("godot-rig", {".": ROOT / "plugins" / "godot", _rig_place(): HERE / "godot" / "rig"})


def _rig_place() -> str:
    return "./" if (HERE / "godot" / "rig" / "project.godot").exists() else "tests_rig"


def _scene() -> list[str]:
    return [] if _rig_place() == "./" else ["--scene", "res://tests_rig/rig.tscn"]


def csharp_rig() -> Path:
    """The rig in C#, compiled against the plugin's Core, with the engine-free part of its adapter."""
    core = csharp().compile("library", "Vestibule.Core.dll", [CORE])
    return csharp().compile("exe", "rig.exe", [HERE / "csharp" / "rig", PURE], [core])


def _numbers(value: Any) -> Any:
    """64-bit integers travel as decimal strings; here they are numbers again."""
    if isinstance(value, str) and value.lstrip("-").isdigit():
        return int(value)
    if isinstance(value, float) and value.is_integer():
        return int(value)
    if isinstance(value, dict):
        return {key: _numbers(item) for key, item in value.items()}
    return [_numbers(item) for item in value] if isinstance(value, list) else value


def _proc(process: subprocess.Popen[bytes] | None, field: str) -> int:
    assert process is not None
    for line in Path(f"/proc/{process.pid}/status").read_text().splitlines():
        if line.startswith(f"{field}:"):
            return int(line.split()[1])
    raise AssertionError(f"no {field} of {process.pid}")
