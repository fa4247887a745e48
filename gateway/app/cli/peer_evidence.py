"""`peer evidence`: two statements of one log that cannot both be true, for people; shown, checked, and taken in."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import click
import msgspec

from gateway.app.cli import output
from gateway.app.cli.ask import ask, typed
from gateway.app.cli.confirm import confirm
from gateway.app.cli.peer_words import ACCUSES, ACCUSES_US, MEANS, contradiction
from gateway.app.cli.state import State, must_be_new, read_file, write_file
from gateway.errors import LocalError, ProofError, Unreachable
from gateway.tlog.fork import MAX_FORK_BYTES, fork_id, parse_fork, verify_fork
from gateway.tlog.note import parse_vkey


class EvidenceRow(msgspec.Struct, frozen=True):
    """One piece of evidence; `raw` is what convinces anybody."""

    id: str
    origin: str
    size_a: int
    size_b: int
    seen_ms: int
    raw: str


class EvidenceList(msgspec.Struct, frozen=True):
    """Answer to `peer.evidence`."""

    evidence: list[EvidenceRow]


class Taken(msgspec.Struct, frozen=True):
    """Answer to `peer.evidence.add`: the id of what is kept; `known` where the log was frozen before."""

    id: str
    origin: str
    ours: bool = False
    known: bool = False


@click.command()
@click.argument("identity", metavar="[ID]", required=False, default="")
@click.option(
    "--out", "-o", type=click.Path(dir_okay=False, path_type=Path), help="Write one piece of it to FILE."
)
@click.option(
    "--check",
    type=click.Path(dir_okay=False, path_type=Path),
    help="Check evidence in FILE; needs no gateway.",
)
@click.option("--vkey", "vkeys", multiple=True, help="With --check: the accused log's verifier key.")
@click.option(
    "--add",
    type=click.Path(dir_okay=False, path_type=Path),
    help="Take in the evidence in FILE: keep it, freeze that log, tell all peers.",
)
@click.option("--dry-run", is_flag=True, help="With --add: check it; change nothing.")
@click.option("--yes", is_flag=True, help="With --add: do not ask.")
@output.json_option
@click.pass_obj
def evidence(
    state: State,
    identity: str,
    out: Path | None,
    check: Path | None,
    vkeys: tuple[str, ...],
    add: Path | None,
    dry_run: bool,
    yes: bool,
    as_json: bool,
) -> None:
    """Two signed statements of one log that cannot both be true: what they say, what it means, what to do.

    ID may be shortened, or be the name of the log. What is kept is shown without the daemon too. With --check,
    evidence from anybody is checked against the log's key alone: exit code 0 where it holds, 65 where it shows
    nothing. With --add, what an auditor or another clinic found is taken in; it cannot be taken back.

    \b
    Example: vestibule peer evidence
             vestibule peer evidence 2cc2 --out evidence.json
             vestibule peer evidence --check evidence.json --vkey "$(cat rig-1.vkey)"
             vestibule peer evidence --add evidence.json --dry-run
    """
    if check is not None and (identity or out is not None or add is not None or not vkeys):
        raise click.UsageError("--check FILE goes with --vkey, and with nothing else but --json")
    if check is None and vkeys:
        raise click.UsageError("--vkey goes with --check")
    if add is not None and (identity or out is not None):
        raise click.UsageError("--add FILE goes with --dry-run, --yes and --json only")
    if add is None and (dry_run or yes):
        raise click.UsageError("--dry-run and --yes go with --add")
    if check is not None:
        _check(check, vkeys, as_json)
    elif add is not None:
        _add(state, add, dry_run=dry_run, yes=yes, as_json=as_json)
    else:
        _show(state, identity, out, as_json)


def _show(state: State, identity: str, out: Path | None, as_json: bool) -> None:
    must_be_new(out)
    found = chosen(_kept(state), identity)
    if out is not None:
        if len(found) != 1:
            raise LocalError(
                "evidence",
                f"--out writes one piece of evidence, and there are {len(found)}",
                "Name one by its ID.",
            )
        write_file(out, found[0].raw + "\n")
    if as_json:
        output.write_json({"evidence": [evidence_members(row) for row in found]})
        return
    if not found:
        click.echo("There is no evidence against any log.")
    for row in found:
        click.echo(explain(row))
    if out is not None:
        output.note(
            f"The evidence is in {out}. Anybody checks it: `vestibule peer evidence --check {out} --vkey VKEY`."
        )


def _kept(state: State) -> EvidenceList:
    try:
        return typed(ask(state, "peer.evidence", {}), EvidenceList)
    except Unreachable:
        # A gateway that is accused does not start any more: that is when its operator has to see why.
        try:
            there = state.layout.peers.exists()
        except PermissionError:
            there = False
        if not there:
            raise
    from gateway.app.kept_evidence import kept

    found = typed({"evidence": kept(state.layout.peers)}, EvidenceList)
    output.note("No daemon answers: this is what its peers.db holds.")
    return found


def _check(path: Path, vkeys: tuple[str, ...], as_json: bool) -> None:
    fork = parse_fork(read_file(path, MAX_FORK_BYTES))
    a, b = verify_fork(fork, *map(parse_vkey, vkeys))
    if as_json:
        sizes = {"origin": a.origin, "size_a": a.size, "size_b": b.size}
        output.write_json({"holds": True, "id": fork_id(fork).hex(), **sizes})
        return
    click.echo(f"The evidence holds: {output.clean(a.origin)} contradicts itself.")
    click.echo(output.indent(contradiction(fork)))


def _add(state: State, path: Path, *, dry_run: bool, yes: bool, as_json: bool) -> None:
    raw = read_file(path, MAX_FORK_BYTES)
    fork = parse_fork(raw)
    request = {"raw": raw.decode()}
    # The daemon has the log's key from the roster: it says first whether the evidence holds, and whom it accuses.
    told = typed(ask(state, "peer.evidence.add", {**request, "dry_run": True}), Taken)
    name = output.clean(told.origin)
    if not as_json:
        output.note(f"The evidence holds: {name} contradicts itself.\n{output.indent(contradiction(fork))}")
    if not dry_run:
        confirm(ACCUSES_US if told.ours else ACCUSES.format(name), yes or told.known)
        told = typed(ask(state, "peer.evidence.add", {**request, "dry_run": False}), Taken)
    if as_json:
        output.write_json(msgspec.to_builtins(told) | {"added": not dry_run})
    elif dry_run:
        click.echo("Nothing was changed.")
    elif told.known:
        click.echo(f"{name} was frozen here already; the peers that answer are told again.")
    else:
        click.echo(f"{name} is frozen here, and the peers that answer are told.")


def chosen(found: EvidenceList, named: str) -> Sequence[EvidenceRow]:
    """The rows whose id begins so, or whose log is called so; all for an empty name.

    Raises:
        LocalError: `evidence`, none.
    """
    if not named:
        return found.evidence
    rows = [row for row in found.evidence if row.id.startswith(named.lower()) or row.origin == named]
    if not rows:
        raise LocalError("evidence", f"there is no evidence {named!r}", "See `vestibule peer evidence`.")
    return rows


def evidence_members(row: EvidenceRow) -> dict[str, Any]:
    """One row as JSON for programs, the evidence itself as an object."""
    members: dict[str, Any] = msgspec.to_builtins(row)
    return members | {"evidence": msgspec.json.decode(row.raw)}


def explain(row: EvidenceRow) -> str:
    """One piece of evidence for a person: what it says, what it means, what to do."""
    try:
        said = contradiction(parse_fork(row.raw.encode()))
    except ProofError:
        said = "(its text cannot be read here; see --json)"
    return "\n".join(
        [
            f"{output.clean(row.origin)} contradicts itself: evidence {row.id[:16]}, known here since "
            f"{output.moment(row.seen_ms)}.",
            "",
            output.indent(said),
            "",
            output.indent(MEANS),
            "",
            f"  To a file: `vestibule peer evidence {row.id[:8]} --out evidence.json`",
        ]
    )
