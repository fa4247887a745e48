"""Quorums of all parties (docs/adr/0017): two that conflict share an honest party, whatever the roster looks like."""

from __future__ import annotations

from itertools import combinations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from rosters import member, outside, roster, witness_key

from gateway.core.roster import Roster
from gateway.tlog.policy import Policy


def satisfied(policy: Policy, witnesses: frozenset[str]) -> bool:
    """Whether these witnesses, by their names in the policy, are enough; read from the groups alone."""
    reached = set(witnesses)
    for name, group in policy.groups.items():
        if len(reached.intersection(group.members)) >= group.threshold:
            reached.add(name)
    return policy.quorum in reached


@pytest.mark.parametrize("n", range(2, 8))
def test_two_quorums_share_more_parties_than_may_lie(n: int) -> None:
    for faulty in range(n):
        policy = roster(*(member(f"m{i}") for i in range(n)), faulty=faulty).parsed_policy()
        everyone = frozenset(policy.witnesses)
        enough = [
            frozenset(some)
            for size in range(n + 1)
            for some in combinations(sorted(everyone), size)
            if satisfied(policy, frozenset(some))
        ]
        assert all(len(one & other) > faulty for one in enough for other in enough)
        smallest = min(len(some) for some in enough)
        # one fewer would be too few: then two quorums could share nobody but liars
        assert 2 * (smallest - 1) - n <= faulty
        assert smallest == (n + faulty) // 2 + 1


@st.composite
def rosters(draw: st.DrawFn) -> Roster:
    n = draw(st.integers(1, 7))
    groups = draw(st.lists(st.sampled_from(["", "north", "south"]), min_size=n, max_size=n))
    members = [
        member(
            f"m{i}",
            group,
            witness=(witness_key(f"m{i}"), witness_key(f"m{i}", 2))[: draw(st.integers(1, 2))],
        )
        for i, group in enumerate(groups)
    ]
    others = tuple(outside(f"o{i}") for i in range(draw(st.integers(0, 3))))
    parties = len({group or f"m{i}" for i, group in enumerate(groups)})
    return roster(
        *members,
        faulty=draw(st.integers(0, parties - 1)),
        outside=others,
        outside_threshold=draw(st.integers(1, len(others))) if others else 0,
    )


@given(rosters(), st.data())
@settings(max_examples=150)
def test_the_policy_counts_parties_and_outside_witnesses(made: Roster, data: st.DataObject) -> None:
    policy = made.parsed_policy()
    voices = data.draw(st.frozensets(st.sampled_from(sorted(policy.witnesses))))
    said = {name.partition("/")[0] for name in voices}
    parties = {member.group for member in made.members if member.name in said}
    beside = sum(witness.name in said for witness in made.outside)
    everybody = {member.group for member in made.members}
    needed = (len(everybody) + made.faulty) // 2 + 1
    if len(everybody) < 2 and not made.outside:
        assert policy.quorum == "none"
        assert made.quorum == 0
        return
    assert made.quorum == needed
    assert satisfied(policy, voices) == (len(parties) >= needed and beside >= made.outside_threshold)
