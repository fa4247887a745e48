"""Opening, draining and closing sessions (VT1, "Links"; docs/store-format.md, "Entries").

A session is named in the log by a commitment only; the text behind it is sealed under the subject's key. Closing tells
the links to stop and lets what was captured before still come in; the session is closed when every BYE is covered. A
withdrawal waits for nobody: from then on nothing more is stored, also of what was taken in and is not sealed yet.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

import msgspec

from gateway.core import commands
from gateway.core.batcher import Batcher
from gateway.core.effects import Effect
from gateway.core.records import SESSION_OVER, Session, Text
from gateway.core.registry import Registry
from gateway.entries.envelope import Body, b64u, object_hash
from gateway.entries.types import OBJECT_BYTES, SALT_BYTES, SessionEvent, commitment, session_body
from gateway.errors import LocalError
from gateway.ids import DeviceId, SessionId, SubjectRef
from gateway.keys.seal import hkdf, seal
from gateway.wire import kinds

SESSION_ID_BYTES: Final = 16
MAX_DEVICES: Final = 16
WITHDRAWN: Final = "withdrawn"
"""A reason to close a session, and the state in which it stays then: its person does not want it any more."""
WITHDRAWING: Final = "withdrawing"
ABOUT_DEVICE: Final = (kinds.CLOCK, kinds.INFO)
"""Permitted in every session: they tell of the device, not of the person, and without them times mean nothing."""
MAX_PURPOSE_BYTES: Final = 128


@dataclass(frozen=True, slots=True)
class Opening:
    """What `session open` asks for.

    Args:
        devices: numbers of paired devices.
        subject: reference of the subject's key.
        pseudonym: the subject's name in this clinic; stands only in the sealed text.
        purpose: why, at most 128 bytes.
        kinds: numbers of the permitted kinds.
        actor: who opens it.
    """

    devices: tuple[DeviceId, ...]
    subject: SubjectRef
    pseudonym: str
    purpose: str
    kinds: tuple[int, ...]
    actor: str


class Sessions:
    """The life of sessions, over the registry's tables.

    Args:
        registry: the tables.
        batcher: told when a session's last part is due.
        gateway: DID, for the entries.
        subject_key: a subject's key by its reference.
        forget: told which session is over, so that what others keep about it goes too.
    """

    def __init__(
        self,
        registry: Registry,
        batcher: Batcher,
        gateway: str,
        subject_key: Callable[[SubjectRef], bytes],
        forget: Callable[[SessionId], None],
    ) -> None:
        self._registry = registry
        self._batcher = batcher
        self._gateway = gateway
        self._subject_key = subject_key
        self._forget = forget
        self.bodies: list[Body] = []
        self._ended: list[Session] = []
        """Draining sessions that nothing can come for any more: the next seal closes them."""

    def check(self, asked: Opening) -> None:
        """Refuse what cannot be opened.

        Raises:
            LocalError: `session` with what is wrong and what to do.
        """
        registry = self._registry
        if not asked.devices or len(asked.devices) > MAX_DEVICES:
            raise LocalError(
                "session", f"a session names 1 to {MAX_DEVICES} devices", "Name them with --device."
            )
        for number in asked.devices:
            device = registry.devices.get(number)
            if device is None or device.state != "active":
                raise LocalError(
                    "session", f"device {number} is not paired or is revoked", "See `vestibule device list`."
                )
            if registry.session_for(number) is not None:
                raise LocalError(
                    "session",
                    f"device {number} is in an open session already",
                    "Close that one first: `vestibule session list`, `vestibule session close`.",
                )
        if not asked.kinds or any(number not in kinds.KINDS for number in asked.kinds):
            raise LocalError(
                "session", "a session permits at least one known kind", "See `--kind` in the help."
            )
        if not 0 < len(asked.purpose.encode()) <= MAX_PURPOSE_BYTES:
            raise LocalError(
                "session", f"a purpose has 1 to {MAX_PURPOSE_BYTES} bytes", "Give one with --purpose."
            )

    def open(self, asked: Opening, now_ns: int, now_ms: int) -> tuple[Session, list[Effect]]:
        """Open a session; durable with the next commit.

        Returns:
            The session, and the COMMANDs that call waiting devices; send them after the commit.
        """
        self.check(asked)
        registry = self._registry
        session_id = SessionId(registry.random(SESSION_ID_BYTES))
        permitted = tuple(sorted({*asked.kinds, *ABOUT_DEVICE}))
        text: Body = {
            "session": b64u(session_id),
            "subject": asked.pseudonym,
            "devices": list(asked.devices),
            "purpose": asked.purpose,
            "kinds": [kinds.KINDS[number].name for number in permitted],
            "opened_ms": now_ms,
            "actor": asked.actor,
        }
        commit = self._commit(asked.subject, text)
        session = Session(
            session=session_id,
            commitment=commit,
            subject=asked.subject,
            purpose=asked.purpose,
            devices=asked.devices,
            kinds=permitted,
            state="open",
            opened_ms=now_ms,
        )
        registry.sessions[session_id] = session
        self._entry(session, "open", commit, now_ms)
        effects: list[Effect] = []
        for link in registry.links_of(SessionId(b"")):
            if link.record.device in asked.devices and link.record.state == "live":
                effects += commands.send(registry, link, "open", [], now_ns)
        return session, effects

    def close(
        self, session: Session, actor: str, reason: str, at_once: bool, now_ns: int, now_ms: int
    ) -> list[Effect]:
        """Begin to close a session: no new link, devices are told to stop, what was captured before still comes.

        Args:
            session: open, or draining.
            actor: who closes it.
            reason: `closed`; or `withdrawn`, and then nothing more comes, whatever was captured before.
            at_once: do not wait for what devices still hold.

        Returns:
            COMMANDs to send after the commit.

        Raises:
            LocalError: `session`, it is closed, or its consent was withdrawn already.
        """
        withdrawn = reason == WITHDRAWN
        if session.state in SESSION_OVER or (withdrawn and session.state == WITHDRAWING):
            raise LocalError(
                "session", f"this session is {session.state} already", "See `vestibule session list --all`."
            )
        effects: list[Effect] = []
        if session.state == "open" or withdrawn:
            if session.state == "open":
                session.closed_ms = now_ms
                self._registry.closed_ns[session.session] = now_ns
            session.state = WITHDRAWING if withdrawn else "draining"
            text: Body = {
                "session": b64u(session.session),
                "actor": actor,
                "reason": reason,
                "closed_ms": now_ms,
            }
            self._entry(session, "drain", self._commit(session.subject, text), now_ms)
            for link in self._registry.links_of(session.session):
                if link.record.state == "live" and link.bye is None:
                    effects += commands.send(self._registry, link, "stop", [reason], now_ns)
        if at_once and not withdrawn:
            for link in self._registry.links_of(session.session):
                if link.record.state == "live":
                    self._registry.end(link, "ended")
        self.finish(session, now_ns, now_ms)
        return effects

    def finish_drained(self, now_ns: int, now_ms: int) -> None:
        """Close every draining session whose devices have said all."""
        for session in list(self._registry.sessions.values()):
            self.finish(session, now_ns, now_ms)

    def finish(self, session: Session, now_ns: int, now_ms: int) -> None:
        """End a draining session if nothing can come any more: its last part carries all totals, and is due now."""
        if session.state not in ("draining", WITHDRAWING) or session in self._ended:
            return
        links = self._registry.links_of(session.session)
        withdrawn = session.state == WITHDRAWING
        for link in links:
            if link.record.state == "live" and not link.unsettled and link.covered():
                self._registry.end(link, "ended")
        # After a withdrawal what was taken in is still to be refused, by the next seal; but nobody is waited for.
        if any(link.unsettled or (link.record.state == "live" and not withdrawn) for link in links):
            return
        streams = self._registry.streams_of(session.session)
        self._batcher.end(session.session, streams, now_ns, now_ms)
        self._registry.changed_streams.update({id(stream): stream for stream in streams})
        self._ended.append(session)

    def close_ended(self, now_ms: int) -> None:
        """Close the sessions whose last part is about to be sealed: no commit before that one may say so."""
        ended, self._ended = self._ended, []
        for session in ended:
            withdrawn = session.state == WITHDRAWING
            session.state = WITHDRAWN if withdrawn else "closed"
            if withdrawn:
                self._registry.withdrawn.add(session.session)
            text: Body = {"session": b64u(session.session), "ended_ms": now_ms}
            self._entry(session, "close", self._commit(session.subject, text), now_ms)

    def drop_closed(self) -> int:
        """Forget closed sessions and their streams; call it after the commit that closed them.

        Returns:
            How many.
        """
        registry = self._registry
        closed = [
            session
            for session in registry.sessions.values()
            if session.state in SESSION_OVER and not self._batcher.holds(session.session)
        ]
        for session in closed:
            registry.forget_session(session.session)
            self._forget(session.session)
        return len(closed)

    def _entry(self, session: Session, event: SessionEvent, commit: bytes, now_ms: int) -> None:
        body = session_body(
            self._gateway,
            now_ms,
            session.commitment[:OBJECT_BYTES],
            session.seq,
            session.prev or None,
            commit,
            event,
        )
        session.seq += 1
        session.prev = object_hash(body)
        self.bodies.append(body)
        if session not in self._registry.staged.sessions:
            self._registry.staged.sessions.append(session)

    def _commit(self, subject: SubjectRef, text: Body) -> bytes:
        """Commit to a text and seal it under the subject's key; the log gets the commitment alone."""
        text_, commit = committed_text(
            self._subject_key(subject), subject, text, self._registry.random(SALT_BYTES)
        )
        self._registry.staged.texts.append(text_)
        return commit


def committed_text(subject_key: bytes, subject: SubjectRef, text: Body, salt: bytes) -> tuple[Text, bytes]:
    """A commitment, and its salt and text sealed under a key that serves this text alone.

    Args:
        subject_key: 32 bytes.
        subject: whose key it is.
        text: what stands behind the commitment.
        salt: 32 fresh random bytes.

    Returns:
        The sealed text and the commitment.
    """
    commit = commitment(salt, text)
    key = hkdf(subject_key, b"vestibule/text", salt=commit)
    sealed = seal(key, msgspec.msgpack.encode([salt, msgspec.json.encode(text)]), commit)
    return Text(commit, subject, sealed), commit
