extends RefCounted
## The device's side of one link: keys, numbers, what it sealed and what the gateway said about it.
##
## A link never changes its keys, its session or its run; nothing that was sealed is ever encrypted again, for this link
## or another. Source: SPEC, "Packet", "Delivery".

const Account := preload("account.gd")
const Bodies := preload("../wire/bodies.gd")
const Cipher := preload("../keys/cipher.gd")
const Config := preload("config.gd")
const Effects := preload("effects.gd")
const Frame := preload("../wire/frame.gd")
const Hash := preload("../keys/hash.gd")
const Packet := preload("../wire/packet.gd")
const Ring := preload("ring.gd")
const Seen := preload("seen.gd")

## Tags of packets that are not held (SYNC, answers), so that a RESET may name one.
const REMEMBERED_TAGS := 64
## COMMANDs whose copies are answered again.
const REMEMBERED_ANSWERS := 64
## Refused frames that were counted, so that a repeated receipt counts them once.
const REMEMBERED_REFUSALS := 1024
## Whoever replays a COMMAND cannot make the device send more than 10 answers a second.
const ANSWER_AGAIN_NS := 100 * Config.MS

var number := 0
var session: PackedByteArray
var gateway := ""
## u64, of the app's start to which the link belongs.
var run := 0
## False for a link that was welcomed as waiting: it carries SYNC and BYE only.
var recording := false
var reason := ""
var ring: Ring
var next_seq := 0
## BYE was sealed, or the link is of an earlier run: what is held drains.
var ended := false
## Of an earlier run, from the spool: nothing is sealed on it any more.
var restored := false
## Of a restored link: the samples that the spool gave back.
var restored_samples := 0
## No BYE will reach the gateway: its end has to be told by a HELLO that does not name it.
var unsaid := false
## Where its samples are counted.
var account: Account
## A HELLO asked for this link, since nothing was heard on it.
var asked := false
## Why the gateway cannot store at present; "" when it can.
var on_hold := ""
## When something authentic and fresh last came, or the link began.
var heard_ns := 0
## While nothing is heard: when one packet may be sent again to see whether anybody is there.
var probe_ns := 0
## K_mac of the way up, and the 68 bytes of keys of the way down: what the spool keeps. K_enc up is not kept.
var up_k_mac: PackedByteArray
var down_keys: PackedByteArray

var _silence_ns := 0
var _up: Cipher
var _down: Cipher
var _hash: Hash
var _k_hs: PackedByteArray
var _seen := Seen.new()
var _answers: Dictionary = {}  # COMMAND seq -> [result, when it was told]
var _tags: Dictionary = {}  # seq -> tag
var _told: Dictionary = {}  # [seq, stream] -> true


## A link that a WELCOME made; [param nonce_d] is that of the HELLO.
static func welcomed(
	config: Config,
	counts: Account,
	hash: Hash,
	k_hs: PackedByteArray,
	nonce_d: PackedByteArray,
	welcome: Bodies.Welcome,
	now_ns: int
) -> RefCounted:
	var up := hash.link_keys(config.key, nonce_d, welcome.nonce_g, config.device, welcome.link, 0)
	var down := hash.link_keys(config.key, nonce_d, welcome.nonce_g, config.device, welcome.link, 1)
	var link: RefCounted = new(config, hash, k_hs, welcome.link, down, now_ns)
	link.account = counts
	link._up = Cipher.new(hash, up)
	link.up_k_mac = link._up.k_mac
	link.session = welcome.session
	link.gateway = welcome.gateway
	link.run = config.run
	link.recording = welcome.state == Bodies.RECORDING
	link.reason = welcome.reason
	return link


## [param down] are the keys of the way down, [param k_hs] is the handshake key of the K_dev with which the link was made:
## RESET has a tag of it. Use [method welcomed], or this for a link that the spool kept.
func _init(
	config: Config, hash: Hash, k_hs: PackedByteArray, link: int, down: PackedByteArray, now_ns: int
) -> void:
	number = link
	down_keys = down
	ring = Ring.new(config.resend_delays_ns(), config.hurry_after)
	heard_ns = now_ns
	probe_ns = now_ns
	_silence_ns = config.silence_ms * Config.MS
	_hash = hash
	_k_hs = k_hs
	_down = Cipher.new(hash, down)


## A link of an earlier run: it only drains. [param k_hs] is the handshake key of the K_dev that the device has now.
static func of_spool(config: Config, hash: Hash, k_hs: PackedByteArray, head: Object, now_ns: int) -> RefCounted:
	var link: RefCounted = new(config, hash, k_hs, head.link, head.down_keys, now_ns)
	link.session = head.session
	link.gateway = head.gateway
	link.run = head.run
	link.up_k_mac = head.up_k_mac
	link.recording = true
	link.ended = true
	link.restored = true
	link.unsaid = true
	return link


## Takes in a packet of an earlier run that the spool has; ascending.
func restore(seq: int, size: int, samples: int, final: bool, tag_a: int, tag_b: int, now_ns: int) -> void:
	ring.restore(seq, size, samples, final, tag_a, tag_b, now_ns)
	next_seq = seq + 1
	restored_samples += samples
	unsaid = unsaid and not final


## Whether nothing was heard for so long that resends shrink to probes.
func silent(now_ns: int) -> bool:
	return now_ns - heard_ns >= _silence_ns


## Something authentic and fresh came on this link.
func heard(now_ns: int) -> void:
	heard_ns = now_ns
	asked = false

# What the link sends.


## Seals DATA and keeps it; [param body] was made with `ring.floor_seq(next_seq)`.
func data(body: PackedByteArray, frames: Array[Frame], now_ns: int) -> PackedByteArray:
	var spans := PackedInt32Array()
	var samples := 0
	for frame in frames:
		spans.append(frame.stream)
		spans.append(frame.count)
		samples += frame.count
	var seq := next_seq
	var packet := _seal(Packet.DATA, body, now_ns)
	ring.add(seq, packet, spans, samples, now_ns)
	return packet


## Seals BYE, the link's last packet, and keeps it until it has its receipt; [param totals] of all streams.
func bye(totals: Dictionary, why: String, now_ns: int) -> PackedByteArray:
	var seq := next_seq
	var packet := _seal(Packet.BYE, Bodies.bye(ring.floor_seq(seq), totals, why), now_ns)
	ring.add(seq, packet, PackedInt32Array(), 0, now_ns, true)
	ended = true
	return packet


## Seals a SYNC probe; it is never sent again.
func probe(now_ns: int) -> PackedByteArray:
	return _seal_unheld(Packet.SYNC, Bodies.probe(now_ns), now_ns)


## Seals the answer to a COMMAND, and remembers it for copies.
func answer(seq: int, result: String, now_ns: int) -> PackedByteArray:
	_answers.erase(seq)
	_answers[seq] = [result, now_ns]
	_forget_first(_answers, REMEMBERED_ANSWERS)
	return _seal_unheld(Packet.RECEIPT, Bodies.answers({seq: result}), now_ns)


## The same answer for a copy of a COMMAND; empty when there was none, or a moment ago.
func answer_again(seq: int, now_ns: int) -> PackedByteArray:
	var told: Array = _answers.get(seq, ["", now_ns])
	if now_ns - int(told[1]) < ANSWER_AGAIN_NS:
		return PackedByteArray()
	return answer(seq, told[0], now_ns)


func _seal(type: int, body: PackedByteArray, now_ns: int) -> PackedByteArray:
	var seq := next_seq
	next_seq += 1
	var packet := Packet.header(type, number, seq, now_ns)
	packet.append_array(_up.crypt(seq, body))
	packet.append_array(_up.tag(packet))
	return packet


func _seal_unheld(type: int, body: PackedByteArray, now_ns: int) -> PackedByteArray:
	var seq := next_seq
	var packet := _seal(type, body, now_ns)
	_tags[seq] = packet.slice(packet.size() - Packet.TAG_BYTES)
	_forget_first(_tags, REMEMBERED_TAGS)
	return packet

# What the link receives.


## Whether the tag is the gateway's, by this link's key of the way down.
func is_authentic(packet: PackedByteArray) -> bool:
	return _down.matches(packet)


## Remembers the seq of an authentic packet; false for a copy.
func is_fresh(seq: int) -> bool:
	return _seen.add(seq)


## The body of an authentic packet.
func decrypt(head: Packet.Header, packet: PackedByteArray) -> PackedByteArray:
	return _down.crypt(head.seq, Packet.body_of(packet))


## Reads a RESET of this link. Its `fault` is `bad_tag`, a word of the body, or `not_mine` when it names no packet of
## this link, so that one RESET cannot be made from another.
func open_reset(packet: PackedByteArray) -> Bodies.Reset:
	var reset := Bodies.Reset.new()
	reset.fault = "bad_tag"
	if not _hash.tag_matches(_k_hs, packet):
		return reset
	reset = Bodies.read_reset(Packet.body_of(packet))
	if reset.fault:
		return reset
	var known: bool = _tags.get(reset.seq) == reset.tag
	if ring.has(reset.seq):
		known = ring.has_tag(reset.seq, reset.tag)
	if not known:
		reset.fault = "not_mine"
	return reset


## Takes out of the ring what a receipt names; idempotent.
func settle(receipt: Bodies.Receipt, now_ns: int, out: Array) -> void:
	var covered := -1
	# Frames first: their packets leave the ring below, and with them how many samples they held.
	for row in receipt.frames:
		_refuse_frame(row[0], row[1], row[2])
	for row in receipt.stored:
		var ranges: PackedInt64Array = row[2]
		if not ranges.is_empty():
			on_hold = ""
		for at in range(0, ranges.size(), 2):
			covered = maxi(covered, _up_to(ranges[at + 1]))
			account.stored += _gone(ring.remove(ranges[at], ranges[at + 1]), out)
	for row in receipt.refused:
		var ranges: PackedInt64Array = row[1]
		for at in range(0, ranges.size(), 2):
			covered = maxi(covered, _up_to(ranges[at + 1]))
			Account.add(account.refused, row[0], _gone(ring.remove(ranges[at], ranges[at + 1]), out))
	if covered >= 0:
		ring.hurry(mini(covered, next_seq - 1), now_ns)


## Samples in packets that left the ring; the spool is told of those that it has.
func _gone(gone: Ring.Gone, out: Array) -> int:
	if gone.first_kept >= 0:
		out.append(Effects.Settled.new(number, gone.first_kept, gone.last_kept))
	return gone.samples


func _refuse_frame(seq: int, stream: int, why: String) -> void:
	var key := [seq, stream]
	if _told.has(key) or seq < 0 or seq >= next_seq:
		return
	_told[key] = true
	_forget_first(_told, REMEMBERED_REFUSALS)
	if ring.has(seq):
		var count := ring.samples_of(seq, stream)
		Account.add(account.refused, why, count)
		account.stored -= count  # the packet is counted as stored whole when it leaves the ring


static func _up_to(last: int) -> int:
	return last if last >= 0 else Config.NEVER


static func _forget_first(remembered: Dictionary, most: int) -> void:
	if remembered.size() > most:
		for key: Variant in remembered:
			remembered.erase(key)
			return
