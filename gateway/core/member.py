"""Members of a federation and witnesses outside it, and the trust policy that follows from them.

Guards the rule that the policy is derived, never written: from the same members everybody gets the same octets (C2SP
tlog-policy), and whoever holds several gateways counts as one party (docs/adr/0017). Names are short words, so that
no name can break a line of the policy or stand for another.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from gateway.errors import LocalError, ProofError, WireError
from gateway.keys.cert import check_certificate
from gateway.keys.did import parse_did_key
from gateway.tlog.checkpoint import MAX_ORIGIN_BYTES
from gateway.tlog.note import COSIGNATURE, ED25519, MAX_SIGNATURES, VerifierKey
from gateway.tlog.policy import NO_QUORUM, parse_policy, quorum_size

MAX_KEYS_EACH = 2  # old and new, while one is being rotated
MAX_URL_BYTES = 256
MAX_WITNESS_KEYS = MAX_SIGNATURES - 2  # a checkpoint that all cosigned, under two log keys, is still a note

MEMBERS, OUTSIDE, EVERYONE = "members", "outside", "everyone"
RESERVED = (MEMBERS, OUTSIDE, EVERYONE, NO_QUORUM)
"""Names of the policy's own groups, which nobody else may have."""

_NAME = re.compile(r"[a-z0-9-]{1,32}", re.ASCII)
_URL = re.compile(
    r"https?://(?:[a-z0-9.-]+|\[[0-9a-f:.]+\])(?::[0-9]{1,5})?(?:/[A-Za-z0-9._~%-]+)*", re.ASCII
)


@dataclass(frozen=True, slots=True)
class Member:
    """A gateway of the federation."""

    name: str
    """A word that people use for it; also its witness' name in the policy."""
    did: str
    """did:key of its entry key."""
    log: tuple[VerifierKey, ...]
    """One key of its log, or two of one name while it is being rotated, the older first."""
    witness: tuple[VerifierKey, ...]
    """One key of its witness, or two, the older first; both together count once."""
    url: str
    """https; where it serves its log, its mirrors, its witness and gossip. No slash at the end."""
    certs: tuple[bytes, ...]
    """One or two whole certificates, DER, of its name (`keys.cert`)."""
    group: str
    """Who runs it; members of one group are one party. Its own name where it is alone."""

    @property
    def origin(self) -> str:
        """Name of its log."""
        return self.log[0].name


@dataclass(frozen=True, slots=True)
class Outside:
    """A C2SP witness that is no member."""

    name: str
    vkey: VerifierKey
    url: str
    """Its submission prefix."""


def valid_name(name: str) -> bool:
    """Tell whether a member, a group or an outside witness may be called so."""
    return _NAME.fullmatch(name) is not None and name not in RESERVED


def valid_url(url: str, *, tls: bool = True) -> bool:
    """Tell whether this is a base URL: scheme, host in lower case, perhaps port and path, no slash at the end."""
    return len(url) <= MAX_URL_BYTES and _URL.fullmatch(url) is not None and (url[:6] == "https:" or not tls)


def member_problem(member: Member) -> str:
    """What is wrong with a member looked at alone; empty where nothing is."""
    if not valid_name(member.name) or not valid_name(member.group):
        return f"a name is 1 to 32 of a-z, 0-9 and -, and none of {', '.join(RESERVED)}"
    try:
        parse_did_key(member.did)
        for der in member.certs[:MAX_KEYS_EACH]:
            check_certificate(der, member.name)
    except WireError as error:
        return f"{member.name}: {error}"
    for keys, sig_type, of in ((member.log, ED25519, "log"), (member.witness, COSIGNATURE, "witness")):
        if not 1 <= len(keys) <= MAX_KEYS_EACH or any(key.sig_type != sig_type for key in keys):
            return f"{member.name}: a {of} has one key of type {sig_type}, or two during a rotation"
    if len({key.name for key in member.log}) > 1 or len(member.origin.encode()) > MAX_ORIGIN_BYTES:
        return f"{member.name}: the keys of a log have one name, of at most {MAX_ORIGIN_BYTES} bytes"
    if not valid_url(member.url):
        return f"{member.name}: the url is not https://HOST[:PORT][/PATH] without a slash at the end"
    if not 1 <= len(member.certs) <= MAX_KEYS_EACH:
        return f"{member.name}: one certificate is needed, or two during a rotation"
    return ""


def outside_problem(witness: Outside) -> str:
    """What is wrong with an outside witness looked at alone; empty where nothing is."""
    if not valid_name(witness.name):
        return f"a name is 1 to 32 of a-z, 0-9 and -, and none of {', '.join(RESERVED)}"
    if witness.vkey.sig_type != COSIGNATURE:
        return f"{witness.name}: the key is not one of a witness (type 4)"
    if not valid_url(witness.url, tls=False):
        return f"{witness.name}: the url is not http(s)://HOST[:PORT][/PATH] without a slash at the end"
    return ""


def twice_problem(keys: Sequence[VerifierKey], members: Sequence[Member], outside: Sequence[Outside]) -> str:
    """What stands twice in a roster whose parts are proper each; empty where nothing does."""
    names = [*(member.name for member in members), *(witness.name for witness in outside)]
    alone = {group[0] for group in parties_of(members).values() if len(group) == 1}
    groups = {member.group for member in members if member.group != member.name or member.name not in alone}
    if len(set(names)) < len(names) or groups.intersection(names):
        return "a name is taken: members, groups of several and outside witnesses all have names of their own"
    if len({member.origin for member in members}) < len(members):
        return "two members have one origin"
    witnesses = [key for member in members for key in member.witness] + [other.vkey for other in outside]
    if len(witnesses) > MAX_WITNESS_KEYS:
        return (
            f"a federation has at most {MAX_WITNESS_KEYS} witness keys, since a checkpoint must hold them all"
        )
    logs = [key for member in members for key in member.log]
    publics = [key.public for key in (*keys, *logs, *witnesses)]
    for member in members:
        publics.append(parse_did_key(member.did))
        publics += [check_certificate(der, member.name) for der in member.certs]
    if len(set(publics)) < len(publics):
        return "a key stands twice: every log, witness, entry, TLS and roster key is a key of its own"
    return ""


def parties_of(members: Sequence[Member]) -> dict[str, tuple[str, ...]]:
    """Who counts once: the group, or the member where it is alone in its group, with the members' names.

    In the order in which they come first.
    """
    groups: dict[str, list[str]] = {}
    for member in members:
        groups.setdefault(member.group, []).append(member.name)
    return {(names[0] if len(names) == 1 else group): tuple(names) for group, names in groups.items()}


def quorum_of(members: Sequence[Member], n_outside: int, faulty: int) -> int:
    """How many parties must cosign; 0 where no one but ourselves could.

    Raises:
        LocalError: `quorum`, as many parties may be faulty as there are.
    """
    n_parties = len(parties_of(members))
    quorum = quorum_size(n_parties, faulty)
    return quorum if n_parties > 1 or n_outside else 0


def derive_policy(
    members: Sequence[Member], outside: Sequence[Outside], faulty: int, outside_threshold: int
) -> str:
    """The policy (C2SP tlog-policy) that follows from a roster, octet for octet; one that can be read.

    Args:
        members: in the roster's order, at least one.
        outside: witnesses that are no members.
        faulty: how many parties may be malicious.
        outside_threshold: how many of `outside` must cosign; 0 without any.

    Raises:
        LocalError: `quorum`, `roster`, numbers that cannot be satisfied; `roster`, keys of which no policy can be
            made: two of one name and id, or a name with a control character.
    """
    text = _policy(members, outside, faulty, outside_threshold)
    try:
        parse_policy(text.encode())
    except ProofError as error:
        # A roster that counts is followed by everybody, at once and at every start: it must be one that can be.
        raise LocalError("roster", f"no policy follows from these members: {error}") from None
    return text


def _policy(
    members: Sequence[Member], outside: Sequence[Outside], faulty: int, outside_threshold: int
) -> str:
    quorum = quorum_of(members, len(outside), faulty)
    if not (1 <= outside_threshold <= len(outside) or outside_threshold == len(outside) == 0):
        raise LocalError("roster", "of the outside witnesses at least one must be enough, and at most all")
    lines = [f"log {vkey.encode()} {member.url}" for member in members for vkey in member.log]
    for member in members:
        lines += _witness_lines(member)
    if not quorum:
        return _text([*lines, f"quorum {NO_QUORUM}"])
    parties = parties_of(members)
    lines += [f"group {name} any {' '.join(names)}" for name, names in parties.items() if len(names) > 1]
    lines.append(f"group {MEMBERS} {quorum} {' '.join(parties)}")
    if not outside:
        return _text([*lines, f"quorum {MEMBERS}"])
    lines += [f"witness {witness.name} {witness.vkey.encode()} {witness.url}" for witness in outside]
    lines.append(f"group {OUTSIDE} {outside_threshold} {' '.join(witness.name for witness in outside)}")
    return _text([*lines, f"group {EVERYONE} all {MEMBERS} {OUTSIDE}", f"quorum {EVERYONE}"])


def _witness_lines(member: Member) -> list[str]:
    if len(member.witness) == 1:
        return [f"witness {member.name} {member.witness[0].encode()} {member.url}"]
    names = [f"{member.name}/{number}" for number in range(1, len(member.witness) + 1)]
    lines = [
        f"witness {name} {vkey.encode()} {member.url}"
        for name, vkey in zip(names, member.witness, strict=True)
    ]
    return [*lines, f"group {member.name} any {' '.join(names)}"]


def _text(lines: list[str]) -> str:
    return "".join(line + "\n" for line in lines)
