"""A headset in the simulated clinic with what an app has around it: storage, a spool on disk, sleep, and kills."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

from gateway.app.spool_files import SpoolFiles
from gateway.device import events as ev
from gateway.device.config import DeviceConfig
from gateway.device.machine import Device
from tests.sim.clinic import Gateway, Network, Rig, make_rig
from tests.sim.virtual import now_ns


class Headset(Rig):
    """A rig whose app may sleep, be killed and start again. Samples of each run are numbered from 0."""

    folder: Path | None
    spool: SpoolFiles | None
    key: bytes
    hello_seq: int
    runs: dict[int, int]
    options: dict[str, object]
    lost: Counter[str]
    asleep: bool

    def perform(self, effects: list[ev.Effect]) -> None:
        if self.asleep:
            effects = [effect for effect in effects if not isinstance(effect, ev.Send)]
        gone = []
        for effect in effects:
            if isinstance(effect, ev.Persist):
                assert effect.hello_seq > self.hello_seq, "a counter is never used twice"
                self.hello_seq = effect.hello_seq
            elif isinstance(effect, ev.PersistKey):
                self.key = effect.key
            elif isinstance(effect, ev.Spooled) and self.spool is not None:
                packet = self.spool.perform(effect)
                if isinstance(effect, ev.SendKept):
                    if packet is None:
                        gone.append(ev.SpoolLost(effect.link, effect.seq))
                    else:
                        super().perform([ev.Send(packet, False)])
        if self.spool is not None:
            self.spool.flush()
        super().perform(effects)
        self.runs[self.device.config.run] = self.sent
        for event in gone:
            self.perform(self.device.step(event, now_ns()))

    def sleep(self) -> None:
        """BYE, and then nothing happens."""
        self.perform(self.device.step(ev.Pause("sleep"), now_ns()))
        self.asleep = True
        if self._timer is not None:
            self._timer.cancel()

    def receive(self, packet: bytes) -> None:
        if not self.asleep:
            super().receive(packet)

    def wake(self) -> None:
        """A new socket, so another port, and HELLO."""
        self.asleep = False
        self.source = (self.source[0], self.source[1] + 1)
        self.perform(self.device.step(ev.Resume(), now_ns()))

    def kill(self) -> None:
        """Gone at once; what was flushed stays."""
        self._note_lost()
        self.asleep = True
        if self._timer is not None:
            self._timer.cancel()
        if self.spool is not None:
            self.spool.close()

    def restart(self, gateway: Gateway) -> None:
        """The app starts again: another run, another port, and what the spool gives back."""
        run = gateway.rng.getrandbits(63)
        number = self.device.config.device
        config = DeviceConfig(number, self.key, "sim", self.hello_seq, run, **self.options)  # type: ignore[arg-type]
        self.device, self.sent, self.asleep = Device(config, gateway.rng.randbytes), 0, False
        self.source = (self.source[0], self.source[1] + 1)
        if self.folder is not None:
            self.spool = SpoolFiles(self.folder, number)
            for link in self.spool.load():
                self.perform(self.device.step(ev.Restored(link), now_ns()))
        self.perform(self.device.step(ev.Start(), now_ns()))

    def _note_lost(self) -> None:
        self.lost += self.device.account.lost
        self.lost += self.device.earlier.lost

    @property
    def lost_samples(self) -> int:
        """What the device says it lost, in all its runs."""
        return sum((self.lost + self.device.account.lost + self.device.earlier.lost).values())


def make_headset(
    gateway: Gateway, network: Network, number: int, key: bytes, folder: Path | None = None, **options: object
) -> Headset:
    """A headset; with a folder it has a spool there."""
    if folder is not None:
        options = {"spool_bytes": 64 << 20} | options
    rig = make_rig(gateway, network, number, key, **options)
    rig.__class__ = Headset
    assert isinstance(rig, Headset)
    rig.folder, rig.options, rig.key, rig.hello_seq = folder, options, key, -1
    rig.runs, rig.lost, rig.asleep = {}, Counter(), False
    rig.spool = SpoolFiles(folder, number) if folder is not None else None
    return rig
