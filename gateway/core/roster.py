"""The roster: the signed, numbered list of who is a peer, and the only place where a peer's key comes from.

Guards four rules. A version counts only if enough keys of the version before signed it, and enough of its own where it
brings new ones (as The Update Framework has it, "Root role"). It has exactly one encoding (RFC 8785). The trust policy
in it is the one that follows from its members, octet for octet (docs/adr/0017). No key stands in it twice, whatever
for. The keys of the roster itself are kept off the gateways.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from hashlib import sha256

import msgspec

from gateway.core.member import (
    Member,
    Outside,
    derive_policy,
    member_problem,
    outside_problem,
    parties_of,
    quorum_of,
    twice_problem,
)
from gateway.core.roster_form import DocumentForm, RosterForm, member_body, outside_body
from gateway.entries.envelope import Body, Json, b64u, canonical, unb64u
from gateway.errors import LocalError, ProofError, SignatureError, WireError
from gateway.ids import U32_MAX
from gateway.keys.sign import SIGNATURE_BYTES, SigningKey, verify
from gateway.tlog.note import ED25519, VerifierKey, parse_vkey
from gateway.tlog.policy import Policy, parse_policy

__all__ = [
    "Member",
    "Outside",
    "Roster",
    "SignedRoster",
    "Anchor",
    "derive_policy",
    "make_roster",
    "sign_roster",
    "parse_roster",
    "check_first",
    "check_next",
    "unsigned",
    "missing_signatures",
]

DOMAIN = b"vestibule/roster/v1\0"
VERSION = 1
FEDERATION_BYTES = 16
HASH_BYTES = 32
MAX_ROSTER_BYTES = 48 * 1024  # the document stands in an entry, which has at most 64 KiB
MAX_BODY_BYTES = 44 * 1024  # so that signatures fit too
MAX_MEMBERS = 100
MAX_OUTSIDE = 16
MAX_KEYS = 16


@dataclass(frozen=True, slots=True)
class Roster:
    """One version. `make_roster` and `parse_roster` check it; this only holds it."""

    federation: bytes
    """16 random bytes, the same in all versions."""
    version: int
    """From 1."""
    prev: bytes | None
    """`hash()` of the version before; None of the first."""
    at_ms: int
    keys: tuple[VerifierKey, ...]
    """Of the roster, type 0x01."""
    threshold: int
    """How many of `keys` must sign the next version."""
    faulty: int
    """How many parties may be malicious without two conflicting heads both being confirmed."""
    members: tuple[Member, ...]
    outside: tuple[Outside, ...]
    outside_threshold: int
    policy: str
    """C2SP tlog-policy; what `derive_policy` gives."""
    _names: dict[str, Member] = field(init=False, repr=False, compare=False)
    _origins: dict[str, Member] = field(init=False, repr=False, compare=False)
    _certs: dict[bytes, Member] = field(init=False, repr=False, compare=False)
    _witnesses: dict[tuple[str, bytes], VerifierKey] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "_names", {member.name: member for member in self.members})
        origins = {member.origin: member for member in self.members if member.log}  # nothing is checked yet
        object.__setattr__(self, "_origins", origins)
        object.__setattr__(self, "_certs", {der: member for member in self.members for der in member.certs})
        vkeys = [vkey for member in self.members for vkey in member.witness]
        vkeys += [witness.vkey for witness in self.outside]
        object.__setattr__(self, "_witnesses", {(vkey.name, vkey.key_id): vkey for vkey in vkeys})

    def body(self) -> bytes:
        """The JCS that is signed, after `DOMAIN`."""
        return canonical(_body(self))

    def hash(self) -> bytes:
        """SHA-256 of `body()`: what the next version carries as `prev`."""
        return sha256(self.body()).digest()

    def member(self, name: str) -> Member | None:
        """The member of this name."""
        return self._names.get(name)

    def of_origin(self, origin: str) -> Member | None:
        """The member whose log this is."""
        return self._origins.get(origin)

    def of_cert(self, der: bytes) -> Member | None:
        """The member that has this certificate."""
        return self._certs.get(der)

    def witness_key(self, name: str, key_id: bytes) -> VerifierKey | None:
        """The key of this name and id among those of all witnesses, outside too."""
        return self._witnesses.get((name, key_id))

    def parsed_policy(self) -> Policy:
        """The policy, to judge notes with."""
        return parse_policy(self.policy.encode())

    @property
    def parties(self) -> dict[str, tuple[str, ...]]:
        """Who counts once, with the names of its members."""
        return parties_of(self.members)

    @property
    def quorum(self) -> int:
        """How many parties must cosign before a head is confirmed; 0 where nothing can be."""
        return quorum_of(self.members, len(self.outside), self.faulty)


@dataclass(frozen=True, slots=True)
class SignedRoster:
    """A roster with signatures, which `parse_roster` has not verified."""

    roster: Roster
    sigs: tuple[tuple[VerifierKey, bytes], ...]
    """Each key once, ordered by the text of the key."""
    raw: bytes
    """The document."""


@dataclass(frozen=True, slots=True)
class Anchor:
    """What somebody must know of a federation to take its roster: handed over in a card, from hand to hand."""

    federation: bytes
    keys: tuple[VerifierKey, ...]
    threshold: int
    version: int
    """Of the roster that has these keys."""
    url: str
    """Of a member that serves the roster."""


def make_roster(
    federation: bytes,
    version: int,
    prev: bytes | None,
    at_ms: int,
    keys: Sequence[VerifierKey],
    threshold: int,
    faulty: int,
    members: Sequence[Member],
    outside: Sequence[Outside] = (),
    outside_threshold: int = 0,
) -> Roster:
    """Make a version, with the policy that follows from it.

    Raises:
        LocalError: `roster`, the message says which value cannot be.
    """
    tuples = tuple(keys), tuple(members), tuple(outside)
    roster = Roster(
        federation,
        version,
        prev,
        at_ms,
        tuples[0],
        threshold,
        faulty,
        tuples[1],
        tuples[2],
        outside_threshold,
        "",
    )
    if problem := _problem(roster):
        raise LocalError("roster", problem)
    policy = derive_policy(roster.members, roster.outside, faulty, outside_threshold)
    made = replace(roster, policy=policy)
    if len(made.body()) > MAX_BODY_BYTES:
        raise LocalError("roster", f"a roster has at most {MAX_BODY_BYTES} bytes without its signatures")
    return made


def sign_roster(roster: Roster | SignedRoster, key: SigningKey, name: str) -> SignedRoster:
    """Add a signature; one that this key gave already is replaced by the same.

    Args:
        roster: not signed yet, or by others.
        key: a roster key, of this version or of the one before.
        name: its name.

    Raises:
        LocalError: `roster`, the document becomes too large; `note_name`.
    """
    before = unsigned(roster) if isinstance(roster, Roster) else roster
    vkey = VerifierKey.of(name, key.public)
    others = [(other, sig) for other, sig in before.sigs if other != vkey]
    mine = (vkey, key.sign(DOMAIN + before.roster.body()))
    return _document(before.roster, tuple(sorted([*others, mine], key=lambda signed: signed[0].encode())))


def parse_roster(data: bytes) -> SignedRoster:
    """Read a document; strict. Verifies no signature: `check_first` and `check_next` do.

    Args:
        data: at most 48 KiB, canonical to the octet.

    Raises:
        WireError: `roster`.
    """
    if len(data) > MAX_ROSTER_BYTES:
        raise WireError("roster", f"a roster has at most {MAX_ROSTER_BYTES} bytes")
    try:
        form = msgspec.json.decode(data, type=DocumentForm)
        roster = _value(form.roster)
        sigs = tuple((parse_vkey(sig.key), unb64u(sig.sig)) for sig in form.sigs)
        if problem := _problem(roster):
            raise WireError("roster", problem)
        policy = derive_policy(roster.members, roster.outside, roster.faulty, roster.outside_threshold)
        signed = _document(roster, sigs)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        raise WireError("roster", "a roster is not the JSON of one") from None
    except (LocalError, ProofError, WireError) as error:
        raise WireError("roster", f"a roster is not one: {error}") from None
    if roster.policy != policy:
        raise WireError("roster", "the policy of a roster is not the one that follows from its members")
    if signed.raw != data:
        raise WireError("roster", "a roster is not written canonically")
    return signed


def check_first(signed: SignedRoster, anchor: Anchor | None = None) -> None:
    """Check the first version that this gateway takes.

    Args:
        signed: of `parse_roster`.
        anchor: what a card told of the federation; None for a roster of our own making.

    Raises:
        SignatureError: `roster_signature`.
        WireError: `roster_federation`, it is of another; `roster_version`, it is older than the anchor.
    """
    roster = signed.roster
    if anchor is not None:
        if roster.federation != anchor.federation:
            raise WireError(
                "roster_federation", "a roster is of another federation than the one that was joined"
            )
        if roster.version < anchor.version:
            raise WireError(
                "roster_version", f"version {roster.version} of the roster is older than its anchor"
            )
        _enough(signed, anchor.keys, anchor.threshold)
    _enough(signed, roster.keys, roster.threshold)


def check_next(signed: SignedRoster, before: Roster) -> None:
    """Check that a version follows another.

    Raises:
        SignatureError: `roster_signature`.
        WireError: `roster_federation`, `roster_version`, `roster_prev`.
    """
    roster = signed.roster
    if roster.federation != before.federation:
        raise WireError("roster_federation", "a roster is of another federation")
    if roster.version != before.version + 1:
        raise WireError(
            "roster_version", f"version {roster.version} of the roster does not follow {before.version}"
        )
    if roster.prev != before.hash():
        raise WireError(
            "roster_prev", f"version {roster.version} of the roster follows another {before.version}"
        )
    _enough(signed, before.keys, before.threshold)
    if (roster.keys, roster.threshold) != (before.keys, before.threshold):
        _enough(signed, roster.keys, roster.threshold)


def unsigned(roster: Roster) -> SignedRoster:
    """The document before anybody signed it.

    Raises:
        LocalError: `roster`, it is too large.
    """
    return _document(roster, ())


def missing_signatures(signed: SignedRoster, keys: Sequence[VerifierKey], threshold: int) -> int:
    """How many more of these keys must sign.

    Raises:
        SignatureError: `roster_signature`, a signature of one of them does not verify.
    """
    message, good = DOMAIN + signed.roster.body(), 0
    for vkey, sig in signed.sigs:
        if vkey in keys:
            if not verify(vkey.public, message, sig):
                raise SignatureError(
                    "roster_signature", f"the signature of {vkey.name} on a roster does not verify"
                )
            good += 1
    return max(0, threshold - good)


def _body(roster: Roster) -> Body:
    keys: list[Json] = [vkey.encode() for vkey in roster.keys]
    members: list[Json] = [member_body(member) for member in roster.members]
    outside: list[Json] = [outside_body(witness) for witness in roster.outside]
    return {
        "v": VERSION,
        "federation": b64u(roster.federation),
        "version": roster.version,
        "prev": None if roster.prev is None else b64u(roster.prev),
        "at_ms": roster.at_ms,
        "keys": keys,
        "threshold": roster.threshold,
        "faulty": roster.faulty,
        "members": members,
        "outside": outside,
        "outside_threshold": roster.outside_threshold,
        "policy": roster.policy,
    }


def _value(form: RosterForm) -> Roster:
    if form.v != VERSION:
        raise WireError("roster", f"format {form.v} is not known here")
    return Roster(
        unb64u(form.federation),
        form.version,
        None if form.prev is None else unb64u(form.prev),
        form.at_ms,
        tuple(map(parse_vkey, form.keys)),
        form.threshold,
        form.faulty,
        tuple(member.value() for member in form.members),
        tuple(witness.value() for witness in form.outside),
        form.outside_threshold,
        form.policy,
    )


def _document(roster: Roster, sigs: tuple[tuple[VerifierKey, bytes], ...]) -> SignedRoster:
    texts = [vkey.encode() for vkey, _ in sigs]
    if texts != sorted(set(texts)) or len(sigs) > 2 * MAX_KEYS:
        raise LocalError(
            "roster", f"at most {2 * MAX_KEYS} signatures, in the order of their keys, each once"
        )
    if any(vkey.sig_type != ED25519 or len(sig) != SIGNATURE_BYTES for vkey, sig in sigs):
        raise LocalError("roster", "a signature is not one of an Ed25519 key")
    listed: list[Json] = [{"key": key, "sig": b64u(sig)} for key, (_, sig) in zip(texts, sigs, strict=True)]
    raw = canonical({"roster": _body(roster), "sigs": listed})
    if len(raw) > MAX_ROSTER_BYTES:
        raise LocalError("roster", f"a roster has at most {MAX_ROSTER_BYTES} bytes with its signatures")
    return SignedRoster(roster, sigs, raw)


def _enough(signed: SignedRoster, keys: Sequence[VerifierKey], threshold: int) -> None:
    if missing := missing_signatures(signed, keys, threshold):
        raise SignatureError(
            "roster_signature",
            f"version {signed.roster.version} of the roster lacks {missing} of {threshold} signature(s)",
        )


def _problem(roster: Roster) -> str:
    """What is wrong with a roster, its policy aside; empty where nothing is."""
    members, outside, keys = roster.members, roster.outside, roster.keys
    if len(roster.federation) != FEDERATION_BYTES or not 1 <= roster.version <= U32_MAX or roster.at_ms < 0:
        return f"a federation has {FEDERATION_BYTES} bytes, and versions are counted from 1 to {U32_MAX}"
    if (roster.prev is None) != (roster.version == 1) or len(roster.prev or bytes(HASH_BYTES)) != HASH_BYTES:
        return "every version but the first has the hash of the one before"
    if not (1 <= len(members) <= MAX_MEMBERS and len(outside) <= MAX_OUTSIDE and len(keys) <= MAX_KEYS):
        return f"1 to {MAX_MEMBERS} members, up to {MAX_OUTSIDE} outside witnesses and {MAX_KEYS} roster keys"
    if any(key.sig_type != ED25519 for key in keys) or not 1 <= roster.threshold <= len(keys):
        return "roster keys are of type 1, and at least one and at most all of them must sign"
    if not 0 <= roster.faulty < len(roster.parties):
        return f"of {len(roster.parties)} parties at most {len(roster.parties) - 1} may be faulty"
    for problem in (*map(member_problem, members), *map(outside_problem, outside)):
        if problem:
            return problem
    return twice_problem(keys, members, outside)
