extends RefCounted
## PAIR and PAIRED: how a device gets its number and its key. Source: SPEC, "Pairing".

const Bodies := preload("../wire/bodies.gd")
const Hash := preload("../keys/hash.gd")
const Packet := preload("../wire/packet.gd")

const BASE32 := "ABCDEFGHIJKLMNOPQRSTUVWXYZ234567"


## What a pairing gives a device; [member fault] says why it does not.
class Paired:
	extends RefCounted
	## "", `oversize`, `truncated`, `magic`, `type`, `unexpected`, `bad_tag`, `not_mine`, or a word of the body.
	var fault := ""
	var device := 0
	## K_dev, 32 bytes.
	var key: PackedByteArray
	var home := ""


## The code as keys take it: without the spaces and hyphens that people type for reading, in capitals; empty when it is
## no code of 26 letters A-Z and digits 2-7.
static func plain_code(text: String) -> PackedByteArray:
	var plain := text.strip_edges().replace(" ", "").replace("-", "").to_upper()
	if plain.length() != Hash.CODE_CHARACTERS:
		return PackedByteArray()
	for i in plain.length():
		if not BASE32.contains(plain[i]):
			return PackedByteArray()
	return plain.to_ascii_buffer()


## PAIR: to be sent again, the same bytes, until PAIRED comes. [param code] is of [method plain_code], [param name] as
## `Bodies.is_device_name` wants it.
static func pair_packet(
	hash: Hash, code: PackedByteArray, nonce_d: PackedByteArray, name: String, now_ns: int
) -> PackedByteArray:
	var pad := Bodies.padding(Bodies.pair(nonce_d, name, 0).size(), Packet.PAIR_BYTES)
	var body := Bodies.pair(nonce_d, name, pad)
	return Packet.sealed_clear(hash, hash.pairing_key(code), Packet.PAIR, 0, now_ns, body)


## Checks PAIRED and derives the device's key.
static func open_paired(
	hash: Hash, code: PackedByteArray, packet: PackedByteArray, nonce_d: PackedByteArray
) -> Paired:
	var made := Paired.new()
	var head := Packet.parse(packet)
	made.fault = head.fault
	if made.fault == "" and head.type != Packet.PAIRED:
		made.fault = "unexpected"
	if made.fault == "" and not hash.tag_matches(hash.pairing_key(code), packet):
		made.fault = "bad_tag"
	if made.fault:
		return made
	var body := Bodies.read_paired(Packet.body_of(packet))
	made.fault = body.fault
	if made.fault == "" and body.nonce_d != nonce_d:
		made.fault = "not_mine"
	if made.fault == "":
		made.device = body.device
		made.home = body.home
		made.key = hash.device_key(code, nonce_d, body.nonce_g)
	return made
