extends RefCounted
## What a COMMAND may ask of the app: the limits that a device enforces, whoever sent it. Source: SPEC, "Commands".
##
## A gateway that was taken over must not be able to do more to a person than this table allows.

const Config := preload("config.gd")
const Bodies := preload("../wire/bodies.gd")

const DONE := "done"
const REFUSED := "refused"
const UNSUPPORTED := "unsupported"

const MAX_DURATION_MS := 10_000
const MIN_FREQUENCY_HZ := 1.0
const MAX_FREQUENCY_HZ := 1_000.0
const MAX_TEXT_BYTES := 512
const MAX_CODE := 0xFFFF
## Also how many may come at once.
const COMMANDS_S := 20
const SECOND := 1_000_000_000
## Why a gateway may ask a device to hold.
const HOLD_REASONS: Array[String] = ["disk_full"]

var _config: Config
var _tokens := float(COMMANDS_S)
var _filled_ns := 0
var _was_filled := false


func _init(config: Config) -> void:
	_config = config


## What to answer to `haptic`, `text` or `marker`; only what is `done` is told to the app.
func judge(command: Bodies.Command, now_ns: int) -> String:
	if command.verb not in _config.commands:
		return UNSUPPORTED
	if not _within_limits(command.verb, command.args) or not _take(now_ns):
		return REFUSED
	return DONE


## The new key of a `rotate`, 32 bytes; empty when it is malformed.
static func new_key(args: Array) -> PackedByteArray:
	var text: String = args[0] if args.size() == 1 and args[0] is String else ""
	if text.length() != 2 * Config.KEY_BYTES:
		return PackedByteArray()
	for i in text.length():
		if not "0123456789abcdef".contains(text[i]):
			return PackedByteArray()
	return text.hex_decode()


func _within_limits(verb: String, args: Array) -> bool:
	match verb:
		"haptic":
			if not (args.size() == 4 and args[0] is int and args[1] is float and args[2] is int and args[3] is float):
				return false
			var frequency_hz: float = args[3]
			# A NaN is within none of these.
			return (
				args[0] in _config.targets
				and args[1] >= 0.0
				and args[1] <= 1.0
				and args[2] >= 0
				and args[2] <= MAX_DURATION_MS
				and (frequency_hz == 0.0 or frequency_hz >= MIN_FREQUENCY_HZ and frequency_hz <= MAX_FREQUENCY_HZ)
			)
		"text":
			return args.size() == 1 and args[0] is String and _bytes(args[0]) in range(1, MAX_TEXT_BYTES + 1)
		"marker":
			if not (args.size() == 2 and args[0] is int and args[1] is String):
				return false
			return args[0] >= 0 and args[0] <= MAX_CODE and _bytes(args[1]) <= MAX_TEXT_BYTES
	return false


func _take(now_ns: int) -> bool:
	var passed_ns := now_ns - _filled_ns if _was_filled else 0
	_tokens = minf(COMMANDS_S, _tokens + float(passed_ns) * COMMANDS_S / SECOND)
	_filled_ns = now_ns
	_was_filled = true
	if _tokens < 1.0:
		return false
	_tokens -= 1.0
	return true


static func _bytes(text: String) -> int:
	return text.to_utf8_buffer().size()
