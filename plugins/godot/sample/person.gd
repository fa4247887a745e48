extends RefCounted
## A person made of sums of slow waves: head, controllers, hands, eyes and face, as trackers of the XR server.
##
## It stands still nowhere exactly and never jumps, as people do. It is not a model of anybody.

const JOINTS := 26
const FINGERS := 5
const WEIGHTS := 143
const EYE_HEIGHT := 1.62
## How long the left hand is out of sight, of each [constant HAND_CYCLE_S].
const HIDDEN_S := 4.0
const HAND_CYCLE_S := 20.0
## Godot's humanoid joints, from OpenXR's axes: half a turn about (0, -1, 1).
const HUMANOID := Quaternion(0.0, -0.70710678, 0.70710678, 0.0)

var head := XRPositionalTracker.new()
var eyes := XRPositionalTracker.new()
var controllers: Array[XRControllerTracker] = [XRControllerTracker.new(), XRControllerTracker.new()]
var hands: Array[XRHandTracker] = [XRHandTracker.new(), XRHandTracker.new()]
var face := XRFaceTracker.new()
var _before := {}
var _weights := PackedFloat32Array()


func _init() -> void:
	_weights.resize(WEIGHTS)
	_call_it(head, &"head", XRServer.TRACKER_HEAD)
	_call_it(eyes, &"/user/eyes_ext", XRServer.TRACKER_UNKNOWN)
	for side in 2:
		_call_it(controllers[side], [&"left_hand", &"right_hand"][side], XRServer.TRACKER_CONTROLLER)
		controllers[side].hand = (side + 1) as XRPositionalTracker.TrackerHand
		_call_it(
			hands[side], [&"/user/hand_tracker/left", &"/user/hand_tracker/right"][side], XRServer.TRACKER_HAND
		)
		hands[side].hand = (side + 1) as XRPositionalTracker.TrackerHand
	face.name = &"/user/face_tracker"


## Comes in.
func enter() -> void:
	for tracker: XRTracker in _all():
		XRServer.add_tracker(tracker)


## Leaves.
func leave() -> void:
	for tracker: XRTracker in _all():
		XRServer.remove_tracker(tracker)


## Moves to where it is at [param t] seconds.
func move(t: float, delta: float) -> void:
	var skull := Transform3D(
		Basis.from_euler(Vector3(0.15 * sin(t * 0.7), 0.5 * sin(t * 0.31), 0.05 * sin(t * 0.53))),
		Vector3(0.06 * sin(t * 0.43), EYE_HEIGHT + 0.015 * sin(t * 1.9), 0.05 * sin(t * 0.37))
	)
	_put(head, &"default", skull, delta)
	# Eyes look a little ahead of the head, and jump: that is what they do.
	var glance := Vector2(0.25 * sin(t * 0.9) + 0.06 * signf(sin(t * 2.3)), 0.12 * sin(t * 1.3))
	_put(eyes, &"eye_gaze_pose", skull * Transform3D(Basis.from_euler(Vector3(glance.y, glance.x, 0.0)), Vector3.ZERO), delta)
	for side in 2:
		var palm := _palm(side, t)
		_put(controllers[side], &"grip", palm, delta)
		_put(controllers[side], &"aim", palm * Transform3D(Basis(), Vector3(0.0, 0.0, -0.05)), delta)
		_move_hand(side, palm, t)
	controllers[1].set_input(&"trigger", snappedf(maxf(0.0, sin(t * 1.1)), 0.01))
	controllers[1].set_input(&"trigger_click", sin(t * 1.1) > 0.8)
	controllers[0].set_input(&"primary", Vector2(snappedf(sin(t * 0.6), 0.01), snappedf(cos(t * 0.6), 0.01)))
	_move_face(t)


func _palm(side: int, t: float) -> Transform3D:
	var mirror := -1.0 if side == 0 else 1.0
	var reach := Vector3(
		mirror * (0.24 + 0.05 * sin(t * 0.8)),
		1.15 + 0.12 * sin(t * 0.9 + side),
		-0.35 + 0.08 * cos(t * 0.7 + side)
	)
	return Transform3D(Basis.from_euler(Vector3(0.3 * sin(t * 0.8), mirror * 0.3, mirror * 0.4)), reach)


func _move_hand(side: int, palm: Transform3D, t: float) -> void:
	var hand := hands[side]
	var hidden := side == 0 and fmod(t, HAND_CYCLE_S) > HAND_CYCLE_S - HIDDEN_S
	hand.has_tracking_data = not hidden
	hand.hand_tracking_source = XRHandTracker.HAND_TRACKING_SOURCE_UNOBSTRUCTED
	if hidden:
		return
	for joint in JOINTS:
		var place := palm * _joint_in_palm(joint, side, t)
		place.basis = Basis(place.basis.get_rotation_quaternion() * HUMANOID)
		hand.set_hand_joint_transform(joint, place)
		hand.set_hand_joint_radius(joint, 0.012 if joint < 2 else 0.008)
		hand.set_hand_joint_flags(joint, 15)


## Palm, wrist, thumb of 4, then four fingers of 5 joints each, which curl and stretch.
static func _joint_in_palm(joint: int, side: int, t: float) -> Transform3D:
	if joint == 0:
		return Transform3D(Basis(), Vector3(0.0, 0.0, 0.001))
	if joint == 1:
		return Transform3D(Basis(), Vector3(0.0, 0.0, 0.07))
	@warning_ignore("integer_division")
	var finger := 0 if joint < 6 else 1 + (joint - 6) / 5
	var along := joint - 2 if finger == 0 else (joint - 6) % 5
	var curl := (0.25 + 0.2 * sin(t * 1.2 + finger)) * along
	var spread := (finger - 2) * 0.022 * (-1.0 if side == 0 else 1.0)
	var reach := 0.03 * along
	return Transform3D(
		Basis.from_euler(Vector3(-curl, 0.0, 0.0)),
		Vector3(spread, -reach * sin(curl) * 0.6, 0.03 - reach * cos(curl))
	)


func _move_face(t: float) -> void:
	for weight in WEIGHTS:
		_weights[weight] = 0.5 + 0.5 * sin(t * 0.5 + weight * 0.7) if weight % 3 == 0 else 0.02
	# A blink every four seconds or so.
	var blink := clampf(1.0 - absf(fmod(t, 4.1) - 2.0) * 9.0, 0.0, 1.0)
	_weights[XRFaceTracker.FT_EYE_CLOSED_LEFT] = blink
	_weights[XRFaceTracker.FT_EYE_CLOSED_RIGHT] = blink
	face.blend_shapes = _weights


func _put(tracker: XRPositionalTracker, pose: StringName, place: Transform3D, delta: float) -> void:
	var key := String(tracker.name) + pose
	var linear := Vector3.ZERO
	var angular := Vector3.ZERO
	if _before.has(key) and delta > 0.0:
		var before: Transform3D = _before[key]
		linear = (place.origin - before.origin) / delta
		var turn := (place.basis * before.basis.inverse()).get_rotation_quaternion()
		if turn.get_angle() > 1e-6:
			angular = turn.get_axis() * turn.get_angle() / delta
	_before[key] = place
	tracker.set_pose(pose, place, linear, angular, XRPose.XR_TRACKING_CONFIDENCE_HIGH)


func _all() -> Array[XRTracker]:
	return [head, eyes, controllers[0], controllers[1], hands[0], hands[1], face]


static func _call_it(tracker: XRPositionalTracker, tracker_name: StringName, type: XRServer.TrackerType) -> void:
	tracker.name = tracker_name
	tracker.type = type
