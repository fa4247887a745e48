"""`vestibule demo`: a clinic in a minute. A store, a daemon, headsets with people in them, and the proof of it all.

Everything is real but the people: the daemon is the one that a clinic runs, the headsets speak the device protocol over
UDP on this machine, and at the end every byte that was stored is verified as an auditor would.
"""

from __future__ import annotations

import asyncio
import os
import signal
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from gateway.app import config
from gateway.app.child import Child
from gateway.app.crew import ends_early
from gateway.app.demo_rigs import DemoRig, Sight, plans
from gateway.app.desk import Desk
from gateway.app.evidence import encode_evidence, verify_evidence
from gateway.app.init import init_store
from gateway.app.outcome import Outcome, outcome
from gateway.app.report import Report
from gateway.app.rig import Together, Way, side_by_side
from gateway.app.verify import verify_store
from gateway.errors import ConfigError
from gateway.store.keyfiles import load_keys
from gateway.store.layout import Layout, write_private
from gateway.tlog.note import ED25519, VerifierKey

ORIGIN: Final = "vestibule.example/demo"  # a name that nobody can own (RFC 2606)
NAME: Final = "demo"
PURPOSE: Final = "demonstration"
LOOPBACK: Final = '"127.0.0.1:0"'  # this machine only, and any free port
CLOSE_S: Final = 10.0
LOOK_S: Final = 0.5


@dataclass(frozen=True, slots=True)
class View:
    """What a display shows while the headsets record.

    Args:
        elapsed_s, seconds: how far it is.
        rigs: the headsets.
        status: of the daemon; empty until it was asked first.
    """

    elapsed_s: float
    seconds: float
    rigs: list[Sight]
    status: dict[str, Any]


@dataclass(frozen=True, slots=True)
class Summary:
    """What the demonstration showed.

    Args:
        data_dir: where the store is.
        rigs: the headsets at the end.
        outcome: what became of the samples.
        status: the daemon's, after the last session was closed.
        report: of the verification; raised faults never get here.
        proof: file of the proof of one sample.
        proven: session, stream and number of that sample.
        vkey: the log's verifier key.
        seconds: from the start to the end of everything.
    """

    data_dir: Path
    rigs: list[Sight]
    outcome: Outcome
    status: dict[str, Any]
    report: Report
    proof: Path
    proven: tuple[str, int, int]
    vkey: str
    seconds: float

    @property
    def closes(self) -> bool:
        """Whether every sample is accounted for, by the devices, the daemon, and the bytes on disk."""
        return self.outcome.closes and self.report.samples == self.outcome.stored


Say = Callable[[str, str], None]
"""`(step, what happened)`."""
Show = Callable[[View], None]


async def demo(data_dir: Path, rigs: int, seconds: float, say: Say, show: Show) -> Summary:
    """Give the demonstration.

    Args:
        data_dir: empty or not there yet; it is kept.
        rigs: how many headsets.
        seconds: how long they record; SIGINT ends it sooner.
        say: told of each step.
        show: called often while they record.

    Raises:
        VestibuleError: a step failed.
    """
    began_s = time.monotonic()
    layout = Layout(data_dir)
    await make_store(layout)
    say("store", f"made in {data_dir}: keys, an empty log, an empty vault")
    async with Child(layout, data_dir / "demo.log") as child:
        status = await child.ready()
        say("gateway", f"runs, UDP {status['udp']}, its log on http://{status['http']}")
        with ends_early(signal.SIGINT) as enough:
            done, sights, sessions = await _record(child.desk, status, rigs, seconds, enough, say, show)
        status = await child.desk.ask("status")
        say("sessions", "closed; all that the headsets held was delivered")
        session, stream, sample, device = _first_sample(sessions)
        answer = await child.desk.ask("prove", session=session, device=device, stream=stream, sample=sample)
    keys = load_keys(layout)
    vkey = VerifierKey.of(keys.origin, keys.log.public, ED25519).encode()
    document = encode_evidence(answer["proof"])
    proof = data_dir / "demo.proof"
    write_private(proof, document)
    verify_evidence(document, vkey)
    say(
        "proof",
        f"of sample {sample} of stream {stream}: holds, checked with nothing but the log's public key",
    )
    report = await asyncio.to_thread(verify_store, layout)
    say(
        "verified",
        f"{report.entries} log entries, {report.batches} batches, {report.frames:,} frames: all as signed",
    )
    return Summary(
        data_dir,
        sights,
        done,
        status,
        report,
        proof,
        (session, stream, sample),
        vkey,
        round(time.monotonic() - began_s, 1),
    )


async def make_store(layout: Layout) -> None:
    """Make a store whose daemon listens on this machine alone.

    Raises:
        ConfigError: `config_invalid`; StoreRefused: `store_exists`.
    """
    actor = f"uid:{os.getuid()}"
    lines = config.default_text(NAME, ORIGIN, actor).split("\n")
    text = "\n".join(f"listen = {LOOPBACK}" if line.startswith("listen = ") else line for line in lines)
    if text.count(LOOPBACK) != 3 or config.check(text, layout.config.name):
        raise ConfigError("config_invalid", "the demonstration's configuration does not hold")
    if not layout.mark.exists() and not layout.config.exists():
        layout.make_dirs()
        write_private(layout.config, text.encode())
    await init_store(layout, ORIGIN, NAME, actor)


async def _record(
    desk: Desk,
    status: dict[str, Any],
    count: int,
    seconds: float,
    enough: asyncio.Event,
    say: Say,
    show: Show,
) -> tuple[Outcome, list[Sight], list[dict[str, Any]]]:
    host, _, port = str(status["udp"]).rpartition(":")
    way = Way(host, int(port))
    made: list[DemoRig] = []
    sessions: list[str] = []
    for index, plan in enumerate(plans(count)):
        key = await desk.add_device(plan.name)
        sessions.append(await desk.open_session([key.device], plan.subject, PURPOSE, plan.allowed))
        made.append(DemoRig(index, plan, key, way))
    say("sessions", f"open for {count} of {count} headsets: head, two controllers, eyes, haptics")
    for rig in made:
        if rig.plan.sends_all:
            say(
                "consent",
                f"{rig.plan.subject} does not allow eye tracking. For this demonstration {rig.plan.name} sends it "
                "all the same, so that you see the gateway refuse it",
            )
    began_s = time.monotonic()
    async with Together([rig.rig.driver for rig in made]):
        watch = asyncio.create_task(_watch(desk, made, began_s, seconds, show), name="watch")
        try:
            await side_by_side(rig.record(seconds, enough) for rig in made)
        finally:
            watch.cancel()
    took_s = time.monotonic() - began_s
    rows = [await desk.close_session(session, CLOSE_S) for session in sessions]
    streams = [stream for row in rows for stream in row["streams"]]
    sights = [rig.sight for rig in made]
    show(View(took_s, seconds, sights, await desk.ask("status")))
    return outcome([rig.rig for rig in made], streams, took_s, sessions), sights, rows


async def _watch(desk: Desk, rigs: list[DemoRig], began_s: float, seconds: float, show: Show) -> None:
    while True:
        status = await desk.ask("status")
        show(View(time.monotonic() - began_s, seconds, [rig.sight for rig in rigs], status))
        await asyncio.sleep(LOOK_S)


def _first_sample(sessions: list[dict[str, Any]]) -> tuple[str, int, int, int]:
    """A stored sample from the middle of the first stream: session, stream, sample, device."""
    row = sessions[0]
    stream = next(stream for stream in row["streams"] if stream["stored"])
    return row["session"], stream["stream"], stream["total"] // 2, stream["device"]
