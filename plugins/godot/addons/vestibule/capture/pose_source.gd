extends RefCounted
## Head or controller: one pose record a frame from a tracker of the XR server.
##
## `XRPose.transform` is what the runtime measured, in metres. World scale and reference frame come in only with
## `get_adjusted_transform()`, and belong to the scene, not to the person.

const Kinds := preload("../wire/kinds.gd")
const Records := preload("../wire/records.gd")
const Outlet := preload("outlet.gd")
const Turn := preload("turn.gd")

## Flags by `XRPose.tracking_confidence`: none, low (valid, but inferred), high (valid and measured).
const FLAGS: Array[int] = [
	0,
	Kinds.POSITION_VALID | Kinds.ORIENTATION_VALID,
	Kinds.POSITION_VALID | Kinds.ORIENTATION_VALID | Kinds.POSITION_TRACKED | Kinds.ORIENTATION_TRACKED,
]

var _outlet: Outlet
var _name: StringName
var _number: int
var _stream: int
var _poses: Array[StringName]
var _about: Dictionary
var _seen := false
var _record := Records.buffer(Kinds.POSE)


## [param poses] are names of poses of the tracker, the one that is wanted first.
func _init(outlet: Outlet, tracker: StringName, number: int, stream: int, poses: Array[StringName]) -> void:
	_outlet = outlet
	_name = tracker
	_number = number
	_stream = stream
	_poses = poses
	_about = {"tracker": String(tracker)}


## Captures this frame's pose. A tracker that was there and is gone goes on as records without valid bits.
func capture(t_ns: int) -> bool:
	if not _outlet.takes(Kinds.POSE):
		return true
	var tracker := XRServer.get_tracker(_name) as XRPositionalTracker
	var pose := _pose_of(tracker) if tracker != null else null
	if pose == null and not _seen:
		return true
	_seen = true
	write(_record, 0, t_ns, _number, _outlet.space, _outlet.predicted, pose)
	_outlet.put(_stream, Kinds.POSE, _record, _about)
	return true


## Writes the record of a pose, which may be null.
static func write(
	to: PackedByteArray, at: int, t_ns: int, number: int, space: int, predicted: int, pose: XRPose
) -> void:
	var flags := 0
	var position := Outlet.NAN3
	var turn := Outlet.NAN4
	var linear := Outlet.NAN3
	var angular := Outlet.NAN3
	if pose != null and pose.has_tracking_data:
		flags = FLAGS[pose.tracking_confidence]
	if flags != 0:
		var transform: Transform3D = pose.transform
		position = transform.origin
		# Exactly zero is what runtimes leave where they have no position (three degrees of freedom).
		if position == Vector3.ZERO or not position.is_finite():
			flags &= ~(Kinds.POSITION_VALID | Kinds.POSITION_TRACKED)
			position = Outlet.NAN3
		turn = Turn.of(transform.basis)
		if not Turn.is_unit(turn):
			flags &= ~(Kinds.ORIENTATION_VALID | Kinds.ORIENTATION_TRACKED)
			turn = Outlet.NAN4
	if flags != 0:
		# Godot keeps no bit for velocities: exactly zero is what it gives where the runtime told none.
		linear = pose.linear_velocity
		if linear == Vector3.ZERO or not linear.is_finite():
			linear = Outlet.NAN3
		else:
			flags |= Kinds.LINEAR_VELOCITY_VALID
		angular = pose.angular_velocity
		if angular == Vector3.ZERO or not angular.is_finite():
			angular = Outlet.NAN3
		else:
			flags |= Kinds.ANGULAR_VELOCITY_VALID
		flags |= predicted
	Records.encode_pose(to, at, t_ns, number, space, flags, position, turn, linear, angular)


func _pose_of(tracker: XRPositionalTracker) -> XRPose:
	for wanted in _poses:
		var pose := tracker.get_pose(wanted)
		if pose != null:
			if _about.get("pose") != String(wanted):
				_about["pose"] = String(wanted)
				if _seen:
					_outlet.describe(_stream, Kinds.POSE, _about)
			return pose
	return null
