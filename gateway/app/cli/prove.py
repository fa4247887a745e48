"""`prove`: the proof of one sample, which shows it and so goes through the daemon and its door, or of a whole batch."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from gateway.app.cli import output
from gateway.app.cli.ask import ask, find_session
from gateway.app.cli.state import State, must_be_new, write_file


@click.command()
@click.argument("session", required=False)
@click.argument("stream", type=click.IntRange(min=0), required=False)
@click.argument("sample", type=click.IntRange(min=0), required=False)
@click.option("--device", type=click.IntRange(min=1), help="Where several devices have that stream: which.")
@click.option(
    "--run", help="Where the app was started again in between: which run, as `session list --streams` shows."
)
@click.option("--batch", type=click.IntRange(min=1), help="Prove a batch instead; it shows no data.")
@click.option("--part", type=click.IntRange(min=0), help="With --batch and --frame: which part, from 0.")
@click.option("--frame", type=click.IntRange(min=0), help="With --batch: prove this frame of it, from 0.")
@click.option(
    "--out", "-o", type=click.Path(dir_okay=False, path_type=Path), help="Write the proof to FILE, not here."
)
@click.option(
    "--json", "as_json", is_flag=True, help="One line, and errors as JSON; a proof is JSON in any case."
)
@click.pass_obj
def prove(
    state: State,
    session: str | None,
    stream: int | None,
    sample: int | None,
    device: int | None,
    run: str | None,
    batch: int | None,
    part: int | None,
    frame: int | None,
    out: Path | None,
    as_json: bool,
) -> None:
    """Write the proof that a sample was recorded, and that nothing of it was changed since.

    SESSION may be shortened; STREAM and SAMPLE are numbers. The proof shows the frame that holds the sample, so the
    daemon decides whether you may have it, and writes down that you asked. The proof of a whole batch shows no data,
    and needs no daemon. Anybody verifies either with `vestibule verify --proof`, without this machine.

    \b
    Example: vestibule prove 3f2a 0 1234 -o sample.proof
             vestibule prove --batch 17 -o batch.proof
    """
    state.as_json = as_json
    by_batch = batch is not None and (session, stream, sample, device, run) == (None,) * 5
    by_sample = sample is not None and (batch, part, frame) == (None,) * 3
    if not (by_batch or by_sample) or (part is not None and frame is None):
        raise click.UsageError("name either SESSION STREAM SAMPLE, or --batch", click.get_current_context())
    from gateway.app.evidence_form import encode_evidence

    must_be_new(out)
    if batch is not None:
        document = _of_batch(state, batch) if frame is None else _of_frame(state, batch, part or 0, frame)
    else:
        assert session is not None
        wanted: dict[str, Any] = {
            "session": find_session(state, session).session,
            "stream": stream,
            "sample": sample,
        }
        wanted |= {name: value for name, value in (("device", device), ("run", run)) if value is not None}
        document = ask(state, "prove", wanted)["proof"]
    # Exactly these bytes: a verifier takes a proof in its one canonical form only.
    text = encode_evidence(document).decode()
    if out is None:
        click.echo(text, nl=False)
        return
    write_file(out, text, secret=batch is None or frame is not None)
    output.note(f"The proof is in {out}. To verify it anywhere, with the log key of `vestibule key show`:")
    output.note(f"  vestibule verify --proof {out} --vkey KEY")
    if _cosigned(document):
        output.note(
            "Add --policy FILE (of `vestibule peer roster --policy`) to ask for the quorum of its peers."
        )


def _cosigned(document: dict[str, Any]) -> bool:
    """Whether others signed too: the log's own lines carry its origin."""
    from gateway.tlog.checkpoint import parse_checkpoint
    from gateway.tlog.note import parse_note
    from gateway.tlog.proof import parse_tlog_proof

    note = parse_note(parse_tlog_proof(document["tlog_proof"]).note)
    origin = parse_checkpoint(note.text).origin
    return any(signature.name != origin for signature in note.signatures)


def _of_frame(state: State, batch: int, part: int, frame: int) -> dict[str, Any]:
    found = ask(state, "prove", {"batch": batch, "part": part, "frame": frame})["proof"]
    assert isinstance(found, dict)
    return found


def _of_batch(state: State, batch: int) -> dict[str, Any]:
    """Prove a batch from the store itself, under a checkpoint that a quorum cosigned, or else the newest one."""
    from gateway.app.evidence import prove_batch
    from gateway.app.export import confirmed_checkpoint, mark_here, signed_checkpoint
    from gateway.store.keyfiles import load_keys
    from gateway.store.snapshot import Snapshot
    from gateway.store.vault import Vault
    from gateway.tlog.checkpoint import origin_hash

    state.must_hold_store()
    keys = load_keys(state.layout)
    mark = mark_here(state.layout)
    with Snapshot(state.layout.database) as snapshot:
        checkpoint = signed_checkpoint(snapshot, mark, keys)
        row, (confirmed, note) = snapshot.batch(batch), confirmed_checkpoint(state.layout)
        if row is not None and row.entry < confirmed <= mark.size:
            checkpoint = note
        vault = Vault.open(state.layout.vault, bytes.fromhex(origin_hash(keys.origin)))
        try:
            return prove_batch(snapshot, vault, batch, checkpoint)
        finally:
            vault.close()
