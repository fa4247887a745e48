extends RefCounted
## Reads the vectors, counts what passed, and turns their fields into the addon's values.

const Bodies := preload("res://addons/vestibule/wire/bodies.gd")
const Frame := preload("res://addons/vestibule/wire/frame.gd")
const Kinds := preload("res://addons/vestibule/wire/kinds.gd")
const Records := preload("res://addons/vestibule/wire/records.gd")

var passed := 0
var failed := 0

var _folder := ""
var _files: Dictionary = {}
var _group_passed := 0
var _group_failed := 0


func _init(folder: String) -> void:
	_folder = folder


## A vector file, parsed.
func file(name: String) -> Dictionary:
	if not _files.has(name):
		var parsed: Variant = JSON.parse_string(FileAccess.get_file_as_string(_folder.path_join(name + ".json")))
		check(parsed is Dictionary, "%s.json can be read" % name)
		_files[name] = parsed if parsed is Dictionary else {}
	return _files[name]


## Counts one check.
func check(holds: bool, what: String) -> void:
	if holds:
		passed += 1
		_group_passed += 1
	else:
		failed += 1
		_group_failed += 1
		print("FAILED ", what)


## Counts a comparison of bytes with hex.
func same(made: PackedByteArray, hex: String, what: String) -> void:
	check(made.hex_encode() == hex, "%s: made %s, not %s" % [what, made.hex_encode().left(200), hex.left(200)])


## Ends a group: prints what it came to.
func group(name: String) -> void:
	print("%s: %d passed, %d failed" % [name, _group_passed, _group_failed])
	_group_passed = 0
	_group_failed = 0


## A u64 or i64 from its decimal digits; from 2^63 on it is negative here, with the same bits.
static func number(value: Variant) -> int:
	if value is float:
		return int(value)
	var text: String = value
	if text.begins_with("-"):
		var magnitude := number(text.substr(1))
		return -magnitude
	var made := 0
	for i in text.length():
		made = made * 10 + text.unicode_at(i) - 0x30  # wraps as u64 does
	return made


static func raw(hex: String) -> PackedByteArray:
	return hex.hex_decode()


static func real(value: Variant) -> float:
	return NAN if value is String else float(value)


static func vector(values: Array) -> Vector3:
	return Vector3(real(values[0]), real(values[1]), real(values[2]))


static func quaternion(values: Array) -> Quaternion:
	return Quaternion(real(values[0]), real(values[1]), real(values[2]), real(values[3]))


## Integers of a JSON array.
static func numbers(values: Array) -> PackedInt64Array:
	var made := PackedInt64Array()
	for value: Variant in values:
		made.append(number(value))
	return made


## Totals by stream, in their order.
static func totals(rows: Array) -> Dictionary:
	var made: Dictionary = {}
	for row: Array in rows:
		made[int(row[0])] = number(row[1])
	return made


## The frame of `frames.json` by name, with the samples that its values make.
func frame_of(name: String) -> Frame:
	for entry: Dictionary in file("frames")["frames"]:
		if entry["name"] == name:
			var samples := PackedByteArray()
			for values: Dictionary in entry["samples"]:
				samples.append_array(record(int(entry["kind"]), values))
			return Frame.new(
				int(entry["stream"]), int(entry["kind"]), number(entry["first_sample"]), int(entry["count"]), samples
			)
	return null


## One record from its values.
static func record(kind: int, of: Dictionary) -> PackedByteArray:
	var t_ns := number(of["t_capture_ns"])
	if kind == Kinds.MARKER:
		return Records.marker(t_ns, int(of["code"]), raw(of["text"]).get_string_from_utf8())
	if kind == Kinds.INFO:
		return Records.info(t_ns, raw(of["json"]).get_string_from_utf8())
	if kind == Kinds.PCM:
		var values := PackedByteArray()
		values.resize(2 * (of["values"] as Array).size())
		for i in (of["values"] as Array).size():
			values.encode_s16(2 * i, int(of["values"][i]))
		return Records.pcm(t_ns, int(of["sample_rate_hz"]), int(of["target"]), values)
	var made := Records.buffer(kind)
	made.fill(0xEE)  # a byte that an encoder leaves out shows
	_fixed(made, kind, t_ns, of)
	return made


static func _fixed(to: PackedByteArray, kind: int, t_ns: int, of: Dictionary) -> void:
	match kind:
		Kinds.POSE:
			Records.encode_pose(
				to,
				0,
				t_ns,
				int(of["tracker"]),
				int(of["space"]),
				int(of["flags"]),
				vector(of["position_m"]),
				quaternion(of["orientation"]),
				vector(of["linear_velocity"]),
				vector(of["angular_velocity"])
			)
		Kinds.GAZE:
			Records.encode_gaze(
				to,
				0,
				t_ns,
				int(of["device_seq"]),
				int(of["flags_left"]),
				int(of["flags_right"]),
				vector(of["combined_origin_m"]),
				vector(of["combined_direction"]),
				real(of["vergence_m"]),
				real(of["confidence"])
			)
			_eye(to, Records.LEFT_EYE_AT, of["left"])
			_eye(to, Records.RIGHT_EYE_AT, of["right"])
		Kinds.HAND:
			Records.encode_hand(
				to, 0, t_ns, int(of["hand"]), int(of["source"]), int(of["flags"]), real(of["confidence"])
			)
			for i in Records.HAND_JOINTS:
				var joint: Dictionary = of["joints"][i]
				Records.encode_joint(
					to,
					0,
					i,
					vector(joint["position_m"]),
					quaternion(joint["orientation"]),
					real(joint["radius_m"]),
					int(joint["flags"])
				)
		Kinds.HAPTIC:
			Records.encode_haptic(
				to,
				0,
				t_ns,
				number(of["duration_ns"]),
				real(of["frequency_hz"]),
				real(of["amplitude"]),
				int(of["target"]),
				int(of["event"]),
				int(of["actuator"]),
				int(of["effect_id"])
			)
		Kinds.BUTTON:
			var value: Array = of["value"]
			Records.encode_button(
				to, 0, t_ns, int(of["control"]), int(of["event"]), real(value[0]), real(value[1])
			)
		Kinds.CLOCK:
			Records.encode_clock(
				to,
				0,
				t_ns,
				number(of["gateway_received_ns"]),
				number(of["gateway_sent_ns"]),
				number(of["t_returned_ns"]),
				number(of["offset_ns"]),
				int(of["uncertainty_ns"]),
				int(of["source"])
			)
		_:
			var weights := PackedFloat32Array()
			for weight: Variant in of["weights"]:
				weights.append(real(weight))
			Records.encode_face(
				to,
				0,
				t_ns,
				kind,
				int(of["flags"]),
				int(of["upper_confidence"]),
				int(of["lower_confidence"]),
				weights
			)


static func _eye(to: PackedByteArray, at: int, of: Dictionary) -> void:
	Records.encode_eye(
		to, at, vector(of["origin_m"]), vector(of["direction"]), real(of["pupil_mm"]), real(of["openness"])
	)
