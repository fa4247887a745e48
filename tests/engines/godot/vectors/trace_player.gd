extends RefCounted
## One machine of a trace, which is given what the reference was given, and compared with what that did.

const Account := preload("res://addons/vestibule/device/account.gd")
const Config := preload("res://addons/vestibule/device/config.gd")
const Effects := preload("res://addons/vestibule/device/effects.gd")
const Hash := preload("res://addons/vestibule/keys/hash.gd")
const Link := preload("res://addons/vestibule/device/link.gd")
const Machine := preload("res://addons/vestibule/device/machine.gd")
const Reading := preload("res://reading.gd")
const Segment := preload("res://addons/vestibule/spool/segment.gd")

const HEAD_BYTES := 24


## Hands out the random bytes of the trace.
class Fed:
	extends Hash
	var bytes: PackedByteArray
	var wanted := 0

	func random(size: int) -> PackedByteArray:
		wanted += size
		return bytes.slice(wanted - size, wanted)


var _machine: Machine
var _hash := Fed.new()
var _full_steps := 0
var _steps := 0


func _init(told: Dictionary) -> void:
	var config := Config.new()
	config.take(told)
	config.device = int(told["device"])
	config.key = Reading.raw(told["key"])
	config.home = told["home"]
	config.hello_seq = Reading.number(told["hello_seq"])
	config.run = Reading.number(told["run"])
	config.spool = config.spool_bytes > 0
	_full_steps = int(told["full_steps"])
	_machine = Machine.new(config, _hash)


## Does one step; "", or what is different.
func step(line: Dictionary) -> String:
	_hash.bytes = Reading.raw(line.get("random", ""))
	_hash.wanted = 0
	var effects: Array = []
	var made := PackedStringArray()
	var fault := _do(line, Reading.number(line["t"]), effects)
	for effect: RefCounted in effects:
		made.append(_told(effect))
	if fault:
		made.append("fault %s" % fault)
	var expected := PackedStringArray(line["out"])
	if made != expected:
		for at in maxi(made.size(), expected.size()):
			var one: String = expected[at] if at < expected.size() else "nothing"
			var other: String = made[at] if at < made.size() else "nothing"
			if one != other:
				return _differs(line, "effect %d" % at, one, other)
	var state := _state()
	if state != line["now"]:
		return _differs(line, "state", line["now"], state)
	if _hash.wanted != _hash.bytes.size():
		return _differs(line, "random bytes used", str(_hash.bytes.size()), str(_hash.wanted))
	if line.has("counts"):
		var counters := _counters()
		if counters != line["counts"]:
			return _differs(line, "counters", line["counts"], counters)
	_steps += 1
	return ""


static func _differs(line: Dictionary, what: String, expected: String, got: String) -> String:
	return "%s at %s: %s\n  expected %s\n  got      %s" % [line["do"], line["t"], what, expected, got]


func _do(line: Dictionary, now_ns: int, out: Array) -> String:
	match line["do"]:
		"capture":
			var samples := PackedByteArray()
			samples.resize(int(line["size"]))
			samples.fill(int(line["fill"]))
			return _machine.capture(
				int(line["stream"]), int(line["kind"]), samples, int(line["count"]), now_ns, out
			)
		"received":
			_machine.received(Reading.raw(line["packet"]), now_ns, out)
		"tick":
			_machine.tick(now_ns, out)
		"start":
			_machine.begin(now_ns, out)
		"cease":
			_machine.cease(line["reason"], now_ns, out)
		"spool_lost":
			_machine.spool_lost(int(line["link"]), Reading.number(line["seq"]), now_ns, out)
		"restore":
			_machine.restore(_restored(line, now_ns), now_ns, out)
		_:
			return "no such event"
	return ""


func _restored(line: Dictionary, now_ns: int) -> Link:
	var key := _hash.handshake_key(_machine.config.key)
	var head := Segment.Head.new()
	head.link = int(line["link"])
	head.run = Reading.number(line["run"])
	head.session = Reading.raw(line["session"])
	head.gateway = line["gateway"]
	head.up_k_mac = Reading.raw(line["up_mac"])
	head.down_keys = Reading.raw(line["down"])
	var link: Link = Link.of_spool(_machine.config, _hash, key, head, now_ns)
	for row: Array in line["packets"]:
		var tag := Reading.raw(row[3])
		link.restore(Reading.number(row[0]), int(row[2]), int(row[1]), row[4], tag.decode_s64(0), tag.decode_s64(8), now_ns)
	return link


func _told(effect: RefCounted) -> String:
	if effect is Effects.Send:
		return "%s %s" % ["hello" if effect.hello else "send", _packet(effect.packet)]
	if effect is Effects.Persist:
		return "seq %d" % effect.hello_seq
	if effect is Effects.PersistKey:
		return "key %s" % (effect.key as PackedByteArray).hex_encode()
	if effect is Effects.Changed:
		return "show %s|%s|%d" % [effect.state, effect.reason, effect.behind_s]
	if effect is Effects.Keep:
		var link: Link = effect.link
		var head := _digest(Segment.head_bytes(_machine.config.device, link)).left(16)
		return "keep %d %d %d %s %s" % [link.number, effect.seq, effect.samples, head, _packet(effect.packet)]
	if effect is Effects.SendKept:
		return "kept %d %d" % [effect.link, effect.seq]
	if effect is Effects.Settled:
		return "settled %d %d %d" % [effect.link, effect.first, effect.last]
	if effect is Effects.Dropped:
		return "dropped %d" % effect.link
	var words := PackedStringArray(["do", effect.verb])
	for arg: Variant in effect.args:
		words.append(_argument(arg))
	return " ".join(words)


static func _argument(value: Variant) -> String:
	if value is float:
		var bytes := PackedByteArray()
		bytes.resize(8)
		bytes.encode_double(0, value)
		bytes.reverse()
		return "f:%s" % bytes.hex_encode()
	return "i:%d" % value if value is int else "s:%s" % (value as String).to_utf8_buffer().hex_encode()


func _packet(packet: PackedByteArray) -> String:
	if _steps < _full_steps:
		return packet.hex_encode()
	return "%s:%d:%s" % [packet.slice(0, HEAD_BYTES).hex_encode(), packet.size(), _digest(packet).left(32)]


static func _digest(bytes: PackedByteArray) -> String:
	var context := HashingContext.new()
	context.start(HashingContext.HASH_SHA256)
	context.update(bytes)
	return context.finish().hex_encode()


func _state() -> String:
	var wake := "never" if _machine.wake_ns == Config.NEVER else str(_machine.wake_ns)
	var current := _machine.current.number if _machine.current != null else 0
	return (
		"wake %s %s link %d of %d holds %d+%d"
		% [
			wake,
			"idle" if _machine.idle() else "busy",
			current,
			_machine.links.size(),
			_machine.links.held_packets(),
			_machine._gather.waiting_samples()
		]
	)


func _counters() -> String:
	var spooled := _machine.links.spooled()
	var found: Dictionary = {
		"held_bytes": _machine.links.held_bytes(),
		"kept_packets": spooled.x,
		"kept_bytes": spooled.y,
	}
	if _machine.clock != null:
		found["clock.offset"] = _machine.clock.offset_ns
		found["clock.uncertainty"] = _machine.clock.uncertainty_ns
	var totals := _machine._gather.totals()
	for stream: int in totals:
		found["total.%d" % stream] = totals[stream]
	for prefix: String in ["", "earlier."]:
		var account := _machine.earlier if prefix else _machine.account
		for name: String in ["captured", "stored", "unrecorded", "sent", "resent"]:
			found[prefix + name] = account.get(name)
		for name: String in ["refused", "lost", "withheld", "ignored"]:
			var words: Dictionary = account.get(name)
			for word: Variant in words:
				found["%s%s.%s" % [prefix, name, word]] = words[word]
	var names: Array = found.keys()
	names.sort()
	var made := PackedStringArray()
	for name: String in names:
		if found[name]:
			made.append("%s=%d" % [name, found[name]])
	return " ".join(made)
