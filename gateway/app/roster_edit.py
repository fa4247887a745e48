"""The next version of a roster: somebody comes, goes, or has other keys; and what of it still has to be signed.

Guards the rule that who signs sees what changes: a proposal carries the version before, whose hash the new one has, so
that neither can be shown to a keeper in another form than peers will check.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import msgspec

from gateway.core.card import Card
from gateway.core.roster import (
    MAX_ROSTER_BYTES,
    Member,
    Outside,
    Roster,
    SignedRoster,
    make_roster,
    missing_signatures,
    parse_roster,
)
from gateway.errors import LocalError, WireError
from gateway.keys.cert import pin
from gateway.tlog.note import VerifierKey

MAX_PROPOSAL_BYTES = 2 * MAX_ROSTER_BYTES + 1024


@dataclass(frozen=True, slots=True)
class Proposal:
    """A version that perhaps lacks signatures."""

    before: SignedRoster | None
    """The version that it follows; None for the first."""
    after: SignedRoster

    def encode(self) -> bytes:
        """The file that is carried from keeper to keeper: JSON."""
        before = self.before.raw if self.before else b"null"
        return b'{"before":%b,"proposal":%b}\n' % (before, self.after.raw)


@dataclass(frozen=True, slots=True)
class Awaited:
    """Signatures that a version lacks."""

    missing: int
    keys: tuple[VerifierKey, ...]
    """Any of these may give them."""


class _Form(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    before: msgspec.Raw
    proposal: msgspec.Raw


def parse_proposal(data: bytes) -> Proposal:
    """Read what `Proposal.encode` wrote.

    Raises:
        WireError: `proposal`, `roster`.
    """
    if len(data) > MAX_PROPOSAL_BYTES:
        raise WireError("proposal", f"a proposal has at most {MAX_PROPOSAL_BYTES} bytes")
    try:
        form = msgspec.json.decode(data, type=_Form)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        raise WireError(
            "proposal",
            "this is not a proposal for a roster",
            "They are made by `vestibule peer add --out FILE`.",
        ) from None
    before = None if bytes(form.before) == b"null" else parse_roster(bytes(form.before))
    after = parse_roster(bytes(form.proposal))
    roster = after.roster
    if (roster.prev, roster.version) != (
        (before.roster.hash(), before.roster.version + 1) if before else (None, 1)
    ):
        raise WireError("proposal", "the roster of a proposal does not follow the one that is shown with it")
    return Proposal(before, after)


def first_roster(
    card: Card, keys: Sequence[VerifierKey], threshold: int, faulty: int, federation: bytes, at_ms: int
) -> Roster:
    """The first version: one gateway alone.

    Args:
        card: its own.
        keys: that sign the roster from now on.
        threshold: how many of them must.
        faulty: how many parties may be malicious; of one alone none.
        federation: 16 fresh random bytes.
        at_ms: UTC.

    Raises:
        LocalError: `roster`.
    """
    return make_roster(federation, 1, None, at_ms, keys, threshold, faulty, [card.member])


def with_member(
    before: Roster, card: Card, at_ms: int, *, group: str = "", faulty: int | None = None
) -> Roster:
    """Add a gateway.

    Args:
        before: the version in force.
        card: of the gateway.
        at_ms: UTC.
        group: who runs it; empty for what its card says.
        faulty: None leaves it.

    Raises:
        LocalError: `member_known`; `roster`.
    """
    if before.member(card.name) is not None:
        raise LocalError(
            "member_known",
            f"a member is called {card.name} already",
            "If it is the same gateway with other keys: `vestibule peer update`. Else it needs another name: [gateway] "
            "name in its configuration; then its daemon restarts, and makes a new card.",
        )
    return _next(before, at_ms, members=(*before.members, _grouped(card.member, group)), faulty=faulty)


def with_outside(
    before: Roster, witness: Outside, at_ms: int, *, threshold: int | None = None, faulty: int | None = None
) -> Roster:
    """Add a C2SP witness that is no member.

    Args:
        before: the version in force.
        witness: its name here, key and submission prefix.
        at_ms: UTC.
        threshold: how many of them must cosign; None leaves it, and is one for the first.
        faulty: None leaves it.

    Raises:
        LocalError: `roster`.
    """
    needed = max(1, before.outside_threshold) if threshold is None else threshold
    outside = (*before.outside, witness)
    return _next(before, at_ms, outside=outside, outside_threshold=needed, faulty=faulty)


def without(before: Roster, name: str, at_ms: int, *, faulty: int | None = None) -> Roster:
    """Remove a member or an outside witness.

    Raises:
        LocalError: `member_unknown`; `roster`, also where nobody would be left.
    """
    members = tuple(member for member in before.members if member.name != name)
    outside = tuple(witness for witness in before.outside if witness.name != name)
    if len(members) + len(outside) == len(before.members) + len(before.outside):
        raise _unknown(before, name)
    needed = min(before.outside_threshold, len(outside))
    return _next(before, at_ms, members=members, outside=outside, outside_threshold=needed, faulty=faulty)


def with_update(
    before: Roster,
    card: Card | None,
    at_ms: int,
    *,
    group: str = "",
    faulty: int | None = None,
    threshold: int | None = None,
) -> Roster:
    """Put another card in the place of a member's: other keys, another certificate, url or generation of its log.

    Args:
        before: the version in force.
        card: of the member, found by name, entry key or log; None where only numbers change.
        at_ms: UTC.
        group: empty leaves it.
        faulty: None leaves it.
        threshold: of the outside witnesses; None leaves it.

    Raises:
        LocalError: `member_unknown`; `roster`; `roster_same`, nothing would change.
    """
    members = before.members
    if card is not None:
        old = _same(before, card.member)
        # who was a party alone stays one under another name
        renamed = old.group == old.name != card.name
        new = _grouped(card.member, group or (card.member.group if renamed else old.group))
        members = tuple(new if member is old else member for member in members)
    after = _next(before, at_ms, members=members, faulty=faulty, outside_threshold=threshold)
    if not changes(before, after):
        raise LocalError("roster_same", "the roster says exactly this already")
    return after


def with_keys(before: Roster, keys: Sequence[VerifierKey], threshold: int, at_ms: int) -> Roster:
    """Hand the roster over to other keys; the old and the new ones must sign.

    Raises:
        LocalError: `roster`.
    """
    return _next(before, at_ms, keys=tuple(keys), threshold=threshold)


def awaited(proposal: Proposal) -> list[Awaited]:
    """Whose signatures a version lacks before it counts; empty where it has all.

    Raises:
        SignatureError: `roster_signature`, one that is there does not verify.
    """
    after, before = proposal.after, proposal.before.roster if proposal.before else None
    own = (after.roster.keys, after.roster.threshold)
    sets = [own]
    if before is not None:
        sets = [(before.keys, before.threshold)]
        sets += [own] if own != sets[0] else []
    signed = {vkey for vkey, _ in after.sigs}
    lacking = [(missing_signatures(after, keys, needed), keys) for keys, needed in sets]
    return [Awaited(n, tuple(key for key in keys if key not in signed)) for n, keys in lacking if n]


def may_sign(proposal: Proposal, vkey: VerifierKey) -> bool:
    """Tell whether a signature of this key counts for anything."""
    return vkey in proposal.after.roster.keys or (
        proposal.before is not None and vkey in proposal.before.roster.keys
    )


def changes(before: Roster | None, after: Roster) -> list[str]:
    """What a version changes, a line each, for those who sign it."""
    old_members = {member.name: member for member in before.members} if before else {}
    new_members = {member.name: member for member in after.members}
    old_outside = set(before.outside) if before else set()
    lines = [f"new federation {after.federation.hex()}"] if before is None else []
    for name, member in new_members.items():
        old = old_members.get(name)
        if old is None:
            party = "" if member.group == name else f", of the party {member.group}"
            lines.append(f"adds the gateway {name} ({member.url}), log {member.origin}{party}")
        elif old != member:
            lines += [f"{name}: {line}" for line in _changed(old, member)]
    lines += [f"removes the gateway {name}" for name in old_members if name not in new_members]
    lines += [f"adds the outside witness {w.name} ({w.url})" for w in after.outside if w not in old_outside]
    lines += [f"removes the outside witness {w.name}" for w in old_outside - set(after.outside)]
    if before is None or (before.keys, before.threshold) != (after.keys, after.threshold):
        names = ", ".join(f"{key.name}+{key.key_id.hex()}" for key in after.keys)
        lines.append(f"the roster is signed by {after.threshold} of {len(after.keys)} keys: {names}")
    if before is None or _needs(before) != _needs(after):
        lines.append(_needs(after) + ("" if before is None else f"; until now: {_needs(before)}"))
    return lines


def _changed(old: Member, new: Member) -> list[str]:
    lines = []
    if old.origin != new.origin:
        lines.append(f"another log, {new.origin} instead of {old.origin}, which nobody follows any more")
    elif old.log != new.log:
        lines.append(_keys("log", old.log, new.log))
    if old.witness != new.witness:
        lines.append(_keys("witness", old.witness, new.witness))
    if old.did != new.did:
        lines.append(f"another entry key, {new.did}")
    if old.certs != new.certs:
        lines.append(f"certificate {', '.join(map(pin, new.certs))}")
    if old.url != new.url:
        lines.append(f"url {new.url} instead of {old.url}")
    if old.group != new.group:
        lines.append(f"group {new.group} instead of {old.group}")
    return lines


def _keys(what: str, old: Sequence[VerifierKey], new: Sequence[VerifierKey]) -> str:
    comes = [key.encode() for key in new if key not in old]
    goes = [key.encode() for key in old if key not in new]
    words = [f"takes {', '.join(comes)}"] * bool(comes) + [f"gives up {', '.join(goes)}"] * bool(goes)
    return f"{what} key: {' and '.join(words) or 'another order'}"


def _needs(roster: Roster) -> str:
    if not roster.quorum:
        return "nothing can be confirmed: one party alone"
    beside = (
        f", and {roster.outside_threshold} of {len(roster.outside)} witnesses outside"
        if roster.outside
        else ""
    )
    return f"confirmed by {roster.quorum} of {len(roster.parties)} parties, of which {roster.faulty} may lie{beside}"


def _same(roster: Roster, new: Member) -> Member:
    """The row of this gateway, which may have been given another name."""
    for old in roster.members:
        if old.name == new.name:
            return old
    for old in roster.members:
        if old.did == new.did or old.origin == new.origin:
            return old
    raise _unknown(roster, new.name)


def _grouped(member: Member, group: str) -> Member:
    if not group or group == member.group:
        return member
    return Member(member.name, member.did, member.log, member.witness, member.url, member.certs, group)


def _unknown(roster: Roster, name: str) -> LocalError:
    names = [member.name for member in roster.members] + [witness.name for witness in roster.outside]
    return LocalError(
        "member_unknown", f"nobody in the roster is called {name!r}", f"It has {', '.join(names)}."
    )


def _next(
    before: Roster,
    at_ms: int,
    *,
    keys: tuple[VerifierKey, ...] | None = None,
    threshold: int | None = None,
    members: tuple[Member, ...] | None = None,
    outside: tuple[Outside, ...] | None = None,
    outside_threshold: int | None = None,
    faulty: int | None = None,
) -> Roster:
    return make_roster(
        before.federation,
        before.version + 1,
        before.hash(),
        at_ms,
        before.keys if keys is None else keys,
        before.threshold if threshold is None else threshold,
        before.faulty if faulty is None else faulty,
        before.members if members is None else members,
        before.outside if outside is None else outside,
        before.outside_threshold if outside_threshold is None else outside_threshold,
    )
