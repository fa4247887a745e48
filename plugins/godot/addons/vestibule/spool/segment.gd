extends RefCounted
## One file of the spool: sealed packets of one link, and what is needed to go on waiting for their receipts.
##
## `VTS1`, u16 length of the head, the head (a MessagePack array), then records: u16 length, u32 samples, packet. Numbers
## outside the head are little-endian. Source: SPEC, "Spool".

const Bodies := preload("../wire/bodies.gd")
const Hash := preload("../keys/hash.gd")
const Link := preload("../device/link.gd")
const Packet := preload("../wire/packet.gd")
const Reader := preload("../wire/reader.gd")
const Writer := preload("../wire/writer.gd")

const MAGIC := "VTS1"
const HEAD_AT := 6
const RECORD_HEAD := 6
## A file of this size is full.
const FULL_BYTES := 4 * 1024 * 1024
const MAX_HEAD_BYTES := 512
## No file is larger: a full one and the packet that filled it.
const MAX_BYTES := FULL_BYTES + 64 * 1024


## What the head of a file says.
class Head:
	extends RefCounted
	## "" or `malformed`, `not_canonical`, `numbers`.
	var fault := ""
	var device := 0
	var run := 0
	var link := 0
	var session: PackedByteArray
	var gateway := ""
	var up_k_mac: PackedByteArray
	var down_keys: PackedByteArray
	## Where the records begin.
	var records_at := 0


var path := ""
## The packets: seqs ascend; each has its place and whether it is still held.
var seqs := PackedInt64Array()
var offsets := PackedInt32Array()
var live := PackedByteArray()
var live_count := 0
## Bytes that were written.
var size := 0


## The bytes with which a file of a link begins.
static func head_bytes(device: int, link: Link) -> PackedByteArray:
	var to := Writer.new()
	to.array(7)
	to.uint(device)
	to.uint(link.run)
	to.uint(link.number)
	to.bin(link.session)
	to.text(link.gateway)
	to.bin(link.up_k_mac)
	to.bin(link.down_keys)
	var made := MAGIC.to_ascii_buffer()
	made.resize(HEAD_AT)
	made.encode_u16(4, to.bytes.size())
	made.append_array(to.bytes)
	return made


## Reads the head of a file.
static func read_head(bytes: PackedByteArray) -> Head:
	var made := Head.new()
	made.fault = "malformed"
	if bytes.size() < HEAD_AT or bytes.slice(0, 4).get_string_from_ascii() != MAGIC:
		return made
	made.records_at = HEAD_AT + bytes.decode_u16(4)
	if made.records_at > bytes.size() or made.records_at > HEAD_AT + MAX_HEAD_BYTES:
		return made
	var from := Reader.new(bytes.slice(HEAD_AT, made.records_at))
	from.array_of(7)
	made.device = from.uint_to(0xFFFFFFFF)
	made.run = from.uint()
	made.link = from.uint_to(0xFFFFFFFF)
	made.session = from.bin()
	made.gateway = from.text()
	made.up_k_mac = from.bin()
	made.down_keys = from.bin()
	from.demand(made.device > 0 and made.session.size() == 16 and Bodies.is_topic_name(made.gateway))
	from.demand(made.link > 0 and made.up_k_mac.size() == 32 and made.down_keys.size() == Hash.LINK_KEY_BYTES)
	made.fault = from.fault()
	return made


## One record.
static func record(samples: int, packet: PackedByteArray) -> PackedByteArray:
	var made := PackedByteArray()
	made.resize(RECORD_HEAD)
	made.encode_u16(0, packet.size())
	made.encode_u32(2, samples)
	made.append_array(packet)
	return made


## Notes a packet whose record stands at [param offset]; its seq is above all before.
func note(seq: int, offset: int) -> void:
	seqs.append(seq)
	offsets.append(offset)
	live.append(1)
	live_count += 1


## Takes in the records of a file: complete, with a tag that verifies, and of the head's link. Ends at the first that is
## not, which a crash may have left; [member size] is then where the file should be cut. What it gives are rows by
## ascending seq, each an Array of seq, offset, bytes, samples, whether it is BYE, and the two words of the tag; of a seq
## that stands there twice the first counts.
func take(hash: Hash, head: Head, bytes: PackedByteArray) -> Array[Array]:
	var found: Dictionary = {}
	var at := head.records_at
	while at + RECORD_HEAD <= bytes.size():
		var length := bytes.decode_u16(at)
		var end := at + RECORD_HEAD + length
		if end > bytes.size():
			break
		var packet := bytes.slice(at + RECORD_HEAD, end)
		var parsed := Packet.parse(packet)
		if (
			parsed.fault
			or parsed.link != head.link
			or parsed.seq < 0
			or parsed.type not in [Packet.DATA, Packet.BYE]
			or not hash.tag_matches(head.up_k_mac, packet)
		):
			break
		if not found.has(parsed.seq):
			found[parsed.seq] = [
				parsed.seq,
				at,
				length,
				bytes.decode_u32(at + 2),
				parsed.type == Packet.BYE,
				packet.decode_s64(length - 16),
				packet.decode_s64(length - 8)
			]
		at = end
	size = at
	var rows: Array[Array] = []
	var order: Array = found.keys()
	order.sort()
	for seq: int in order:
		rows.append(found[seq])
		note(seq, found[seq][1])
	return rows


## The place of a packet's record, or -1.
func find(seq: int) -> int:
	var at := seqs.bsearch(seq)
	return offsets[at] if at < seqs.size() and seqs[at] == seq and live[at] else -1


## The packets from [param first] to [param last] are not held any more.
func settle(first: int, last: int) -> void:
	for at in range(seqs.bsearch(first), seqs.size()):
		if seqs[at] > last:
			return
		live_count -= live[at]
		live[at] = 0
