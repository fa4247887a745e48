extends RefCounted
## What a gateway sends, against the addon's machine: read where it is good, dropped where it is not.

const Account := preload("res://addons/vestibule/device/account.gd")
const Bodies := preload("res://addons/vestibule/wire/bodies.gd")
const Config := preload("res://addons/vestibule/device/config.gd")
const Hash := preload("res://addons/vestibule/keys/hash.gd")
const Link := preload("res://addons/vestibule/device/link.gd")
const Machine := preload("res://addons/vestibule/device/machine.gd")
const Packet := preload("res://addons/vestibule/wire/packet.gd")
const Pairing := preload("res://addons/vestibule/device/pairing.gd")
const Reading := preload("res://reading.gd")
const Segment := preload("res://addons/vestibule/spool/segment.gd")

## What the machine says of a type that gateways do not send, or not to a device that is paired.
const UNEXPECTED := "unexpected"
const NOW_NS := 90_000_000_000_000

var _read: Reading
var _hash: Hash


func _init(read: Reading, hash: Hash) -> void:
	_read = read
	_hash = hash


func run() -> void:
	_paired()
	_welcomes()
	_downlink()
	_spool()
	_resets()
	_twins()


## The recording link of a file's keys.
static func link_of(hash: Hash, file: Dictionary) -> Link:
	var config := config_of(file)
	var welcome := _welcome(file, int(file["link"]))
	var k_hs := hash.handshake_key(config.key)
	return Link.welcomed(config, Account.new(), hash, k_hs, Reading.raw(file["nonce_d"]), welcome, NOW_NS)


static func config_of(file: Dictionary) -> Config:
	var made := Config.new()
	made.device = 7
	made.key = Reading.raw(file["k_dev"])
	made.home = "rig-1"
	return made


static func _welcome(file: Dictionary, link: int) -> Bodies.Welcome:
	var made := Bodies.Welcome.new()
	made.nonce_g = Reading.raw(file["nonce_g"])
	made.link = link
	made.session = PackedByteArray()
	made.session.resize(16)
	made.state = Bodies.RECORDING
	made.kinds = PackedInt64Array([1, 6, 8])
	return made


## A machine that records on the link of the vectors.
func _recording() -> Machine:
	var file := _read.file("downlink")
	var made := Machine.new(config_of(file), _hash)
	made._wanted = true
	made._adopt(link_of(_hash, file), _welcome(file, int(file["link"])), NOW_NS, [])
	return made


## Lets a machine wait for the WELCOME of an entry of `handshake.json`: the HELLO before it in the file.
func _await(machine: Machine, nonce_d: PackedByteArray, seq: int, links: PackedInt64Array, versions: PackedInt64Array) -> void:
	machine._greeter.seq = seq - 1
	machine._greeter.begin("start", links, NOW_NS, [])
	machine._greeter.pending.nonce_d = nonce_d
	machine._greeter.pending.versions = versions


func _paired() -> void:
	var file := _read.file("pairing")
	var code := Pairing.plain_code(file["code"])
	for entry: Dictionary in file["packets"]:
		if entry["type"] != "paired":
			continue
		var nonce_d := Reading.raw(entry["fields"]["nonce_d"])
		var made := Pairing.open_paired(_hash, code, Reading.raw(entry["packet"]), nonce_d)
		_read.check(
			made.fault == "" and made.device == int(entry["fields"]["device"]) and made.home == entry["fields"]["home"],
			"%s is read (%s)" % [entry["name"], made.fault]
		)
		_read.same(made.key, _hash.device_key(code, nonce_d, Reading.raw(entry["fields"]["nonce_g"])).hex_encode(), "key of it")
		nonce_d[0] ^= 1
		made = Pairing.open_paired(_hash, code, Reading.raw(entry["packet"]), nonce_d)
		_read.check(made.fault == "not_mine", "%s for another PAIR is passed over" % entry["name"])
	_read.group("paired")


func _welcomes() -> void:
	var hello: Dictionary = {}
	for entry: Dictionary in _read.file("handshake")["packets"]:
		var of: Dictionary = entry["fields"]
		if entry["type"] == "hello":
			hello = of
		if entry["type"] != "welcome":
			continue
		var welcome := Bodies.read_welcome(Reading.raw(entry["body"]))
		var name: String = entry["name"]
		_read.check(welcome.fault == "", "%s is read (%s)" % [name, welcome.fault])
		_read.same(welcome.nonce_d, of["nonce_d"], "nonce_d of %s" % name)
		_read.same(welcome.nonce_g, of["nonce_g"], "nonce_g of %s" % name)
		_read.same(welcome.session, of["session"], "session of %s" % name)
		_read.check(
			(
				welcome.link == int(of["link"])
				and welcome.gateway == of["gateway"]
				and welcome.version == int(of["version"])
				and welcome.state == of["state"]
				and welcome.reason == of["reason"]
				and welcome.at_ms == Reading.number(of["at_ms"])
			),
			"numbers and words of %s" % name
		)
		for list: String in ["offered", "kept", "kinds"]:
			_read.check(welcome.get(list) == Reading.numbers(of[list]), "%s of %s" % [list, name])
		var machine := Machine.new(config_of(_read.file("handshake").merged(_read.file("uplink"))), _hash)
		machine._wanted = true
		_await(
			machine, welcome.nonce_d, Reading.number(entry["seq"]), Reading.numbers(hello["links"]), welcome.offered
		)
		machine.received(Reading.raw(entry["packet"]), NOW_NS, [])
		_read.check(machine.account.ignored.is_empty(), "%s is taken (%s)" % [name, machine.account.ignored])
		var is_on := machine.current != null and machine.current.number == int(of["link"])
		_read.check(is_on == (of["state"] != "refused"), "the link of %s" % name)
		_read.check(machine.is_recording() == (of["state"] == "recording"), "%s records or not" % name)
	_read.group("welcome")


func _downlink() -> void:
	for entry: Dictionary in _read.file("downlink")["packets"]:
		var name: String = entry["name"]
		var of: Dictionary = entry["fields"]
		var packet := Reading.raw(entry["packet"])
		var link := link_of(_hash, _read.file("downlink"))
		var head := Packet.parse(packet)
		_read.check(
			(
				head.fault == ""
				and head.type == int(entry["type_number"])
				and head.link == int(entry["link"])
				and head.seq == Reading.number(entry["seq"])
				and head.t_send_ns == Reading.number(entry["t_send_ns"])
			),
			"header of %s" % name
		)
		_read.check(link.is_authentic(packet), "tag of %s" % name)
		_read.check(link.is_fresh(head.seq) and not link.is_fresh(head.seq), "%s is fresh once" % name)
		var body := link.decrypt(head, packet)
		_read.same(body, entry["body"], "body of %s" % name)
		match entry["type"]:
			"receipt":
				_receipt(name, of, Bodies.read_receipt(body))
			"sync":
				var reply := Bodies.read_probe_reply(body)
				_read.check(
					(
						reply.fault == ""
						and reply.t1_ns == Reading.number(of["t1_ns"])
						and reply.t2_ns == Reading.number(of["t2_ns"])
						and reply.t3_ns == Reading.number(of["t3_ns"])
					),
					"times of %s" % name
				)
			"command":
				var command := Bodies.read_command(body)
				_read.check(
					command.fault == "" and command.verb == of["verb"] and command.args == _arguments(of["args"]),
					"%s is read: %s %s" % [name, command.verb, command.args]
				)
		var machine := _recording()
		machine.received(packet, NOW_NS, [])
		_read.check(machine.account.ignored.is_empty(), "%s is taken (%s)" % [name, machine.account.ignored])
		if entry.has("answer"):
			var link_now := machine.links.all()[0]
			var told: Array = link_now._answers.get(head.seq, [""])
			_read.check(told[0] == entry["answer"], "%s is answered %s, not %s" % [name, told[0], entry["answer"]])
		machine.received(packet, NOW_NS, [])
		_read.check(machine.account.ignored == {"copy": 1}, "a copy of %s is not" % name)
	_read.group("downlink")


static func _arguments(typed: Array) -> Array:
	var made: Array = []
	for row: Dictionary in typed:
		for type: String in row:
			match type:
				"int":
					made.append(Reading.number(row[type]))
				"float64":
					made.append(float(row[type]))
				_:
					made.append(row[type])
	return made


func _receipt(name: String, of: Dictionary, made: Bodies.Receipt) -> void:
	_read.check(made.fault == "", "%s is read (%s)" % [name, made.fault])
	var stored: Array[Array] = []
	for row: Array in of["stored"]:
		stored.append([Reading.number(row[0]), Reading.raw(row[1]), Reading.numbers(row[2])])
	var refused: Array[Array] = []
	for row: Array in of["refused"]:
		refused.append([row[0], Reading.numbers(row[1])])
	var frames: Array[Array] = []
	for row: Array in of["frames"]:
		frames.append([Reading.number(row[0]), int(row[1]), row[2]])
	var totals: Array[Array] = []
	for row: Array in of["totals"]:
		totals.append(Array(Reading.numbers(row)))
	_read.check(made.stored == stored and made.refused == refused, "ranges of %s" % name)
	_read.check(made.frames == frames and made.totals == totals, "frames and totals of %s" % name)


func _spool() -> void:
	var file := _read.file("spool")
	var link := link_of(_hash, _read.file("uplink"))
	link.run = Reading.number(file["run"])
	link.session = Reading.raw(file["session"])
	link.gateway = file["gateway"]
	link.down_keys = Reading.raw(file["down"])
	_read.check(link.up_k_mac.hex_encode() == file["k_mac_up"], "K_mac of the spool")
	_read.same(Segment.head_bytes(int(file["device"]), link), file["header"], "head of a segment")
	for entry: Dictionary in file["segments"]:
		var bytes := Reading.raw(entry["file"])
		var head := Segment.read_head(bytes)
		_read.check(head.fault == "" and head.link == int(file["link"]), "%s has a sound head" % entry["name"])
		var segment := Segment.new()
		var rows := segment.take(_hash, head, bytes)
		var expected: Dictionary = {}
		for record: Dictionary in entry["records"]:
			var packet := Reading.raw(record["packet"])
			var seq := Reading.number(record["seq"])
			expected[seq] = expected.get(seq, [packet.size(), int(record["samples"]), record["bye"]])
		var found: Dictionary = {}
		for row in rows:
			found[row[0]] = [row[2], row[3], row[4]]
			_read.check(segment.find(row[0]) == row[1], "place of %d in %s" % [row[0], entry["name"]])
		_read.check(found == expected, "records of %s: %s" % [entry["name"], found])
		_read.check(segment.size == int(entry["sound_bytes"]), "where %s is cut" % entry["name"])
		if entry["name"] == "whole":
			var made := Reading.raw(file["header"])
			for record: Dictionary in entry["records"]:
				made.append_array(Segment.record(int(record["samples"]), Reading.raw(record["packet"])))
			_read.same(made, entry["file"], "a segment from its fields")
	for entry: Dictionary in file["unusable"]:
		_read.check(Segment.read_head(Reading.raw(entry["file"])).fault != "", "%s is unusable" % entry["name"])
	_read.group("spool")


func _resets() -> void:
	for entry: Dictionary in _read.file("handshake")["packets"]:
		if entry["type"] != "reset":
			continue
		var of: Dictionary = entry["fields"]
		var machine := _recording()
		machine.received(Reading.raw(entry["packet"]), NOW_NS, [])
		_read.check(
			machine.account.ignored == {"not_mine": 1} and machine.is_recording(),
			"%s for a packet that was never sent is ignored" % entry["name"]
		)
		machine.current._tags[Reading.number(of["seq"])] = Reading.raw(of["tag"])
		machine.received(Reading.raw(entry["packet"]), NOW_NS, [])
		_read.check(
			machine.current == null and machine.links.size() == 0 and machine.shown.reason == of["reason"],
			"%s ends the link" % entry["name"]
		)
	_read.group("reset")


func _twins() -> void:
	var pairing := _read.file("pairing")
	var nonces: Dictionary = {}
	for entry: Dictionary in pairing["packets"] + (_read.file("handshake")["packets"] as Array):
		nonces[entry["name"]] = entry
	for twin: Dictionary in _read.file("corrupt")["packets"]:
		if twin["receiver"] != "device":
			continue
		var packet := Reading.raw(twin["packet"])
		var base: Dictionary = nonces.get(twin["base"], {})
		if base.get("type", "") == "paired":
			var nonce_d := Reading.raw(base["fields"]["nonce_d"])
			var made := Pairing.open_paired(_hash, Pairing.plain_code(pairing["code"]), packet, nonce_d)
			var fault := made.fault
			_read.check(
				fault in [twin["reason"], UNEXPECTED],
				"%s: dropped as %s, not %s" % [twin["name"], fault, twin["reason"]]
			)
			continue
		var machine := _recording()
		if base.get("type", "") == "welcome":
			var of: Dictionary = base["fields"]
			_await(
				machine,
				Reading.raw(of["nonce_d"]),
				Reading.number(base["seq"]),
				Reading.numbers(of["kept"]),
				Reading.numbers(of["offered"])
			)
		if base.get("type", "") == "reset":
			machine.current._tags[Reading.number(base["fields"]["seq"])] = Reading.raw(base["fields"]["tag"])
		var out: Array = []
		var held := machine.links.numbers()
		var fault := machine._received(packet, NOW_NS, out)
		_read.check(
			fault in [twin["reason"], UNEXPECTED] and out.is_empty() and machine.links.numbers() == held,
			"%s: dropped as '%s', not %s" % [twin["name"], fault, twin["reason"]]
		)
	_read.group("corrupted twins")
