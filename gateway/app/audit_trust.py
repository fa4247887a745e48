"""What a head is worth beyond its own signature: enough witnesses, and how old it is."""

from __future__ import annotations

from typing import Final

from gateway.app.audit_report import Audited
from gateway.app.audit_state import State
from gateway.core.roster import parse_roster
from gateway.errors import ProofError, SignatureError
from gateway.tlog.note import COSIGNATURE, Note, parse_note, verify_signature
from gateway.tlog.policy import NO_QUORUM, Policy

FUTURE_S: Final = 300
"""Clocks differ; a time that lies further ahead is wrong, and would hide that a log stands still."""


def judge_quorum(told: Audited, policy: Policy, note: bytes) -> None:
    """Ask whether enough witnesses cosigned a head, and tell.

    Args:
        told: where findings go.
        policy: says who is enough.
        note: the head, its log signature verified.
    """
    try:
        report = policy.report(parse_note(note))
    except (ProofError, SignatureError) as error:
        told.quorum = False
        told.add(
            "fault", "cosignature", f"a signature of the policy's on the head does not hold: {error.message}"
        )
        return
    told.witnesses, told.quorum = report.witnesses, report.satisfied
    if report.satisfied:
        return
    if policy.logs and report.log is None:
        told.add(
            "fault",
            "policy_log",
            "the policy lists other logs, or other keys of this one",
            "Give the policy that lists this log with the key that signs now.",
        )
        return
    there = ", ".join(report.witnesses) or "nobody"
    told.add(
        "fault",
        "quorum",
        f"too few witnesses cosigned the head of {report.checkpoint.size} entries: {there} of the policy's did",
        "Ask for a quorum at the log's own URL: copies and exports do not carry it. If it stays so there, ask the "
        "clinic and its witnesses why.",
    )


def judge_age(told: Audited, state: State, policy: Policy | None, max_age_s: float | None) -> None:
    """Find the newest time that says something of a head, and tell where that is too old.

    Args:
        told: with the head; where findings go.
        state: what is known of the log, the head among it.
        policy: whose witnesses' times count before all others.
        max_age_s: how old it may be; None for any age.
    """
    if told.head is None or state.head is None or told.head.size < state.head.size or told.evidence:
        return
    cosigned = cosigned_s(parse_note(told.head.note), policy) if policy is not None else 0
    if cosigned:
        told.newest_ms, told.newest_of = cosigned * 1000, "cosignature"
    elif state.fold.newest_ms and state.checked == state.head.size:
        told.newest_ms, told.newest_of = state.fold.newest_ms, "entry"
    else:
        told.newest_ms, told.newest_of = state.head.seen_ms, "seen"
    if max_age_s is None:
        return
    seen = told.newest_of == "seen"
    age_s = (told.at_ms - told.newest_ms) / 1000
    if age_s > max_age_s:
        told.add(
            "late",
            "stale",
            f"this head was first seen {int(age_s)} s ago, and at most {max_age_s:g} s are allowed"
            if seen
            else f"the newest {told.newest_of} is {int(age_s)} s old, and may be {max_age_s:g} s old at most",
            "Ask whether the gateway and its witnesses run. Without witnesses a log in which nothing happens looks "
            "old too.",
        )
    elif age_s < -FUTURE_S:
        told.add(
            "late",
            "future",
            f"the time of the {'head' if seen else told.newest_of} lies {int(-age_s)} s in the future",
            "Compare the clock of this machine and theirs: until then nobody can say how old the head is.",
        )


def compare_policy(told: Audited, state: State, policy: Policy | None) -> None:
    """Tell where the policy in use is not that of the newest roster in the log."""
    if policy is None or not state.fold.roster or policy.quorum == NO_QUORUM:
        return
    roster = parse_roster(state.fold.roster).roster
    if roster.parsed_policy() != policy:
        told.add(
            "note",
            "policy_differs",
            f"the policy is not the one of version {roster.version} of the roster, the newest in the log",
            "If you took it from a roster, take it again.",
        )


def cosigned_s(note: Note, policy: Policy) -> int:
    """The latest time at which a witness of a policy cosigned a note, UTC seconds; 0 where none did."""
    latest = 0
    for party in policy.witnesses.values():
        for signature in note.signatures:
            own = (signature.name, signature.key_id) == (party.vkey.name, party.vkey.key_id)
            if own and party.vkey.sig_type == COSIGNATURE:
                try:
                    latest = max(latest, verify_signature(note.text, signature, party.vkey))
                except SignatureError:
                    continue
    return latest
