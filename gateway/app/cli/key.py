"""`key`: the public keys that others need, the escrow of the private ones, and their rotation."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import click

from gateway.app.cli import output
from gateway.app.cli.elsewhere import (
    answers_document,
    asker,
    asking,
    known_here,
    show_answers,
    sources,
    yes_options,
)
from gateway.app.cli.passphrase import passphrase_option, read_passphrase
from gateway.app.cli.state import State, must_be_new, write_file

if TYPE_CHECKING:
    from gateway.app.rotate import Rotated

ROLES: Final = ("log", "witness", "entry", "tls")
RETIRED: Final = ("log", "witness", "tls")


@click.group()
def key() -> None:
    """The public keys of this gateway, the escrow of the private ones, and their rotation.

    \b
    Example: vestibule key show
    """


@key.command("show")
@output.json_option
@click.pass_obj
def show(state: State, as_json: bool) -> None:
    """The names and public keys by which others verify this gateway: give them to auditors and peers.

    \b
    Example: vestibule key show --json > rig-1.keys.json
    """
    shown = public_keys(state)
    if as_json:
        output.write_json(shown)
        return
    width = max(map(len, shown))
    for name, value in shown.items():
        click.echo(f"{name:{width}} {value}")


def public_keys(state: State) -> dict[str, str]:
    """Origin, verifier keys of log and witness (C2SP signed-note), and the DID of the gateway; while a key is being
    rotated also the other one of two: `old_log`, `next_witness`.

    Raises:
        StoreRefused: `store_missing`.
        ConfigError: the key files cannot be read.
    """
    from gateway.keys.did import did_key
    from gateway.store.keyfiles import load_keys

    state.must_hold_store()
    keys = load_keys(state.layout)
    *old_log, log = keys.log_vkeys
    witness, *next_witness = keys.witness_vkeys
    shown = {"origin": keys.origin, "log": log.encode(), "witness": witness.encode()}
    shown["gateway"] = did_key(keys.entry.public)
    if old_log:
        shown["old_log"] = old_log[0].encode()
    if next_witness:
        shown["next_witness"] = next_witness[0].encode()
    return shown


@key.command("escrow")
@click.option(
    "--out", "-o", type=click.Path(dir_okay=False, path_type=Path), required=True, help="Where to write it."
)
@passphrase_option
@output.json_option
@click.pass_obj
def escrow(state: State, out: Path, passphrase_file: Path | None, as_json: bool) -> None:
    """Seal the log, witness, entry and TLS keys under a passphrase, as a text to print or to keep off this machine.

    Without it a broken disk ends the log for ever. Keep text and passphrase in two places, and make another one after
    each rotation of a key. `vestibule ledger restore` uses it.
    The keys of patients are never in it: what is archived cannot be erased.

    \b
    Example: vestibule key escrow --out rig-1.escrow
    """
    from gateway.keys.seal import NONCE_BYTES
    from gateway.store.escrow import SALT_BYTES, escrow_bundle
    from gateway.store.keyfiles import load_keys

    must_be_new(out)
    state.must_hold_store()
    keys = load_keys(state.layout)
    passphrase = read_passphrase(passphrase_file, new=True)
    bundle = escrow_bundle(keys, passphrase, os.urandom(SALT_BYTES), os.urandom(NONCE_BYTES))
    write_file(out, bundle.decode("ascii"), secret=True)
    if as_json:
        output.write_json({"file": str(out), "origin": keys.origin})
    else:
        click.echo(f"The keys of {keys.origin} are in {out}, sealed.")
        output.note(
            "Keep it off this machine, and the passphrase elsewhere. One without the other is worth nothing."
        )


@key.command("rotate")
@click.argument("role", type=click.Choice(ROLES))
@yes_options
@output.json_option
@click.pass_obj
def rotate(state: State, role: str, dry_run: bool, yes: bool, as_json: bool) -> None:
    """Change a key in a planned way: the log goes on, and an entry signed by old and new key says so.

    \b
    log      signs heads: both sign from the next start on, until `key retire log`
    witness  cosigns other logs: the old one in use until `key retire witness`
    entry    signs entries (DID): the new one at once
    tls      for peers: the old one in use until `key retire tls`

    The gateway must be stopped. For keys that somebody else may have: `vestibule ledger new-generation --compromised`.

    \b
    Example: vestibule key rotate log --dry-run
    """
    from gateway.app.rotate import EXPLAINED, rotate_key
    from gateway.store.keyfiles import load_keys

    state.must_hold_store()
    known = known_here(state, load_keys(state.layout).origin)
    chosen: Any = role
    done = asking(
        state,
        lambda get: rotate_key(
            state.layout,
            chosen,
            sources((), known),
            get,
            asker(yes, "Change it?"),
            os.urandom,
            signed=known.signed,
            dry_run=dry_run,
        ),
    )
    if as_json:
        output.write_json(_rotated_document(done, dry_run))
        return
    show_answers(done.answers)
    click.echo(f"old  {done.old}")
    if dry_run:
        output.note(f"This would change {EXPLAINED[done.role]}. Nothing was changed.")
        return
    click.echo(f"new  {done.new}")
    output.note("What comes next:")
    output.note(
        "  `vestibule run`, then a new card for the roster: `vestibule peer invite`, `vestibule peer update CARD`"
    )
    output.note("  `vestibule key escrow --out KEYS.txt`: the one of before lacks the new key")
    if role != "entry":
        output.note(f"  `vestibule key retire {role}`, when all peers have that roster")
    if role == "log":
        output.note("  Give the new key to everybody who verifies: `vestibule key show`")


@key.command("retire")
@click.argument("role", type=click.Choice(RETIRED))
@yes_options
@output.json_option
@click.pass_obj
def retire(state: State, role: str, dry_run: bool, yes: bool, as_json: bool) -> None:
    """Give up the older of two keys, when everybody knows the new one. The gateway must be stopped.

    \b
    Example: vestibule key retire log
    """
    from gateway.app.rotate import RETIRED as EXPLAINED
    from gateway.app.rotate import retire_key

    state.must_hold_store()
    chosen: Any = role
    done = retire_key(state.layout, chosen, asker(yes, "Retire it?"), dry_run=dry_run)
    if as_json:
        output.write_json(_rotated_document(done, dry_run))
        return
    click.echo(f"old  {done.old}\nnew  {done.new}")
    if dry_run:
        output.note(f"{EXPLAINED[done.role]}. Nothing was changed.")
        return
    output.note(
        "What comes next: `vestibule run`, then a new card for the roster, which lists the new key alone:"
    )
    output.note("  `vestibule peer invite`, `vestibule peer update CARD`")


def _rotated_document(done: Rotated, dry_run: bool) -> dict[str, Any]:
    return {
        "role": done.role,
        "old": done.old,
        "new": done.new,
        "entry": done.entry if done.entry >= 0 else None,
        "asked": answers_document(done.answers),
        "dry_run": dry_run,
    }
