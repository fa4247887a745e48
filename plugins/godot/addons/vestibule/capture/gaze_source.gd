extends RefCounted
## Gaze: what a vendor's plugin hands over, or else what both eyes see, from the runtime's `/user/eyes_ext`.
##
## The runtime tells that pose in the room; a record is in head space, so it is turned back by the head of this frame.

const Kinds := preload("../wire/kinds.gd")
const Records := preload("../wire/records.gd")
const Outlet := preload("outlet.gd")
const PoseSource := preload("pose_source.gd")
const Sample := preload("gaze_sample.gd")

const TRACKER := &"/user/eyes_ext"
## `eye_gaze_pose` is the action that Godot itself looks for; `default` what a synthetic tracker may have.
const POSES: Array[StringName] = [&"eye_gaze_pose", &"default"]

var _outlet: Outlet
var _about := {"tracker": String(TRACKER), "fields": "combined only", "filter": "unknown"}
var _own_about := {"tracker": "the app", "filter": "unknown"}
var _seen := false
var _from_app := false
var _record := Records.buffer(Kinds.GAZE)
var _own_record := Records.buffer(Kinds.GAZE)


func _init(outlet: Outlet) -> void:
	_outlet = outlet
	# The runtime tells nothing of the single eyes, ever.
	Records.encode_eye(_record, Records.LEFT_EYE_AT, Outlet.NAN3, Outlet.NAN3, NAN, NAN)
	Records.encode_eye(_record, Records.RIGHT_EYE_AT, Outlet.NAN3, Outlet.NAN3, NAN, NAN)


## Captures this frame's combined gaze; nothing once the app has handed over samples of its own.
func capture(t_ns: int) -> bool:
	if _from_app or not _outlet.takes(Kinds.GAZE):
		return true
	var eyes := _pose(TRACKER, POSES)
	if eyes == null and not _seen:
		return true
	_seen = true
	var head := _pose(&"head", [&"default"])
	var flags := 0
	var origin := Outlet.NAN3
	var direction := Outlet.NAN3
	if _is_tracked(eyes) and _is_tracked(head):
		var eye: Transform3D = eyes.transform
		var skull: Transform3D = head.transform
		if eye.is_finite() and skull.is_finite():
			origin = _in_head(skull.basis, eye.origin - skull.origin)
			direction = _in_head(skull.basis, -eye.basis.z)
			flags = Sample.COMBINED_DIRECTION
			if eye.origin != Vector3.ZERO:
				flags |= Sample.COMBINED_ORIGIN
			else:
				origin = Outlet.NAN3
	Records.encode_gaze(_record, 0, t_ns, 0, flags, 0, origin, direction, NAN, NAN)
	_outlet.put(Outlet.GAZE, Kinds.GAZE, _record, _about)
	return true


## Takes a sample of the app. [param about] is for the stream's description (vendor, filter, calibration, error_deg).
func give(sample: Sample, about: Dictionary) -> void:
	if not _from_app:
		_from_app = true
		_outlet.forget_one(Outlet.GAZE)
	if not about.is_empty():
		_own_about.merge(about, true)
	if not _outlet.takes(Kinds.GAZE):
		return
	var t_ns := sample.t_ns if sample.t_ns >= 0 else _outlet.now_ns()
	Records.encode_gaze(
		_own_record,
		0,
		t_ns,
		sample.device_seq,
		sample.flags_of_left(),
		sample.flags_of_right(),
		sample.combined_origin,
		sample.combined_direction,
		sample.vergence_m,
		sample.confidence
	)
	Records.encode_eye(
		_own_record,
		Records.LEFT_EYE_AT,
		sample.left_origin,
		sample.left_direction,
		sample.left_pupil_mm,
		sample.left_openness
	)
	Records.encode_eye(
		_own_record,
		Records.RIGHT_EYE_AT,
		sample.right_origin,
		sample.right_direction,
		sample.right_pupil_mm,
		sample.right_openness
	)
	_outlet.put(Outlet.GAZE, Kinds.GAZE, _own_record, _own_about)


static func _pose(name: StringName, poses: Array[StringName]) -> XRPose:
	var tracker := XRServer.get_tracker(name) as XRPositionalTracker
	if tracker == null:
		return null
	for wanted in poses:
		var pose := tracker.get_pose(wanted)
		if pose != null:
			return pose
	return null


static func _is_tracked(pose: XRPose) -> bool:
	return pose != null and pose.has_tracking_data and pose.tracking_confidence != XRPose.XR_TRACKING_CONFIDENCE_NONE


## A vector of the room in the axes of the head; in double, rounded once.
static func _in_head(head: Basis, v: Vector3) -> Vector3:
	var a := head.x
	var b := head.y
	var c := head.z
	return Vector3(
		a.x * v.x + a.y * v.y + a.z * v.z, b.x * v.x + b.y * v.y + b.z * v.z, c.x * v.x + c.y * v.y + c.z * v.z
	)
