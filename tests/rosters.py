"""Members, rosters and cards for tests: every key follows from a name, so that all of them come out the same."""

from __future__ import annotations

from hashlib import sha256
from typing import Any

from gateway.core.card import Card, make_card
from gateway.core.roster import Anchor, Member, Outside, Roster, SignedRoster, make_roster, sign_roster
from gateway.keys.cert import certificate
from gateway.keys.did import did_key
from gateway.keys.sign import SigningKey
from gateway.tlog.note import COSIGNATURE, ED25519, VerifierKey

FEDERATION = bytes(range(16))
AT_MS = 1_700_000_000_000


def key(name: str) -> SigningKey:
    return SigningKey(sha256(name.encode()).digest())


def vkey(name: str, of: str, sig_type: int) -> VerifierKey:
    return VerifierKey.of(name, key(of).public, sig_type)


def log_key(name: str, number: int = 1) -> VerifierKey:
    return vkey(f"{name}.clinic.example/vrlog", f"{name} log {number}", ED25519)


def witness_key(name: str, number: int = 1) -> VerifierKey:
    suffix = "" if number == 1 else str(number)
    return vkey(f"{name}.clinic.example/witness{suffix}", f"{name} witness {number}", COSIGNATURE)


def cert(name: str, number: int = 1) -> bytes:
    return certificate(key(f"{name} tls {number}"), name)


def member(name: str, group: str = "", **changed: Any) -> Member:
    fields: dict[str, Any] = {
        "name": name,
        "did": did_key(key(f"{name} entry").public),
        "log": (log_key(name),),
        "witness": (witness_key(name),),
        "url": f"https://{name}.clinic.example:4749",
        "certs": (cert(name),),
        "group": group or name,
    }
    return Member(**fields | changed)


def outside(name: str) -> Outside:
    return Outside(
        name, vkey(f"{name}.example", f"{name} outside", COSIGNATURE), f"https://{name}.example/witness"
    )


def roster_key(name: str = "roster") -> VerifierKey:
    return vkey(name, name, ED25519)


def roster(*members: Member, **changed: Any) -> Roster:
    fields: dict[str, Any] = {
        "federation": FEDERATION,
        "version": 1,
        "prev": None,
        "at_ms": AT_MS,
        "keys": (roster_key(),),
        "threshold": 1,
        "faulty": 0,
        "members": members,
    }
    return make_roster(**fields | changed)


def following(before: Roster, *members: Member, **changed: Any) -> Roster:
    """The next version, with these members or the same ones."""
    kept = {
        "version": before.version + 1,
        "prev": before.hash(),
        "keys": before.keys,
        "threshold": before.threshold,
        "faulty": before.faulty,
        "outside": before.outside,
        "outside_threshold": before.outside_threshold,
    }
    return roster(*(members or before.members), **kept | changed)


def signed(roster: Roster | SignedRoster, *names: str) -> SignedRoster:
    """Signed by these roster keys, or by the usual one."""
    for name in names or ("roster",):
        roster = sign_roster(roster, key(name), name)
    assert isinstance(roster, SignedRoster)
    return roster


def card(name: str, anchor: Anchor | None = None, group: str = "", **changed: Any) -> Card:
    return make_card(key(f"{name} entry"), member(name, group, **changed), anchor)


def anchor_of(roster: Roster) -> Anchor:
    return Anchor(roster.federation, roster.keys, roster.threshold, roster.version, roster.members[0].url)
