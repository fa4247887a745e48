extends SceneTree
## The golden vectors against the addon: `godot4 --headless --path PROJECT --script res://vectors.gd -- FOLDER`.
##
## FOLDER holds `*.json` of SPEC, "Vectors". A line a group, and at last `N passed, M failed`; exit code 1 when any failed.

const Bodies := preload("res://addons/vestibule/wire/bodies.gd")
const Cipher := preload("res://addons/vestibule/keys/cipher.gd")
const Frame := preload("res://addons/vestibule/wire/frame.gd")
const Hash := preload("res://addons/vestibule/keys/hash.gd")
const Kinds := preload("res://addons/vestibule/wire/kinds.gd")
const Packet := preload("res://addons/vestibule/wire/packet.gd")
const Pairing := preload("res://addons/vestibule/device/pairing.gd")
const Reader := preload("res://addons/vestibule/wire/reader.gd")
const Reading := preload("res://reading.gd")
const Receiving := preload("res://receiving.gd")
const Writer := preload("res://addons/vestibule/wire/writer.gd")

var _read: Reading
var _hash := Hash.new()


func _init() -> void:
	var arguments := OS.get_cmdline_user_args()
	if arguments.size() != 1:
		print("usage: vectors.gd -- FOLDER")
		quit(2)
		return
	_read = Reading.new(arguments[0])
	_primitives()
	_keys()
	_messagepack()
	_frames()
	_handshakes()
	_uplink()
	var receiving := Receiving.new(_read, _hash)
	receiving.run()
	print("%d passed, %d failed" % [_read.passed, _read.failed])
	quit(1 if _read.failed or not _read.passed else 0)


func _primitives() -> void:
	var of: Dictionary = _read.file("keys")["primitives"]
	var hmac: Dictionary = of["hmac_sha256_rfc4231_2"]
	_read.same(_hash.hmac(Reading.raw(hmac["key"]), Reading.raw(hmac["data"])), hmac["mac"], "hmac")
	var hkdf: Dictionary = of["hkdf_sha256_rfc5869_1"]
	@warning_ignore("integer_division")
	var size := (hkdf["okm"] as String).length() / 2
	_read.same(
		_hash.hkdf(Reading.raw(hkdf["ikm"]), Reading.raw(hkdf["salt"]), Reading.raw(hkdf["info"]), size),
		hkdf["okm"],
		"hkdf"
	)
	var aes: Dictionary = of["aes256_ecb_sp800_38a"]
	var context := AESContext.new()
	context.start(AESContext.MODE_ECB_ENCRYPT, Reading.raw(aes["key"]))
	_read.same(context.update(Reading.raw(aes["block"])), aes["out"], "aes")
	_read.group("primitives")


func _keys() -> void:
	var of := _read.file("keys")
	var k_dev := Reading.raw(of["k_dev"])
	var code := (of["code"] as String).to_ascii_buffer()
	var nonce_d := Reading.raw(of["nonce_d"])
	var nonce_g := Reading.raw(of["nonce_g"])
	_read.same(_hash.handshake_key(k_dev), of["handshake_key"]["key"], "handshake key")
	_read.same(_hash.pairing_key(code), of["pairing_key"]["key"], "pairing key")
	_read.same(_hash.device_key(code, nonce_d, nonce_g), of["device_key"]["key"], "device key")
	for row: Dictionary in of["link_keys"]:
		var made := _hash.link_keys(
			k_dev, nonce_d, nonce_g, int(row["device"]), int(row["link"]), int(row["direction"])
		)
		_read.same(made, row["okm"], "link keys %s" % row["name"])
	for row: Dictionary in _read.file("handshake")["derived"]:
		var made := _hash.link_keys(k_dev, nonce_d, nonce_g, 7, int(row["link"]), int(row["direction"]))
		_read.same(made, row["okm"], "link keys of %s" % row["name"])
	var cipher := Cipher.new(_hash, Reading.raw(of["link_keys"][0]["okm"]))
	for row: Dictionary in of["counter_mode"]:
		var seq := Reading.number(row["seq"])
		var blocks: Array = row["counter_blocks"]
		_read.same(cipher.counter_blocks(seq, blocks.size()), "".join(blocks), "counter blocks %s" % row["seq"])
		_read.same(cipher.crypt(seq, Reading.raw(row["plain"])), row["sealed"], "seal %s" % row["seq"])
		_read.same(cipher.crypt(seq, Reading.raw(row["sealed"])), row["plain"], "open %s" % row["seq"])
	_read.group("keys")


func _messagepack() -> void:
	var of: Dictionary = _read.file("frames")["messagepack"]
	for row: Dictionary in of["int"]:
		var text: String = row["value"]
		var value := Reading.number(text)
		var is_negative := text.begins_with("-")
		var to := Writer.new()
		if is_negative:
			to.sint(value)
		else:
			to.uint(value)
		_read.same(to.bytes, row["bytes"], "int %s" % text)
		var from := Reader.new(Reading.raw(row["bytes"]))
		var back := from.sint() if is_negative else from.uint()
		_read.check(back == value and from.fault() == "", "int %s is read back" % text)
	for row: Dictionary in of["float64"]:
		var to := Writer.new()
		to.float64(Reading.real(row["value"]))
		_read.same(to.bytes, row["bytes"], "float64 %s" % row["value"])
		var from := Reader.new(Reading.raw(row["bytes"]))
		_read.check(from.argument() == Reading.real(row["value"]) and from.fault() == "", "float64 is read back")
	for row: Dictionary in of["str"]:
		var to := Writer.new()
		to.text(row["value"])
		_read.same(to.bytes, row["bytes"], "str of %d" % (row["value"] as String).length())
		var from := Reader.new(Reading.raw(row["bytes"]))
		_read.check(from.text() == row["value"] and from.fault() == "", "str is read back")
	for row: Dictionary in of["bin_head"]:
		var content := PackedByteArray()
		content.resize(int(row["length"]))
		var to := Writer.new()
		to.bin(content)
		_read.same(to.bytes.slice(0, to.bytes.size() - content.size()), row["head"], "bin of %d" % row["length"])
		var from := Reader.new(to.bytes)
		_read.check(from.bin() == content and from.fault() == "", "bin is read back")
	for row: Dictionary in of["array_head"]:
		var to := Writer.new()
		to.array(int(row["length"]))
		_read.same(to.bytes, row["head"], "array of %d" % row["length"])
	_read.group("messagepack")


func _frames() -> void:
	var of := _read.file("frames")
	for name: String in of["kinds"]:
		var kind := int(of["kinds"][name]["number"])
		_read.check(Kinds.NAMES.get(kind) == name, "kind %d is %s" % [kind, name])
		_read.check(Kinds.BYTES.get(kind) == int(of["kinds"][name]["bytes"]), "bytes of %s" % name)
	for entry: Dictionary in of["frames"]:
		var frame := _read.frame_of(entry["name"])
		_read.same(frame.samples, entry["samples_hex"], "samples of %s" % entry["name"])
		var to := Writer.new()
		frame.write(to)
		_read.same(to.bytes, entry["frame"], "frame %s" % entry["name"])
		_read.check(
			frame.byte_count() - to.bytes.size() in [0, 1], "computed size of frame %s" % entry["name"]
		)
	_read.group("frames")


func _handshakes() -> void:
	var pairing := _read.file("pairing")
	for entry: Dictionary in pairing["packets"] + (_read.file("handshake")["packets"] as Array):
		var of: Dictionary = entry["fields"]
		var t_ns := Reading.number(entry["t_send_ns"])
		var made := PackedByteArray()
		if entry["type"] == "pair":
			made = Pairing.pair_packet(
				_hash, Pairing.plain_code(pairing["code"]), Reading.raw(of["nonce_d"]), of["name"], t_ns
			)
		elif entry["type"] == "hello":
			var seq := Reading.number(entry["seq"])
			var key := Reading.raw(_read.file("handshake")["handshake_key"])
			made = Packet.sealed_clear(_hash, key, Packet.HELLO, seq, t_ns, _hello_body(of))
		else:
			continue
		_read.same(made, entry["packet"], entry["name"])
	_read.group("pair and hello")


static func _hello_body(of: Dictionary) -> PackedByteArray:
	var versions := Reading.numbers(of["versions"])
	var links := Reading.numbers(of["links"])
	var run := Reading.number(of["run"])
	var nonce_d := Reading.raw(of["nonce_d"])
	var bare := Bodies.hello(int(of["device"]), run, nonce_d, versions, links, 0)
	var pad := Bodies.padding(bare.size(), Packet.HELLO_BYTES)
	return Bodies.hello(int(of["device"]), run, nonce_d, versions, links, pad)


func _uplink() -> void:
	var file := _read.file("uplink")
	for entry: Dictionary in file["packets"]:
		var body := _up_body(entry["type"], entry["fields"])
		_read.same(body, entry["body"], "body of %s" % entry["name"])
		var link := Receiving.link_of(_hash, file)
		link.next_seq = Reading.number(entry["seq"])
		# As the link seals all of its packets.
		var made: PackedByteArray = link._seal(int(entry["type_number"]), body, Reading.number(entry["t_send_ns"]))
		_read.same(made, entry["packet"], entry["name"])
	_read.group("uplink")


func _up_body(type: String, of: Dictionary) -> PackedByteArray:
	match type:
		"data":
			var frames: Array[Frame] = []
			for name: String in of["frames"]:
				frames.append(_read.frame_of(name))
			return Bodies.data(Reading.number(of["floor"]), Reading.totals(of["totals"]), frames)
		"bye":
			return Bodies.bye(Reading.number(of["floor"]), Reading.totals(of["totals"]), of["reason"])
		"sync":
			return Bodies.probe(Reading.number(of["t1_ns"]))
	var results: Dictionary = {}
	for row: Array in of["commands"]:
		results[Reading.number(row[0])] = row[1]
	return Bodies.answers(results)
