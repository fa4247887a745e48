"""Trust policies (C2SP tlog-policy): which logs, which witnesses, and how many of them are enough.

Guards the rule of quorums: each witness counts in one way only, a key counts once whatever it is called, and a policy
that is not understood to its last word is refused.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass

from gateway.errors import LocalError, ProofError, SignatureError
from gateway.tlog.checkpoint import Checkpoint, parse_checkpoint
from gateway.tlog.note import COSIGNATURE, KNOWN_TYPES, Note, VerifierKey, parse_vkey, verify_note
from gateway.tlog.text import decode_decimal

MAX_POLICY_BYTES = 64 * 1024  # ours
MAX_DEFINITIONS = 256  # ours, for logs, witnesses and groups each; tlog-policy asks for 32 at least
ML_DSA_44 = 0x06  # tlog-cosignature v1.1.0; may be named in a policy, is not counted yet
NO_QUORUM = "none"
_WHITESPACE = re.compile(r"[ \t]+")


@dataclass(frozen=True, slots=True)
class Party:
    """A log or a witness."""

    vkey: VerifierKey
    url: str
    """Empty where the policy gives none."""


@dataclass(frozen=True, slots=True)
class Group:
    """Witnesses at least `threshold` of the members that have themselves witnessed."""

    threshold: int
    members: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class PolicyReport:
    """What a policy says about one checkpoint."""

    checkpoint: Checkpoint
    log: VerifierKey | None
    """Key of a listed log whose name is the origin and which signed; None where the policy lists no log."""
    witnesses: tuple[str, ...]
    """Names, as in the policy, of the witnesses that cosigned."""
    satisfied: bool


@dataclass(frozen=True, slots=True)
class Policy:
    """A parsed policy."""

    logs: tuple[Party, ...]
    witnesses: dict[str, Party]
    """By their names in the policy."""
    groups: dict[str, Group]
    quorum: str
    """Name of a witness or a group, or `none`."""

    def report(self, note: Note) -> PolicyReport:
        """Judge a checkpoint note.

        A policy that lists no log leaves it to the caller to know the log's key.

        Raises:
            ProofError: `checkpoint`.
            SignatureError: `note_signature`, a listed key's signature fails.
        """
        checkpoint = parse_checkpoint(note.text)
        keys = [log.vkey for log in self.logs] + [witness.vkey for witness in self.witnesses.values()]
        signers = _signers(note, keys)
        log = next(
            (
                party.vkey
                for party in self.logs
                if party.vkey in signers and party.vkey.name == checkpoint.origin
            ),
            None,
        )
        known = log is not None or not self.logs
        names = tuple(name for name, witness in self.witnesses.items() if witness.vkey in signers)
        return PolicyReport(checkpoint, log, names, self.enough(names) and known)

    def enough(self, witnessed: Iterable[str]) -> bool:
        """Tell whether these witnesses, named as in the policy, are a quorum."""
        reached = set(witnessed)
        for name, group in self.groups.items():  # in the order of definition: members come before their group
            if len(reached.intersection(group.members)) >= group.threshold:
                reached.add(name)
        return self.quorum == NO_QUORUM or self.quorum in reached

    def satisfied(self, note: Note) -> bool:
        """Tell whether a checkpoint note is valid under this policy; a note that does not verify is not."""
        try:
            return self.report(note).satisfied
        except (ProofError, SignatureError):
            return False


def quorum_size(n_witnesses: int, n_faulty: int) -> int:
    """Cosignatures needed so that two conflicting heads cannot both have them: floor((n + f) / 2) + 1.

    Args:
        n_witnesses: all witnesses of the roster.
        n_faulty: how many may be malicious, below `n_witnesses`.

    Raises:
        LocalError: `quorum`.
    """
    if not 0 <= n_faulty < n_witnesses:
        raise LocalError("quorum", "fewer witnesses may be faulty than there are")
    return (n_witnesses + n_faulty) // 2 + 1


def parse_policy(data: bytes) -> Policy:
    """Read a policy file.

    Args:
        data: octets of the file; names are opaque octets, kept as `surrogateescape` text.

    Raises:
        ProofError: `policy`; the message names the line.
    """
    if len(data) > MAX_POLICY_BYTES:
        raise ProofError("policy", f"a policy has at most {MAX_POLICY_BYTES} bytes")
    if any((octet < 32 and octet not in b"\t\n") or octet == 127 for octet in data):
        raise ProofError("policy", "a policy has a control character")
    if data and not data.endswith(b"\n"):
        raise ProofError("policy", "the last line of a policy has no line end")
    reading = _Reading()
    for number, line in enumerate(data.decode("utf-8", "surrogateescape").split("\n"), 1):
        words = [word for word in _WHITESPACE.split(line) if word]
        if words and not words[0].startswith("#"):
            try:
                reading.line(words)
            except ProofError as error:
                raise ProofError("policy", f"policy line {number}: {error}") from None
    return reading.policy()


def _signers(note: Note, keys: list[VerifierKey]) -> list[VerifierKey]:
    try:
        return verify_note(note, keys)
    except SignatureError as error:
        if error.code != "note_unknown":
            raise
        return []  # no listed key signed; whether that is enough is the quorum's to say


class _Reading:
    """State while a policy is read line by line."""

    def __init__(self) -> None:
        self.logs: list[Party] = []
        self.witnesses: dict[str, Party] = {}
        self.groups: dict[str, Group] = {}
        self.quorum = ""
        self.members: set[str] = set()

    def line(self, words: list[str]) -> None:
        match words:
            case ["log", vkey, *url] if len(url) <= 1:
                self.log(parse_vkey(vkey), "".join(url))
            case ["witness", name, vkey, *url] if len(url) <= 1:
                self.witness(name, parse_vkey(vkey), "".join(url))
            case ["group", name, threshold, *members] if members:
                self.group(name, threshold, members)
            case ["quorum", name]:
                if self.quorum:
                    raise ProofError("policy", "there is more than one quorum")
                if name != NO_QUORUM:
                    self.defined(name)
                self.quorum = name
            case _:
                raise ProofError("policy", "neither a log, a witness, a group nor a quorum")

    def log(self, vkey: VerifierKey, url: str) -> None:
        if vkey.sig_type not in (*KNOWN_TYPES, ML_DSA_44):
            raise ProofError("policy", "a log's key has a signature type that is not one for logs")
        self.unique(vkey, self.logs)
        self.logs.append(Party(vkey, url))

    def witness(self, name: str, vkey: VerifierKey, url: str) -> None:
        if vkey.sig_type not in (COSIGNATURE, ML_DSA_44):
            raise ProofError("policy", "a witness' key has a signature type that is not one for cosignatures")
        self.unique(vkey, list(self.witnesses.values()))
        self.define(name)
        self.witnesses[name] = Party(vkey, url)

    def group(self, name: str, threshold: str, members: list[str]) -> None:
        for member in members:
            self.defined(member)
            if member in self.members:
                raise ProofError("policy", "a name is a member twice, so it would count twice")
            self.members.add(member)
        match threshold:
            case "all":
                count = len(members)
            case "any":
                count = 1
            case _:
                count = decode_decimal(threshold, "policy", len(members))
        if count < 1:
            raise ProofError("policy", "a group's threshold is below one")
        self.define(name)
        self.groups[name] = Group(count, tuple(members))

    def define(self, name: str) -> None:
        if name == NO_QUORUM or name in self.witnesses or name in self.groups:
            raise ProofError("policy", "a name is taken")
        if max(len(self.witnesses), len(self.groups)) >= MAX_DEFINITIONS:
            raise ProofError("policy", f"a policy has at most {MAX_DEFINITIONS} witnesses or groups")

    def defined(self, name: str) -> None:
        if name not in self.witnesses and name not in self.groups:
            raise ProofError("policy", "a name is not defined on a line before")

    def unique(self, vkey: VerifierKey, parties: list[Party]) -> None:
        if any(party.vkey.public == vkey.public for party in parties):
            raise ProofError("policy", "a public key is listed twice")
        if len(parties) >= MAX_DEFINITIONS:
            raise ProofError("policy", f"a policy has at most {MAX_DEFINITIONS} logs or witnesses")

    def policy(self) -> Policy:
        if not self.quorum:
            raise ProofError("policy", "a policy has no quorum")
        vkeys = {party.vkey for party in (*self.logs, *self.witnesses.values())}
        if len({(vkey.name, vkey.key_id) for vkey in vkeys}) < len(vkeys):
            raise ProofError("policy", "two keys share one name and one id")
        return Policy(tuple(self.logs), self.witnesses, self.groups, self.quorum)
