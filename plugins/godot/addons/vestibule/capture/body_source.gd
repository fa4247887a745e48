extends RefCounted
## The joints of an `XRBodyTracker` as poses, tracker = 16 + joint; only joints that the tracker says something about.
##
## Their axes are those of Godot's humanoid skeleton, which each vendor's plugin converts to: info says so.

const Kinds := preload("../wire/kinds.gd")
const Records := preload("../wire/records.gd")
const Outlet := preload("outlet.gd")
const Turn := preload("turn.gd")
const Lapse := preload("lapse.gd")
const HandSource := preload("hand_source.gd")

const TRACKER := &"/user/body_tracker"
const FIRST := 16

var _outlet: Outlet
var _about := {"tracker": String(TRACKER), "trackers": "16 + XRBodyTracker joint", "joint_axes": "godot humanoid"}
var _lapse := Lapse.new()
var _records := Records.buffer(Kinds.POSE, XRBodyTracker.JOINT_MAX)
var _said: Dictionary = {}  # joint -> true: it had a flag once, so that its loss is told


func _init(outlet: Outlet) -> void:
	_outlet = outlet


## Captures this frame's body.
func capture(t_ns: int) -> bool:
	if not _outlet.takes(Kinds.POSE):
		return true
	var tracker := XRServer.get_tracker(TRACKER) as XRBodyTracker
	var tracked := tracker != null and tracker.has_tracking_data
	if not _lapse.wants(tracked, t_ns):
		return true
	var count := 0
	for joint in XRBodyTracker.JOINT_MAX:
		var flags := 0
		# A joint that was never placed has flags that were never set (see `known_flags`).
		if tracked and tracker.get_joint_transform(joint) != Transform3D.IDENTITY:
			flags = HandSource.known_flags(tracker.get_joint_flags(joint))
		if flags != 0:
			_said[joint] = true
		elif not _said.has(joint):
			continue
		_write(count * Kinds.BYTES[Kinds.POSE], t_ns, joint, flags, tracker)
		count += 1
	if count > 0:
		_outlet.put(Outlet.BODY, Kinds.POSE, _records.slice(0, count * Kinds.BYTES[Kinds.POSE]), _about, count)
	return true


func _write(at: int, t_ns: int, joint: int, said: int, tracker: XRBodyTracker) -> void:
	var flags := said
	var position := Outlet.NAN3
	var turn := Outlet.NAN4
	if flags != 0:
		var transform := tracker.get_joint_transform(joint)
		if flags & Kinds.POSITION_VALID and transform.origin.is_finite():
			position = transform.origin
		else:
			flags &= ~HandSource.POSITION
		turn = Turn.of(transform.basis)
		if not flags & Kinds.ORIENTATION_VALID or not Turn.is_unit(turn):
			flags &= ~HandSource.ORIENTATION
			turn = Outlet.NAN4
	if flags != 0:
		flags |= _outlet.predicted
	Records.encode_pose(
		_records, at, t_ns, FIRST + joint, _outlet.space, flags, position, turn, Outlet.NAN3, Outlet.NAN3
	)
