"""`peer`: the verbs that make another version of the roster."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import click

from gateway.app import roster_edit as edit
from gateway.app.cli import output
from gateway.app.cli.ask import ask
from gateway.app.cli.peer_card import read_card
from gateway.app.cli.peer_proposal import (
    FILE,
    Options,
    current_roster,
    finish,
    keys_option,
    needed_roster,
    now_ms,
    private_keys,
    show_card,
)
from gateway.app.cli.state import State, write_file
from gateway.core.card import parse_card
from gateway.core.roster import FEDERATION_BYTES, Outside
from gateway.errors import LocalError
from gateway.keys.sign import SEED_BYTES, SigningKey
from gateway.tlog.note import ED25519, PrivateKey, encode_private, parse_vkey

F = TypeVar("F", bound=Callable[..., Any])

_faulty_option = click.option(
    "--faulty", type=click.IntRange(min=0), help="How many parties may lie; unchanged where it is not said."
)


def _editing(command: F) -> F:
    """Options of everything that makes a version."""
    for option in (
        output.json_option,
        click.option("--yes", is_flag=True, help="It was compared: do not ask."),
        click.option("--dry-run", is_flag=True, help="Show what would change; sign and publish nothing."),
        click.option(
            "--out", "-o", type=FILE, help="Write a proposal to FILE for others to sign; publish nothing."
        ),
        keys_option,
    ):
        command = option(command)
    return command


@click.command("roster-key")
@click.option("--out", "-o", type=FILE, required=True, help="Where to write it, readable by you alone.")
@click.option("--name", default="roster", show_default=True, help="What the key is called: whose it is.")
@output.json_option
def roster_key(out: Path, name: str, as_json: bool) -> None:
    """Make a key that signs the roster, as the private key of a C2SP note.

    Who has enough of these keys says who is a peer: keep them off the gateways, on a medium of your own, with a copy in
    another place. A single clinic needs one; several clinics better have one each.

    \b
    Example: vestibule peer roster-key --out /media/usb/roster.key
    """
    private = PrivateKey(name, ED25519, SigningKey(os.urandom(SEED_BYTES)))
    vkey = private.verifier.encode()
    write_file(out, encode_private(private) + "\n", secret=True)
    if as_json:
        output.write_json({"file": str(out), "vkey": vkey})
        return
    click.echo(vkey)
    output.note(f"The private key is in {out}. What is shown here is public.")


@click.command()
@click.option("--threshold", type=click.IntRange(min=1), help="How many keys must sign; all where not said.")
@click.option("--key", "vkeys", multiple=True, help="Verifier key of a roster key that is not here.")
@click.option(
    "--faulty", type=click.IntRange(min=0), default=0, help="Parties that may lie: none, while alone."
)
@_editing
@click.pass_obj
def init(state: State, /, threshold: int | None, vkeys: tuple[str, ...], faulty: int, **options: Any) -> None:
    """Begin a federation: the first roster, with this gateway alone.

    The keys given here are its keys; every later version needs --threshold of them.

    \b
    Example: vestibule peer init --roster-key /media/usb/roster.key
    """
    private = private_keys(options["key_files"])
    keys = [key.verifier for key in private] + [parse_vkey(text) for text in vkeys]
    if not keys:
        raise click.UsageError(
            "a roster needs a key: --roster-key FILE, or --key VKEY for one that is elsewhere"
        )
    if current_roster(state) is not None:
        raise LocalError(
            "federation_exists",
            "this gateway is in a federation already",
            "See `vestibule peer roster`. To let another gateway in: `vestibule peer add`.",
        )
    card = parse_card(str(ask(state, "peer.card", {})["card"]))
    federation = os.urandom(FEDERATION_BYTES)
    roster = edit.first_roster(card, keys, threshold or len(keys), faulty, federation, now_ms())
    finish(state, None, roster, Options(**options))


@click.command()
@click.argument("card", metavar="[CARD]", required=False)
@click.option(
    "--group", default="", help="Who runs it: gateways of one group count once. Else what its card says."
)
@click.option(
    "--witness", "witness", help="Instead of a card: verifier key of a C2SP witness that is no member."
)
@click.option("--url", default="", help="With --witness: where it takes checkpoints.")
@click.option("--name", default="", help="With --witness: what to call it here.")
@click.option(
    "--outside-threshold", type=click.IntRange(min=1), help="How many of the witnesses outside must cosign."
)
@_faulty_option
@_editing
@click.pass_obj
def add(
    state: State,
    /,
    card: str | None,
    group: str,
    witness: str | None,
    url: str,
    name: str,
    outside_threshold: int | None,
    faulty: int | None,
    **options: Any,
) -> None:
    """Let a gateway in by its card (a file, the word of its QR code, or -), or a standard witness from outside.

    Compare the card's fingerprint with whoever sent it. Where more signatures are needed than there are keys here, a
    proposal is written for the others to sign.

    \b
    Example: vestibule peer add rig-2.card --roster-key /media/usb/roster.key
             vestibule peer add --witness VKEY --url https://witness.example --name north --roster-key roster.key
    """
    if (card is None) == (witness is None) or bool(witness) != bool(url and name):
        raise click.UsageError("name either a CARD, or --witness with --url and --name")
    if (card is None and group) or (witness is None and outside_threshold is not None):
        raise click.UsageError("--group goes with a CARD, --outside-threshold with --witness")
    before = needed_roster(state)
    if witness is not None:
        other = Outside(name, parse_vkey(witness), url.rstrip("/"))
        roster = edit.with_outside(before.roster, other, now_ms(), threshold=outside_threshold, faulty=faulty)
    else:
        read = read_card(str(card))
        show_card(read, options["as_json"])
        roster = edit.with_member(before.roster, read, now_ms(), group=group, faulty=faulty)
    finish(state, before, roster, Options(**options))


@click.command()
@click.argument("card", metavar="[CARD]", required=False)
@click.option("--group", default="", help="Who runs it; unchanged where it is not said.")
@click.option(
    "--outside-threshold", type=click.IntRange(min=1), help="How many of the witnesses outside must cosign."
)
@_faulty_option
@_editing
@click.pass_obj
def update(
    state: State,
    /,
    card: str | None,
    group: str,
    outside_threshold: int | None,
    faulty: int | None,
    **options: Any,
) -> None:
    """Put a member's newer card in the place of its old one: other keys, another address, a new generation of its log.

    Without a card, only --faulty or --outside-threshold change.

    \b
    Example: vestibule peer update rig-2.card --roster-key /media/usb/roster.key
    """
    if card is None and (group or (faulty is None and outside_threshold is None)):
        raise click.UsageError("name a CARD, or --faulty, or --outside-threshold")
    before = needed_roster(state)
    read = None if card is None else read_card(card)
    if read is not None:
        show_card(read, options["as_json"])
    roster = edit.with_update(
        before.roster, read, now_ms(), group=group, faulty=faulty, threshold=outside_threshold
    )
    finish(state, before, roster, Options(**options))


@click.command()
@click.argument("name")
@_faulty_option
@_editing
@click.pass_obj
def remove(state: State, /, name: str, faulty: int | None, **options: Any) -> None:
    """Put a gateway, or a witness outside, out of the federation. What it copied stays with it.

    \b
    Example: vestibule peer remove rig-2 --roster-key /media/usb/roster.key
    """
    before = needed_roster(state)
    roster = edit.without(before.roster, name, now_ms(), faulty=faulty)
    finish(state, before, roster, Options(**options))


@click.command()
@click.option(
    "--key", "vkeys", multiple=True, required=True, help="Verifier key of a roster key from now on."
)
@click.option("--threshold", type=click.IntRange(min=1), help="How many must sign; all where not said.")
@_editing
@click.pass_obj
def rekey(state: State, /, vkeys: tuple[str, ...], threshold: int | None, **options: Any) -> None:
    """Hand the roster over to other keys. Enough of the old and of the new ones must sign.

    Cards that were made before tell of the old keys: make new ones for whoever has not joined yet.

    \b
    Example: vestibule peer rekey --key VKEY --roster-key old.key --roster-key new.key
    """
    before = needed_roster(state)
    keys = [parse_vkey(text) for text in vkeys]
    roster = edit.with_keys(before.roster, keys, threshold or len(keys), now_ms())
    finish(state, before, roster, Options(**options))
