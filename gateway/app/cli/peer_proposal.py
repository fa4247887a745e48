"""`peer`: a version of the roster on its way: shown, signed by one keeper after another, and published.

Roster keys come from files that are better not on a gateway; who signs sees first what changes.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import click

from gateway.app import roster_edit as edit
from gateway.app.cli import output, peer_view, peer_words
from gateway.app.cli.ask import ask
from gateway.app.cli.confirm import confirm
from gateway.app.cli.state import State, must_be_new, read_file, write_file
from gateway.core.card import Card
from gateway.core.roster import Roster, SignedRoster, parse_roster, sign_roster, unsigned
from gateway.errors import LocalError, ProofError, Unreachable
from gateway.tlog.note import ED25519, PrivateKey, VerifierKey, parse_private

MAX_KEY_FILE_BYTES: Final = 1024
FILE: Final = click.Path(dir_okay=False, path_type=Path)

keys_option = click.option(
    "--roster-key", "key_files", type=FILE, multiple=True, help="File of a roster key; once for each."
)


@click.command()
@click.argument("proposal", type=FILE)
@keys_option
@click.option("--out", "-o", type=FILE, help="Write the signed proposal to FILE instead of its old place.")
@click.option("--dry-run", is_flag=True, help="Show what would be signed; sign nothing.")
@click.option("--yes", is_flag=True, help="It was read: do not ask.")
@output.json_option
def sign(
    proposal: Path, key_files: tuple[Path, ...], out: Path | None, dry_run: bool, yes: bool, as_json: bool
) -> None:
    """Sign a proposal, after it was shown what it changes. Needs no gateway, so it can be done where the key is kept.

    \b
    Example: vestibule peer sign roster-4.proposal --roster-key /media/usb/roster.key
    """
    must_be_new(out)
    if not (key_files or dry_run):
        raise click.UsageError("which key signs? --roster-key FILE")
    read = edit.parse_proposal(read_file(proposal, edit.MAX_PROPOSAL_BYTES))
    private = private_keys(key_files)
    if not as_json:
        _show_changes(read)
    if not dry_run:
        confirm("Sign this?", yes)
        read = edit.Proposal(read.before, _signed(read, private))
        write_file(out or proposal, read.encode().decode(), force=out is None)
    lacking = edit.awaited(read)
    if as_json:
        output.write_json(_members(read) | {"proposal": str(out or proposal), "dry_run": dry_run})
        return
    if dry_run:
        click.echo("Nothing was signed.")
    _show_lacking(lacking, out or proposal)


@click.command()
@click.argument("proposal", type=FILE)
@click.option("--dry-run", is_flag=True, help="Show what it changes and what it lacks; publish nothing.")
@output.json_option
@click.pass_obj
def publish(state: State, proposal: Path, dry_run: bool, as_json: bool) -> None:
    """Put a proposal into force that has all its signatures: this gateway checks it, and tells its peers.

    \b
    Example: vestibule peer publish roster-4.proposal
    """
    read = edit.parse_proposal(read_file(proposal, edit.MAX_PROPOSAL_BYTES))
    if not as_json:
        _show_changes(read)
    with suppress(Unreachable):  # then it is said below, where it matters
        _must_follow(read.after.roster, current_roster(state))
    lacking = edit.awaited(read)
    if lacking and not dry_run:
        raise LocalError(
            "roster_unsigned", "the proposal is not signed by enough keys", _lacking_words(lacking)
        )
    published = {} if dry_run else _publish(state, read.after)
    if as_json:
        output.write_json(_members(read) | published | {"dry_run": dry_run, "published": not dry_run})
    elif dry_run:
        click.echo("Nothing was published.")
        _show_lacking(lacking, proposal)
    else:
        click.echo(f"Version {read.after.roster.version} of the roster is in force.")


@dataclass(frozen=True, slots=True)
class Options:
    """What may be asked of every verb that makes a version."""

    key_files: tuple[Path, ...]
    out: Path | None
    dry_run: bool
    yes: bool
    as_json: bool


def finish(state: State, before: SignedRoster | None, roster: Roster, options: Options) -> None:
    """Show a version, ask, sign it, then publish it or write the proposal.

    Args:
        state: of the command.
        before: the version in force; None before the first.
        roster: the next one.
        options: what was asked.

    Raises:
        LocalError: `not_confirmed`, `roster_key`, `roster_key_stranger`, files that cannot be used.
        VestibuleError: what the daemon says of it.
    """
    must_be_new(options.out)
    private = private_keys(options.key_files)
    proposal = edit.Proposal(before, unsigned(roster))
    if not options.as_json:
        _show_changes(proposal)
    if options.dry_run:
        if options.as_json:
            output.write_json(_members(proposal) | {"published": False, "dry_run": True})
        else:
            click.echo("Nothing was changed.")
        return
    confirm("Is that right?", options.yes)
    proposal = edit.Proposal(before, _signed(proposal, private))
    lacking = edit.awaited(proposal)
    if lacking or options.out is not None:
        out = options.out or Path(f"roster-{roster.version}.proposal")
        write_file(out, proposal.encode().decode())
        if options.as_json:
            output.write_json(
                _members(proposal) | {"published": False, "dry_run": False, "proposal": str(out)}
            )
        else:
            click.echo(f"The proposal is in {out}; nothing is in force yet.")
            _show_lacking(lacking, out)
        return
    published = _publish(state, proposal.after)
    if options.as_json:
        output.write_json(_members(proposal) | published | {"published": True, "dry_run": False})
    else:
        click.echo(f"Version {roster.version} of the roster is in force.")


def current_roster(state: State) -> SignedRoster | None:
    """The version in force, None where the gateway is in no federation."""
    raw = str(ask(state, "peer.roster", {}).get("raw", ""))
    return parse_roster(raw.encode()) if raw else None


def needed_roster(state: State) -> SignedRoster:
    """The version in force.

    Raises:
        LocalError: `no_roster`.
    """
    current = current_roster(state)
    if current is None:
        raise LocalError("no_roster", "this gateway is in no federation", peer_words.JOIN)
    return current


def _must_follow(roster: Roster, current: SignedRoster | None) -> None:
    """A proposal is for the version after the one in force: one that was overtaken can only be made again.

    Raises:
        LocalError: `roster_overtaken`.
    """
    if current is None or roster.version > current.roster.version:
        return
    if roster.hash() == current.roster.hash():
        raise LocalError("roster_overtaken", f"version {roster.version} of the roster is in force already")
    raise LocalError(
        "roster_overtaken",
        f"the proposal is for version {roster.version}, and version {current.roster.version} is in force",
        "See `vestibule peer roster`, and make the change again if it is still wanted.",
    )


def _publish(state: State, signed: SignedRoster) -> dict[str, Any]:
    return ask(state, "peer.roster.publish", {"raw": signed.raw.decode()})


def _signed(proposal: edit.Proposal, private: Sequence[PrivateKey]) -> SignedRoster:
    signed = proposal.after
    for key in private:
        if not edit.may_sign(proposal, key.verifier):
            raise LocalError(
                "roster_key_stranger",
                f"{key.verifier.encode()} is no key of this roster",
                f"Its keys are {_names(_signers(proposal))}.",
            )
        signed = sign_roster(signed, key.key, key.name)
    return signed


def _signers(proposal: edit.Proposal) -> Sequence[VerifierKey]:
    before = proposal.before.roster.keys if proposal.before else ()
    return list(dict.fromkeys((*before, *proposal.after.roster.keys)))


def private_keys(files: Sequence[Path]) -> list[PrivateKey]:
    """Read roster keys.

    Raises:
        LocalError: `file_unreadable`, `file_size`, `roster_key`.
    """
    keys = []
    for file in files:
        try:
            private = parse_private(read_file(file, MAX_KEY_FILE_BYTES).decode())
        except (ProofError, UnicodeDecodeError):
            private = None
        if private is None or private.sig_type != ED25519:
            raise LocalError(
                "roster_key",
                f"{file} is not a roster key",
                "They are made by `vestibule peer roster-key --out FILE`.",
            )
        keys.append(private)
    return keys


def now_ms() -> int:
    """UTC."""
    return int(time.time() * 1000)


def show_card(card: Card, as_json: bool) -> None:
    """Show a card to the person who compares it."""
    if not as_json:
        output.note(peer_view.card_lines(card))


def _show_changes(proposal: edit.Proposal) -> None:
    before = proposal.before.roster if proposal.before else None
    output.note(f"Version {proposal.after.roster.version} of the roster:")
    for line in edit.changes(before, proposal.after.roster):
        output.note(f"  - {output.clean(line)}")


def _show_lacking(lacking: Sequence[edit.Awaited], path: Path) -> None:
    if lacking:
        output.note(f"{_lacking_words(lacking)}\nEach with `vestibule peer sign {path} --roster-key FILE`.")
    else:
        output.note(f"It has all its signatures: `vestibule peer publish {path}`.")


def _lacking_words(lacking: Sequence[edit.Awaited]) -> str:
    return " ".join(
        f"Still {wanted.missing} of these must sign: {_names(wanted.keys)}." for wanted in lacking
    )


def _names(keys: Sequence[VerifierKey]) -> str:
    return ", ".join(f"{output.clean(key.name)}+{key.key_id.hex()}" for key in keys)


def _members(proposal: edit.Proposal) -> dict[str, Any]:
    """A version as JSON for programs."""
    roster = proposal.after.roster
    return {
        "version": roster.version,
        "hash": roster.hash().hex(),
        "changes": edit.changes(proposal.before.roster if proposal.before else None, roster),
        "quorum": roster.quorum,
        "parties": len(roster.parties),
        "missing": [
            {"signatures": wanted.missing, "keys": [key.encode() for key in wanted.keys]}
            for wanted in edit.awaited(proposal)
        ],
    }
