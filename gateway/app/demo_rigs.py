"""The headsets of the demonstration: a simulated person in each, and what that person allows."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import Final

import numpy as np

from gateway.app.feed import RecordingClock
from gateway.app.keyfile import DeviceKey, unkept
from gateway.app.rig import Rig, Way
from gateway.app.simulate import wear
from gateway.sources.people import TRACK_KINDS, Person
from gateway.wire import kinds

DRAIN_S: Final = 15.0
WAIT_S: Final = 15.0
SEED: Final = 20_260  # the same people in every demonstration
UNWILLING: Final = 2
"""Index of the rig whose person does not allow eye tracking, where there are so many."""


@dataclass(frozen=True, slots=True)
class Plan:
    """One rig.

    Args:
        name: of the headset.
        subject: pseudonym of who wears it.
        allowed: numbers of the kinds that the subject allows.
        sends_all: it sends also what is not allowed, so that the gateway has to refuse it.
    """

    name: str
    subject: str
    allowed: frozenset[int]
    sends_all: bool = False


@dataclass(frozen=True, slots=True)
class Sight:
    """How a rig stands, for a display.

    Args:
        name, subject: as planned.
        state: `recording`, `waiting`, `behind`, `not_recording`.
        sent: samples captured, each with its number.
        stored: samples whose receipt came.
        refused: samples that were refused.
        waiting: samples without an answer yet.
    """

    name: str
    subject: str
    state: str
    sent: int
    stored: int
    refused: int
    waiting: int


def plans(count: int) -> list[Plan]:
    """Plan some rigs; the third person, where there is one, does not allow eye tracking."""
    every = frozenset(TRACK_KINDS.values())
    made = []
    for index in range(count):
        unwilling = index == UNWILLING
        made.append(
            Plan(
                f"headset-{index + 1}",
                f"patient-{index + 1}",
                every - {kinds.GAZE} if unwilling else every,
                unwilling,
            )
        )
    return made


class DemoRig:
    """A simulated headset with a simulated person in it.

    Args:
        index: from 0.
        plan: who, and what is allowed.
        key: of the device.
        way: to the gateway.
    """

    def __init__(self, index: int, plan: Plan, key: DeviceKey, way: Way) -> None:
        self.plan = plan
        self.rig = Rig(key, unkept, way, RecordingClock(0), send_unpermitted=plan.sends_all)
        self._person = Person(np.random.default_rng(SEED), index)

    @property
    def sight(self) -> Sight:
        """How it stands."""
        account = self.rig.device.account
        refused = sum(account.refused.values())
        return Sight(
            self.plan.name,
            self.plan.subject,
            str(self.rig.device.status()["state"]),
            account.captured,
            account.stored,
            refused,
            account.captured - account.stored - refused - sum(account.lost.values()),
        )

    async def record(self, seconds: float, enough: asyncio.Event) -> None:
        """Record for a time, and drain.

        Args:
            seconds: how long.
            enough: set to end it sooner.

        Raises:
            LocalError: `not_recording`.
        """
        await self.rig.begin(WAIT_S)
        await wear(self.rig, self._person, tuple(TRACK_KINDS), enough, seconds)
        self.rig.drained = await self.rig.driver.stop(DRAIN_S)
