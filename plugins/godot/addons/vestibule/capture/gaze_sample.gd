class_name VestibuleGaze
extends RefCounted
## One sample of an eye tracker, for `Vestibule.gaze()`. Keep one and fill it again for each sample.
##
## Everything is in head space: metres, unit vectors, pupils in millimetres, openness 0 closed to 1 open. What is not
## known stays NaN.

## Bits of [member flags_left] and [member flags_right].
const ORIGIN := 1
const DIRECTION := 2
const PUPIL := 4
const OPENNESS := 8
const SENSOR_POSITION := 16
const BLINK := 32
const COMBINED_ORIGIN := 256
const COMBINED_DIRECTION := 512
## Flags that are to be found out from the values: what is finite is valid, but neither a direction or origin of zero
## nor a pupil of 0 or less, which is what eye trackers give while they see no eye.
const FROM_VALUES := -1

const _NAN3 := Vector3(NAN, NAN, NAN)

## The tracker's own frame number; 0 if it has none.
var device_seq := 0
var flags_left := FROM_VALUES
var flags_right := FROM_VALUES
var left_origin := _NAN3
var left_direction := _NAN3
var left_pupil_mm := NAN
var left_openness := NAN
var right_origin := _NAN3
var right_direction := _NAN3
var right_pupil_mm := NAN
var right_openness := NAN
var combined_origin := _NAN3
var combined_direction := _NAN3
var vergence_m := NAN
var confidence := NAN
## When it was measured, nanoseconds of the device's clock; -1 for now.
var t_ns := -1


## The flags of the left eye and of what both see.
func flags_of_left() -> int:
	if flags_left != FROM_VALUES:
		return flags_left
	var flags := _flags_of(left_origin, left_direction, left_pupil_mm, left_openness)
	if _is_given(combined_origin):
		flags |= COMBINED_ORIGIN
	if _is_given(combined_direction):
		flags |= COMBINED_DIRECTION
	return flags


## The flags of the right eye.
func flags_of_right() -> int:
	if flags_right != FROM_VALUES:
		return flags_right
	return _flags_of(right_origin, right_direction, right_pupil_mm, right_openness)


static func _flags_of(origin: Vector3, direction: Vector3, pupil_mm: float, openness: float) -> int:
	var flags := 0
	if _is_given(origin):
		flags |= ORIGIN
	if _is_given(direction):
		flags |= DIRECTION
	if is_finite(pupil_mm) and pupil_mm > 0.0:
		flags |= PUPIL
	if is_finite(openness) and openness >= 0.0:
		flags |= OPENNESS
	return flags


static func _is_given(value: Vector3) -> bool:
	return value.is_finite() and value != Vector3.ZERO
