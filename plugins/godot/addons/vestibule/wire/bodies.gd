extends RefCounted
## Bodies of all packets: written where devices send them, read where gateways do. Source: SPEC, "Bodies".
##
## A reader gives an object whose [member Body.fault] is "" or the word for what is wrong.

const Frame := preload("frame.gd")
const Reader := preload("reader.gd")
const Writer := preload("writer.gd")

const NONCE_BYTES := 16
const MAX_NAME_BYTES := 64
const MAX_TOPIC_NAME_BYTES := 32
const MAX_LINKS := 24
const MAX_TOTALS := 64
const VERSION := 1
const U32_MAX := 0xFFFFFFFF

const RECORDING := "recording"
const WAITING := "waiting"
const REFUSED := "refused"

const VERBS: Array[String] = ["open", "stop", "haptic", "text", "marker", "hold", "rotate"]
const BYE_REASONS: Array[String] = ["end", "pause", "sleep", "stop", "error"]
const RESET_REASONS: Array[String] = ["ended", "revoked", "moved"]


## What all bodies that were read have.
class Body:
	extends RefCounted
	## `malformed`, `not_canonical`, `numbers`; "" when the body is good.
	var fault := ""


## PAIRED.
class Paired:
	extends Body
	var nonce_d: PackedByteArray
	var nonce_g: PackedByteArray
	var device := 0
	var home := ""


## WELCOME.
class Welcome:
	extends Body
	var nonce_d: PackedByteArray
	var nonce_g: PackedByteArray
	var link := 0
	var gateway := ""
	var session: PackedByteArray
	var version := 0
	var offered: PackedInt64Array
	var state := ""
	var reason := ""
	var kept: PackedInt64Array
	var kinds: PackedInt64Array
	var at_ms := 0


## RECEIPT of the gateway. Rows are Arrays: `stored` [batch, root, ranges], `refused` [reason, ranges], `frames`
## [seq, stream, reason], `totals` [stream, total, stored, refused, missing]; ranges are PackedInt64Arrays.
class Receipt:
	extends Body
	var stored: Array[Array] = []
	var refused: Array[Array] = []
	var frames: Array[Array] = []
	var totals: Array[Array] = []


## SYNC of the gateway.
class ProbeReply:
	extends Body
	var t1_ns := 0
	var t2_ns := 0
	var t3_ns := 0


## COMMAND.
class Command:
	extends Body
	var verb := ""
	var args: Array = []


## RESET.
class Reset:
	extends Body
	var seq := 0
	var tag: PackedByteArray
	var reason := ""


## The body of PAIR; [param name] as [method is_device_name] wants it, [param pad_bytes] from [method padding].
static func pair(nonce_d: PackedByteArray, name: String, pad_bytes: int) -> PackedByteArray:
	var to := Writer.new()
	to.array(3)
	to.bin(nonce_d)
	to.text(name)
	to.bin(_zeros(pad_bytes))
	return to.bytes


## The body of HELLO; [param run] is a u64.
static func hello(
	device: int,
	run: int,
	nonce_d: PackedByteArray,
	versions: PackedInt64Array,
	links: PackedInt64Array,
	pad_bytes: int
) -> PackedByteArray:
	var to := Writer.new()
	to.array(6)
	to.uint(device)
	to.uint(run)
	to.bin(nonce_d)
	for list: PackedInt64Array in [versions, links]:
		to.array(list.size())
		for number in list:
			to.uint(number)
	to.bin(_zeros(pad_bytes))
	return to.bytes


## Zero bytes that bring a packet to [param packet_bytes], given its body's length with an empty pad.
static func padding(body_bytes: int, packet_bytes: int) -> int:
	var room := packet_bytes - 40 - body_bytes
	# Above 255 the length itself takes one more byte than that of the empty pad.
	return room - 1 if room > 0xFF else maxi(room, 0)


## The body of DATA; [param totals] are samples captured by stream, in the order in which they are told.
static func data(floor_seq: int, totals: Dictionary, frames: Array[Frame]) -> PackedByteArray:
	var to := Writer.new()
	to.array(3)
	to.uint(floor_seq)
	_write_totals(to, totals)
	to.array(frames.size())
	for frame in frames:
		frame.write(to)
	return to.bytes


## The body of BYE.
static func bye(floor_seq: int, totals: Dictionary, reason: String) -> PackedByteArray:
	var to := Writer.new()
	to.array(3)
	to.uint(floor_seq)
	_write_totals(to, totals)
	to.text(reason)
	return to.bytes


## The body of a device's SYNC.
static func probe(t1_ns: int) -> PackedByteArray:
	var to := Writer.new()
	to.array(1)
	to.sint(t1_ns)
	return to.bytes


## The body of a device's RECEIPT: results by the seq of their COMMAND.
static func answers(results: Dictionary) -> PackedByteArray:
	var to := Writer.new()
	to.array(1)
	to.array(results.size())
	for seq: int in results:
		to.array(2)
		to.uint(seq)
		to.text(results[seq])
	return to.bytes


## Reads the body of PAIRED.
static func read_paired(bytes: PackedByteArray) -> Paired:
	var from := Reader.new(bytes)
	var made := Paired.new()
	from.array_of(4)
	made.nonce_d = from.bin()
	made.nonce_g = from.bin()
	made.device = from.uint_to(U32_MAX)
	made.home = from.text()
	from.demand(made.nonce_d.size() == NONCE_BYTES and made.nonce_g.size() == NONCE_BYTES)
	from.demand(made.device > 0 and is_topic_name(made.home))
	made.fault = from.fault()
	return made


## Reads the body of WELCOME.
static func read_welcome(bytes: PackedByteArray) -> Welcome:
	var from := Reader.new(bytes)
	var made := Welcome.new()
	from.array_of(12)
	made.nonce_d = from.bin()
	made.nonce_g = from.bin()
	made.link = from.uint_to(U32_MAX)
	made.gateway = from.text()
	made.session = from.bin()
	made.version = from.uint()
	made.offered = from.uints()
	made.state = from.text()
	made.reason = from.text()
	made.kept = from.uints()
	made.kinds = from.uints()
	made.at_ms = from.sint()
	from.demand(made.state in [RECORDING, WAITING, REFUSED] and made.nonce_d.size() == NONCE_BYTES)
	from.demand(made.nonce_g.size() in [0, NONCE_BYTES] and made.session.size() in [0, 16])
	from.demand(made.kept.size() <= MAX_LINKS and is_topic_name(made.gateway))
	made.fault = from.fault()
	return made


## Reads the body of the gateway's RECEIPT.
static func read_receipt(bytes: PackedByteArray) -> Receipt:
	var from := Reader.new(bytes)
	var made := Receipt.new()
	from.array_of(4)
	for i in from.array():
		from.array_of(3)
		made.stored.append([from.uint(), from.bin(), from.uints()])
		from.demand((made.stored[i][1] as PackedByteArray).size() in [0, 32])
		from.demand(Reader.is_ranges(made.stored[i][2]))
	for i in from.array():
		from.array_of(2)
		made.refused.append([from.text(), from.uints()])
		from.demand(Reader.is_ranges(made.refused[i][1]))
	for i in from.array():
		from.array_of(3)
		made.frames.append([from.uint(), from.uint(), from.text()])
	for i in from.array():
		from.array_of(5)
		made.totals.append([from.uint(), from.uint(), from.uint(), from.uint(), from.uint()])
	made.fault = from.fault()
	return made


## Reads the body of the gateway's SYNC.
static func read_probe_reply(bytes: PackedByteArray) -> ProbeReply:
	var from := Reader.new(bytes)
	var made := ProbeReply.new()
	from.array_of(3)
	made.t1_ns = from.sint()
	made.t2_ns = from.sint()
	made.t3_ns = from.sint()
	made.fault = from.fault()
	return made


## Reads the body of COMMAND; says nothing about the limits of its arguments.
static func read_command(bytes: PackedByteArray) -> Command:
	var from := Reader.new(bytes)
	var made := Command.new()
	from.array_of(2)
	made.verb = from.text()
	for i in from.array():
		made.args.append(from.argument())
	from.demand(made.verb in VERBS)
	made.fault = from.fault()
	return made


## Reads the body of RESET.
static func read_reset(bytes: PackedByteArray) -> Reset:
	var from := Reader.new(bytes)
	var made := Reset.new()
	from.array_of(3)
	made.seq = from.uint()
	made.tag = from.bin()
	made.reason = from.text()
	from.demand(made.tag.size() == 16 and made.reason in RESET_REASONS)
	made.fault = from.fault()
	return made


## Whether a device may call itself so: at most 64 bytes, no control characters.
static func is_device_name(name: String) -> bool:
	for i in name.length():
		var code := name.unicode_at(i)
		if code < 0x20 or code >= 0x7F and code < 0xA0:
			return false
	return name.to_utf8_buffer().size() <= MAX_NAME_BYTES


## Whether a name may stand in a topic: 1 to 32 of `a-z`, `0-9` and `-`.
static func is_topic_name(name: String) -> bool:
	for i in name.length():
		var code := name.unicode_at(i)
		if not (code >= 0x61 and code <= 0x7A or code >= 0x30 and code <= 0x39 or code == 0x2D):
			return false
	return name.length() > 0 and name.length() <= MAX_TOPIC_NAME_BYTES


static func _write_totals(to: Writer, totals: Dictionary) -> void:
	to.array(totals.size())
	for stream: int in totals:
		to.array(2)
		to.uint(stream)
		to.uint(totals[stream])


static func _zeros(size: int) -> PackedByteArray:
	var made := PackedByteArray()
	made.resize(size)
	made.fill(0)
	return made
