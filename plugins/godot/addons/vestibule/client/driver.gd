extends RefCounted
## Runs a device machine: performs its effects on socket, spool and identity file, and hands it what arrives.
##
## Lives on the recorder's thread. What a person should know goes out through `orders.gd`.

const Config := preload("../device/config.gd")
const Effects := preload("../device/effects.gd")
const Hash := preload("../keys/hash.gd")
const Identity := preload("identity.gd")
const Machine := preload("../device/machine.gd")
const Orders := preload("orders.gd")
const Socket := preload("socket.gd")
const Spool := preload("../spool/spool.gd")
const Words := preload("words.gd")

const IDENTITY_FILE := "identity.json"
const SPOOL_FOLDER := "spool"
## After a probe its reply is looked for so closely, for so long: the time to the look is part of what is measured.
const PROBE_WATCH_NS := 20 * Config.MS
const PROBE_REST_USEC := 300
## How long the thread rests while it records, while it drains or waits, and while there is nothing to do.
const RECORDING_REST_USEC := 2_000
const WORKING_REST_USEC := 5_000
const IDLE_REST_USEC := 20_000
## Longest look at what came, before what is left of it is thrown away.
const RECEIVE_USEC := 8_000
## A socket that could not be opened is tried again after this.
const REOPEN_NS := 5_000 * Config.MS
const TELL_AGAIN_MS := 10_000
## A name that cannot be found is looked for all the time.
const FAULT_AGAIN_MS := 60_000
const MAX_TOLD := 256

## Null before the first pairing.
var machine: Machine
var identity: Identity

var _options: Dictionary
var _folder := ""
var _orders: Orders
var _hash: Hash
var _run := 0
var _socket := Socket.new()
var _spool: Spool
var _reopen_ns := 0
var _is_durable := true  # the identity file holds what the next HELLO says
var _watch_until_ns := 0
var _taken := Orders.Taken.new()
var _told: Dictionary = {}  # troubles and faults that were told, and when, in milliseconds
var _recording := false
var _permitted: Dictionary = {}


func _init(options: Dictionary, folder: String, orders: Orders, hash: Hash) -> void:
	_options = options
	_folder = folder
	_orders = orders
	_hash = hash
	# A run is a random u64, new at each start of the app.
	_run = hash.random(8).decode_s64(0)


## Reads the identity file, if there is one. Host and port of the options go before those of the file.
func recall(now_ns: int) -> void:
	var path := _folder.path_join(IDENTITY_FILE)
	if not FileAccess.file_exists(path):
		return
	var members: Variant = Identity.read_object(path)
	var found: Identity = Identity.of(members) if members is Dictionary else null
	if found == null:
		trouble("%s cannot be used; pair this device again." % path)
		return
	if _options.get("host", "") is String and _options.get("host", "") != "":
		found.host = _options["host"]
		found.port = int(_options.get("port", 0))
	be(found, now_ns)


## Becomes a device: keeps the identity, reads the spool, makes the machine. One that worked before is ended. Returns
## whether the identity could be kept.
func be(new_identity: Identity, now_ns: int) -> bool:
	var config := Config.new()
	config.take(_options)
	config.device = new_identity.device
	config.key = new_identity.key
	config.home = new_identity.home
	config.hello_seq = new_identity.hello_seq
	config.run = _run
	var fault := config.fault()
	if fault:
		trouble("The options cannot be used: %s." % fault)
		return false
	fault = new_identity.write(_folder.path_join(IDENTITY_FILE))
	if fault:
		trouble(fault)
		return false
	_leave(now_ns)
	identity = new_identity
	_is_durable = true
	machine = Machine.new(config, _hash)
	_reopen_ns = now_ns
	_spool = null
	var spool_folder := _folder.path_join(SPOOL_FOLDER)
	if config.spool:
		_spool = Spool.new(spool_folder, config, _hash)
		var out: Array = []
		for link in _spool.load(now_ns):
			machine.restore(link, now_ns, out)
		_perform(out, now_ns)
	return true


## The same device with another key, or a counter that has gone further (a key file). Returns whether it was kept.
func renew(file: Identity, now_ns: int) -> bool:
	identity.hello_seq = maxi(identity.hello_seq, file.hello_seq)
	identity.home = file.home
	if file.host:
		identity.host = file.host
		identity.port = file.port
		_reopen_ns = now_ns
	machine.count_from(file.hello_seq)
	var out: Array = []
	machine.rotate(file.key, now_ns, out)
	_is_durable = false
	_perform(out, now_ns)
	step(now_ns, machine.tick)
	return _persist()


## Lets the machine do something: [param call] takes the time and an Array of effects.
func step(now_ns: int, call: Callable) -> void:
	if machine != null:
		var out: Array = []
		call.call(now_ns, out)
		_perform(out, now_ns)


## The app wants to record, or goes on after sleep: over a new socket.
func begin(now_ns: int) -> void:
	_reopen_ns = now_ns
	_ready_socket(now_ns)
	step(now_ns, machine.begin)


## The app stops for a while, or for good.
func cease(reason: String, now_ns: int) -> void:
	if machine != null:
		step(now_ns, func(at_ns: int, out: Array) -> void: machine.cease(reason, at_ns, out))


## Takes what was captured to the machine.
func take_samples(now_ns: int) -> void:
	if not _orders.take_samples(_taken):
		return
	var out: Array = []
	var keys := _taken.keys
	for i in _taken.records.size():
		var stream := keys[3 * i]
		var kind := keys[3 * i + 1]
		if machine == null:
			continue
		var fault := machine.capture(stream, kind, _taken.records[i], keys[3 * i + 2], now_ns, out)
		if fault:
			trouble(Words.of_fault(fault, stream, kind))
	for key: Vector2i in _taken.missed:
		if machine != null:
			machine.skip(key.x, key.y, _taken.missed[key], now_ns, out)
	_perform(out, now_ns)


## Takes what came from the network, and does what is due.
func turn(now_ns: int) -> void:
	if machine == null:
		return
	_ready_socket(now_ns)
	_socket.turn()
	if _socket.fault:
		trouble(_socket.fault, FAULT_AGAIN_MS)
		_socket.fault = ""
	_take_packets(now_ns)
	if now_ns >= machine.wake_ns:
		step(now_ns, machine.tick)
	# Each recording link has a dictionary of its own, so that one link straight after another is seen too.
	if machine.is_recording() != _recording or _recording and not is_same(machine.permitted(), _permitted):
		_recording = machine.is_recording()
		_permitted = machine.permitted()
		_orders.allow(_recording, _permitted)


## How long the thread may rest, in microseconds.
func rest_usec(now_ns: int) -> int:
	if machine == null:
		return IDLE_REST_USEC
	if now_ns < _watch_until_ns:
		return PROBE_REST_USEC
	var rest := IDLE_REST_USEC
	if machine.is_recording():
		rest = RECORDING_REST_USEC
	elif machine.is_wanted() or machine.links.size():
		rest = WORKING_REST_USEC
	@warning_ignore("integer_division")
	return clampi((machine.wake_ns - now_ns) / 1000 if machine.wake_ns != Config.NEVER else rest, 100, rest)


## Figures for `status` of `client.gd`.
func figures() -> Dictionary:
	var made: Dictionary = machine.status() if machine != null else {}
	made["heap_bytes"] = OS.get_static_memory_usage()
	made["host"] = identity.host if identity != null else ""
	made["port"] = identity.port if identity != null else 0
	made["unsent"] = _socket.unsent
	made["shed"] = _socket.shed
	return made


## Tells something that went wrong; the same words at most every [param again_ms].
func trouble(words: String, again_ms: int = TELL_AGAIN_MS) -> void:
	var now_ms := Time.get_ticks_msec()
	if now_ms - int(_told.get(words, -again_ms)) >= again_ms:
		if _told.size() >= MAX_TOLD:
			_told.clear()
		_told[words] = now_ms
		_orders.tell({"event": "trouble", "words": words})


## Closes socket and files.
func close() -> void:
	_socket.close()
	if _spool != null:
		_spool.close()


func _leave(now_ns: int) -> void:
	if machine == null:
		return
	var status := machine.status()
	if int(status["held_packets"]) + int(status["unsealed"]) > 0:
		trouble("Data of the former pairing may be lost: its gateway had not confirmed all of it.")
	cease("end", now_ns)
	close()


## What comes faster than it can be looked at is thrown away: a flood must cost neither capture nor memory, and what it
## drowns is sent again.
func _take_packets(now_ns: int) -> void:
	var until_usec := Time.get_ticks_usec() + RECEIVE_USEC
	var packet := _socket.receive()
	while packet.size():
		_watch_until_ns = 0
		var out: Array = []
		machine.received(packet, now_ns, out)
		_perform(out, now_ns)
		if Time.get_ticks_usec() > until_usec:
			_socket.throw_away()
			return
		packet = _socket.receive()


func _ready_socket(now_ns: int) -> void:
	if now_ns < _reopen_ns or _socket.is_open() and _reopen_ns == 0:
		return
	var fault := _socket.open(identity.host, identity.port)
	_reopen_ns = now_ns + REOPEN_NS if fault else 0
	if fault:
		trouble(fault)


func _perform(out: Array, now_ns: int) -> void:
	var at := 0
	while at < out.size():  # grows while it is worked through
		var effect: RefCounted = out[at]
		at += 1
		if effect is Effects.Send:
			_send(effect, now_ns)
		elif effect is Effects.SendKept:
			var packet := _spool.read(effect.link, effect.seq) if _spool != null else PackedByteArray()
			if packet.size():
				_socket.send(packet)
			else:
				machine.spool_lost(effect.link, effect.seq, now_ns, out)
		elif effect is Effects.Persist:
			identity.hello_seq = effect.hello_seq
			_is_durable = false
			_reopen_if_silent(now_ns)
		elif effect is Effects.PersistKey:
			identity.key = effect.key
			_is_durable = false
			_persist()
		elif effect is Effects.Commanded:
			_orders.tell({"event": "command", "verb": effect.verb, "args": effect.args})
		elif _spool != null:
			_to_spool(effect)
	if _spool != null:
		_spool.flush()
		if _spool.trouble:
			trouble(_spool.trouble)
			_spool.trouble = ""


func _to_spool(effect: RefCounted) -> void:
	if effect is Effects.Keep:
		_spool.keep(effect)
	elif effect is Effects.Settled:
		_spool.settled(effect.link, effect.first, effect.last)
	elif effect is Effects.Dropped:
		_spool.dropped(effect.link)


func _send(effect: Effects.Send, now_ns: int) -> void:
	# A counter that is sent before it is kept would be used twice after a crash.
	if effect.hello and not _persist():
		return
	if effect.probe:
		_watch_until_ns = now_ns + PROBE_WATCH_NS
	_socket.send(effect.packet)


func _persist() -> bool:
	if _is_durable:
		return true
	var fault := identity.write(_folder.path_join(IDENTITY_FILE))
	_is_durable = fault == ""
	if fault:
		trouble(fault)
	return _is_durable


## A new HELLO over a socket that has heard nothing: perhaps the network is another one now.
func _reopen_if_silent(now_ns: int) -> void:
	if _socket.is_open() and not _socket.has_heard:
		_reopen_ns = now_ns
		_ready_socket(now_ns)
	_socket.has_heard = false
