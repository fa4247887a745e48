extends RefCounted
## The packet: header and limits. Source: SPEC, "Packet". Whatever comes in is measured before it is read.

const Hash := preload("../keys/hash.gd")

const HEADER_BYTES := 24
const TAG_BYTES := 16
const MIN_BYTES := 40
const MAX_DATAGRAM_BYTES := 1200
const HELLO_BYTES := 512
const PAIR_BYTES := 256

const PAIR := 1
const PAIRED := 2
const HELLO := 3
const WELCOME := 4
const DATA := 5
const RECEIPT := 6
const SYNC := 7
const COMMAND := 8
const BYE := 9
const RESET := 10

## "VT1", as the low 24 bits of the first four bytes.
const MAGIC := 0x315456


## A packet as it came: header fields, unless [member fault] says why it is none.
class Header:
	extends RefCounted
	## `oversize`, `truncated`, `magic`, `type`; "" when the header is good.
	var fault := ""
	var type := 0
	var link := 0
	## u64: at and above 2^63 it is negative here; see `seen.gd`.
	var seq := 0
	var t_send_ns := 0


## Reads the header of a packet; nothing about it is authenticated.
static func parse(packet: PackedByteArray) -> Header:
	var made := Header.new()
	var size := packet.size()
	if size > MAX_DATAGRAM_BYTES:
		made.fault = "oversize"
	elif size < MIN_BYTES:
		made.fault = "truncated"
	elif packet.decode_u32(0) & 0xFFFFFF != MAGIC:
		made.fault = "magic"
	else:
		made.type = packet[3]
		made.link = packet.decode_u32(4)
		made.seq = packet.decode_s64(8)
		made.t_send_ns = packet.decode_s64(16)
		if made.type < PAIR or made.type > RESET:
			made.fault = "type"
	return made


## The 24 header bytes of a packet.
static func header(type: int, link: int, seq: int, t_send_ns: int) -> PackedByteArray:
	var made := PackedByteArray()
	made.resize(HEADER_BYTES)
	made.encode_u32(0, type << 24 | MAGIC)
	made.encode_u32(4, link)
	made.encode_s64(8, seq)
	made.encode_s64(16, t_send_ns)
	return made


## The bytes between header and tag.
static func body_of(packet: PackedByteArray) -> PackedByteArray:
	return packet.slice(HEADER_BYTES, packet.size() - TAG_BYTES)


## A packet whose body is not encrypted: PAIR and HELLO.
static func sealed_clear(
	hash: Hash, key: PackedByteArray, type: int, seq: int, t_send_ns: int, body: PackedByteArray
) -> PackedByteArray:
	var made := header(type, 0, seq, t_send_ns)
	made.append_array(body)
	made.append_array(hash.tag(key, made))
	return made
