extends RefCounted
## Who the device is, and the sizes and times it works with; the defaults are those of SPEC, "Limits".

const MS := 1_000_000
## No time: later than every time.
const NEVER := 0x7FFFFFFFFFFFFFFF
const MIN_PACKET_BYTES := 1120
const U16_MAX := 0xFFFF
const U32_MAX := 0xFFFFFFFF
const KEY_BYTES := 32
## Most packets that a spool keeps: what 256 MiB hold at about 1 KiB each. Each costs memory for its number and times.
const SPOOL_PACKETS := 262_144

## Number from the pairing.
var device := 0
## K_dev, 32 bytes.
var key: PackedByteArray
## The name its HELLO goes to.
var home := ""
## The HELLO counter that was last persisted; -1 for a new device.
var hello_seq := -1
## u64, random, chosen at this start of the app; may be negative here.
var run := 0
## Most bytes, and most packets, that wait in memory for their receipts.
var ring_bytes := 16 * 1024 * 1024
var ring_packets := 32_768
## Largest packet in bytes.
var max_packet := 1200
## How long a sample may wait for others to share its packet; 0 sends each call's samples at once.
var linger_ms := 200
## The first resend; the wait doubles with each up to `resend_most_ms`.
var resend_first_ms := 2_500
var resend_most_ms := 10_000
## A packet without a receipt is sent again at once when one this much younger has its receipt.
var hurry_after := 64
## Nothing heard for this long: the gateway, or the way to it, is gone.
var silence_ms := 10_000
## How long a device that waits or is refused lets pass before its next HELLO.
var wait_retry_ms := 5_000
## Stream of the clock samples.
var clock_stream := U16_MAX
## False sends no clock bursts.
var probes := true
## Protocol versions offered, ascending.
var versions := PackedInt64Array([1])
## Verbs that the app carries out.
var commands: Array = ["haptic", "text", "marker"]
## Haptic targets that the device has.
var targets: Array = [1, 2]
## Whether packets may be kept in the spool, and most bytes there.
var spool := false
var spool_bytes := 256 * 1024 * 1024


## Takes the options of an app (`client.gd`) that are named like fields here; others are passed over, and so are values
## of another type, which [method fault] could not name.
func take(options: Dictionary) -> void:
	for name: String in [
		"ring_bytes",
		"ring_packets",
		"max_packet",
		"linger_ms",
		"resend_first_ms",
		"resend_most_ms",
		"silence_ms",
		"wait_retry_ms",
		"spool_bytes"
	]:
		if options.get(name) is int or options.get(name) is float:
			set(name, int(options[name]))
	for name: String in ["spool", "probes"]:
		if options.get(name) is bool:
			set(name, options[name])
	for name: String in ["commands", "targets"]:
		if options.get(name) is Array:
			set(name, (options[name] as Array).map(func(item: Variant) -> Variant: return int(item) if item is float else item))
	if options.get("versions") is Array:
		versions = PackedInt64Array(options["versions"])
	resend_most_ms = maxi(resend_most_ms, resend_first_ms)


## The rule that does not hold, in words; "" when all do.
func fault() -> String:
	var home_bytes := home.to_utf8_buffer().size()
	var rules: Array[Array] = [
		["device is a number from 1 to 2^32-1", device > 0 and device <= U32_MAX],
		["key has 32 bytes", key.size() == KEY_BYTES],
		["home has 1 to 32 bytes", home_bytes > 0 and home_bytes <= 32],
		["hello_seq is -1 or the last counter used", hello_seq >= -1],
		["max_packet is 1120 to 1200 bytes", max_packet >= MIN_PACKET_BYTES and max_packet <= 1200],
		[
			"times and sizes are above 0",
			mini(mini(linger_ms + 1, resend_first_ms), mini(silence_ms, wait_retry_ms)) > 0 and ring_packets > 0
		],
		["ring_bytes holds two packets", ring_bytes >= 2 * max_packet],
		["spool_bytes holds two packets", spool_bytes >= 2 * max_packet],
		["versions are 1 to 255, ascending", _ascending()],
		[
			"commands are haptic, text, marker",
			commands.all(func(verb: Variant) -> bool: return verb in ["haptic", "text", "marker"])
		],
		[
			"targets are 0 to 255",
			targets.all(func(number: Variant) -> bool: return number is int and number >= 0 and number <= 0xFF)
		],
	]
	for rule in rules:
		if not rule[1]:
			return rule[0]
	return ""


## Waits after the first, second ... send of a packet, in nanoseconds; the last holds for all that follow.
func resend_delays_ns() -> PackedInt64Array:
	var delays := PackedInt64Array([resend_first_ms * MS])
	while delays[-1] < resend_most_ms * MS:
		delays.append(mini(2 * delays[-1], resend_most_ms * MS))
	return delays


func _ascending() -> bool:
	for i in versions.size():
		if versions[i] < 1 or versions[i] > 0xFF or i > 0 and versions[i] <= versions[i - 1]:
			return false
	return versions.size() in range(1, 9)
