"""What `peer` shows: types of the daemon's answers, tables, cards and rosters."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Mapping
from typing import Any

import msgspec

from gateway.app.cli import output, words
from gateway.app.cli.peer_words import (
    ALONE,
    COMPARED,
    LEARNING,
    OWN_AHEAD,
    REMOVED,
    STATES,
    WITNESSES,
)
from gateway.app.cli.replies import ConfirmedRow
from gateway.core.card import Card
from gateway.core.roster import SignedRoster
from gateway.event_words import peer_reason
from gateway.keys.cert import pin


class PeerRow(msgspec.Struct, frozen=True):
    """One member: `seen_ms` UTC, `lag_entries` what of its log is not copied yet, `refused` what it sent in vain."""

    name: str
    origin: str
    url: str
    group: str
    state: str
    seen_ms: int = 0
    size: int = 0
    lag_entries: int = 0
    frozen: bool = False
    pin: str = ""
    refused: dict[str, int] = {}


class RosterRow(msgspec.Struct, frozen=True):
    """The roster in force; `waiting_for` is the url of the federation that was accepted and does not list us yet,
    `removed_in` the version that lists us no longer."""

    version: int = 0
    threshold: int = 0
    quorum: int = 0
    waiting_for: str = ""
    removed_in: int = 0


class Peers(msgspec.Struct, frozen=True):
    """Answer to `peer.list`."""

    peers: list[PeerRow]
    roster: RosterRow = RosterRow()
    confirmed: ConfirmedRow = ConfirmedRow()
    learning: bool = False


class ComparedPeer(msgspec.Struct, frozen=True):
    """What one peer says of a log; `agrees` is None where it cannot be told; `why` says why, or why it does not."""

    name: str
    size: int = 0
    root: str = ""
    agrees: bool | None = None
    at_ms: int = 0
    why: str = ""


class ComparedLog(msgspec.Struct, frozen=True):
    """A log as it is known here, and to peers."""

    origin: str
    size: int = 0
    root: str = ""
    frozen: bool = False
    peers: list[ComparedPeer] = []


class Compared(msgspec.Struct, frozen=True):
    """Answer to `peer.compare`."""

    logs: list[ComparedLog]

    @property
    def disagreement(self) -> bool:
        """Whether anything contradicts what is here."""
        return any(log.frozen or any(peer.agrees is False for peer in log.peers) for log in self.logs)


def fingerprint(digest: bytes) -> str:
    """A hash as people read it to each other: 16 groups of four hexadecimal digits."""
    text = digest.hex()
    return " ".join(text[at : at + 4] for at in range(0, len(text), 4))


def card_members(card: Card) -> dict[str, Any]:
    """A card as JSON for programs."""
    anchor = card.anchor
    return {
        "name": card.name,
        "gateway": card.member.did,
        "log": [key.encode() for key in card.member.log],
        "witness": [key.encode() for key in card.member.witness],
        "url": card.member.url,
        "group": card.member.group,
        "pins": [pin(der) for der in card.member.certs],
        "fingerprint": card.fingerprint.hex(),
        "federation": anchor
        and {
            "id": anchor.federation.hex(),
            "version": anchor.version,
            "keys": [key.encode() for key in anchor.keys],
            "threshold": anchor.threshold,
        },
        "card": card.raw.decode(),
        "text": card.text(),
    }


def card_lines(card: Card) -> str:
    """A card for the person who compares it."""
    lines = [
        f"gateway      {card.name} ({card.member.group}), {card.member.url}",
        f"log          {output.clean(card.member.origin)}",
        f"certificate  {', '.join(map(pin, card.member.certs))}",
    ]
    if card.anchor is not None:
        keys = ", ".join(f"{output.clean(key.name)}+{key.key_id.hex()}" for key in card.anchor.keys)
        lines.append(
            f"federation   {card.anchor.federation.hex()}, roster version {card.anchor.version}, signed by "
            f"{card.anchor.threshold} of: {keys}"
        )
    lines.append(f"fingerprint  {fingerprint(card.fingerprint)}")
    return "\n".join(lines)


def alone(peers: Peers) -> str:
    """What to say while the roster in force does not list this gateway."""
    if url := peers.roster.waiting_for:
        return (
            f"The federation of {output.clean(url)} is accepted, and its roster does not list this gateway yet. "
            "Give your card (`vestibule peer invite`) to whoever keeps it."
        )
    return ALONE


def peer_table(peers: Peers) -> str:
    """The table of `peer list`."""
    now_ms = int(time.time() * 1000)
    rows = [
        (
            row.name,
            row.group if row.group != row.name else "",
            STATES.get(row.state, row.state),
            output.ago(row.seen_ms, now_ms) if row.seen_ms and row.state != "us" else "",
            output.count(row.size),
            output.count(row.lag_entries) if row.state != "us" else "",
            "FROZEN" if row.frozen else "",
            row.url,
        )
        for row in peers.peers
    ]
    headings = ("NAME", "PARTY", "STATE", "SEEN", "ENTRIES", "BEHIND", "EVIDENCE", "URL")
    return output.table(headings, rows, right=("ENTRIES", "BEHIND"), spare=("URL", "PARTY", "SEEN"))


def peer_notes(peers: Peers) -> list[str]:
    """What follows the table: roster, confirmation, and what needs somebody's attention."""
    now_ms = int(time.time() * 1000)
    done, quorum = peers.confirmed, peers.roster.quorum
    lines = [f"Roster version {peers.roster.version}."]
    if peers.roster.removed_in:
        lines.append(REMOVED.format(peers.roster.removed_in))
    if peers.learning:
        lines.append(LEARNING)
    if not quorum:
        lines.append("Nothing can be confirmed: there is nobody else to cosign.")
    elif not done.size:
        lines.append(f"Nothing is confirmed yet; it takes {output.plural(quorum, 'party', 'parties')}.")
    else:
        waiting, n = "", done.lag_entries
        if n:
            verb = "waits" if n == 1 else "wait"
            waiting = f"; {output.count(n)} more {verb}, for {output.span(done.lag_ms / 1000)}"
        lines.append(
            f"{output.plural(done.size, 'entry', 'entries')} of this log confirmed"
            f"{_maybe(done.at_ms, now_ms)}{waiting}."
        )
    heard = {row.name for row in peers.peers if row.state == "alive"}
    for witness in done.witnesses:
        if witness.why == "away" and witness.name in heard:
            continue  # it was away when it was asked last
        if witness.why in WITNESSES:
            what, step = WITNESSES[witness.why]
            lines.append(f"! {output.clean(witness.name)} {what}.\n  {step}")
    for row in peers.peers:
        if row.frozen:
            lines.append(f"! The log of {row.name} contradicts itself.\n  See `vestibule peer evidence`.")
    for row in peers.peers:
        if row.refused:
            lines.append(f"Failed with {row.name} since the start: {words.reasons(_counted(row.refused))}.")
    return lines


def _counted(refused: Mapping[str, int]) -> dict[str, int]:
    """Under the words that docs/federation.md and the metrics have."""
    from gateway.app.peer_report import WORDS

    counts: Counter[str] = Counter()
    for code, count in refused.items():
        counts[WORDS.get(code) or peer_reason(code)] += count
    return dict(counts)


def _maybe(at_ms: int, now_ms: int) -> str:
    return f" ({output.ago(at_ms, now_ms)})" if at_ms else ""


def compare_table(compared: Compared) -> str:
    """The table of `peer compare`."""
    agrees = {True: "yes", False: "NO", None: ""}
    now_ms = int(time.time() * 1000)
    rows = []
    for log in compared.logs:
        rows.append(
            (log.origin, "(here)", output.count(log.size), log.root, "FROZEN" if log.frozen else "", "")
        )
        rows += [
            (
                "",
                peer.name,
                output.count(peer.size) if peer.root else "",
                peer.root,
                COMPARED.get(peer.why, peer.why) or agrees[peer.agrees],
                output.ago(peer.at_ms, now_ms) if peer.at_ms else "",
            )
            for peer in log.peers
        ]
    headings = ("LOG", "SEEN BY", "ENTRIES", "ROOT", "AGREES", "WHEN")
    return output.table(headings, rows, right=("ENTRIES",), spare=("WHEN", "ROOT"))


def compare_notes(compared: Compared) -> list[str]:
    """What follows the table."""
    if not compared.disagreement:
        return ["Nobody disagrees with what is known here."]
    notes = [
        "! Somebody disagrees. A NO alone may be a peer that lies or is broken; a frozen log has contradicted itself, "
        "and `vestibule peer evidence` shows how."
    ]
    if any(peer.why == "own_ahead" for log in compared.logs for peer in log.peers):
        notes.append(OWN_AHEAD)
    return notes


def roster_page(signed: SignedRoster) -> str:
    """The roster for people."""
    roster = signed.roster
    rows = [
        (
            member.name,
            member.group if member.group != member.name else "",
            member.origin,
            member.url,
            ", ".join(pin(der)[:16] for der in member.certs),
        )
        for member in roster.members
    ]
    rows += [(one.name, "(outside)", one.vkey.name, one.url, "") for one in roster.outside]
    keys = ", ".join(f"{output.clean(key.name)}+{key.key_id.hex()}" for key in roster.keys)
    quorum = (
        f"confirmed by {roster.quorum} of {output.plural(len(roster.parties), 'party', 'parties')}, "
        f"of which {roster.faulty} may lie"
        if roster.quorum
        else "nothing can be confirmed: one party alone"
    )
    if roster.outside:
        quorum += f"; and {roster.outside_threshold} of {len(roster.outside)} witnesses outside"
    table = output.table(("NAME", "PARTY", "LOG OR KEY", "URL", "PIN"), rows, spare=("PIN", "URL"))
    return "\n".join(
        [
            f"version     {roster.version} of {output.moment(roster.at_ms)}, federation {roster.federation.hex()}",
            f"fingerprint {fingerprint(roster.hash())}",
            f"signed by   {roster.threshold} of {len(roster.keys)}: {keys}",
            f"quorum      {quorum}",
            "",
            table,
        ]
    )
