"""How members and witnesses are written in the JSON of a roster, and read.

Guards the rule of exact fields: none may be missing and none may be there beside them. Bytes are unpadded base64url,
keys are C2SP verifier keys as text.
"""

from __future__ import annotations

import msgspec

from gateway.core.member import Member, Outside
from gateway.entries.envelope import Body, Json, b64u, unb64u
from gateway.tlog.note import parse_vkey


class _Form(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Common options."""


class MemberForm(_Form, frozen=True):
    """A member."""

    name: str
    did: str
    log: list[str]
    witness: list[str]
    url: str
    certs: list[str]
    group: str

    def value(self) -> Member:
        """The member; raises `WireError` or `ProofError` where a key or certificate does not decode."""
        return Member(
            self.name,
            self.did,
            tuple(map(parse_vkey, self.log)),
            tuple(map(parse_vkey, self.witness)),
            self.url,
            tuple(map(unb64u, self.certs)),
            self.group,
        )


class OutsideForm(_Form, frozen=True):
    """A witness that is no member."""

    name: str
    vkey: str
    url: str

    def value(self) -> Outside:
        """The witness; raises `ProofError` where its key does not decode."""
        return Outside(self.name, parse_vkey(self.vkey), self.url)


class RosterForm(_Form, frozen=True):
    """What is signed."""

    at_ms: int
    faulty: int
    federation: str
    keys: list[str]
    members: list[MemberForm]
    outside: list[OutsideForm]
    outside_threshold: int
    policy: str
    prev: str | None
    threshold: int
    v: int
    version: int


class SigForm(_Form, frozen=True):
    """One signature."""

    key: str
    sig: str


class DocumentForm(_Form, frozen=True):
    """A roster and its signatures."""

    roster: RosterForm
    sigs: list[SigForm]


class AnchorForm(_Form, frozen=True):
    """A federation, as a card tells of it."""

    federation: str
    keys: list[str]
    threshold: int
    url: str
    version: int


class CardBodyForm(_Form, frozen=True):
    """What a card's gateway says of itself."""

    anchor: AnchorForm | None
    member: MemberForm
    v: int


class CardForm(_Form, frozen=True):
    """One gateway's card."""

    card: CardBodyForm
    sig: str


def member_body(member: Member) -> Body:
    """A member as JSON."""
    log: list[Json] = [vkey.encode() for vkey in member.log]
    witness: list[Json] = [vkey.encode() for vkey in member.witness]
    certs: list[Json] = [b64u(der) for der in member.certs]
    return {
        "name": member.name,
        "did": member.did,
        "log": log,
        "witness": witness,
        "url": member.url,
        "certs": certs,
        "group": member.group,
    }


def outside_body(witness: Outside) -> Body:
    """An outside witness as JSON."""
    return {"name": witness.name, "vkey": witness.vkey.encode(), "url": witness.url}
