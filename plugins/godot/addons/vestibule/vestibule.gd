extends Node
## The autoload `Vestibule`: records what the person in the headset does, and gives it to a Vestibule gateway.
##
## With the project settings under `vestibule/` it works by itself. Everything can be called at any time, from the main
## thread; while nothing is recorded, calls that capture do nothing. See `README.md` beside this file.

const Client := preload("client/client.gd")
const Kinds := preload("wire/kinds.gd")
const Records := preload("wire/records.gd")
const Settings := preload("settings.gd")
const Life := preload("life.gd")
const Outlet := preload("capture/outlet.gd")
const Capture := preload("capture/capture.gd")
## `VestibuleGaze`. Names of classes stand in a cache that a fresh checkout does not have, so the addon preloads.
const GazeSample := preload("capture/gaze_sample.gd")
const Surroundings := preload("capture/surroundings.gd")
const Turn := preload("capture/turn.gd")
const Haptics := preload("haptics/haptics.gd")
const SignKeeper := preload("ui/sign_keeper.gd")

const VERSION := "0.1.0"
## After every other node: what they move in this frame (props, markers, input) is of the same frame then, and all
## sources share one time. Poses are not older for it, since the XR server reads them before any node runs.
const LATE := 1_000_000
## How long the app may take to say goodbye when it quits.
const GOODBYE_MS := 500
const IDENTITY := "identity.json"
## Codes from 65,000 up are markers of the addon itself.
const MARKER_FRAME_CHANGED := 65_000
const MARKER_RECENTERED := 65_001

## What the person should see has changed: `state`, `reason`, `behind_s`, `words`.
signal state_changed(shown: Dictionary)
## The pairing succeeded.
signal paired(device: int)
## A command of the gateway, within its limits. Haptics are played and markers recorded already.
signal command_received(verb: String, args: Array)
## Text of the gateway for the person. Signs show it; an app without one has to.
signal text_received(text: String)
## Something went wrong that staff should read: a file, a source that failed.
signal trouble(words: String)

## Where records leave the app; for sources of the app's own.
var outlet: Outlet
## The sources.
var capture: Capture
## Plays and records haptics.
var haptics: Haptics
## Whether the app is away.
var life := Life.new()
## False captures only when the app calls [method capture_now].
var capture_each_frame := true
## Microseconds that the addon took of the last frame.
var frame_us := 0

var _client: Client
var _recordings := 0


func _ready() -> void:
	process_mode = Node.PROCESS_MODE_ALWAYS  # a paused scene tree is a menu; the person still moves
	process_priority = LATE
	life.left.connect(pause)
	life.came_back.connect(resume)
	XRServer.reference_frame_changed.connect(_on_frame_changed)
	if Settings.value("device/start_with_app"):
		open()
		start()
	if Settings.value("sign/show"):
		add_child(SignKeeper.new())


## Makes the recorder from the project settings. [param options] go over them (see `client/client.gd`);
## [param private_dir] is where identity and spool stand. A recorder that is open is closed first.
func open(options: Dictionary = {}, private_dir: String = Settings.PRIVATE_DIR) -> void:
	close()
	var all := Settings.options()
	if FileAccess.file_exists(private_dir.path_join(IDENTITY)):
		# The gateway that it is paired with is the one that counts; the project's address is for the first pairing.
		all.erase("host")
		all.erase("port")
	all.merge(options, true)
	_client = Client.new(all, private_dir)
	outlet = Outlet.new(_client)
	capture = Capture.new(outlet, Settings.sources(), str(Settings.value("capture/controller_pose")))
	capture.source_failed.connect(
		func(source: String) -> void:
			_tell("The source `%s` failed and is left out until the app starts again; the log tells where." % source)
	)
	haptics = Haptics.new(outlet)
	_recordings = 0
	_look()


## Ends the recorder; see `Client.close`. Happens by itself when the app quits.
func close(wait_ms: int = GOODBYE_MS, say_bye: bool = true) -> void:
	if _client == null:
		return
	capture.close()
	_client.close(wait_ms, say_bye)
	_client = null


## Whether there is a recorder.
func is_open() -> bool:
	return _client != null


## The recorder's own object: queues, pairing, counters.
func client() -> Client:
	return _client


## Pairs with a gateway. [param text] is what staff read out: a code, or `vestibule://HOST:PORT/CODE`.
## [param device_name] is for staff; it must not name a person.
func pair(text: String, device_name: String = "") -> void:
	_client.pair(text, device_name if not device_name.is_empty() else str(Settings.value("device/name")))


## Wants to record: from now on the gateway decides when.
func start() -> void:
	_client.start()


## Stops; `end`, `stop` or `error`. What was captured is still delivered.
func stop(reason: String = "stop") -> void:
	_client.stop(reason)


## Goes to rest as the app does when the headset sleeps; `pause` or `sleep`.
func pause(reason: String = "pause") -> void:
	if _client != null:
		_client.pause(reason)


## Comes back after [method pause].
func resume() -> void:
	if _client != null:
		_client.resume()


## What the person should see: `state`, `reason`, `behind_s`, `words`.
func state() -> Dictionary:
	if _client != null:
		return _client.state()
	return {"state": "not_recording", "reason": "not_started", "behind_s": 0, "words": "Not recording: not started."}


## Counters and sizes; see `Client.status`.
func status() -> Dictionary:
	return _client.status() if _client != null else {}


## Whether samples are taken now.
func is_recording() -> bool:
	return _client != null and _client.is_recording()


## Records a marker: something that happened in the app. No names of persons. [param code] 0..64,999.
func marker(code: int, text: String = "") -> void:
	if _client != null and outlet.takes(Kinds.MARKER):
		outlet.put(Outlet.MARKERS, Kinds.MARKER, Records.marker(outlet.now_ns(), code, text), {})


## Plays a vibration and records it; see `Haptics.pulse`. True if it was played: false, and no record, where there is no
## runtime to play it and no [member Haptics.player].
func haptic(
	target: int, amplitude: float, duration_ms: int, frequency_hz: float = 0.0, effect_id: int = 0
) -> bool:
	return _client != null and haptics.pulse(target, amplitude, duration_ms, frequency_hz, effect_id)


## Records a sample of an eye tracker that Godot has no tracker for. [param about] is for the description of the
## stream: `vendor`, `filter`, `calibration`, `error_deg`. From the first call on the runtime's combined gaze is left out.
func gaze(sample: GazeSample, about: Dictionary = {}) -> void:
	if _client != null:
		capture.gaze.give(sample, about)


## Records where a thing is: [param tracker] 3..15, [param stream] 12..63, [param place] relative to the XROrigin3D.
## [param what] names the thing in the stream's description.
func prop(stream: int, tracker: int, place: Transform3D, what: String = "", tracked: bool = true) -> void:
	if _client == null or not outlet.takes(Kinds.POSE) or not _is_own(stream):
		return
	# A node's place is in units of the scene; a record is in metres.
	var position := place.origin / XRServer.world_scale if tracked else Outlet.NAN3
	var turn := Turn.of(place.basis) if tracked else Outlet.NAN4
	if tracked and not Turn.is_unit(turn):
		turn = Turn.of(place.basis.orthonormalized())  # a scaled node
	var flags := 15 if tracked and position.is_finite() and Turn.is_unit(turn) else 0
	var record := Records.buffer(Kinds.POSE)
	Records.encode_pose(
		record,
		0,
		outlet.now_ns(),
		tracker,
		outlet.space,
		flags,
		position if flags else Outlet.NAN3,
		turn if flags else Outlet.NAN4,
		Outlet.NAN3,
		Outlet.NAN3
	)
	outlet.put(stream, Kinds.POSE, record, {"tracker": what, "number": tracker})


## Records sound that is played on an actuator: 16-bit values, little-endian. Long pieces become several samples.
func pcm(stream: int, target: int, rate_hz: int, values: PackedByteArray) -> void:
	if _client == null or not outlet.takes(Kinds.PCM) or not _is_own(stream) or rate_hz <= 0:
		return
	var t_ns := outlet.now_ns()
	var most := Kinds.PCM_MAX_VALUES * 2
	for begin in range(0, values.size(), most):
		@warning_ignore("integer_division")
		var at_ns := t_ns + begin / 2 * 1_000_000_000 / rate_hz
		var piece := Records.pcm(at_ns, rate_hz, target, values.slice(begin, begin + most))
		outlet.put(stream, Kinds.PCM, piece, {"target": target})


## Captures all sources now, for an app that has turned [member capture_each_frame] off.
func capture_now() -> void:
	if is_recording():
		capture.frame(outlet.now_ns())


func _process(_delta: float) -> void:
	if _client == null:
		return
	var begin := Time.get_ticks_usec()
	for event: Dictionary in _client.poll():
		_hear(event)
	if _client == null:
		return  # whoever heard an event closed the recorder
	if _client.recordings() != _recordings:
		_recordings = _client.recordings()
		outlet.forget()
		_look()
	if capture_each_frame:
		capture_now()
	frame_us = Time.get_ticks_usec() - begin


func _notification(what: int) -> void:
	match what:
		NOTIFICATION_APPLICATION_PAUSED:
			life.away(Life.PAUSED)
		NOTIFICATION_APPLICATION_RESUMED:
			life.back(Life.PAUSED)
		NOTIFICATION_APPLICATION_FOCUS_OUT:
			if Settings.value("device/pause_when_unfocused"):
				life.away(Life.UNFOCUSED)
		NOTIFICATION_APPLICATION_FOCUS_IN:
			life.back(Life.UNFOCUSED)


func _exit_tree() -> void:
	close()


func _hear(event: Dictionary) -> void:
	match event.get("event"):
		"state":
			state_changed.emit(event)
		"paired":
			paired.emit(event["device"])
		"command":
			_obey(event["verb"], event["args"])
		"trouble":
			_tell(event["words"])


## Does what the gateway asks; the client has checked it against the limits of SPEC, "Commands".
func _obey(verb: String, args: Array) -> void:
	match verb:
		"haptic":
			haptics.pulse(args[0], args[1], args[2], args[3], 0)
		"marker":
			marker(args[0], args[1])
		"text":
			text_received.emit(args[0])
	command_received.emit(verb, args)


func _tell(words: String) -> void:
	push_warning("Vestibule: " + words)
	trouble.emit(words)


## The interface may be made after this node was, so it is looked at whenever recording begins.
func _look() -> void:
	var xr := XRServer.primary_interface
	life.follow(xr)
	if xr != null and xr.has_signal("pose_recentered") and not xr.is_connected("pose_recentered", _on_recentered):
		xr.connect("pose_recentered", _on_recentered)
	Surroundings.look(outlet, VERSION)


func _on_frame_changed() -> void:
	marker(MARKER_FRAME_CHANGED, "reference frame changed")


func _on_recentered() -> void:
	marker(MARKER_RECENTERED, "recentered")


static func _is_own(stream: int) -> bool:
	if stream >= Outlet.FIRST_OWN and stream <= Outlet.LAST_OWN:
		return true
	push_warning("Vestibule: stream %d is the addon's; an app's own are 12 to 63." % stream)
	return false
