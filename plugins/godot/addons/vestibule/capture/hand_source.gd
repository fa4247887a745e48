extends RefCounted
## One hand of 26 joints a frame, from an `XRHandTracker`, turned back into OpenXR's axes.

const Kinds := preload("../wire/kinds.gd")
const Records := preload("../wire/records.gd")
const Outlet := preload("outlet.gd")
const Turn := preload("turn.gd")
const Lapse := preload("lapse.gd")

## Flags of a joint by Godot's (1 orientation valid, 2 orientation tracked, 4 position valid, 8 position tracked).
const JOINT_FLAGS: Array[int] = [0, 2, 8, 10, 1, 3, 9, 11, 4, 6, 12, 14, 5, 7, 13, 15]
## Those, and two for velocities, which a record does not have.
const ALL_FLAGS := 63
const POSITION := Kinds.POSITION_VALID | Kinds.POSITION_TRACKED
const ORIENTATION := Kinds.ORIENTATION_VALID | Kinds.ORIENTATION_TRACKED

var _outlet: Outlet
var _name: StringName
var _hand: int
var _stream: int
var _about := {"joints": "openxr", "confidence": "unknown"}
var _lapse := Lapse.new()
var _record := Records.buffer(Kinds.HAND)


## [param hand] is 1 for left, 2 for right.
func _init(outlet: Outlet, tracker: StringName, hand: int, stream: int) -> void:
	_outlet = outlet
	_name = tracker
	_hand = hand
	_stream = stream
	_about["tracker"] = String(tracker)


## Captures this frame's hand.
func capture(t_ns: int) -> bool:
	if not _outlet.takes(Kinds.HAND):
		return true
	var tracker := XRServer.get_tracker(_name) as XRHandTracker
	var tracked := tracker != null and tracker.has_tracking_data
	if not _lapse.wants(tracked, t_ns):
		return true
	var source := 0
	if tracked and tracker.hand_tracking_source < 3:
		source = tracker.hand_tracking_source
	Records.encode_hand(_record, 0, t_ns, _hand, source, 1 if tracked else 0, NAN)
	if tracked:
		_write_joints(tracker)
	else:
		for joint in Records.HAND_JOINTS:
			Records.encode_joint(_record, 0, joint, Outlet.NAN3, Outlet.NAN4, NAN, 0)
	_outlet.put(_stream, Kinds.HAND, _record, _about)
	return true


## A joint's flags in a record. Godot leaves those of a joint that nobody set as they lay in memory (seen in 4.6): what
## has bits that do not exist says nothing.
static func known_flags(said: int) -> int:
	return JOINT_FLAGS[said & 15] if said >= 0 and said <= ALL_FLAGS else 0


## Fifty-two joints a frame are most of what the addon does on the render thread, so this is written out: the calls that
## `records.gd` would make for each value cost more than twice as much.
func _write_joints(tracker: XRHandTracker) -> void:
	var to := _record
	var at := Records.JOINTS_AT
	for joint in Records.HAND_JOINTS:
		var flags := known_flags(tracker.get_hand_joint_flags(joint))
		var transform := tracker.get_hand_joint_transform(joint)
		var position := transform.origin
		if flags & Kinds.POSITION_VALID and position.is_finite() and position != Vector3.ZERO:
			to.encode_float(at, position.x)
			to.encode_float(at + 4, position.y)
			to.encode_float(at + 8, position.z)
		else:
			flags &= ~POSITION
			Records.put_vector(to, at, Outlet.NAN3)
		var basis := transform.basis
		# Godot's joints have Y along the bone and Z out of the palm; OpenXR's -Z along the bone, Y out of the back:
		# OpenXR's columns are (-x, -z, -y) of these.
		var a := basis.x
		var b := basis.z
		var c := basis.y
		var t := -a.x - b.y - c.z
		var turn: Quaternion
		if t > 0.0:  # the first case of `turn.gd`
			var s := sqrt(t + 1.0)
			var h := 0.5 / s
			turn = Quaternion((c.y - b.z) * h, (a.z - c.x) * h, (b.x - a.y) * h, 0.5 * s)
		else:
			turn = Turn.of_columns(-a, -b, -c)
		if flags & Kinds.ORIENTATION_VALID and absf(turn.length_squared() - 1.0) < Turn.UNIT_WITHIN:
			to.encode_float(at + 12, turn.x)
			to.encode_float(at + 16, turn.y)
			to.encode_float(at + 20, turn.z)
			to.encode_float(at + 24, turn.w)
		else:
			flags &= ~ORIENTATION
			Records.put_quaternion(to, at + 12, Outlet.NAN4)
		var radius := tracker.get_hand_joint_radius(joint)
		if radius > 0.0:
			to.encode_float(at + 28, radius)
		else:
			to.encode_u32(at + 28, Records.NAN_BITS)
		to.encode_u32(at + 32, flags)
		at += Records.JOINT_BYTES
