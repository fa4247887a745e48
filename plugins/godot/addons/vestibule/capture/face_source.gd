extends RefCounted
## The face, as the 143 weights of an `XRFaceTracker`.
##
## The XR server never lists this tracker, so it is asked for by its name. It has no bit for "not tracked": weights are
## called valid if there are 143, all finite and not all zero, which is what a tracker has before it has seen a face.

const Kinds := preload("../wire/kinds.gd")
const Records := preload("../wire/records.gd")
const Outlet := preload("outlet.gd")
const Lapse := preload("lapse.gd")

const TRACKER := &"/user/face_tracker"
const WEIGHTS := 143
const HEADER_BYTES := 16

var _outlet: Outlet
var _about := {"tracker": String(TRACKER), "confidence": "unknown"}
var _lapse := Lapse.new()
var _record := Records.buffer(Kinds.FACE_UNIFIED)
var _none := PackedFloat32Array()


func _init(outlet: Outlet) -> void:
	_outlet = outlet
	# The header's fixed part.
	Records.encode_face(_record, 0, 0, Kinds.FACE_UNIFIED, 0, 0, 0, _none)


## Captures this frame's face.
func capture(t_ns: int) -> bool:
	if not _outlet.takes(Kinds.FACE_UNIFIED):
		return true
	var tracker := XRServer.get_tracker(TRACKER) as XRFaceTracker
	var weights := _none
	if tracker != null:
		weights = tracker.blend_shapes
	var tracked := _are_valid(weights)
	if not _lapse.wants(tracked, t_ns):
		return true
	if tracked:
		_record.encode_s64(0, t_ns)
		_record.encode_u16(12, 1)
		# All finite, so written without `records.gd`'s look at each, which costs twice as much.
		var at := HEADER_BYTES
		for weight in weights:
			_record.encode_float(at, weight)
			at += 4
	else:
		Records.encode_face(_record, 0, t_ns, Kinds.FACE_UNIFIED, 0, 0, 0, _none)
	_outlet.put(Outlet.FACE, Kinds.FACE_UNIFIED, _record, _about)
	return true


static func _are_valid(weights: PackedFloat32Array) -> bool:
	if weights.size() != WEIGHTS or weights.count(0.0) == WEIGHTS:
		return false
	var sum := 0.0
	for weight in weights:
		sum += weight
	return is_finite(sum)
