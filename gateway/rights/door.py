"""`decide(actor, op, subject, kinds, purpose, now)`: the one door that plaintext leaves through.

This first version permits the actors whom the configuration names for the operation. The caller makes the `access`
entry durable before the first byte leaves, whatever the answer was (hop 7 in gateway/README.md).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from gateway.permit import Permit

NOT_NAMED = "actor_not_named"


class Door:
    """The rules of release.

    Args:
        actors: actor (`uid:N` or `gid:N`) to the operations it may do.
    """

    def __init__(self, actors: Mapping[str, Sequence[str]]) -> None:
        self._actors = {actor: frozenset(ops) for actor, ops in actors.items()}

    def decide(
        self, actors: Sequence[str], op: str, subject: bytes, kinds: Sequence[int], purpose: str, now_ns: int
    ) -> Permit:
        """Whether somebody may see data of a subject now.

        Args:
            actors: the names that the asking process has: its user and its groups.
            op: `prove`, `export`, `view` or `live`.
            subject: reference of the subject whose data are asked for.
            kinds: numbers of the kinds asked for.
            purpose: why.
            now_ns: the gateway's monotonic clock.

        Returns:
            The decision; it holds for this moment only.
        """
        allowed = any(op in self._actors.get(actor, ()) for actor in actors)
        return Permit(allowed, "" if allowed else NOT_NAMED, now_ns, 1)
