"""The verbs of the control socket: what people ask of a running daemon, carried out in the spine's task.

Whatever changes something goes through `Spine.ask`, so that there is one writer, and is answered after its commit.
"""

from __future__ import annotations

import asyncio
import base64
import contextlib
import os
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any, Final, TypeVar

from gateway import __version__, events
from gateway.app import status
from gateway.app.house import House
from gateway.app.prove import prove
from gateway.app.spine import Spine
from gateway.app.startup import Store
from gateway.core.handshake import MAX_PAIRINGS
from gateway.core.records import Device, Pairing, Session
from gateway.core.sessions import Opening
from gateway.errors import Denied, LocalError, StoreError
from gateway.ids import DeviceId, SubjectRef
from gateway.keys.link import CODE_CHARACTERS
from gateway.net.control import Caller
from gateway.rights.door import Door
from gateway.tlog.text import encode_base64
from gateway.wire import kinds
from gateway.wire.control import MAX_NAME_BYTES

Args = dict[str, Any]
T = TypeVar("T")

MAX_PSEUDONYM_BYTES: Final = 128
ERASED: Final = "(erased)"


@dataclass(slots=True)
class Reach:
    """Where headsets and people reach this daemon, for `pair` and `status`."""

    udp_host: str
    udp_port: int
    http: str
    pairing_s: int
    started_ms: int


class Verbs:
    """Answers requests.

    Args:
        spine, house, store: the running daemon.
        door: `decide`.
        reach: addresses.
        edges: figures that only the edges know, for `status`.
        stop: begins an orderly stop.
    """

    def __init__(
        self,
        spine: Spine,
        house: House,
        store: Store,
        door: Door,
        reach: Reach,
        edges: Callable[[], Args],
        stop: Callable[[], None],
    ) -> None:
        self._spine = spine
        self._house = house
        self._store = store
        self._door = door
        self._reach = reach
        self._edges = edges
        self._stop = stop
        self._paired = asyncio.Event()
        house.on_pairings = self._pairings_changed
        self._verbs: dict[str, Callable[[Args, Caller], Awaitable[Args]]] = {
            "status": self._status,
            "pair": self._pair,
            "pair.wait": self._pair_wait,
            "device.add": self._device_add,
            "device.list": self._device_list,
            "device.rotate": self._device_rotate,
            "device.revoke": self._device_revoke,
            "session.open": self._session_open,
            "session.close": self._session_close,
            "session.list": self._session_list,
            "prove": self._prove,
            "stop": self._stop_daemon,
        }

    async def handle(self, verb: str, args: Args, caller: Caller) -> Args:
        """Answer one request.

        Raises:
            VestibuleError: what was wrong, and the next step.
        """
        known = self._verbs.get(verb)
        if known is None:
            raise LocalError(
                "verb", f"the daemon does not know the verb {verb!r}", "Is it older than this command?"
            )
        try:
            return await known(args, caller)
        except StoreError as error:
            if error.fatal:
                # A subject's key that may not be durable must not be used: a start reads again what there is.
                self._spine.fail(error)
            raise

    # ---- status -----------------------------------------------------------------------------------------------

    async def _status(self, args: Args, caller: Caller) -> Args:
        house = self._house
        now_ns = time.monotonic_ns()
        return {
            "version": __version__,
            "gateway": house.registry.names.gateway,
            "origin": house.ledger.origin,
            "did": house.ledger.gateway,
            "pid": os.getpid(),
            "boot": house.boot,
            "started_ms": self._reach.started_ms,
            "held": house.held,
            "ready": not house.held,
            "log": {
                "size": house.ledger.size,
                "root": encode_base64(house.ledger.root),
                "commit_age_ms": (now_ns - house.last_commit_ns) // 1_000_000,
            },
            **status.sums(house),
            "devices": status.devices(house),
            "sessions": await self._session_rows(),
            "udp": f"{self._reach.udp_host}:{self._reach.udp_port}",
            "http": self._reach.http,
            **self._edges(),
        }

    # ---- pairing and devices ----------------------------------------------------------------------------------

    async def _pair(self, args: Args, caller: Caller) -> Args:
        name = _text(args, "name", MAX_NAME_BYTES, default="")
        registry = self._house.registry

        def work(now_ns: int, now_ms: int) -> Pairing:
            if sum(not pairing.spent_by for pairing in registry.pairings) >= MAX_PAIRINGS:
                raise LocalError(
                    "pair", f"{MAX_PAIRINGS} codes are on offer already", "Wait until they expire."
                )
            code = base64.b32encode(registry.random(17)).decode()[:CODE_CHARACTERS]
            pairing = Pairing(code, now_ms + self._reach.pairing_s * 1000, name=name)
            registry.pairings.append(pairing)
            registry.staged.pairings.append(pairing)
            return pairing

        pairing = await self._spine.ask(work)
        host, port = status.host_for_headsets(self._reach.udp_host), self._reach.udp_port
        return {
            "code": pairing.code,
            "expires_ms": pairing.expires_ms,
            "host": host,
            "port": port,
            "home": registry.names.home,
            "uri": f"vestibule://{f'[{host}]' if ':' in host else host}:{port}/{pairing.code}",
        }

    async def _pair_wait(self, args: Args, caller: Caller) -> Args:
        code = _text(args, "code", CODE_CHARACTERS)
        registry = self._house.registry
        for pairing in registry.pairings:
            if pairing.code == code:
                break
        else:
            raise LocalError("pair", "this code is not on offer", "Make one with `vestibule pair`.")
        while True:
            # Taken before the question, so that no answer falls between the two.
            changed = self._paired
            number, now_ms = await self._spine.ask(lambda _, now_ms: (registry.paired.get(code), now_ms))
            if number is not None:
                return {"device": number, "name": registry.devices[number].name}
            if pairing.spent_by and code not in registry.paired:
                raise LocalError(
                    "pair", "this code was used before a restart", "See `vestibule device list`."
                )
            left_s = (pairing.expires_ms - now_ms) / 1000
            if left_s <= 0:
                raise LocalError(
                    "pair", "nobody used the code in time", "Make another with `vestibule pair`."
                )
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(changed.wait(), left_s)

    def _pairings_changed(self) -> None:
        """Codes were offered or spent, and that is durable: whoever waits for one looks again."""
        self._paired.set()
        self._paired = asyncio.Event()

    def _device(self, args: Args) -> Device:
        number = args.get("device")
        device = self._house.registry.devices.get(DeviceId(number)) if isinstance(number, int) else None
        if device is None:
            raise LocalError("device", f"there is no device {number}", "See `vestibule device list`.")
        return device

    async def _device_add(self, args: Args, caller: Caller) -> Args:
        name = _text(args, "name", MAX_NAME_BYTES)
        registry = self._house.registry

        def work(now_ns: int, now_ms: int) -> Device:
            device = Device(DeviceId(registry.next_device), name, registry.random(32), "active", now_ms)
            registry.add_device(device)
            return device

        device = await self._spine.ask(work)
        self._house.observer.emit(events.DevicePaired())
        return self._key_file(device, device.key)

    def _key_file(self, device: Device, key: bytes) -> Args:
        return {
            "device": device.device,
            "name": device.name,
            "key": key.hex(),
            "home": self._house.registry.names.home,
            # The counter goes on over a change of the key: a HELLO below it would be taken for a replay.
            "hello_seq": device.hello_seq,
        }

    async def _device_list(self, args: Args, caller: Caller) -> Args:
        return {"devices": status.devices(self._house)}

    async def _device_rotate(self, args: Args, caller: Caller) -> Args:
        registry = self._house.registry

        def work(now_ns: int, now_ms: int) -> Device:
            device = self._device(args)
            if device.state != "active":
                raise LocalError("device", f"device {device.device} is revoked", "Pair it again.")
            device.next_key = registry.random(32)
            registry.staged_device(device)
            return device

        device = await self._spine.ask(work)
        return self._key_file(device, device.next_key)

    async def _device_revoke(self, args: Args, caller: Caller) -> Args:
        def work(now_ns: int, now_ms: int) -> Device:
            device = self._device(args)
            self._house.registry.revoke(device)
            return device

        return {"device": (await self._spine.ask(work)).device}

    # ---- sessions ---------------------------------------------------------------------------------------------

    async def _session_open(self, args: Args, caller: Caller) -> Args:
        names = args.get("kinds", [])
        unknown = [name for name in names if name not in kinds.KIND_BY_NAME]
        if unknown or not isinstance(names, list):
            raise LocalError(
                "session", f"unknown kind {unknown[:1]}", f"Known kinds: {', '.join(kinds.KIND_BY_NAME)}."
            )
        pseudonym = _text(args, "subject", MAX_PSEUDONYM_BYTES)
        asked = Opening(
            devices=tuple(DeviceId(number) for number in args.get("devices", []) if isinstance(number, int)),
            subject=SubjectRef(b""),
            pseudonym=pseudonym,
            purpose=_text(args, "purpose", 128),
            kinds=tuple(kinds.KIND_BY_NAME[name].number for name in names),
            actor=caller.names[0],
        )
        # Whether it can be opened is asked first, so that no subject key is made for nothing.
        self._house.sessions.check(asked)
        subject = await asyncio.to_thread(self._subject, pseudonym)

        def work(now_ns: int, now_ms: int) -> Session:
            opening = Opening(asked.devices, subject, pseudonym, asked.purpose, asked.kinds, asked.actor)
            session, effects = self._house.sessions.open(opening, now_ns, now_ms)
            self._house.recording.changed()
            self._spine.enter([], effects)
            return session

        session = await self._spine.ask(work)
        self._house.observer.emit(events.SessionOpened())
        return {"session": session.session.hex(), "commitment": session.commitment.hex()}

    def _subject(self, pseudonym: str) -> SubjectRef:
        """The subject's reference; a new subject's key is durable before it is used."""
        subjects = self._store.subjects
        ref = subjects.find(pseudonym)
        if ref is None:
            ref = SubjectRef(self._house.registry.random(16))
            subjects.create(ref, pseudonym, self._house.registry.random(32))
        return ref

    async def _session_close(self, args: Args, caller: Caller) -> Args:
        wanted = _text(args, "session", 32)

        def work(now_ns: int, now_ms: int) -> Session:
            found = [
                session
                for session in self._house.registry.sessions.values()
                if session.session.hex().startswith(wanted)
            ]
            if len(found) != 1:
                raise LocalError(
                    "session",
                    f"{len(found) or 'no'} open sessions begin with {wanted}",
                    "See `vestibule session list`.",
                )
            at_once = bool(args.get("now"))
            effects = self._house.sessions.close(found[0], caller.names[0], "closed", at_once, now_ns, now_ms)
            self._house.recording.changed()
            self._spine.enter([], effects)
            return found[0]

        session = await self._spine.ask(work)
        self._house.observer.emit(events.SessionDraining())
        return {"session": session.session.hex(), "state": session.state}

    async def _session_list(self, args: Args, caller: Caller) -> Args:
        rows = await self._session_rows()
        if args.get("all"):
            here = {row["session"] for row in rows}
            for session in await self._store.db.session_rows(all=True):
                if session.session.hex() not in here:
                    rows.append(await self._session_row(session))
        return {"sessions": sorted(rows, key=lambda row: row["opened_ms"])}

    async def _session_rows(self) -> list[Args]:
        return [await self._session_row(session) for session in list(self._house.registry.sessions.values())]

    async def _session_row(self, session: Session) -> Args:
        # From the disk: `stored` says what is durable, and nothing that a commit has still to make so.
        streams = await self._store.db.streams_of(session.session)
        return status.session(session, streams, self._pseudonym(session.subject))

    def _pseudonym(self, subject: SubjectRef) -> str:
        try:
            return self._store.subjects.pseudonym(subject)
        except Denied:
            # The session stays in the log and in the sums; whose it was is gone with the subject's key.
            return ERASED

    # ---- release ----------------------------------------------------------------------------------------------

    async def _prove(self, args: Args, caller: Caller) -> Args:
        return {"proof": await prove(args, caller, self._spine, self._house, self._store, self._door)}

    async def _stop_daemon(self, args: Args, caller: Caller) -> Args:
        self._stop()
        return {}


def _text(args: Args, name: str, most: int, default: str | None = None) -> str:
    value = args.get(name, default)
    if not isinstance(value, str) or len(value.encode()) > most or (not value and default is None):
        raise LocalError("argument", f"{name} is a text of 1 to {most} bytes", "See --help.")
    return value
