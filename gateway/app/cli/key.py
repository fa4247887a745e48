"""`key`: the public keys that others need, and the escrow of the private ones."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Final

import click

from gateway.app.cli import output
from gateway.app.cli.state import State, must_be_new, read_file, write_file
from gateway.errors import LocalError

MAX_PASSPHRASE_BYTES: Final = 1024  # a sentence, not a file by mistake


@click.group()
def key() -> None:
    """The public keys of this gateway, and the escrow of the private ones.

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
    for name, value in shown.items():
        click.echo(f"{name:8} {value}")


def public_keys(state: State) -> dict[str, str]:
    """Origin, verifier keys of log and witness (C2SP signed-note), and the DID of the gateway.

    Raises:
        StoreRefused: `store_missing`.
        ConfigError: the key files cannot be read.
    """
    from gateway.keys.did import did_key
    from gateway.store.keyfiles import load_keys
    from gateway.tlog.note import COSIGNATURE, ED25519, VerifierKey

    state.must_hold_store()
    keys = load_keys(state.layout)
    return {
        "origin": keys.origin,
        "log": VerifierKey.of(keys.origin, keys.log.public, ED25519).encode(),
        "witness": VerifierKey.of(keys.witness_name, keys.witness.public, COSIGNATURE).encode(),
        "gateway": did_key(keys.entry.public),
    }


@key.command("escrow")
@click.option(
    "--out", "-o", type=click.Path(dir_okay=False, path_type=Path), required=True, help="Where to write it."
)
@click.option(
    "--passphrase-file",
    type=click.Path(dir_okay=False, path_type=Path),
    help="File whose first line is the passphrase; else it is asked for, twice.",
)
@output.json_option
@click.pass_obj
def escrow(state: State, out: Path, passphrase_file: Path | None, as_json: bool) -> None:
    """Seal the log, witness and entry keys under a passphrase, as a text to print or to keep off this machine.

    Without it a broken disk ends the log for ever. Keep text and passphrase in two places.
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
    passphrase = _passphrase(passphrase_file)
    bundle = escrow_bundle(keys, passphrase, os.urandom(SALT_BYTES), os.urandom(NONCE_BYTES))
    write_file(out, bundle.decode("ascii"), secret=True)
    if as_json:
        output.write_json({"file": str(out), "origin": keys.origin})
    else:
        click.echo(f"The keys of {keys.origin} are in {out}, sealed.")
        output.note(
            "Keep it off this machine, and the passphrase elsewhere. One without the other is worth nothing."
        )


def _passphrase(path: Path | None) -> str:
    if path is not None:
        try:
            return read_file(path, MAX_PASSPHRASE_BYTES).decode("utf-8").split("\n")[0].rstrip("\r")
        except UnicodeDecodeError:
            raise LocalError(
                "passphrase_file", f"{path} is not UTF-8 text", "Write the passphrase in it."
            ) from None
    if not sys.stdin.isatty():
        raise LocalError(
            "passphrase", "a passphrase is needed, and nobody is there to be asked", "Use --passphrase-file."
        )
    return str(click.prompt("Passphrase", hide_input=True, confirmation_prompt="The same again", err=True))
