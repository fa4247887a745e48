"""Peers in words: why a witness has not cosigned, and what evidence says, means and asks for."""

from __future__ import annotations

from typing import Final

from gateway.app.cli import output
from gateway.tlog.checkpoint import parse_checkpoint
from gateway.tlog.fork import Fork
from gateway.tlog.note import parse_note
from gateway.tlog.text import encode_base64

JOIN: Final = "Join one with `vestibule peer accept`, or begin one with `vestibule peer init`."
ALONE: Final = f"This gateway is in no federation. {JOIN}"

NEXT_ACCEPTED: Final = (
    "Next: `vestibule peer invite`, and give that card to whoever keeps the roster. Once they added this gateway, "
    "`vestibule peer list` shows everybody."
)
NEXT_LISTED: Final = "The roster lists this gateway: `vestibule peer list`."
"""After `peer accept`."""

STATES: Final[dict[str, str]] = {
    "us": "this gateway",
    "alive": "heard",
    "away": "away",
    "never": "never heard",
}

COMPARED: Final[dict[str, str]] = {
    "peer_away": "no answer",
    "peer_hung_up": "hung up",
    "peer_busy": "busy",
    "peer_certificate": "another certificate",
    "no_head": "has none yet",
    "ahead": "is ahead",
    "unreadable": "cannot be read here",
    "own_ahead": "NO: has more of ours",
}
"""Why it cannot be told whether a peer agrees about a log, or why it does not."""

OWN_AHEAD: Final = (
    "! A peer has entries of this gateway's own log that are not here, signed with its key: a second copy of it runs,\n"
    "  or this store is an old one. Stop it, and see docs/operator.md, `When a disk, a key or a backup is lost`."
)

LEARNING: Final = (
    "This gateway cosigns nothing yet: it hears first what the others know of it.\n"
    "  That takes seconds, once they answer."
)

REMOVED: Final = (
    "! Version {} of the roster lists this gateway no longer: no peer answers it.\n"
    "  Ask whoever keeps the roster. Recording goes on; nothing is confirmed any more."
)

_DIFFERS: Final = "Compare with `vestibule peer compare`: two copies of this gateway may be running."

WITNESSES: Final[dict[str, tuple[str, str]]] = {
    "away": ("does not answer", "Does it run, and is its url right? It is asked again by itself."),
    "busy": ("is busy", "Nothing: it is asked again by itself."),
    "unknown_log": ("does not know this log", "Ask its operator to take it up."),
    "refused": (
        "refuses this log",
        "Ask its operator: it may hold another key, or evidence against this log.",
    ),
    "bad_request": ("does not understand the request", "Are both of the same version?"),
    "inconsistent": ("says that this log does not continue what it holds", _DIFFERS),
    "conflict": ("answers without saying what it holds", "Tell its operator; it is asked again by itself."),
    "claims_more": ("says that it holds more of this log than there is", _DIFFERS),
    "no_signature": ("answers without its signature", "Tell its operator: its key may not be the roster's."),
    "bad_signature": ("gives a signature that does not verify", "Tell its operator: its key may be another."),
    "status": ("answers with something else", "Is its url that of a C2SP witness?"),
    "own_tiles": ("cannot be given a proof, since tiles of this log cannot be read", "Run `vestibule fsck`."),
}
"""Why a witness' cosignature is not there: code -> what is so, what to do. Others need nobody's attention."""

MEANS: Final = """\
What it means: only who has this log's private key can have signed both. Two copies of the gateway
were running (a restored backup, a cloned disk), or its key was stolen, or its operator lies. It is
not a fault of the network, and it does not go away: this log is frozen here, and at every peer that
knows. What was confirmed before still stands; what came after the two part is in doubt.

What to do: ask whoever runs that gateway to stop it and to find the second copy. It can only go on
with a new log (`vestibule ledger new-generation`), whose card then takes the old one's place in the
roster. Keep the evidence, and show it: it convinces anybody who has the log's public key, without
trusting you. See docs/federation.md."""
"""What evidence means for the accused log, and what helps."""


ACCUSES: Final = "Freeze {} here and at every peer, for good?"

ACCUSES_US: Final = "This accuses the log of this gateway itself: it stops, and does not start again. Go on?"
"""Before evidence is taken in."""


def contradiction(fork: Fork) -> str:
    """What the two statements of a log say, and why both cannot be true.

    Raises:
        ProofError: a note is not a checkpoint.
    """
    a, b = (parse_checkpoint(parse_note(note).text) for note in (fork.a, fork.b))
    if a.size == b.size:
        return (
            f"It signed two different contents for its first {output.plural(a.size, 'entry', 'entries')}:\n"
            f"  one with the root      {encode_base64(a.root)}\n"
            f"  the other with         {encode_base64(b.root)}\n"
            "A log has one root at each size."
        )
    return (
        f"It signed that its first {output.plural(a.size, 'entry', 'entries')} have the root\n"
        f"  {encode_base64(a.root)}\n"
        f"and it signed a log of {output.count(b.size)} entries with the root\n"
        f"  {encode_base64(b.root)}\n"
        f"whose first {output.plural(a.size, 'entry', 'entries')} provably have another root:\n"
        f"  {encode_base64(fork.alt_root)}\n"
        "So one of the two was not a beginning of the other: its history was rewritten."
    )
