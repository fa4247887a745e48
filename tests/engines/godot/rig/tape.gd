extends RefCounted
## Plays a tape through the capture layer: values become synthetic trackers, which the sources then read.
##
## What Godot's trackers can say: tracking confidence high, low or none for a pose, so `tracked` holds for position and
## orientation alike; a position of exactly zero, a basis of zeros and velocities of exactly zero are "not valid".
## Kinds and their lines: `pose` (tracker 0 to 2 by trackers, above by `Vestibule.prop`), `gaze`, `hand` (`hand`,
## `source`, `flags`, `joints`: 26 of `basis`, `o`, `radius`, `flags`, as Godot's humanoid joints), `face` (`weights`),
## `eyes` (`basis`, `o`, `flags`: the runtime's combined gaze), `body` (`flags`, `joints` by number: `basis`, `o`,
## `flags`), `haptic`, `marker`, `button`.

const Outlet := preload("res://addons/vestibule/capture/outlet.gd")
const NAN3 := Vector3(NAN, NAN, NAN)

## Longest that one frame may play at speed 0.
const SLICE_US := 8_000
## What has to be free in the queue before a frame of the tape is played.
const ROOM_SAMPLES := 64
const ROOM_BYTES := 65_536
const STATUS_MS := 300
const RING_BYTES := 16 * 1024 * 1024
const NAMES := {0: "head", 1: "left controller", 2: "right controller"}
const HAND_NAMES := {1: "left hand", 2: "right hand"}
## Flags of Godot's hand joints by those of a record.
const JOINT_FLAGS: Array[int] = [0, 4, 1, 5, 8, 12, 9, 13, 2, 6, 3, 7, 10, 14, 11, 15]

static var engine_clock := true
static var now_ns := 0
static var trackers: Dictionary = {}

## How many lines were played.
var samples := 0
## Why the tape cannot be played; empty if it can.
var error := ""

var _file: FileAccess
var _speed: float
var _ring_bytes: int
var _budget := 0
var _budget_at := 0
var _next: Dictionary = {}
var _begin_us := 0
var _begin_ns := 0
var _gaze := VestibuleGaze.new()


func _init(path: String, speed: float, options: Dictionary) -> void:
	_speed = speed
	_ring_bytes = options.get("ring_bytes", RING_BYTES)
	_file = FileAccess.open(path, FileAccess.READ)
	if _file == null:
		error = "cannot read %s: %s" % [path, error_string(FileAccess.get_open_error())]
		return
	Vestibule.capture_each_frame = false
	_advance()
	_begin_us = Time.get_ticks_usec()
	_begin_ns = _time()


## The clock of captured samples: `engine`, or `tape` for what the tape says.
static func set_clock(mode: String) -> void:
	engine_clock = mode == "engine"
	Vestibule.outlet.clock = Vestibule.client().now_ns if engine_clock else func() -> int: return now_ns


## Plays what is due; true at the end of the tape.
func play() -> bool:
	var begin := Time.get_ticks_usec()
	while not _next.is_empty():
		if _speed > 0.0:
			if (begin - _begin_us) * 1000.0 * _speed < _time() - _begin_ns:
				return false
		elif Time.get_ticks_usec() - begin > SLICE_US or not _has_room():
			return false
		_frame()
	Vestibule.capture_each_frame = engine_clock
	return true


## All lines of one time.
func _frame() -> void:
	var t := _time()
	now_ns = t
	while not _next.is_empty() and _time() == t:
		_line(_next)
		samples += 1
		_advance()


func _line(line: Dictionary) -> void:
	var t: int = Vestibule.outlet.now_ns()
	match line["kind"]:
		"pose":
			_pose(line, t)
		"gaze":
			_look(line)
		"hand":
			_hand(line, t)
		"face":
			var face := _tracker("/user/face_tracker", XRFaceTracker) as XRFaceTracker
			face.blend_shapes = PackedFloat32Array(line["weights"])
			Vestibule.capture.one("face", t)
		"eyes":
			var eyes := _tracker("/user/eyes_ext", XRPositionalTracker) as XRPositionalTracker
			eyes.set_pose(&"eye_gaze_pose", _place(line["basis"], line["o"]), Vector3.ZERO, Vector3.ZERO, XRPose.XR_TRACKING_CONFIDENCE_HIGH)
			if int(line["flags"]) & 3 == 0:
				eyes.invalidate_pose(&"eye_gaze_pose")
			Vestibule.capture.one("gaze", t)
		"body":
			_body(line, t)
		"haptic":
			Vestibule.haptics.played(
				int(line["target"]),
				int(line["event"]),
				str(line["duration_ns"]).to_int(),
				line["frequency_hz"],
				line["amplitude"],
				int(line["actuator"]),
				int(line["effect_id"])
			)
		"marker":
			Vestibule.marker(int(line["code"]), line["text"])
		"button":
			var control := int(line["control"])
			Vestibule.capture.buttons.give(
				control >> 8, control & 0xFF, int(line["event"]), line["x"], line["y"]
			)


func _pose(line: Dictionary, t: int) -> void:
	var tracker := int(line["tracker"])
	var flags := int(line["flags"])
	var place := _place(line["basis"], line["o"])
	Vestibule.outlet.space = int(line["space"])
	if tracker > 2:
		Vestibule.prop(int(line["stream"]), tracker, place, "prop", flags & 3 != 0)
		return
	Vestibule.outlet.predicted = flags & 64
	var positional := _tracker(["head", "left_hand", "right_hand"][tracker], XRPositionalTracker) as XRPositionalTracker
	var pose := &"default" if tracker == 0 else &"grip"
	if flags & 1 == 0:
		place.origin = Vector3.ZERO
	if flags & 2 == 0:
		place.basis = Basis(Vector3.ZERO, Vector3.ZERO, Vector3.ZERO)
	var confidence := XRPose.XR_TRACKING_CONFIDENCE_HIGH if flags & 12 else XRPose.XR_TRACKING_CONFIDENCE_LOW
	positional.set_pose(pose, place, _velocity(line["v"]), _velocity(line["w"]), confidence)
	if flags & 3 == 0:
		positional.invalidate_pose(pose)
	Vestibule.capture.one(NAMES[tracker], t)


func _look(line: Dictionary) -> void:
	_gaze.device_seq = int(line["device_seq"])
	_gaze.flags_left = int(line["flags_left"])
	_gaze.flags_right = int(line["flags_right"])
	for field: String in [
		"left_origin", "left_direction", "right_origin", "right_direction", "combined_origin", "combined_direction"
	]:
		_gaze.set(field, _vector(line[field]))
	for field: String in [
		"left_pupil_mm", "left_openness", "right_pupil_mm", "right_openness", "vergence_m", "confidence"
	]:
		_gaze.set(field, NAN if line[field] == null else line[field])
	Vestibule.gaze(_gaze)


func _hand(line: Dictionary, t: int) -> void:
	var side := int(line["hand"])
	var hand := _tracker(
		"/user/hand_tracker/left" if side == 1 else "/user/hand_tracker/right", XRHandTracker
	) as XRHandTracker
	hand.has_tracking_data = int(line["flags"]) & 1 == 1
	hand.hand_tracking_source = int(line["source"]) as XRHandTracker.HandTrackingSource
	var joints: Array = line["joints"]
	for joint in joints.size():
		var each: Dictionary = joints[joint]
		hand.set_hand_joint_transform(joint, _place(each["basis"], each["o"]))
		hand.set_hand_joint_radius(joint, 0.0 if each["radius"] == null else each["radius"])
		hand.set_hand_joint_flags(joint, JOINT_FLAGS[int(each["flags"]) & 15])
	Vestibule.capture.one(HAND_NAMES[side], t)


func _body(line: Dictionary, t: int) -> void:
	var body := _tracker("/user/body_tracker", XRBodyTracker) as XRBodyTracker
	body.has_tracking_data = int(line["flags"]) & 1 == 1
	var joints: Dictionary = line["joints"]
	for key: String in joints:
		var each: Dictionary = joints[key]
		body.set_joint_transform(key.to_int(), _place(each["basis"], each["o"]))
		body.set_joint_flags(key.to_int(), JOINT_FLAGS[int(each["flags"]) & 15])
	Vestibule.capture.one("body", t)


## A tracker of the XR server by its name, made if it is not there.
static func _tracker(name: String, type: Variant) -> XRTracker:
	if not trackers.has(name):
		var made: XRTracker = type.new()
		made.name = name
		if type == XRPositionalTracker:
			made.type = XRServer.TRACKER_HEAD if name == "head" else XRServer.TRACKER_CONTROLLER
		XRServer.add_tracker(made)
		trackers[name] = made
	return trackers[name]


static func _place(basis: Array, origin: Array) -> Transform3D:
	return Transform3D(
		Vector3(basis[0], basis[1], basis[2]),
		Vector3(basis[3], basis[4], basis[5]),
		Vector3(basis[6], basis[7], basis[8]),
		Vector3(origin[0], origin[1], origin[2])
	)


static func _velocity(value: Variant) -> Vector3:
	return Vector3.ZERO if value == null else Vector3(value[0], value[1], value[2])


static func _vector(value: Variant) -> Vector3:
	if value == null:
		return NAN3
	return Vector3(
		NAN if value[0] == null else value[0],
		NAN if value[1] == null else value[1],
		NAN if value[2] == null else value[2]
	)


func _time() -> int:
	return str(_next["t"]).to_int()


func _advance() -> void:
	_next = {}
	while not _file.eof_reached():
		var text := _file.get_line()
		if not text.is_empty():
			_next = JSON.parse_string(text)
			return


## Speed 0 must overflow neither the queue nor the ring: what is held is told four times a second, and in between at
## most a quarter of the ring goes in.
func _has_room() -> bool:
	var room: Vector2i = Vestibule.client().room()
	if room.x < ROOM_SAMPLES or room.y < ROOM_BYTES:
		return false
	var now := Time.get_ticks_msec()
	if now - _budget_at > STATUS_MS:
		_budget_at = now
		@warning_ignore("integer_division")
		_budget = (_ring_bytes / 2 - int(Vestibule.status().get("held_bytes", 0))) / 2
	# A line costs no more than this as a record with its share of a packet, save a hand.
	_budget -= 1100 if _next["kind"] == "hand" else 300
	return _budget > 0
