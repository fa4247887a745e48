"""`peer`: other gateways, the roster that lists them, and what they say of each other's logs."""

from __future__ import annotations

import sys
from pathlib import Path

import click

from gateway.app.cli import output, peer_view, peer_words
from gateway.app.cli.ask import ask, typed
from gateway.app.cli.confirm import confirm
from gateway.app.cli.lazy import LazyGroup, Verb
from gateway.app.cli.peer_card import card_argument, read_card, show_qr
from gateway.app.cli.state import State, must_be_new, write_file
from gateway.errors import EXIT_VERIFY, LocalError

_HERE = "gateway.app.cli.peer"
_EVIDENCE = "gateway.app.cli.peer_evidence"
_ROSTER = "gateway.app.cli.peer_roster"
_PROPOSAL = "gateway.app.cli.peer_proposal"


class _Group(LazyGroup):
    verbs = {  # noqa: RUF012
        "Join": {
            "invite": Verb(_HERE, "invite", "Show our card: as QR code, as text, as file."),
            "accept": Verb(_HERE, "accept", "Join the federation of the gateway whose card this is."),
        },
        "See": {
            "list": Verb(_HERE, "list_peers", "Who is there, how far each log is, what is confirmed."),
            "compare": Verb(_HERE, "compare", "Whether peers see the same logs as this gateway."),
            "roster": Verb(_HERE, "show_roster", "The roster in force, and its trust policy."),
            "evidence": Verb(_EVIDENCE, "evidence", "Logs that contradict themselves; checks any evidence."),
        },
        "Keep the roster": {
            "roster-key": Verb(_ROSTER, "roster_key", "Make a key that signs the roster."),
            "init": Verb(_ROSTER, "init", "Make the first roster, with this gateway alone."),
            "add": Verb(_ROSTER, "add", "Let a gateway in, or a witness from outside."),
            "update": Verb(_ROSTER, "update", "Put a gateway's newer card in the place of its old one."),
            "remove": Verb(_ROSTER, "remove", "Put a gateway or a witness out."),
            "rekey": Verb(_ROSTER, "rekey", "Hand the roster over to other keys."),
            "sign": Verb(_PROPOSAL, "sign", "Sign a proposal; needs no gateway."),
            "publish": Verb(_PROPOSAL, "publish", "Put a proposal with all its signatures into force."),
        },
    }


@click.group(cls=_Group)
def peer() -> None:
    """Other gateways: who they are, and whether their logs and ours can be believed.

    Who is a peer is said by the roster, a list that the roster's keys sign. Whoever keeps these keys needs no gateway;
    they are better not on one.

    \b
    Example: vestibule peer list
    """


@click.command()
@click.option(
    "--out", "-o", type=click.Path(dir_okay=False, path_type=Path), help="Write the card to FILE too."
)
@output.json_option
@click.pass_obj
def invite(state: State, out: Path | None, as_json: bool) -> None:
    """Show the card of this gateway, for another gateway or for whoever keeps the roster.

    A card holds public keys, a certificate and an address; it is no secret, but it must come from you: let the other
    side read you its fingerprint. While this gateway is in a federation, its card also says how to join it.

    \b
    Example: vestibule peer invite --out rig-1.card
    """
    from gateway.core.card import parse_card

    must_be_new(out)
    card = parse_card(str(ask(state, "peer.card", {})["card"]))
    if out is not None:
        write_file(out, card.raw.decode() + "\n")
    if as_json:
        output.write_json(peer_view.card_members(card))
        return
    if sys.stdout.isatty():
        show_qr(card.text())
    click.echo(card.text())
    output.note(peer_view.card_lines(card))
    if out is not None:
        output.note(f"The card is also in {out}.")
    if card.anchor is None:
        output.note(
            "It tells of no federation: whoever keeps a roster can add it, but nobody can join by it."
        )


@click.command()
@card_argument
@click.option("--dry-run", is_flag=True, help="Read and explain the card; join nothing.")
@click.option("--yes", is_flag=True, help="The fingerprint was compared: do not ask.")
@output.json_option
@click.pass_obj
def accept(state: State, card: str, dry_run: bool, yes: bool, as_json: bool) -> None:
    """Join the federation that a card tells of: a file, the word from a QR code, or - for standard input.

    From then on this gateway follows the federation's roster, as soon as a version of it lists this gateway. For that
    its own card (`vestibule peer invite`) must get to whoever keeps the roster.

    \b
    Example: vestibule peer accept rig-1.card
    """
    read = read_card(card)
    if read.anchor is None:
        raise LocalError(
            "card_without_federation",
            f"the card of {read.name} tells of no federation",
            "Take the card of a gateway that is in one. If that one is to begin it: vestibule peer init there, then a "
            "new card with vestibule peer invite.",
        )
    if not as_json:
        output.note(peer_view.card_lines(read))
    if dry_run:
        result = {"accepted": False}
    else:
        confirm("Does the fingerprint match, and shall this gateway join?", yes)
        result = {"accepted": True, **ask(state, "peer.accept", {"card": read.raw.decode()})}
    if as_json:
        output.write_json(peer_view.card_members(read) | result)
    elif dry_run:
        click.echo("Nothing was changed.")
    else:
        click.echo(f"The federation of {read.name} is accepted.")
        output.note(peer_words.NEXT_LISTED if _listed(state) else peer_words.NEXT_ACCEPTED)


def _listed(state: State) -> bool:
    """Whether the roster in force lists this gateway already."""
    return bool(typed(ask(state, "peer.list", {}), peer_view.Peers).peers)


@click.command("list")
@output.json_option
@click.pass_obj
def list_peers(state: State, as_json: bool) -> None:
    """Who is in the federation, who is heard, how far each log is copied here, and what of ours is confirmed.

    \b
    Example: vestibule peer list
    """
    result = ask(state, "peer.list", {})
    if as_json:
        output.write_json(result)
        return
    peers = typed(result, peer_view.Peers)
    if not peers.peers:
        output.note(peer_view.alone(peers))
        return
    click.echo(peer_view.peer_table(peers))
    for line in peer_view.peer_notes(peers):
        output.note(line)


@click.command()
@click.argument("name", required=False, default="")
@output.json_option
@click.pass_obj
def compare(state: State, name: str, as_json: bool) -> None:
    """Ask every peer for the head that it has of each log, and compare it with what is known here.

    NAME is a member: then only its log is looked at. A peer that is behind agrees as long as what it has is the
    beginning of what is here; one that is ahead is waited for, two seconds at most, until its entries are here too.
    One that has more of our own log does not agree. Ends with 65 where somebody disagrees, or where a log is frozen.

    \b
    Example: vestibule peer compare
    """
    result = ask(state, "peer.compare", {"name": name} if name else {})
    compared = typed(result, peer_view.Compared)
    if as_json:
        output.write_json(result)
    elif compared.logs:
        click.echo(peer_view.compare_table(compared))
        for line in peer_view.compare_notes(compared):
            output.note(line)
    else:
        output.note(peer_words.ALONE)
    if compared.disagreement:
        click.get_current_context().exit(EXIT_VERIFY)


@click.command("roster")
@click.option("--policy", is_flag=True, help="Only its trust policy (C2SP tlog-policy), for verifiers.")
@click.option(
    "--out", "-o", type=click.Path(dir_okay=False, path_type=Path), help="Write the signed document to FILE."
)
@output.json_option
@click.pass_obj
def show_roster(state: State, policy: bool, out: Path | None, as_json: bool) -> None:
    """The roster in force: who is listed, under which keys, and how many must cosign.

    \b
    Example: vestibule peer roster
             vestibule peer roster --policy > federation.policy
    """
    from gateway.core.roster import parse_roster

    must_be_new(out)
    result = ask(state, "peer.roster", {})
    raw = str(result.get("raw", ""))
    if not raw:
        raise LocalError("no_roster", "this gateway is in no federation", peer_words.JOIN)
    signed = parse_roster(raw.encode())
    written = signed.roster.policy if policy else raw
    if out is not None:
        write_file(out, written)
    if as_json:
        output.write_json({**result, "hash": signed.roster.hash().hex(), "quorum": signed.roster.quorum})
    elif policy:
        click.echo(written, nl=False)
    else:
        click.echo(peer_view.roster_page(signed))
