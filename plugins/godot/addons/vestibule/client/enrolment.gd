extends RefCounted
## How a device gets its identity: a code that a person types, a file that is laid down, a file that is given.
##
## Lives on the recorder's thread. A pairing sends the same PAIR each second until PAIRED comes, for as long as a code can
## be on offer.

const Bodies := preload("../wire/bodies.gd")
const Config := preload("../device/config.gd")
const Driver := preload("driver.gd")
const Hash := preload("../keys/hash.gd")
const Identity := preload("identity.gd")
const Orders := preload("orders.gd")
const Pairing := preload("../device/pairing.gd")
const Socket := preload("socket.gd")

const SCHEME := "vestibule://"
const WATCHED := "vestibule.json"
const REPEAT_NS := 1_000 * Config.MS
## After so many sends people are told that nobody answers; the pairing goes on.
const NO_ANSWER_SENDS := 8
## Ten minutes, as long as a code is on offer, and one more.
const MOST_SENDS := 660
## Most datagrams that are looked at in one turn.
const MAX_LOOKS := 64
const LOOK_NS := 1_000 * Config.MS

## The gateway's name is looked for again and again; that it is not found is told so often in the log.
const FAULT_AGAIN_MS := 60_000

## What a person should see of it: `pairing`, `pair_no_answer`, `pair_no_address` while the gateway's name cannot be
## found, `pair_over` once it was given up, or "" while no pairing goes on or has failed.
var reason := ""

var _driver: Driver
var _orders: Orders
var _hash: Hash
var _host := ""
var _port := 0
var _watched := ""  # path, or "" for none
var _watched_bytes := -1
var _look_ns := 0
var _socket := Socket.new()
var _code := PackedByteArray()
var _nonce_d := PackedByteArray()
var _packet := PackedByteArray()
var _name := ""
var _sends := 0
var _is_lost := false  # the gateway's name was not found, or its address cannot be used
var _next_ns := 0
var _of_watched := false


func _init(options: Dictionary, driver: Driver, orders: Orders, hash: Hash) -> void:
	_driver = driver
	_orders = orders
	_hash = hash
	_host = str(options.get("host", ""))
	_port = int(options.get("port", 0))
	_name = str(options.get("name", ""))
	var folder := str(options.get("watch", ""))
	_watched = folder.path_join(WATCHED) if folder else ""


## Begins a pairing with what a person typed. Returns "" or what is wrong with it, in words.
func pair(text: String, name: String, now_ns: int) -> String:
	var plain := text.strip_edges()
	var host := _host
	var port := _port
	if _driver.identity != null and host == "":
		host = _driver.identity.host
		port = _driver.identity.port
	if plain.to_lower().begins_with(SCHEME):
		var parts := plain.substr(SCHEME.length()).split("/", false)
		var address := parts[0] if parts.size() == 2 else ""
		var colon := address.rfind(":")
		var number := address.substr(colon + 1)
		if colon < 1 or number.length() > 5 or not number.is_valid_int():
			return "This is no address of a pairing: vestibule://HOST:PORT/CODE is one."
		host = address.substr(0, colon).trim_prefix("[").trim_suffix("]")
		port = number.to_int()
		plain = parts[1]
	return _begin(plain, host, port, name if name else _name, now_ns)


## Takes a pair file or a key file. Returns "" or what is wrong with it, in words.
func take_file(path: String, now_ns: int) -> String:
	var members: Variant = Identity.read_object(path)
	if members is String:
		return members
	var of: Dictionary = members
	if of.get("code") is String:
		var host := str(of.get("host", _host))
		var port: Variant = of.get("port", _port)
		return _begin(of["code"], host, int(port) if port is float or port is int else 0, _name, now_ns)
	var found: Identity = Identity.of(of)
	if found == null:
		return "%s is neither a pair file nor a key file of `vestibule`." % path
	return "" if _become(found, now_ns) else "%s could not be taken." % path


## Does what is due.
func turn(now_ns: int) -> void:
	if not _of_watched:
		_look(now_ns)  # a file that is laid down goes before a code that nobody answers
	if _packet.is_empty():
		return
	if _socket.turn():
		_next_ns = now_ns
		_is_lost = false
	if _socket.fault:
		_driver.trouble(_socket.fault, FAULT_AGAIN_MS)
		_socket.fault = ""
		_is_lost = true
	if _is_lost:
		reason = "pair_no_address"
	else:
		reason = "pair_no_answer" if _sends > NO_ANSWER_SENDS else "pairing"
	for i in MAX_LOOKS:
		var packet := _socket.receive()
		if packet.is_empty():
			break
		var made := Pairing.open_paired(_hash, _code, packet, _nonce_d)
		if made.fault == "":
			_paired(made, now_ns)
			return
	if now_ns < _next_ns:
		return
	if _sends >= MOST_SENDS:
		_end("pair_no_address" if _is_lost else "pair_over")
		_spoil("The code was not taken by the gateway in time.")
		return
	if not _socket.is_open() or _sends % 5 == 4 and not _socket.has_heard:
		_socket.open(_socket.host, _socket.port)  # perhaps the network is another one now
	_socket.send(_packet)
	_sends += 1
	_next_ns = now_ns + REPEAT_NS


## Whether a pairing goes on.
func is_pairing() -> bool:
	return not _packet.is_empty()


## Ends a pairing that goes on.
func close() -> void:
	_end("")


func _begin(text: String, host: String, port: int, name: String, now_ns: int) -> String:
	var code := Pairing.plain_code(text)
	if code.is_empty():
		return "A pairing code has 26 letters A-Z and digits 2-7. Type it again as it is shown."
	if not Bodies.is_device_name(name):
		return "The device's name has more than 64 bytes, or characters that cannot be shown. Choose a shorter name."
	if is_pairing() and code == _code and host == _socket.host and port == _socket.port and name == _name:
		return ""  # the code may be spent by now, and then only the same PAIR is answered
	_end("")
	var fault := _socket.open(host, port)
	if fault:
		return fault
	_code = code
	_nonce_d = _hash.random(Bodies.NONCE_BYTES)
	_packet = Pairing.pair_packet(_hash, code, _nonce_d, name, now_ns)
	_name = name
	_sends = 0
	_is_lost = false
	_next_ns = now_ns
	reason = "pairing"
	return ""


func _paired(made: Pairing.Paired, now_ns: int) -> void:
	var found := Identity.new()
	found.device = made.device
	found.key = made.key
	found.home = made.home
	found.name = _name
	found.host = _socket.host
	found.port = _socket.port
	if not _driver.be(found, now_ns):
		return  # PAIRED comes again; the reason was told
	_orders.tell({"event": "paired", "device": found.device})
	if _of_watched:
		DirAccess.remove_absolute(_watched)
	_end("")


func _become(found: Identity, now_ns: int) -> bool:
	var known := _driver.identity
	if found.host == "":
		found.host = known.host if known != null else _host
		found.port = known.port if known != null else _port
	if known != null and known.device == found.device and _driver.machine != null:
		if not _driver.renew(found, now_ns):
			return false
	elif not _driver.be(found, now_ns):
		return false
	_end("")
	_orders.tell({"event": "paired", "device": found.device})
	return true


func _end(why: String) -> void:
	_packet = PackedByteArray()
	_socket.close()
	reason = why
	_of_watched = _of_watched and why != ""


## Takes the watched file once it has the same length at two looks: somebody may still be writing it.
func _look(now_ns: int) -> void:
	if _watched == "" or now_ns < _look_ns:
		return
	_look_ns = now_ns + LOOK_NS
	var file := FileAccess.open(_watched, FileAccess.READ) if FileAccess.file_exists(_watched) else null
	var size := file.get_length() if file != null else -1
	var is_whole := size >= 0 and size == _watched_bytes
	_watched_bytes = size
	if file != null:
		file.close()
	if not is_whole:
		return
	var fault := take_file(_watched, now_ns)
	_of_watched = fault != "" or is_pairing()
	if fault:
		_spoil(fault)
	elif not is_pairing():
		DirAccess.remove_absolute(_watched)


## The watched file is of no use: it is put aside, so that it is not taken again, and people are told.
func _spoil(why: String) -> void:
	if _of_watched:
		DirAccess.rename_absolute(_watched, _watched + ".bad")
		why += " The file is now %s.bad." % WATCHED
	_of_watched = false
	_watched_bytes = -1
	# Each file is told, also when the one before was bad in the same way.
	_orders.tell({"event": "trouble", "words": why})
