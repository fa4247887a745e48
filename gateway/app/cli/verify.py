"""`verify` and `fsck`: is everything what was signed? One stops at the first fault, the other lists them all."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from gateway.app.cli import output
from gateway.app.cli.progress import progress_option, reporting
from gateway.app.cli.state import State, read_file
from gateway.errors import Damage, ProofError
from gateway.tlog.text import encode_base64

if TYPE_CHECKING:
    from gateway.app.report import Report

FILE = click.Path(dir_okay=False, path_type=Path)


@click.command()
@click.option("--proof", type=FILE, help="Verify this proof instead of the store; nothing else is needed.")
@click.option("--vkey", help="With --proof: the log's verifier key, as `vestibule key show` printed it.")
@click.option(
    "--policy", type=FILE, help="With --proof: a C2SP tlog-policy that says which witnesses are needed."
)
@click.option("--without-keys", is_flag=True, help="Verify as somebody without any key of this store would.")
@output.json_option
@progress_option
@click.pass_obj
def verify(
    state: State,
    proof: Path | None,
    vkey: str | None,
    policy: Path | None,
    without_keys: bool,
    as_json: bool,
    progress: str,
) -> None:
    """Verify the whole store from its bytes: every signature, every entry, every batch, every frame.

    Only reads, also while the daemon runs; shows no data. With --proof it verifies one proof file, anywhere.
    Exit code 65 where anything is not what was signed.

    \b
    Example: vestibule verify
             vestibule verify --proof sample.proof --vkey clinic.example/rig-1+e21518d7+ARmB...
    """
    if proof is not None:
        if vkey is None:
            raise click.UsageError(
                "whose log? Give its key with --vkey, as the clinic publishes it", click.get_current_context()
            )
        _verify_proof(proof, vkey, policy, as_json)
        return
    if vkey is not None or policy is not None:
        raise click.UsageError("--vkey and --policy belong to --proof", click.get_current_context())
    from gateway.app.verify import verify_store

    state.must_hold_store()
    with reporting(progress) as report_progress:
        report = verify_store(state.layout, report_progress, keys=not without_keys)
    _show(report, as_json)


@click.command()
@output.json_option
@progress_option
@click.pass_obj
def fsck(state: State, as_json: bool, progress: str) -> None:
    """Check that everything stored fits together, and list every fault with its place and what mends it.

    Only reads, and repairs nothing. Exit code 65 where there is a fault.

    \b
    Example: vestibule fsck --json
    """
    from gateway.app.fsck import fsck_store

    state.must_hold_store()
    with reporting(progress) as report_progress:
        report, repairs = fsck_store(state.layout, report_progress)
    _show(report, as_json, [repair.words for repair in repairs])
    if report.faults:
        raise Damage(
            "faults",
            f"{output.plural(len(report.faults), 'fault')} in {state.data_dir}",
            "Keep the store as it is until the faults are understood: a copy may hold what is damaged here.",
        )


def as_document(report: Report, repairs: Sequence[str] = ()) -> dict[str, Any]:
    """A report as JSON; `repairs` belong to its faults, in their order."""
    sums = ("size", "entries", "batches", "parts", "frames", "samples", "payload_bytes")
    more = ("opened", "unopened", "texts", "unknown", "followed", "mirrored")
    return {
        "ok": not report.faults,
        "root": encode_base64(report.root),
        **{name: getattr(report, name) for name in (*sums, *more)},
        "notes": report.notes,
        "faults": [
            {"code": fault.code, "message": fault.message, "where": fault.where, "repair": repair}
            for fault, repair in zip(report.faults, repairs, strict=True)
        ],
    }


def _show(report: Report, as_json: bool, repairs: Sequence[str] = ()) -> None:
    if as_json:
        output.write_json(as_document(report, repairs))
        return
    for fault, repair in zip(report.faults, repairs, strict=True):
        where = ", ".join(f"{name} {value}" for name, value in fault.where.items())
        click.echo(output.paint("fault  ", "red") + output.clean(fault.message))
        if where:
            click.echo(f"  where  {output.clean(where)}")
        click.echo(f"  mend   {output.clean(repair)}")
    if not report.faults:
        click.echo(output.paint("Everything is what was signed.", "green"))
    click.echo(
        f"  log      {output.plural(report.entries, 'entry', 'entries')}, root {report.root.hex()[:16]}"
    )
    click.echo(
        f"  batches  {output.count(report.batches)}, with {output.plural(report.parts, 'part')}, "
        f"{output.plural(report.frames, 'frame')}, {output.plural(report.samples, 'sample')}, "
        f"{output.size(report.payload_bytes)}"
    )
    if report.followed:
        mirrored = output.plural(report.mirrored, "mirrored entry", "mirrored entries")
        click.echo(f"  peers    {output.plural(report.followed, 'log')}, {mirrored}")
    click.echo(f"  checked  {depth(report)}")
    for said in report.notes:
        click.echo(f"  note     {output.clean(said)}")


def depth(report: Report) -> str:
    """How deep the parts were looked into: sealed bytes need no key, frames need their subject's."""
    depths = (
        (report.unopened, "down to the hash of sealed bytes"),
        (report.opened, "down to each frame"),
    )
    return ", ".join(f"{output.plural(n, 'part')} {depth}" for n, depth in depths if n) or "no part yet"


def _verify_proof(file: Path, vkey: str, policy_file: Path | None, as_json: bool) -> None:
    from gateway.app.evidence import claimed_origin, verify_evidence
    from gateway.app.evidence_form import MAX_DOCUMENT_BYTES
    from gateway.tlog.note import parse_vkey
    from gateway.tlog.policy import MAX_POLICY_BYTES

    policy = None
    if policy_file is not None:
        # Whatever is no UTF-8 reaches the parser as it is, and is refused there.
        policy = read_file(policy_file, MAX_POLICY_BYTES).decode("utf-8", "surrogateescape")
    document = read_file(file, MAX_DOCUMENT_BYTES)
    try:
        checked = verify_evidence(document, vkey, policy)
    except ProofError as error:
        if error.code == "vkey":
            raise click.UsageError(
                f"--vkey: {error.message}; it is the line `log` of `vestibule key show`",
                click.get_current_context(),
            ) from error
        named, owner = claimed_origin(document), parse_vkey(vkey).name
        if error.code != "log" or named in ("", owner):
            raise
        raise ProofError(
            error.code,
            f"the proof is of the log {output.clean(named)}, and the key of the log {output.clean(owner)}",
            "Take the key that the clinic of the proof publishes for its log.",
        ) from error
    checkpoint, report = checked.log.checkpoint, checked.log.report
    if as_json:
        told = {
            "ok": True,
            "origin": checkpoint.origin,
            "size": checkpoint.size,
            "index": checked.log.index,
            "batch": checked.batch,
            "gateway": checked.gateway,
            "witnesses": list(report.witnesses) if report else [],
            "proven": checked.proven,
            "not_proven": checked.not_proven,
        }
        output.write_json(told)
        return
    click.echo(output.paint("The proof holds.", "green"))
    for said in checked.proven:
        click.echo(f"  proven      {output.clean(said)}")
    for said in checked.not_proven:
        click.echo(f"  not proven  {output.clean(said)}")
