"""A card: what one gateway hands another so that it can become a peer, as a file, a text or a QR code.

Guards the rule that keys come from hand to hand and from nowhere else: a card says what its gateway says of itself,
signed by its entry key, and adds nobody to anything; people compare its fingerprints, and the roster's keys decide. A
card of a member also tells the federation's anchor, with which the other side can know its roster.
"""

from __future__ import annotations

from dataclasses import dataclass
from hashlib import sha256

import msgspec

from gateway.core.member import Member, derive_policy, member_problem, twice_problem, valid_url
from gateway.core.roster import FEDERATION_BYTES, MAX_KEYS, Anchor
from gateway.core.roster_form import CardForm, member_body
from gateway.entries.envelope import Body, Json, b64u, canonical, unb64u
from gateway.errors import LocalError, ProofError, SignatureError, WireError
from gateway.keys.did import did_key, parse_did_key
from gateway.keys.sign import SIGNATURE_BYTES, SigningKey, verify
from gateway.tlog.note import ED25519, parse_vkey

DOMAIN = b"vestibule/card/v1\0"
VERSION = 1
MAX_CARD_BYTES = 16 * 1024  # with an anchor of one roster key it has about 1,300
PREFIX = "vestibule-peer:1?"


@dataclass(frozen=True, slots=True)
class Card:
    """A gateway's card; its signature is verified."""

    member: Member
    """The gateway as a roster would list it; two keys of a kind while one is being rotated."""
    anchor: Anchor | None
    """The federation that the gateway is in; None while it is in none."""
    raw: bytes
    """The signed JSON."""

    @property
    def name(self) -> str:
        """The name that the gateway proposes for itself."""
        return self.member.name

    @property
    def fingerprint(self) -> bytes:
        """SHA-256 of the card: what two people read to each other. 32 bytes."""
        return sha256(self.raw).digest()

    def text(self) -> str:
        """The card as one word, for a QR code or to paste."""
        return PREFIX + b64u(self.raw)


def make_card(key: SigningKey, member: Member, anchor: Anchor | None = None) -> Card:
    """Make a gateway's card.

    Args:
        key: its entry key.
        member: how it would be listed; its DID is that of the key.
        anchor: of the federation that it is in.

    Raises:
        LocalError: `card`, the message says which value cannot be.
    """
    unsigned = Card(member, anchor, b"")
    problem = _problem(unsigned)
    if problem or member.did != did_key(key.public):
        raise LocalError("card", problem or "a card is signed by the entry key that it names")
    return _read(_raw(unsigned, key.sign(DOMAIN + canonical(_body(unsigned)))))


def parse_card(data: bytes | str) -> Card:
    """Read a card and verify its signature.

    Args:
        data: the signed JSON, canonical to the octet, or the one word that `Card.text` gives; blanks and line ends
            around it are passed over, and of a word also those inside, as mail programs put them there.

    Raises:
        WireError: `card`.
        SignatureError: `card_signature`.
    """
    if len(data) > 2 * MAX_CARD_BYTES:
        raise WireError("card", f"a card has at most {MAX_CARD_BYTES} bytes")
    try:
        raw = (data.encode() if isinstance(data, str) else data).strip()
        if raw.startswith(PREFIX.encode()):
            raw = unb64u(b"".join(raw[len(PREFIX) :].split()).decode("ascii"))
    except (UnicodeError, WireError):
        raise WireError("card", "a card is not JSON, and not the word of one") from None
    return _read(raw)


def _read(raw: bytes) -> Card:
    if len(raw) > MAX_CARD_BYTES:
        raise WireError("card", f"a card has at most {MAX_CARD_BYTES} bytes")
    try:
        form = msgspec.json.decode(raw, type=CardForm)
        card = _value(form, raw)
        sig, public = unb64u(form.sig), parse_did_key(card.member.did)
        again = _raw(card, sig)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        raise WireError("card", "a card is not the JSON of one") from None
    except (LocalError, ProofError, WireError) as error:
        raise WireError("card", f"a card is not one: {error}") from None
    if problem := _problem(card):
        raise WireError("card", problem)
    if again != raw or len(sig) != SIGNATURE_BYTES:
        raise WireError("card", "a card is not written canonically")
    if not verify(public, DOMAIN + canonical(_body(card)), sig):
        raise SignatureError(
            "card_signature",
            f"the card of {card.name} is not signed by its own entry key",
            "Ask for the card again: it was changed on its way.",
        )
    return card


def _problem(card: Card) -> str:
    anchor = card.anchor
    if anchor is not None and (
        len(anchor.federation) != FEDERATION_BYTES
        or not 1 <= len(anchor.keys) <= MAX_KEYS
        or len(set(anchor.keys)) < len(anchor.keys)
        or any(key.sig_type != ED25519 for key in anchor.keys)
        or not 1 <= anchor.threshold <= len(anchor.keys)
        or anchor.version < 1
        or not valid_url(anchor.url)
    ):
        return "the federation that a card tells of has impossible keys, numbers or url"
    if problem := member_problem(card.member) or twice_problem((), [card.member], ()):
        return problem
    try:
        derive_policy([card.member], (), 0, 0)
    except LocalError as error:
        return error.message
    return ""


def _body(card: Card) -> Body:
    anchor: Json = None
    if card.anchor is not None:
        keys: list[Json] = [vkey.encode() for vkey in card.anchor.keys]
        anchor = {
            "federation": b64u(card.anchor.federation),
            "keys": keys,
            "threshold": card.anchor.threshold,
            "url": card.anchor.url,
            "version": card.anchor.version,
        }
    return {"v": VERSION, "member": member_body(card.member), "anchor": anchor}


def _raw(card: Card, sig: bytes) -> bytes:
    return canonical({"card": _body(card), "sig": b64u(sig)})


def _value(form: CardForm, raw: bytes) -> Card:
    body, told = form.card, form.card.anchor
    if body.v != VERSION:
        raise WireError("card", f"format {body.v} is not known here")
    anchor = None
    if told is not None:
        keys = tuple(map(parse_vkey, told.keys))
        anchor = Anchor(unb64u(told.federation), keys, told.threshold, told.version, told.url)
    return Card(body.member.value(), anchor, raw)
