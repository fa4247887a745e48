"""The machines over an accepted store, and our part in a federation: what is connected with what.

Nothing runs here yet; `daemon.py` starts and stops it.
"""

from __future__ import annotations

import time

import msgspec

from gateway import events
from gateway.app.config_tables import Config
from gateway.app.export import LogReader
from gateway.app.federation import Federation
from gateway.app.house import Floors, House
from gateway.app.observe import Observer
from gateway.app.peer_house import House as PeerHouse
from gateway.app.regain import rejoin
from gateway.app.spine import Spine
from gateway.app.startup import Store, names_of, random_bytes
from gateway.core.batcher import Batcher
from gateway.core.fairqueue import FairQueue
from gateway.core.intake import Intake, Limits
from gateway.core.ledger import Ledger
from gateway.core.registry import Registry
from gateway.core.roster import SignedRoster
from gateway.core.sessions import Sessions
from gateway.entries.types import roster_body
from gateway.errors import Damage, StoreError
from gateway.ids import SessionId, SubjectRef
from gateway.rights.recording import Recording
from gateway.store.layout import Layout
from gateway.store.peer_file import keep_damaged


def build_house(store: Store, config: Config, observer: Observer) -> House:
    """Wire the machines over an accepted store."""
    names = names_of(config.gateway.name)
    limits = config.limits
    registry = Registry(
        names, random_bytes, time.monotonic_ns, store.boot, limits.device_packets_s, limits.max_links
    )
    state = store.state
    registry.restore(
        state.devices,
        state.pairings,
        state.sessions,
        state.links,
        state.streams,
        state.next_link,
        state.next_device,
        state.withdrawn,
    )
    recording = Recording()
    intake = Intake(
        registry,
        recording.permit,
        lambda: recording.version,
        Limits(limits.stranger_packets_s, limits.max_streams_per_link),
    )
    batcher = Batcher(config.seal.interval_ms * 1_000_000, config.seal.max_batch_bytes)
    ledger = Ledger(store.keys.origin, store.keys.log_keys, store.keys.entry, store.frontier, store.tails)
    cached: dict[SubjectRef, bytes] = {}

    def subject_key(subject: SubjectRef) -> bytes:
        key = cached.get(subject)
        if key is None:
            key = cached[subject] = store.subjects.key(subject)
        return key

    def forget(session: SessionId) -> None:
        in_use = {kept.subject for kept in registry.sessions.values()}
        for subject in set(cached) - in_use:
            del cached[subject]
        intake.admission.forget(session)

    sessions = Sessions(registry, batcher, ledger.gateway, subject_key, forget)
    return House(
        FairQueue(limits.queue_packets, limits.queue_bytes),
        registry,
        intake,
        batcher,
        ledger,
        sessions,
        recording,
        subject_key,
        store.disk,
        observer,
        store.boot,
        state.next_batch,
        limits.link_keep_s,
        Floors(limits.free_disk_floor_bytes, limits.urgent_disk_floor_bytes),
    )


async def among_peers(
    layout: Layout,
    config: Config,
    observer: Observer,
    store: Store,
    house: House,
    spine: Spine,
    reader: LogReader,
) -> Federation | None:
    """Our part in a federation, opened and not yet begun; None where peers are off.

    A peers.db that is lost or damaged is begun anew: what it held comes back from our own log (the roster) and
    from peers; recording does not wait for that. Where `start_alone` is false somebody has to look first.

    Raises:
        StoreError, StoreRefused: peers.db cannot be used.
        Damage: it is damaged, and `start_alone` is false.
    """
    if not config.peers.enabled:
        return None

    async def enter(signed: SignedRoster) -> None:
        roster, document = signed.roster, msgspec.json.decode(signed.raw)

        def entered(now_ns: int, now_ms: int) -> None:
            body = roster_body(house.ledger.gateway, now_ms, roster.version, roster.hash(), document)
            spine.enter([body], [])

        await spine.ask(entered)

    def newest() -> tuple[bytes, int, bytes]:
        return house.checkpoint, house.ledger.size, house.ledger.root

    def stop(error: StoreError) -> None:
        house.may_sign = False
        spine.fail(error)

    ours = PeerHouse(store.keys, store.keys.known_log_vkeys, newest, reader, enter, stop)
    try:
        if not layout.peers.exists():
            await rejoin(layout, store.db)
        return await Federation.open(layout, config, observer, ours)
    except Damage:
        if not config.peers.start_alone:
            raise
        observer.emit(events.PeersRefused("store", 1))
        keep_damaged(layout.peers)
        await rejoin(layout, store.db)
        return await Federation.open(layout, config, observer, ours)
