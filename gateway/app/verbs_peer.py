"""Verbs of the control socket about peers: cards, the roster, what peers know, evidence."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from functools import partial
from typing import Final

from gateway.app import kept_evidence, peer_compare, peer_view
from gateway.app.config_tables import Config
from gateway.app.federation import Federation
from gateway.app.requests import Args, text
from gateway.core.card import MAX_CARD_BYTES, make_card, parse_card
from gateway.core.member import Member
from gateway.core.quorum import state_of
from gateway.core.roster import MAX_ROSTER_BYTES, Anchor
from gateway.errors import ConfigError, LocalError, StoreError
from gateway.keys.did import did_key
from gateway.net.control import Caller
from gateway.net.peer_tls import certificate
from gateway.tlog.fork import MAX_FORK_BYTES

Verb = Callable[[Args, Caller], Awaitable[Args]]

NOTHING: Final = 0, b""


class PeerVerbs:
    """Answers them.

    Args:
        config: of the daemon.
        federation: None where peers are off.
    """

    def __init__(self, config: Config, federation: Federation | None) -> None:
        self._config = config
        self._federation = federation

    def verbs(self) -> dict[str, Verb]:
        """Name -> verb."""
        verbs: dict[str, Verb] = {
            "peer.card": self._card,
            "peer.roster": self._roster,
            "peer.roster.publish": self._publish,
            "peer.accept": self._accept,
            "peer.list": self._list,
            "peer.compare": self._compare,
            "peer.evidence": self._evidence,
            "peer.evidence.add": self._evidence_add,
        }
        return {name: partial(_apart, verb) for name, verb in verbs.items()}

    def summary(self) -> Args:
        """For `status`."""
        return {"enabled": False} if self._federation is None else peer_view.summary(self._federation)

    def confirmed(self) -> tuple[int, bytes]:
        """The newest head of our log that a quorum cosigned: its size and the note; 0 and nothing without one."""
        if self._federation is None:
            return NOTHING
        confirming = self._federation.machines.confirming
        return confirming.size, confirming.note

    def state_of(self, entry: int, logged: int) -> str:
        """`logged` or `confirmed`; empty where there is no quorum that could confirm anything."""
        federation = self._federation
        if federation is None or not federation.machines.confirming.machine.active:
            return ""
        return state_of(entry, logged, self.confirmed()[0])

    def _on(self) -> Federation:
        if self._federation is None:
            raise ConfigError(
                "peers_off",
                "this gateway takes part in no federation: [peers] enabled is false",
                "Set it to true in the configuration, with a url, and restart the daemon.",
            )
        return self._federation

    async def _card(self, args: Args, caller: Caller) -> Args:
        federation, url = self._on(), self._config.peers.url
        if not url:
            raise ConfigError(
                "peers_url",
                "[peers] url is empty, so nobody could find this gateway",
                "Set it to the address that the others must use, like https://HOST:4749, and restart the daemon.",
            )
        keys, roster = federation.house.keys, federation.membership.roster
        anchor = (
            Anchor(roster.federation, roster.keys, roster.threshold, roster.version, url) if roster else None
        )
        us, name = federation.membership.us, self._config.gateway.name
        certs = tuple(certificate(key, name) for key in keys.tls_keys)
        group = us.group if us else name
        did = did_key(keys.entry.public)
        member = Member(name, did, keys.log_vkeys, keys.witness_vkeys, url, certs, group)
        card = make_card(keys.entry, member, anchor)
        return {"card": card.raw.decode(), "text": card.text(), "fingerprint": card.fingerprint.hex()}

    async def _roster(self, args: Args, caller: Caller) -> Args:
        roster = self._on().membership.roster
        return {
            "raw": self._on().raw_roster().decode(),
            "version": roster.version if roster else 0,
            "policy": roster.policy if roster else "",
        }

    async def _publish(self, args: Args, caller: Caller) -> Args:
        signed = await self._on().joining.publish(text(args, "raw", MAX_ROSTER_BYTES).encode())
        return {"version": signed.roster.version, "members": len(signed.roster.members)}

    async def _accept(self, args: Args, caller: Caller) -> Args:
        federation = self._on()
        card = parse_card(text(args, "card", 2 * MAX_CARD_BYTES))
        if card.anchor is None:
            raise LocalError(
                "card_anchor",
                f"the card of {card.member.name} belongs to no federation yet",
                "Its gateway begins one with `vestibule peer init`; then ask for its card again.",
            )
        await federation.joining.accept(card.anchor)
        return {
            "federation": card.anchor.federation.hex(),
            "version": card.anchor.version,
            "member": federation.membership.us is not None,
        }

    async def _list(self, args: Args, caller: Caller) -> Args:
        federation = self._on()
        return {
            "peers": peer_view.peers(federation),
            "roster": peer_view.roster_row(federation),
            "confirmed": peer_view.confirmed(federation),
            "learning": federation.machines.steps.learning,
        }

    async def _compare(self, args: Args, caller: Caller) -> Args:
        return {"logs": await peer_compare.compare(self._on(), text(args, "name", 64, ""))}

    async def _evidence(self, args: Args, caller: Caller) -> Args:
        return {"evidence": kept_evidence.rows(await self._on().store.forks())}

    async def _evidence_add(self, args: Args, caller: Caller) -> Args:
        raw = text(args, "raw", MAX_FORK_BYTES).encode()
        return await kept_evidence.take(self._on(), raw, dry_run=args.get("dry_run") is True)


async def _apart(verb: Verb, args: Args, caller: Caller) -> Args:
    try:
        return await verb(args, caller)
    except StoreError as error:
        if not error.fatal:
            raise
        # Of peers.db, not of the store: it is read again by itself, and recording goes on.
        raise StoreError(error.code, error.message, error.hint) from error
