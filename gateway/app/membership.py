"""Which roster is in force here, who we are in it, and how another version comes into force.

Guards the rule that a peer's key comes from the roster and from nowhere else: a version is taken only if the version
before allows it, or, for the first, if it is of the federation that a person accepted by its card (the anchor).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import msgspec

from gateway.core.follow import KeepRoster
from gateway.core.roster import (
    Anchor,
    Member,
    Roster,
    SignedRoster,
    check_first,
    check_next,
    missing_signatures,
    parse_roster,
)
from gateway.entries.envelope import b64u, unb64u
from gateway.errors import Damage, LocalError, RemoteError
from gateway.store.peers import PeerStore
from gateway.tlog.note import VerifierKey, parse_vkey

ANCHOR: Final = "anchor"
ENTERED: Final = "roster_entered"
"""Keys of the store's facts: what a person accepted, and the newest version that is an entry of our log."""


class Membership:
    """The roster in force.

    Made by `load`.

    Args:
        store: peers.db.
        origin: of our log. did: of our entry key. log_vkeys: keys of our log.
    """

    def __init__(
        self, store: PeerStore, origin: str, did: str, log_vkeys: Sequence[VerifierKey] = ()
    ) -> None:
        self._store = store
        self._origin = origin
        self._did = did
        self._log_vkeys = frozenset(log_vkeys)
        self._docs: dict[int, bytes] = {}
        self.signed: SignedRoster | None = None
        self.anchor: Anchor | None = None
        self.entered = 0
        self.removed_in = 0
        """Version of the roster that lists us no longer, as others showed it; 0 as far as we know that we are in."""

    @classmethod
    async def load(
        cls, store: PeerStore, origin: str, did: str, log_vkeys: Sequence[VerifierKey] = ()
    ) -> Membership:
        """Read what was in force.

        Raises:
            StoreError, Damage: peers.db cannot be read, or holds a roster that is none.
        """
        self = cls(store, origin, did, log_vkeys)
        await self.reload(store)
        return self

    async def reload(self, store: PeerStore) -> None:
        """Read what is in force, of the file as it was opened again; raises as `load`, and changes nothing then."""
        docs = {kept.version: kept.raw for kept in await store.rosters()}
        text, entered = await store.meta(ANCHOR), await store.meta(ENTERED)
        try:
            signed = parse_roster(docs[max(docs)]) if docs else None
            anchor = _anchor_of(text) if text else None
            number = int(entered or 0)
        except (RemoteError, msgspec.DecodeError, ValueError) as error:
            raise Damage("roster", "the roster in peers.db is not one", "Run `vestibule fsck`.") from error
        self._store, self._docs = store, docs
        self.signed, self.anchor, self.entered = signed, anchor, number

    @property
    def roster(self) -> Roster | None:
        """The newest version that counts."""
        return self.signed.roster if self.signed else None

    @property
    def us(self) -> Member | None:
        """Our own row, None while we are not in it."""
        member = self.roster.of_origin(self._origin) if self.roster else None
        return member if self._is_us(member) else None

    @property
    def others(self) -> Sequence[Member]:
        """All other members; none while we are not one ourselves."""
        roster, us = self.roster, self.us
        return [member for member in roster.members if member is not us] if roster and us else []

    def doc(self, version: int) -> bytes | None:
        """The raw document of a version."""
        return self._docs.get(version)

    def check(self, signed: SignedRoster) -> None:
        """Check that a document may be the next version here.

        Raises:
            SignatureError, WireError: it may not.
            LocalError: `roster_anchor`, nobody accepted its federation; `roster_without_us`.
        """
        if self.roster is not None and not self._let_in_again(self.roster, signed.roster):
            check_next(signed, self.roster)
            return
        mine = signed.roster.of_origin(self._origin)
        if self.anchor is None and (signed.roster.version != 1 or len(signed.roster.members) != 1):
            raise LocalError(
                "roster_anchor",
                "this gateway has accepted no federation yet",
                "Accept the card of one of its members with `vestibule peer accept`.",
            )
        check_first(signed, self.anchor)
        if not self._is_us(mine):
            raise LocalError(
                "roster_without_us",
                f"version {signed.roster.version} of the roster does not list this gateway",
                "Give your card (`vestibule peer invite`) to whoever keeps the roster.",
            )

    def _let_in_again(self, left: Roster, newer: Roster) -> bool:
        """Whether we stopped following at the version that left us out, and this one is some versions later."""
        anchor = self.anchor
        return (
            self.us is None
            and anchor is not None
            and anchor.federation == left.federation
            and newer.version > left.version + 1
        )

    @property
    def to_enter(self) -> int | None:
        """The oldest version here that is no entry of our log yet; None where all are."""
        return min((version for version in self._docs if version > self.entered), default=None)

    async def keep(self, signed: SignedRoster) -> None:
        """Write down a version that was checked; `follow` puts it into force."""
        await self._store.keep([KeepRoster(signed.roster.version, signed.raw)])

    def follow(self, signed: SignedRoster) -> None:
        """A version that is written down already is in force."""
        self.removed_in = 0
        self._docs[signed.roster.version] = signed.raw
        self.signed = signed

    async def accept(self, anchor: Anchor) -> None:
        """Take a federation's anchor: its first roster that lists us will be taken.

        Raises:
            LocalError: `federation_other`, we are in another one.
        """
        roster = self.roster
        if roster is not None and roster.federation != anchor.federation:
            if len(roster.members) > 1 and not self.removed_in:
                raise LocalError(
                    "federation_other",
                    "this gateway is a member of another federation",
                    "Leave it first: its keeper removes you with `vestibule peer remove`.",
                )
            await self._store.drop_rosters()
            self.signed, self._docs, self.removed_in = None, {}, 0
            await self.was_entered(0)
        await self._store.set_meta(ANCHOR, _anchor_text(anchor))
        self.anchor = anchor

    def doubt(self, signed: SignedRoster) -> None:
        """Look at a newer version that somebody shows, whose way here we do not have: does it list us no longer?"""
        roster, newer = self.roster, signed.roster
        if roster is None or newer.federation != roster.federation or newer.version <= roster.version:
            return
        mine = newer.of_origin(self._origin)
        if not self._is_us(mine) and not missing_signatures(signed, roster.keys, roster.threshold):
            self.removed_in = newer.version

    def _is_us(self, member: Member | None) -> bool:
        """By our DID, or by a key of our log: until the roster has our new card, a rotation has changed one of them."""
        return member is not None and (member.did == self._did or not self._log_vkeys.isdisjoint(member.log))

    async def was_entered(self, version: int) -> None:
        """The version is an entry of our log."""
        await self._store.set_meta(ENTERED, str(version))
        self.entered = version


def _anchor_text(anchor: Anchor) -> str:
    return msgspec.json.encode(
        {
            "federation": b64u(anchor.federation),
            "keys": [key.encode() for key in anchor.keys],
            "threshold": anchor.threshold,
            "version": anchor.version,
            "url": anchor.url,
        }
    ).decode()


class _AnchorForm(msgspec.Struct, frozen=True):
    federation: str
    keys: list[str]
    threshold: int
    version: int
    url: str


def _anchor_of(text: str) -> Anchor:
    form = msgspec.json.decode(text, type=_AnchorForm)
    return Anchor(
        unb64u(form.federation),
        tuple(parse_vkey(key) for key in form.keys),
        form.threshold,
        form.version,
        form.url,
    )
