"""Real gateways that are peers of one another: made, joined by the verbs that people use, cut apart and healed."""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Any

from e2e.daemon import Gateway, free_port
from e2e.switch import Switch

from gateway.app.cli.main import main as cli
from gateway.app.roster_edit import first_roster, with_member, with_outside, without
from gateway.core.card import Card, parse_card
from gateway.core.roster import Roster, SignedRoster, parse_roster, sign_roster
from gateway.keys.sign import SigningKey
from gateway.tlog.note import VerifierKey

ROSTER_KEY = "roster.test"


class Circle:
    """Some gateways and the keeper of their roster.

    Args:
        folder: for their stores.
        count: how many; `rig-1` is the first.
        period_ms: of gossip.
        seal_ms: how often each seals.
        faulty: how many may lie.
        relayed: whether they reach one another through the switch, so that lines can be cut.
    """

    def __init__(
        self,
        folder: Path,
        count: int,
        *,
        period_ms: int = 300,
        seal_ms: int = 300,
        faulty: int | None = None,
        relayed: bool = True,
    ) -> None:
        self.key = SigningKey(bytes(range(32)))
        self.faulty = (count - 1) // 3 if faulty is None else faulty
        self.gateways: dict[str, Gateway] = {}
        self.switch = Switch(self._pid_of)
        self._ports: dict[str, int] = {}
        self._folder = folder
        self._period_ms, self._seal_ms, self._relayed = period_ms, seal_ms, relayed
        for number in range(1, count + 1):
            self.add(f"rig-{number}")

    def add(self, name: str, data_dir: Path | None = None) -> Gateway:
        """Another gateway, not started; with the address that one of this name had before."""
        port = free_port()
        if name not in self._ports:
            self._ports[name] = self.switch.relay(name, port) if self._relayed else port
            self._inner = {**getattr(self, "_inner", {}), name: port}
        gateway = Gateway(
            data_dir or self._folder / name,
            seal_ms=self._seal_ms,
            name=name,
            origin=f"gateway.test/{name}",
            config={
                "peers": {
                    "enabled": True,
                    "listen": f"127.0.0.1:{self._inner[name]}",
                    "url": self.url(name),
                    "period_ms": self._period_ms,
                }
            },
        )
        self.gateways[name] = gateway
        return gateway

    def url(self, name: str) -> str:
        """Where the others find it."""
        return f"https://127.0.0.1:{self._ports[name]}"

    def __enter__(self) -> Circle:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for gateway in self.gateways.values():
            with contextlib.suppress(Exception):
                gateway.__exit__(kind, error, trace)
        self.switch.close()

    def start(self, *, join: bool = True) -> None:
        """Start all, and make them one federation."""
        for gateway in self.gateways.values():
            gateway.init()
            gateway.start(wait=False)
        for gateway in self.gateways.values():
            gateway.wait_ready()
        if join:
            self.join()

    def join(self) -> None:
        """Begin a federation with the first, and let all others in."""
        first, *others = self.gateways.values()
        vkey = VerifierKey.of(ROSTER_KEY, self.key.public)
        roster = first_roster(self.card(first), [vkey], 1, 0, os.urandom(16), _now_ms())
        self.publish(roster)
        for gateway in others:
            gateway.call("peer.accept", card=first.call("peer.card")["card"])
            roster = with_member(self.roster(), self.card(gateway), _now_ms(), faulty=0)
            if gateway is others[-1]:
                roster = with_member(self.roster(), self.card(gateway), _now_ms(), faulty=self.faulty)
            self.publish(roster)
        self.until_all_know(self.roster().version)
        self.until_all_cosign()

    def card(self, gateway: Gateway) -> Card:
        """Its card."""
        return parse_card(gateway.call("peer.card")["card"])

    def roster(self) -> Roster:
        """The roster in force at the first gateway that runs."""
        return parse_roster(self.running()[0].call("peer.roster")["raw"].encode()).roster

    def publish(self, roster: Roster) -> SignedRoster:
        """Sign a version, and give it to the first gateway that runs."""
        signed = sign_roster(roster, self.key, ROSTER_KEY)
        self.running()[0].call("peer.roster.publish", raw=signed.raw.decode())
        return signed

    def running(self) -> list[Gateway]:
        """Those whose process runs."""
        return [g for g in self.gateways.values() if g.process is not None and g.process.poll() is None]

    def until_all_know(self, version: int) -> None:
        """Wait until this version is in force everywhere."""
        self.until(
            lambda: all(g.call("peer.roster")["version"] >= version for g in self.running()),
            f"roster {version} everywhere",
        )

    def until_all_cosign(self) -> None:
        """Wait until every witness has heard what it may have promised before."""
        self.until(lambda: not any(g.call("peer.list")["learning"] for g in self.running()), "all cosign")

    def heads(self, gateway: Gateway) -> dict[str, int]:
        """Origin -> size of the head that this gateway holds."""
        return {row["origin"]: row["size"] for row in gateway.call("peer.list")["peers"]}

    def until_level(self, timeout_s: float = 15.0) -> None:
        """Wait until everybody has everybody's newest head and entries."""

        def level() -> bool:
            own = {g.origin: g.call("status")["log"]["size"] for g in self.running()}
            rows = [g.call("peer.list")["peers"] for g in self.running()]
            return all(
                row["size"] >= own.get(row["origin"], 0) and not row["lag_entries"]
                for peers in rows
                for row in peers
            )

        self.until(level, "all heads everywhere", timeout_s)

    def until(self, holds: Callable[[], Any], what: str, timeout_s: float = 15.0) -> Any:
        """Wait for something, with the end of every log when it does not come."""
        until = time.monotonic() + timeout_s
        while True:
            with contextlib.suppress(Exception):
                if value := holds():
                    return value
            if time.monotonic() > until:
                logs = "\n".join(f"--- {g.name}\n{g.log()[-1500:]}" for g in self.gateways.values())
                raise AssertionError(f"not in {timeout_s} s: {what}\n{logs}")
            time.sleep(0.05)

    def work(self, gateway: Gateway, sittings: int = 1) -> None:
        """Have a gateway append entries: sessions are opened and closed."""
        devices = [row["device"] for row in gateway.call("device.list")["devices"]]
        device = devices[0] if devices else gateway.add_device().device
        for _ in range(sittings):
            gateway.close_session(gateway.open_session([device], ["pose"]), now=True)

    def _pid_of(self, name: str) -> int | None:
        gateway = self.gateways.get(name)
        return gateway.process.pid if gateway is not None and gateway.process is not None else None


def _now_ms() -> int:
    return time.time_ns() // 1_000_000


__all__ = ["Circle", "cli", "with_outside", "without"]
