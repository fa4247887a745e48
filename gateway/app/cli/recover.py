"""`ledger catch-up`, `ledger restore`, `ledger new-generation`: when a disk, a key or a backup is lost."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from gateway.app.cli import output
from gateway.app.cli.elsewhere import (
    Known,
    answers_document,
    asker,
    asking,
    from_option,
    known_here,
    show_answers,
    sources,
    yes_options,
)
from gateway.app.cli.passphrase import passphrase_option, read_passphrase
from gateway.app.cli.progress import progress_option, reporting
from gateway.app.cli.state import State, read_file
from gateway.errors import ConfigError
from gateway.tlog.text import encode_base64

if TYPE_CHECKING:
    from gateway.app.catch_up import Caught
    from gateway.app.generation import Generation


@click.command("catch-up")
@from_option
@click.option("--reason", default="backup", show_default=True, help="A word for the entry.")
@yes_options
@output.json_option
@progress_option
@click.pass_obj
def catch_up(
    state: State, urls: tuple[str, ...], reason: str, dry_run: bool, yes: bool, as_json: bool, progress: str
) -> None:
    """Bring an old copy of this store to the newest head of its log, with what mirrors have.

    For a store that `run` refuses as rolled back, or that has lost its mark. Mirrors are asked for the largest head
    that this log's key signed; if it continues what is here, the entries that are missing are fetched and verified,
    and only above it is anything signed again. Recordings that only the lost copy held stay lost, and the log says so.
    The gateway must be stopped. An interrupted run goes on when it is run again.

    \b
    Example: vestibule ledger catch-up --dry-run
             vestibule ledger catch-up --from https://rig-2.clinic.example:4749
    """
    from gateway.app.catch_up import catch_up as bring
    from gateway.store.keyfiles import load_keys

    state.must_hold_store()
    try:
        known = known_here(state, load_keys(state.layout).origin)
    except ConfigError:
        known = Known()  # the verb itself says what is missing
    with reporting(progress) as report:
        done = asking(
            state,
            lambda get: bring(
                state.layout,
                sources(urls, known),
                get,
                asker(yes, "Catch up?"),
                reason,
                signed=known.signed,
                dry_run=dry_run,
                progress=report,
            ),
        )
    if as_json:
        output.write_json(_caught_document(done, dry_run))
        return
    _show_caught(done, dry_run)


@click.command("restore")
@click.option(
    "--escrow",
    "escrow_file",
    type=click.Path(dir_okay=False, path_type=Path),
    required=True,
    help="What `vestibule key escrow` wrote.",
)
@passphrase_option
@from_option
@click.option("--name", help="Name in topics and on screens, for a new configuration.")
@click.option("--actor", help="Who may see frames at first, like uid:1000, for a new configuration.")
@yes_options
@output.json_option
@progress_option
@click.pass_obj
def restore(
    state: State,
    escrow_file: Path,
    passphrase_file: Path | None,
    urls: tuple[str, ...],
    name: str | None,
    actor: str | None,
    dry_run: bool,
    yes: bool,
    as_json: bool,
    progress: str,
) -> None:
    """Make a store on an empty disk that goes on with its log, from escrowed keys and what mirrors have.

    Where a backup of state.db and vault/ was put into the data directory before, it goes on from that: devices and
    recordings up to the backup are there again. Else all devices must be paired again. In both cases nothing is signed
    below the newest head that anybody holds. An interrupted run goes on when it is run again.

    \b
    Example: vestibule --data-dir /srv/rig-1 ledger restore --escrow rig-1.escrow --from https://rig-2.example:4749
    """
    from gateway.app import config
    from gateway.app.cli.setup import actor_here, name_of
    from gateway.app.restore import restore_store
    from gateway.store.escrow import MAX_BUNDLE_BYTES, open_escrow

    if not urls:
        raise click.UsageError(
            "whom to ask for the log? Name mirrors of it with --from URL", click.get_current_context()
        )
    escrow = open_escrow(
        read_file(escrow_file, MAX_BUNDLE_BYTES), read_passphrase(passphrase_file, new=False)
    )
    configured = state.layout.config.exists()
    if name is None:
        name = config.load(state.layout.config).gateway.name if configured else name_of(escrow.origin)
    with reporting(progress) as report:
        done = asking(
            state,
            lambda get: restore_store(
                state.layout,
                escrow,
                name,
                actor or actor_here(),
                sources(urls, Known()),
                get,
                asker(yes, "Make it?"),
                dry_run=dry_run,
                progress=report,
            ),
        )
    if as_json:
        output.write_json({"data_dir": str(state.data_dir), **_caught_document(done, dry_run)})
        return
    _show_caught(done, dry_run)
    if done.done is None:
        return
    if not done.before:
        output.note("No device is known here: pair them again with `vestibule pair`.")
    if "tls" not in escrow.files:
        output.note(
            "The escrow is of an older release and held no TLS key: peers need the new one in the roster."
        )
    if done.done.roster:
        output.note(f"Its peers are those of version {done.done.roster} of the roster, as its log says.")
    else:
        output.note("Its log names no peers: to join a federation, `vestibule peer accept CARD`.")
    if not configured:
        output.note(
            f"The configuration is a new one: look at [peers], [access] and the rest of {state.layout.config}."
        )


@click.command("new-generation")
@click.option(
    "--to",
    type=click.Path(file_okay=False, path_type=Path),
    required=True,
    help="Directory of the new store; it must be empty, or not be there.",
)
@from_option
@click.option("--origin", help="Of the new log; where nothing is said, that of the old one with -g2, -g3 ...")
@click.option("--old-origin", help="Of the old log, where its store is gone.")
@click.option("--old-vkey", "old_vkeys", multiple=True, help="Its verifier key, where the log key is gone.")
@click.option("--compromised", is_flag=True, help="Somebody else may have the keys: make all of them new.")
@click.option("--reason", help="A word for the entry: lost, forked, compromised ...")
@click.option("--actor", help="Who may see frames at first, where no configuration is there to be copied.")
@yes_options
@output.json_option
@click.pass_obj
def new_generation(
    state: State,
    to: Path,
    urls: tuple[str, ...],
    origin: str | None,
    old_origin: str | None,
    old_vkeys: tuple[str, ...],
    compromised: bool,
    reason: str | None,
    actor: str | None,
    dry_run: bool,
    yes: bool,
    as_json: bool,
) -> None:
    """Begin another log in the place of one that cannot go on: its keys are lost or stolen, or it is forked.

    A new store with a new origin and a new log key. Its first entry names the old log and the newest head of it that is
    known, so that the old one has an end that nobody can move. Configuration, devices and subject keys are copied; the
    old directory stays as it is, an archive that can be read and verified, and must never run again.

    \b
    Example: vestibule ledger new-generation --to /srv/rig-1-g2 --dry-run
             vestibule ledger new-generation --to /srv/rig-1-g2 --compromised
    """
    from gateway.app.cli.setup import actor_here
    from gateway.app.generation import new_generation as begin
    from gateway.app.guard import Get
    from gateway.app.past import look_back
    from gateway.store.layout import Layout

    known = known_here(state, _origin_of(state, old_origin))
    vkeys = [_vkey(text) for text in old_vkeys]

    async def work(get: Get) -> Generation:
        asked = sources(urls, known)
        old = await look_back(
            state.layout, old_origin, vkeys, asked, get, known.records, compromised=compromised
        )
        if not as_json:
            show_answers(old.answers)
            for remark in old.remarks:
                output.note(output.clean(remark))
        return await begin(
            state.layout,
            old,
            Layout(to.absolute()),
            origin,
            actor or actor_here(),
            asker(yes, "Begin it?"),
            reason or ("compromised" if compromised else "lost"),
            compromised=compromised,
            dry_run=dry_run,
        )

    done = asking(state, work)
    if as_json:
        output.write_json(_generation_document(done, to, dry_run))
        return
    if dry_run:
        click.echo(
            f"{done.old.origin} would end at {output.plural(done.old.size, 'entry', 'entries')}, and {done.origin} "
            f"would begin in {to}."
        )
        output.note("Nothing was changed.")
        return
    click.echo(f"{done.old.origin} ended at {output.plural(done.old.size, 'entry', 'entries')}.")
    click.echo(f"{done.origin} begins in {to}.")
    output.note(
        f"Taken along: {output.plural(done.devices, 'device')}, {output.plural(done.subjects, 'subject key')}."
    )
    for remark in done.remarks:
        output.note(output.clean(remark))
    output.note(
        "An erasure from now on must be done in both directories, as long as the old one has subject keys."
    )
    output.note("What comes next:")
    here = f"vestibule --data-dir {shlex.quote(str(to))}"
    output.note(f"  {here} key show      # for whoever verifies, and for witnesses outside")
    output.note(f"  {here} key escrow --out KEYS.txt")
    output.note(f"  {here} run")
    output.note("In a federation it joins again under its old name:")
    output.note(f"  {here} peer accept CARD    # of any other member")
    output.note(f"  {here} peer invite --out NEW.card")
    output.note("Whoever keeps the roster then runs, on any member: vestibule peer update NEW.card")


def _origin_of(state: State, given: str | None) -> str:
    from gateway.store.keyfiles import load_keys

    try:
        return load_keys(state.layout).origin
    except ConfigError:
        return given or ""


def _vkey(text: str) -> Any:
    from gateway.errors import ProofError
    from gateway.tlog.note import parse_vkey

    try:
        return parse_vkey(text)
    except ProofError as error:
        raise click.UsageError(f"--old-vkey: {error.message}", click.get_current_context()) from error


def _caught_document(done: Caught, dry_run: bool) -> dict[str, Any]:
    written = None
    if done.done is not None:
        written = {
            "first": done.done.first,
            "size": done.done.total,
            "root": encode_base64(done.done.root),
            "lost_batches": done.done.lost,
            "links": done.done.links,
            "ended_sessions": done.done.ended,
            "kept_aside_bytes": done.done.aside,
            "roster": done.done.roster,
        }
    return {
        "origin": done.origin,
        "before": done.before,
        "newest": done.size,
        "asked": answers_document(done.answers),
        "dry_run": dry_run,
        "written": written,
        "blamed": list(done.blamed),
    }


def _show_caught(done: Caught, dry_run: bool) -> None:
    show_answers(done.answers)
    missing = done.size - done.before
    if done.done is None:
        if missing:
            click.echo(
                f"{output.plural(missing, 'entry is', 'entries are')} missing here, and would be fetched: the newest "
                f"head has {output.count(done.size)}."
            )
        else:
            click.echo(
                f"Nothing is missing: the newest head that is known has {output.count(done.size)} entries."
            )
        if dry_run:
            output.note("Nothing was changed.")
        return
    written = done.done
    click.echo(
        f"{output.plural(written.size - written.first, 'entry', 'entries')} came back; the log has "
        f"{output.count(written.total)} now."
    )
    if written.lost:
        output.note(
            f"{output.plural(written.lost, 'batch', 'batches')} among them: their recordings were on the lost disk."
        )
    if written.ended:
        output.note(
            f"{output.plural(written.ended, 'session')} ended meanwhile, or have no subject key here: nothing more of "
            "them is stored."
        )
    if written.links:
        output.note(f"{output.plural(written.links, 'link')} ended; the devices make new ones.")
    if done.before:
        output.note(
            "Devices are as they were then: revoke again what was revoked since, pair again what was paired since."
        )
    if written.aside:
        output.note(
            f"{output.size(written.aside)} of the vault that no row names are kept in the directory vault.lost."
        )
    for name in done.blamed:
        output.note(f"{output.clean(name)} gave something that is not in this log.")
    output.note("Go on with `vestibule run`.")


def _generation_document(done: Generation, to: Path, dry_run: bool) -> dict[str, Any]:
    old = done.old
    return {
        "origin": done.origin,
        "data_dir": str(to),
        "old": {
            "origin": old.origin,
            "size": old.size,
            "root": encode_base64(old.root),
            "signed": bool(old.note),
        },
        "asked": answers_document(old.answers),
        "devices": done.devices,
        "subjects": done.subjects,
        "size": done.size,
        "remarks": [*old.remarks, *done.remarks],
        "dry_run": dry_run,
    }
