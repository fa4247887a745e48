extends SceneTree
## What no vector can show: the device machine and its spool over time, against a gateway's side made of the same keys.
##
## `godot4 --headless --path PROJECT --script res://machine.gd -- FOLDER`: FOLDER is empty and may be written.

const Bodies := preload("res://addons/vestibule/wire/bodies.gd")
const Cipher := preload("res://addons/vestibule/keys/cipher.gd")
const Config := preload("res://addons/vestibule/device/config.gd")
const Effects := preload("res://addons/vestibule/device/effects.gd")
const Hash := preload("res://addons/vestibule/keys/hash.gd")
const Kinds := preload("res://addons/vestibule/wire/kinds.gd")
const Link := preload("res://addons/vestibule/device/link.gd")
const Machine := preload("res://addons/vestibule/device/machine.gd")
const Packet := preload("res://addons/vestibule/wire/packet.gd")
const Reading := preload("res://reading.gd")
const Records := preload("res://addons/vestibule/wire/records.gd")
const Spool := preload("res://addons/vestibule/spool/spool.gd")
const Writer := preload("res://addons/vestibule/wire/writer.gd")

const MS := Config.MS
## A boot number above 32,767: the gateway's seqs are negative in GDScript.
const BOOT := 0xC000 << 48

var _folder := ""
var _read := Reading.new("")
var _hash := Hash.new()
var _now := 5_000 * MS
var _down_seq := 0
var _nonces := PackedByteArray()


func _init() -> void:
	_folder = OS.get_cmdline_user_args()[0]
	_nonces.resize(16)
	_hold()
	_rotate()
	_overflow()
	_evicts()
	_spool_files()
	_restored()
	_replays()
	_gaps()
	_noise()
	print("%d passed, %d failed" % [_read.passed, _read.failed])
	quit(1 if _read.failed or not _read.passed else 0)


func _config(options: Dictionary = {}) -> Config:
	var made := Config.new()
	made.take(options)
	made.device = 7
	made.key.resize(32)
	made.home = "rig-1"
	_read.check(made.fault() == "", "options %s" % options)
	return made


## A machine that records poses on link 5.
func _recording(options: Dictionary = {}) -> Machine:
	var made := Machine.new(_config(options), _hash)
	made._wanted = true
	var welcome := Bodies.Welcome.new()
	welcome.nonce_g = _nonces
	welcome.link = 5
	welcome.gateway = "rig-1"
	welcome.session = _nonces
	welcome.state = Bodies.RECORDING
	welcome.kinds = PackedInt64Array([Kinds.POSE, Kinds.CLOCK])
	made._adopt(_link(made, welcome), welcome, _now, [])
	made.tick(_now, [])
	return made


func _link(machine: Machine, welcome: Bodies.Welcome) -> Link:
	return Link.welcomed(
		machine.config, machine.account, _hash, machine._greeter.k_hs, _nonces, welcome, _now
	)


## A packet of the gateway on link 5.
func _from_gateway(type: int, body: PackedByteArray) -> PackedByteArray:
	var key := PackedByteArray()
	key.resize(32)
	var cipher := Cipher.new(_hash, _hash.link_keys(key, _nonces, _nonces, 7, 5, 1))
	_down_seq += 1
	var packet := Packet.header(type, 5, BOOT | _down_seq, _now)
	packet.append_array(cipher.crypt(BOOT | _down_seq, body))
	packet.append_array(cipher.tag(packet))
	return packet


func _command(verb: String, args: Array) -> PackedByteArray:
	var to := Writer.new()
	to.array(2)
	to.text(verb)
	to.array(args.size())
	for arg: String in args:
		to.text(arg)
	return _from_gateway(Packet.COMMAND, to.bytes)


## A RECEIPT that says the packets of a range are stored; an empty one says nothing.
func _receipt(ranges: Array) -> PackedByteArray:
	var to := Writer.new()
	to.array(4)
	to.array(1 if ranges.size() else 0)
	if ranges.size():
		to.array(3)
		to.uint(1)
		to.bin(_hash.random(32))
		to.array(ranges.size())
		for number: int in ranges:
			to.uint(number)
	for i in 3:
		to.array(0)
	return _from_gateway(Packet.RECEIPT, to.bytes)


## Captures so many poses, each sent in a packet of its own.
func _capture(machine: Machine, count: int, out: Array = []) -> void:
	var record := Records.buffer(Kinds.POSE)
	for i in count:
		_now += MS
		record.encode_s64(0, _now)
		machine.capture(0, Kinds.POSE, record, 1, _now, out)


func _of(out: Array, type: Variant) -> Array:
	return out.filter(func(effect: Variant) -> bool: return is_instance_of(effect, type))


func _balance(machine: Machine, what: String) -> void:
	var account := machine.account
	var held := 0
	for link in machine.links.all():
		var ring := link.ring
		for seq in range(ring.floor_seq(0), link.next_seq):
			held += ring.samples(seq) if ring.has(seq) else 0
	var sum := account.stored + held + machine._gather.waiting_samples()
	for word: String in account.lost:
		sum += account.lost[word]
	_read.check(account.captured == sum, "%s: captured %d, found %d" % [what, account.captured, sum])


func _hold() -> void:
	var machine := _recording()
	var out: Array = []
	machine.received(_command("hold", ["disk_full"]), _now, out)
	_read.check(machine.shown.state == "behind" and machine.shown.reason == "disk_full", "hold is shown at once")
	_read.check(_of(out, Effects.Send).size() == 1 and machine.is_recording(), "hold is answered, capture goes on")
	machine.received(_receipt([]), _now, out)
	_read.check(machine.shown.reason == "disk_full", "an empty receipt does not end it")
	machine.received(_receipt([0, 0]), _now, out)
	_read.check(machine.shown.state == "recording", "a stored range does")
	machine.received(_command("hold", ["because"]), _now, out)
	_read.check(machine.shown.state == "recording", "another reason is refused")
	_read.group("hold")


func _rotate() -> void:
	var machine := _recording()
	var out: Array = []
	machine.received(_command("rotate", ["AB".repeat(32)]), _now, out)
	machine.received(_command("rotate", ["ab".repeat(31)]), _now, out)
	machine.received(_command("rotate", ["00".repeat(32)]), _now, out)
	_read.check(_of(out, Effects.Send).size() == 3 and out.size() == 3, "malformed keys and the present one: an answer")
	out.clear()
	machine.received(_command("rotate", ["ab".repeat(32)]), _now, out)
	_read.check(
		(
			out.size() == 4
			and out[0] is Effects.PersistKey
			and out[1] is Effects.Send
			and out[2] is Effects.Persist
			and out[3] is Effects.Send
		),
		"the key is durable, then the answer, the counter, the HELLO"
	)
	var hello: PackedByteArray = out[3].packet
	var key := "ab".repeat(32).hex_decode()
	_read.check(_hash.tag_matches(_hash.handshake_key(key), hello), "HELLO has a tag of the new key")
	_read.check(machine.is_recording(), "the old link goes on with its keys")
	_read.group("rotate")


func _overflow() -> void:
	var machine := _recording({"linger_ms": 0, "ring_packets": 50})
	_capture(machine, 80)
	_read.check(machine.links.held_packets() == 50 and machine.account.lost == {"overflow": 30}, "the oldest go")
	_balance(machine, "overflow")
	machine.received(_receipt([0, -1]), _now, [])
	_read.check(machine.links.held_packets() == 0, "one range to 2^64-1 settles all")
	_balance(machine, "after the receipt")
	_read.group("overflow")


func _evicts() -> void:
	var machine := _recording({"linger_ms": 0, "ring_packets": 50, "spool": true, "spool_bytes": 20_000})
	var out: Array = []
	_capture(machine, 80, out)
	_read.check(_of(out, Effects.Keep).size() == 30 and machine.account.lost.is_empty(), "what leaves memory is kept")
	_read.check(machine.links.held_packets() == 80 and machine.current.ring.packet_count == 50, "and still held")
	out.clear()
	_now += 2_500 * MS
	machine.tick(_now, out)
	_read.check(_of(out, Effects.Keep).size() == 50, "the rest is kept when its first resend falls due")
	_read.check(_of(out, Effects.SendKept).size() + _of(out, Effects.Send).size() > 0, "resends begin")
	var first: Array = _of(out, Effects.SendKept)
	_read.check(first.size() > 0 and first[0].seq == machine.current.ring.floor_seq(-1), "the oldest from the spool")
	machine.spool_lost(5, first[0].seq, _now, out)
	_read.check(machine.account.lost == {"overflow": 1}, "what the spool cannot read is lost")
	_balance(machine, "kept")
	out.clear()
	machine.received(_receipt([0, 40]), _now, out)
	_read.check(_of(out, Effects.Settled).size() == 1 and _of(out, Effects.Settled)[0].last == 40, "receipts settle")
	_capture(machine, 400, out)
	_read.check(machine.current.ring.kept_bytes <= 20_000, "the spool's limit holds")
	_balance(machine, "the spool's limit")
	_read.group("spool and ring")


## A spool with what a machine kept; returns its folder.
func _kept(name: String, packets: int) -> String:
	var folder := _folder.path_join(name)
	var machine := _recording({"linger_ms": 0, "spool": true})
	var out: Array = []
	_capture(machine, packets, out)
	out.clear()
	machine.links.keep_all(out)
	var spool := Spool.new(folder, machine.config, _hash)
	for effect: Effects.Keep in out:
		spool.keep(effect)
	_read.check(spool.read(5, machine.current.ring.floor_seq(0)) == out[0].packet, "a packet is read back")
	spool.close()
	_read.check(spool.trouble == "", "no trouble: %s" % spool.trouble)
	return folder


func _spool_files() -> void:
	var folder := _kept("whole", 40)
	var path := folder.path_join("5-0.vts")
	var bytes := FileAccess.get_file_as_bytes(path)
	var spool := Spool.new(folder, _config(), _hash)
	var links := spool.load(_now)
	_read.check(links.size() == 1 and links[0].ring.count == 40 and spool.torn == 0, "all is read again")
	_read.check(links[0].session == _nonces and links[0].gateway == "rig-1" and links[0].number == 5, "with its head")
	var file := FileAccess.open(path, FileAccess.WRITE)
	file.store_buffer(bytes.slice(0, bytes.size() - 3))
	file.close()
	spool = Spool.new(folder, _config(), _hash)
	_read.check(spool.load(_now)[0].ring.count == 39 and spool.torn == 1, "a torn tail is cut")
	spool = Spool.new(folder, _config(), _hash)
	_read.check(spool.load(_now)[0].ring.count == 39 and spool.torn == 0, "once")
	bytes[bytes.size() / 2] ^= 1
	file = FileAccess.open(path, FileAccess.WRITE)
	file.store_buffer(bytes)
	file.close()
	spool = Spool.new(folder, _config(), _hash)
	var left := spool.load(_now)[0].ring.count
	_read.check(left > 10 and left < 30 and spool.torn == 1, "a changed packet ends the file")
	spool.settled(5, 0, 1000)
	_read.check(not FileAccess.file_exists(path), "a file without a held packet is deleted")
	folder = _kept("foreign", 3)
	var other := _config()
	other.device = 8
	spool = Spool.new(folder, other, _hash)
	_read.check(spool.load(_now).is_empty() and spool.foreign == 1, "another device's is deleted")
	_read.check(DirAccess.get_files_at(folder).is_empty(), "from the folder too")
	_read.group("spool files")


func _restored() -> void:
	var spool := Spool.new(_kept("again", 20), _config(), _hash)
	var machine := Machine.new(_config({"spool": true}), _hash)
	var out: Array = []
	machine.restore(spool.load(_now)[0], _now, out)
	machine.begin(_now, out)
	_read.check(machine.links.numbers() == PackedInt64Array([5]), "HELLO names the link")
	var sent := _of(out, Effects.SendKept)
	_read.check(sent.size() > 0 and spool.read(5, sent[0].seq).size() > 40, "it drains from the spool")
	machine.received(_command("text", ["hello"]), _now, out)
	_read.check(machine.account.ignored == {"unanswerable": 1}, "nothing is answered on it")
	machine._greeter.pending = null
	machine._greeter.retry_ns = Config.NEVER
	out.clear()
	machine.received(_receipt([0, 100]), _now, out)
	_read.check(_of(out, Effects.Dropped).size() == 1 and machine.links.size() == 0, "a receipt for all ends it")
	_read.check(_of(out, Effects.Persist).size() == 1, "one HELLO tells so, since its BYE was never sent")
	_read.group("restored link")


func _replays() -> void:
	var machine := _recording()
	var first := _receipt([])
	machine.received(first, _now, [])
	for i in 300:
		machine.received(_receipt([]), _now, [])
	_read.check(machine.account.ignored.is_empty(), "seqs from 2^63 on are fresh")
	machine.received(first, _now, [])
	_read.check(machine.account.ignored == {"copy": 1}, "what fell out of the window is a copy")
	_read.group("replays")


func _gaps() -> void:
	var machine := _recording()
	var out: Array = []
	_capture(machine, 3, out)
	machine.skip(0, Kinds.POSE, 4, _now, out)
	_capture(machine, 2, out)
	_read.check(machine._gather.totals() == {0: 9} and machine.account.lost == {"overflow": 4}, "numbered and lost")
	var frames: Array = []
	for packet: Array in machine._gather.flush():
		for frame: RefCounted in packet:
			frames.append([frame.first, frame.count])
	_read.check(frames == [[0, 3], [7, 2]], "no frame spans the gap: %s" % [frames])
	_read.check(machine.capture(0, Kinds.GAZE, Records.buffer(Kinds.GAZE), 1, _now, out) == "", "withheld")
	_read.check(machine.capture(0, Kinds.POSE, PackedByteArray([1]), 1, _now, out) == "sample_size", "a bad size")
	_read.group("gaps")


## Whatever comes: authentic packets with senseless bodies, and senseless packets.
func _noise() -> void:
	var machine := _recording()
	for i in 3000:
		var size := i % 60
		var body := _hash.random(size) if size else PackedByteArray()
		if size > 2 and i % 3 == 0:
			body[0] = 0x90 | i % 16
		machine.received(_from_gateway([Packet.RECEIPT, Packet.SYNC, Packet.COMMAND][i % 3], body), _now, [])
		machine.received(_hash.random(size + 1), _now, [])
	_read.check(machine.is_recording(), "the link lives")
	_read.group("noise")
