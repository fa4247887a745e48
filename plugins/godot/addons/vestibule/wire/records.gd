extends RefCounted
## Writes sample records, little-endian, from values in OpenXR axes, metres, radians and nanoseconds.
##
## Each `encode_*` writes one record at an offset of a buffer that is large enough, and allocates nothing. A NaN is
## always written as `0x7fc00000`, so that equal samples are equal bytes. Source: SPEC, "Sample records".

const Kinds := preload("kinds.gd")

const NAN_BITS := 0x7FC00000
const HAND_JOINTS := 26
const JOINTS_AT := 16
const JOINT_BYTES := 36
const EYE_BYTES := 32
const LEFT_EYE_AT := 16
const RIGHT_EYE_AT := 48


## A buffer for [param count] records of a kind of fixed size.
static func buffer(kind: int, count: int = 1) -> PackedByteArray:
	var made := PackedByteArray()
	made.resize(Kinds.BYTES[kind] * count)
	return made


## Writes one 32-bit float; NaN in its one form.
static func put_float(to: PackedByteArray, at: int, value: float) -> void:
	if is_nan(value):
		to.encode_u32(at, NAN_BITS)
	else:
		to.encode_float(at, value)


## Writes three floats.
static func put_vector(to: PackedByteArray, at: int, value: Vector3) -> void:
	if is_nan(value.x + value.y + value.z):
		put_float(to, at, value.x)
		put_float(to, at + 4, value.y)
		put_float(to, at + 8, value.z)
		return
	to.encode_float(at, value.x)
	to.encode_float(at + 4, value.y)
	to.encode_float(at + 8, value.z)


## Writes four floats, x y z w.
static func put_quaternion(to: PackedByteArray, at: int, value: Quaternion) -> void:
	if is_nan(value.x + value.y + value.z + value.w):
		put_float(to, at, value.x)
		put_float(to, at + 4, value.y)
		put_float(to, at + 8, value.z)
		put_float(to, at + 12, value.w)
		return
	to.encode_float(at, value.x)
	to.encode_float(at + 4, value.y)
	to.encode_float(at + 8, value.z)
	to.encode_float(at + 12, value.w)


## One pose. [param flags] are those of `kinds.gd`; what its bits call invalid should be NaN.
static func encode_pose(
	to: PackedByteArray,
	at: int,
	t_ns: int,
	tracker: int,
	space: int,
	flags: int,
	position: Vector3,
	orientation: Quaternion,
	linear_velocity: Vector3,
	angular_velocity: Vector3
) -> void:
	to.encode_s64(at, t_ns)
	to.encode_u8(at + 8, tracker)
	to.encode_u8(at + 9, space)
	to.encode_u16(at + 10, flags)
	put_vector(to, at + 12, position)
	put_quaternion(to, at + 24, orientation)
	put_vector(to, at + 40, linear_velocity)
	put_vector(to, at + 52, angular_velocity)


## The fields of a gaze record that belong to no single eye; see [method encode_eye].
static func encode_gaze(
	to: PackedByteArray,
	at: int,
	t_ns: int,
	device_seq: int,
	flags_left: int,
	flags_right: int,
	combined_origin: Vector3,
	combined_direction: Vector3,
	vergence_m: float,
	confidence: float
) -> void:
	to.encode_s64(at, t_ns)
	to.encode_u32(at + 8, device_seq)
	to.encode_u16(at + 12, flags_left)
	to.encode_u16(at + 14, flags_right)
	put_vector(to, at + 80, combined_origin)
	put_vector(to, at + 92, combined_direction)
	put_float(to, at + 104, vergence_m)
	put_float(to, at + 108, confidence)


## One eye of a gaze record: [param at] is that of the record plus [constant LEFT_EYE_AT] or [constant RIGHT_EYE_AT].
static func encode_eye(
	to: PackedByteArray, at: int, origin: Vector3, direction: Vector3, pupil_mm: float, openness: float
) -> void:
	put_vector(to, at, origin)
	put_vector(to, at + 12, direction)
	put_float(to, at + 24, pupil_mm)
	put_float(to, at + 28, openness)


## The head of a hand record; its 26 joints are written with [method encode_joint].
static func encode_hand(
	to: PackedByteArray, at: int, t_ns: int, hand: int, source: int, flags: int, confidence: float
) -> void:
	to.encode_s64(at, t_ns)
	to.encode_u8(at + 8, hand)
	to.encode_u8(at + 9, source)
	to.encode_u16(at + 10, flags)
	put_float(to, at + 12, confidence)


## One joint, 0..25 in OpenXR's order, of the hand record at [param at].
static func encode_joint(
	to: PackedByteArray,
	at: int,
	joint: int,
	position: Vector3,
	orientation: Quaternion,
	radius_m: float,
	flags: int
) -> void:
	var begin := at + JOINTS_AT + joint * JOINT_BYTES
	put_vector(to, begin, position)
	put_quaternion(to, begin + 12, orientation)
	put_float(to, begin + 28, radius_m)
	to.encode_u32(begin + 32, flags)


## One haptic: what was played. [param duration_ns] is -1 for the shortest that the actuator can make.
static func encode_haptic(
	to: PackedByteArray,
	at: int,
	t_ns: int,
	duration_ns: int,
	frequency_hz: float,
	amplitude: float,
	target: int,
	event: int,
	actuator: int,
	effect_id: int
) -> void:
	to.encode_s64(at, t_ns)
	to.encode_s64(at + 8, duration_ns)
	put_float(to, at + 16, frequency_hz)
	put_float(to, at + 20, amplitude)
	to.encode_u8(at + 24, target)
	to.encode_u8(at + 25, event)
	to.encode_u16(at + 26, actuator)
	to.encode_u32(at + 28, effect_id)


## One button or axis event; [param control] is tracker << 8 | control.
static func encode_button(
	to: PackedByteArray, at: int, t_ns: int, control: int, event: int, x: float, y: float
) -> void:
	to.encode_s64(at, t_ns)
	to.encode_u16(at + 8, control)
	to.encode_u8(at + 10, event)
	to.encode_u8(at + 11, 0)
	to.encode_u32(at + 12, 0)
	put_float(to, at + 16, x)
	put_float(to, at + 20, y)


## One clock measurement.
static func encode_clock(
	to: PackedByteArray,
	at: int,
	t1_ns: int,
	t2_ns: int,
	t3_ns: int,
	t4_ns: int,
	offset_ns: int,
	uncertainty_ns: int,
	source: int
) -> void:
	to.encode_s64(at, t1_ns)
	to.encode_s64(at + 8, t2_ns)
	to.encode_s64(at + 16, t3_ns)
	to.encode_s64(at + 24, t4_ns)
	to.encode_s64(at + 32, offset_ns)
	to.encode_u32(at + 40, uncertainty_ns)
	to.encode_u32(at + 44, source & 0xFF)


## A face record; its kind (`kinds.gd`, FACES) gives schema and count. Weights that are missing are NaN, those above
## the count are passed over. [param upper] and [param lower] are confidences, 0..255.
static func encode_face(
	to: PackedByteArray,
	at: int,
	t_ns: int,
	kind: int,
	flags: int,
	upper: int,
	lower: int,
	weights: PackedFloat32Array
) -> void:
	var shape: Vector2i = Kinds.FACES[kind]
	to.encode_s64(at, t_ns)
	to.encode_u16(at + 8, shape.x)
	to.encode_u16(at + 10, shape.y)
	to.encode_u16(at + 12, flags)
	to.encode_u8(at + 14, upper)
	to.encode_u8(at + 15, lower)
	var given := weights.size()
	for i in shape.y:
		put_float(to, at + 16 + 4 * i, weights[i] if i < given else NAN)


## A marker: [param text] is cut to 512 bytes of UTF-8.
static func marker(t_ns: int, code: int, text: String) -> PackedByteArray:
	var tail := cut_utf8(text, Kinds.MARKER_MAX_BYTES)
	var made := PackedByteArray()
	made.resize(12)
	made.encode_s64(0, t_ns)
	made.encode_u16(8, code)
	made.encode_u16(10, tail.size())
	made.append_array(tail)
	return made


## An info: [param json] is one JSON object. Longer than 1,024 bytes it is no info: the result is empty.
static func info(t_ns: int, json: String) -> PackedByteArray:
	var tail := json.to_utf8_buffer()
	var made := PackedByteArray()
	if tail.size() > Kinds.INFO_MAX_BYTES:
		return made
	made.resize(10)
	made.encode_s64(0, t_ns)
	made.encode_u16(8, tail.size())
	made.append_array(tail)
	return made


## Sound that is played on an actuator: at most 551 values of 16 bits, little-endian, in [param values].
static func pcm(t_ns: int, sample_rate_hz: int, target: int, values: PackedByteArray) -> PackedByteArray:
	var made := PackedByteArray()
	made.resize(16)
	made.encode_s64(0, t_ns)
	made.encode_u32(8, sample_rate_hz)
	@warning_ignore("integer_division")
	made.encode_u16(12, values.size() / 2)
	made.encode_u8(14, target)
	made.encode_u8(15, 0)
	made.append_array(values)
	return made


## At most [param most] bytes of UTF-8, cut between characters.
static func cut_utf8(text: String, most: int) -> PackedByteArray:
	var bytes := text.to_utf8_buffer()
	if bytes.size() <= most:
		return bytes
	var end := most
	while end > 0 and (bytes[end] & 0xC0) == 0x80:
		end -= 1
	return bytes.slice(0, end)
