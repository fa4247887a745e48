"""What `peer list` and `status` show of the federation: rows. Decides nothing."""

from __future__ import annotations

import time
from typing import Any

from gateway.app.federation import Federation
from gateway.app.peer_report import is_alive
from gateway.core.member import Member
from gateway.net.peer_tls import pin

Row = dict[str, Any]


def confirmed(federation: Federation) -> Row:
    """How far our own log is confirmed, and what is missing."""
    confirming, roster = federation.machines.confirming, federation.membership.roster
    machine = confirming.machine
    return {
        "active": machine.active,
        "size": confirming.size,
        "at_ms": machine.confirmed_at_ms,
        "lag_entries": machine.lag.entries if machine.active else 0,
        "lag_ms": machine.lag.age_ns(time.monotonic_ns()) // 1_000_000 if machine.active else 0,
        "quorum": roster.quorum if roster else 0,
        "parties": len(roster.parties) if roster else 0,
        "witnesses": [
            {"name": row.name, "url": row.url, "size": row.size, "why": row.why} for row in machine.rows()
        ],
    }


def roster_row(federation: Federation) -> Row:
    """The roster in force."""
    roster, anchor = federation.membership.roster, federation.membership.anchor
    return {
        "version": roster.version if roster else 0,
        "federation": roster.federation.hex() if roster else "",
        "threshold": roster.threshold if roster else 0,
        "keys": [key.encode() for key in roster.keys] if roster else [],
        "faulty": roster.faulty if roster else 0,
        "quorum": roster.quorum if roster else 0,
        "witnesses": [witness.name for witness in roster.outside] if roster else [],
        "removed_in": federation.membership.removed_in,
        "waiting_for": anchor.url if anchor and federation.membership.us is None else "",
    }


def peers(federation: Federation) -> list[Row]:
    """All members, ourselves first."""
    membership = federation.membership
    us = membership.us
    rows = [_member(federation, us, ours=True)] if us else []
    return rows + [_member(federation, member, ours=False) for member in membership.others]


def _member(federation: Federation, member: Member, *, ours: bool) -> Row:
    machines = federation.machines
    log, gossip = machines.logs.of(member.origin), machines.steps.gossip
    heard_ns = None if gossip is None or ours else gossip.liveness.heard_ns(member.name)
    state = "us" if ours else "alive" if is_alive(machines.steps, member.name) else "away"
    if state == "away" and heard_ns is None:
        state = "never"
    seen_ms = 0 if heard_ns is None else _now_ms() - (time.monotonic_ns() - heard_ns) // 1_000_000
    return {
        "name": member.name,
        "origin": member.origin,
        "url": member.url,
        "group": member.group,
        "state": state,
        "seen_ms": seen_ms,
        "size": log.size if log else 0,
        "lag_entries": 0 if ours or log is None else log.lag,
        "frozen": log.frozen if log else False,
        "pin": pin(member.certs[0]),
        "refused": dict(federation.report.refused.get(member.name, {})),
    }


def summary(federation: Federation) -> Row:
    """For `status`: a line or two."""
    membership, machines = federation.membership, federation.machines
    others = membership.others
    return {
        "enabled": True,
        "listen": f"{federation.edge.host}:{federation.edge.port}",
        "member": membership.us is not None,
        "members": len(others),
        "alive": sum(is_alive(machines.steps, member.name) for member in others),
        "roster": membership.roster.version if membership.roster else 0,
        "waiting_for": roster_row(federation)["waiting_for"],
        "removed_in": membership.removed_in,
        "frozen": [log.origin for log in machines.logs if log.frozen],
        "mirror_lag_entries": machines.logs.mirror_lag,
        "learning": machines.steps.learning,
        "down": machines.steps.failed,
        "confirmed": confirmed(federation),
    }


def _now_ms() -> int:
    return time.time_ns() // 1_000_000
