"""Who keeps a connection, and who must leave when there is no place."""

from __future__ import annotations

import random
from dataclasses import dataclass, field

import pytest

from gateway.net.limits import Limits
from gateway.net.places import Phase, Places, address_key

SMALL = Limits(connections=6, of_address=3, of_member=2)


@dataclass(eq=False)
class Holder:
    address: str = "10.0.0.1"
    since: float = 0.0
    phase: Phase = Phase.WAITING
    member: str | None = field(default=None)


def test_the_one_that_waits_longest_gives_way_at_its_address() -> None:
    places = Places[Holder](SMALL)
    there = [Holder(since=since) for since in (5.0, 3.0, 4.0)]
    for holder in there:
        assert places.enter(holder) is None
    other = Holder("10.0.0.2", since=1.0)
    assert places.enter(other) is None
    assert places.enter(Holder(since=6.0)) is there[1]
    assert len(places) == 4


def test_whoever_takes_an_answer_gives_way_after_those_that_say_nothing() -> None:
    places = Places[Holder](SMALL)
    takes, works, waits = (
        Holder(since=1.0, phase=Phase.TAKING),
        Holder(since=0.0, phase=Phase.WORKING),
        Holder(since=9.0),
    )
    for holder in (takes, works, waits):
        places.enter(holder)
    newcomers = [Holder(since=10.0, phase=Phase.WORKING) for _ in range(3)]
    assert places.enter(newcomers[0]) is waits
    assert places.enter(newcomers[1]) is takes
    assert places.enter(newcomers[2]) is newcomers[2]  # nobody is left that can be given up
    assert len(places) == 3


def test_a_full_house_pushes_strangers_out_before_members() -> None:
    places = Places[Holder](SMALL)
    members = [Holder(f"10.0.1.{number}", since=0.0) for number in range(3)]
    for number, holder in enumerate(members):
        places.enter(holder)
        assert places.identify(holder, f"gw-{number}") is None
    strangers = [Holder(f"10.0.2.{number}", since=5.0 + number) for number in range(3)]
    for holder in strangers:
        assert places.enter(holder) is None
    assert places.enter(Holder("10.0.3.1", since=9.0)) is strangers[0]
    assert len(places) == 6


def test_a_member_does_not_count_for_its_address_and_has_few_of_its_own() -> None:
    places = Places[Holder](SMALL)
    mine = [Holder(since=float(number)) for number in range(3)]
    for holder in mine[:2]:
        places.enter(holder)
        assert places.identify(holder, "bob") is None
    for _ in range(3):
        assert places.enter(Holder(since=9.0)) is None
    pushed = places.enter(mine[2])
    assert pushed is not None
    assert pushed not in mine
    assert places.identify(mine[2], "bob") is mine[0]
    assert len(places) == 4


def test_a_member_whose_places_all_work_gets_no_more() -> None:
    places = Places[Holder](SMALL)
    holders = [Holder() for _ in range(3)]
    for holder in holders[:2]:
        places.enter(holder)
        places.identify(holder, "bob")
        holder.phase = Phase.WORKING
    places.enter(holders[2])
    assert places.identify(holders[2], "bob") is holders[2]
    assert len(places) == 2


def test_leaving_twice_changes_nothing() -> None:
    places = Places[Holder](SMALL)
    holder = Holder()
    places.enter(holder)
    places.leave(holder)
    places.leave(holder)
    assert len(places) == 0


@pytest.mark.parametrize("seed", range(20))
def test_the_limits_hold_whatever_happens(seed: int) -> None:
    rng = random.Random(seed)
    places = Places[Holder](SMALL)
    inside: list[Holder] = []
    for step in range(500):
        act = rng.random()
        if act < 0.5:
            newcomer = Holder(f"10.0.0.{rng.randrange(4)}", since=step)
            leaving = places.enter(newcomer)
            inside.append(newcomer)
        elif act < 0.7 and inside:
            strangers = [holder for holder in inside if holder.member is None]
            leaving = places.identify(rng.choice(strangers), f"gw-{rng.randrange(3)}") if strangers else None
        elif act < 0.85 and inside:
            leaving = None
            rng.choice(inside).phase = rng.choice(list(Phase))
        else:
            leaving = None
            if inside:
                places.leave(inside.pop(rng.randrange(len(inside))))
        if leaving is not None:
            inside.remove(leaving)
        assert len(places) == len(inside) <= SMALL.connections, f"seed {seed}, step {step}"
        for address in {holder.address for holder in inside}:
            count = sum(holder.address == address and holder.member is None for holder in inside)
            assert count <= SMALL.of_address, f"seed {seed}, step {step}"
        for name in {holder.member for holder in inside} - {None}:
            assert sum(holder.member == name for holder in inside) <= SMALL.of_member, (
                f"seed {seed}, step {step}"
            )


@pytest.mark.parametrize(
    ("host", "key"),
    [
        ("192.0.2.7", "192.0.2.7"),
        ("::ffff:192.0.2.7", "192.0.2.7"),
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"),
        ("2001:db8:1:2::9", "2001:db8:1:2::/64"),
        ("fe80::1%eth0", "fe80::/64"),
        ("::1", "::/64"),
        ("", ""),
    ],
)
def test_what_counts_as_one_address(host: str, key: str) -> None:
    assert address_key(host) == key
