extends Node
## The Godot addon under orders: one JSON object a line over TCP, from a test that listens at the port it names.
##
## Uses the addon as an app does, through the autoload. What it plays from a tape goes through the capture layer.

const Tape := preload("tape.gd")
const Load := preload("load.gd")
const CONNECT_MS := 5000
## What the system tells an app, by the words of the order `notify`, which only this rig has.
const NOTIFICATIONS := {
	"paused": NOTIFICATION_APPLICATION_PAUSED,
	"resumed": NOTIFICATION_APPLICATION_RESUMED,
	"focus_out": NOTIFICATION_APPLICATION_FOCUS_OUT,
	"focus_in": NOTIFICATION_APPLICATION_FOCUS_IN,
}

var _peer := StreamPeerTCP.new()
var _unread := PackedByteArray()
var _options: Dictionary = {}
var _tape: Tape
var _load: Load


func _ready() -> void:
	var port := 0
	for arg in OS.get_cmdline_user_args():
		port = arg.to_int()
	_peer.connect_to_host("127.0.0.1", port)
	var until := Time.get_ticks_msec() + CONNECT_MS
	while _peer.get_status() == StreamPeerTCP.STATUS_CONNECTING and Time.get_ticks_msec() < until:
		_peer.poll()
		OS.delay_msec(1)
	if _peer.get_status() != StreamPeerTCP.STATUS_CONNECTED:
		printerr("rig: nobody listens at port %d" % port)
		get_tree().quit(2)
		return
	_peer.set_no_delay(true)
	Vestibule.state_changed.connect(_on_state)
	Vestibule.paired.connect(func(device: int) -> void: _say({"event": "paired", "device": device}))
	Vestibule.text_received.connect(func(text: String) -> void: _say({"event": "text", "text": text}))
	Vestibule.trouble.connect(func(words: String) -> void: _say({"event": "trouble", "words": words}))
	Vestibule.command_received.connect(
		func(verb: String, args: Array) -> void: _say({"event": "command", "verb": verb, "args": args})
	)


func _process(delta: float) -> void:
	_peer.poll()
	if _peer.get_status() != StreamPeerTCP.STATUS_CONNECTED:
		_leave()  # whoever gave the orders is gone
		return
	var waiting := _peer.get_available_bytes()
	if waiting > 0:
		_unread.append_array(_peer.get_data(waiting)[1])
		_read()
	if _tape != null and _tape.play():
		_say({"event": "tape", "done": true, "samples": _tape.samples})
		_tape = null
	if _load != null and _load.frame(delta):
		_say(_load.answer())
		_load = null


func _read() -> void:
	var end := _unread.find(10)
	while end >= 0:
		var line := _unread.slice(0, end).get_string_from_utf8()
		_unread = _unread.slice(end + 1)
		end = _unread.find(10)
		var order: Variant = JSON.parse_string(line)
		if order is Dictionary:
			_obey(order)


func _obey(order: Dictionary) -> void:
	var answer := {"id": int(order.get("id", 0)), "ok": true}
	var error := ""
	if order["do"] not in ["make", "quit"] and not Vestibule.is_open():
		error = "make comes first"
	else:
		match order["do"]:
			"make":
				_make(order)
			"pair":
				Vestibule.pair(order["text"], order.get("name", ""))
			"start":
				Vestibule.start()
			"pause":
				Vestibule.pause(order.get("reason", "pause"))
			"resume":
				Vestibule.resume()
			"stop":
				Vestibule.stop(order.get("reason", "stop"))
			"clock":
				Tape.set_clock(order["mode"])
			"tape":
				_tape = Tape.new(order["path"], order.get("speed", 1.0), _options)
				error = _tape.error
				if not error.is_empty():
					_tape = null
			"load":
				_load = Load.new(order)
				return  # it answers when it is done
			"haptic":
				Vestibule.haptic(
					int(order["target"]), order["amplitude"], int(order["duration_ms"]), order["frequency_hz"]
				)
			"marker":
				Vestibule.marker(int(order["code"]), order.get("text", ""))
			"notify":
				# As the system does it: to every node of the tree.
				get_tree().root.propagate_notification(NOTIFICATIONS[order["what"]])
			"status":
				answer.merge(Vestibule.status())
			"quit":
				_say(answer)
				_leave()
				return
			_:
				error = "no such order: %s" % order["do"]
	if not error.is_empty():
		answer["ok"] = false
		answer["error"] = error
	_say(answer)


func _make(order: Dictionary) -> void:
	Engine.max_fps = int(order.get("fps", 90))
	_options = {"watch": order.get("watch", "")}
	if order["host"]:  # without one the addon takes what it is paired with, or the project's
		_options["host"] = order["host"]
		_options["port"] = int(order["port"])
	var given: Dictionary = order.get("options", {})
	# The tests of the addon play bodies, which a project has to ask for.
	ProjectSettings.set_setting("vestibule/capture/body", true)
	for option: String in given:
		var value: Variant = given[option]
		_options[option] = int(value) if value is float else value
		if value is Array:
			_options[option] = value.map(func(item: Variant) -> Variant: return int(item) if item is float else item)
	Vestibule.open(_options, order["dir"])
	# No runtime and no actuator here: a pulse counts as played, so that it is recorded.
	Vestibule.haptics.player = func(_target: int, _hz: float, _amplitude: float, _s: float) -> bool: return true


func _on_state(shown: Dictionary) -> void:
	var event := shown.duplicate()
	event["event"] = "state"
	_say(event)


func _say(what: Dictionary) -> void:
	_peer.put_data((JSON.stringify(what) + "\n").to_utf8_buffer())


func _leave() -> void:
	set_process(false)
	Vestibule.close(0, false)
	get_tree().quit(0)
