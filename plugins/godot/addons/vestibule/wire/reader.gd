extends RefCounted
## Reads MessagePack strictly, from bytes that anybody may have sent: it never reads past their end, and never raises.
##
## After a fault the readers return empty values, so that a body is read straight through and judged once, with
## [method fault]. Shortest forms are demanded on the way, which is the same as encoding again and comparing.

## Turns the order of signed integers into that of unsigned ones: `(a ^ FLIP) < (b ^ FLIP)`.
const FLIP := -0x7FFFFFFFFFFFFFFF - 1

## What stands for a NUL, which the engine's strings cannot hold.
const SUBSTITUTE := 0x1A

var _bytes: PackedByteArray
var _at := 0
var _malformed := false
var _long := false
var _range := false


func _init(bytes: PackedByteArray) -> void:
	_bytes = bytes


## Why the bytes are no such body: `malformed`, `not_canonical`, `numbers`; "" when all is well. Call it at the end.
func fault() -> String:
	if _malformed or _at != _bytes.size():
		return "malformed"
	if _long:
		return "not_canonical"
	return "numbers" if _range else ""


## A number is out of the range of its field.
func demand(holds: bool) -> void:
	if not holds:
		_range = true


## An integer of 0 to 2^64-1, negative here from 2^63 on; below 0 it is out of its range.
func uint() -> int:
	var head := _byte()
	if head < 0x80:
		return head
	match head:
		0xCC:
			return _unsigned(1, 0x7F)
		0xCD:
			return _unsigned(2, 0xFF)
		0xCE:
			return _unsigned(4, 0xFFFF)
		0xCF:
			return _unsigned(8, 0xFFFFFFFF)
	demand(false)
	return _negative(head)


## A signed integer; above 2^63-1 it is out of its range.
func sint() -> int:
	if _peek() >= 0xD0:
		return _negative(_byte())
	var is_u64 := _peek() == 0xCF
	var value := uint()
	demand(not is_u64 or value >= 0)
	return value


## An integer of 0 to [param most].
func uint_to(most: int) -> int:
	var value := uint()
	demand(value >= 0 and value <= most)
	return value


## A string; UTF-8 that is not valid makes the body malformed.
func text() -> String:
	var head := _byte()
	var size := 0
	if head >= 0xA0 and head < 0xC0:
		size = head & 0x1F
	elif head == 0xD9:
		size = _length(1, 32)
	elif head == 0xDA:
		size = _length(2, 0x100)
	elif head == 0xDB:
		size = _length(4, 0x10000)
	else:
		_malformed = true
	return _utf8(_take(size))


## Bytes.
func bin() -> PackedByteArray:
	var head := _byte()
	var size := 0
	if head == 0xC4:
		size = _length(1, 0)
	elif head == 0xC5:
		size = _length(2, 0x100)
	elif head == 0xC6:
		size = _length(4, 0x10000)
	else:
		_malformed = true
	return _take(size)


## The length of an array; the items follow. Never more than there are bytes left, so a loop over it is bounded.
func array() -> int:
	var head := _byte()
	var size := 0
	if head >= 0x90 and head < 0xA0:
		size = head & 0xF
	elif head == 0xDC:
		size = _length(2, 16)
	elif head == 0xDD:
		size = _length(4, 0x10000)
	else:
		_malformed = true
	if size > _bytes.size() - _at:
		_malformed = true
	return 0 if _malformed else size


## The head of an array that has exactly so many items.
func array_of(size: int) -> void:
	if array() != size:
		_malformed = true


## Integers in an array; signs as [method uint].
func uints() -> PackedInt64Array:
	var made := PackedInt64Array()
	for i in array():
		made.append(uint())
	return made


## An argument of COMMAND: int, float or String. A u64 from 2^63 on is out of every argument's limits, as -1 is.
func argument() -> Variant:
	var head := _peek()
	if head == 0xCB or head == 0xCA:
		_at += 1
		_long = _long or head == 0xCA
		var raw := _take(8 if head == 0xCB else 4)
		if _malformed:
			return 0.0
		raw.reverse()
		var value := raw.decode_double(0) if head == 0xCB else raw.decode_float(0)
		demand(is_finite(value))
		return value
	if head >= 0xA0 and head < 0xC0 or head >= 0xD9 and head <= 0xDB:
		return text()
	if head == 0xCF:
		return maxi(-1, uint())
	return sint()


## Whether first, last, first, last ... are ascending, unsigned, and do not overlap.
static func is_ranges(ranges: PackedInt64Array) -> bool:
	if ranges.size() % 2:
		return false
	for i in range(1, ranges.size()):
		var before := ranges[i - 1] ^ FLIP
		var here := ranges[i] ^ FLIP
		if here < before or i % 2 == 0 and here == before:
			return false
	return true


func _peek() -> int:
	return _bytes[_at] if _at < _bytes.size() and not _malformed else 0


func _byte() -> int:
	if _malformed or _at >= _bytes.size():
		_malformed = true
		return 0
	_at += 1
	return _bytes[_at - 1]


func _take(size: int) -> PackedByteArray:
	if _malformed or size > _bytes.size() - _at:
		_malformed = true
		return PackedByteArray()
	_at += size
	return _bytes.slice(_at - size, _at)


func _big(size: int) -> int:
	if _malformed or size > _bytes.size() - _at:
		_malformed = true
		return 0
	var value := 0
	for i in size:
		value = value << 8 | _bytes[_at + i]
	_at += size
	return value


func _unsigned(size: int, short: int) -> int:
	var value := _big(size)
	if value >= 0 and value <= short:
		_long = true
	return value


func _length(size: int, least: int) -> int:
	var value := _big(size)
	if value < least:
		_long = true
	return value


func _negative(head: int) -> int:
	if head >= 0xE0:
		return head - 0x100
	var size: int = {0xD0: 1, 0xD1: 2, 0xD2: 4, 0xD3: 8}.get(head, 0)
	if size == 0:
		_malformed = true
		return 0
	var value := _big(size)
	if size < 8 and value >> (8 * size - 1):
		value -= 1 << (8 * size)
	# The shortest form is the first whose range holds it.
	var above: int = {1: -32, 2: -0x80, 4: -0x8000, 8: -0x80000000}[size]
	if value >= above:
		_long = true
	return value


func _utf8(raw: PackedByteArray) -> String:
	if not is_utf8(raw):
		_malformed = true
		return ""
	# The engine ends a string at a NUL, so that "open" and "open, NUL, x" would be one; and it takes a byte order mark away.
	for i in range(raw.find(0), raw.size() if raw.has(0) else -1):
		if raw[i] == 0:
			raw[i] = SUBSTITUTE
	if raw.size() >= 3 and raw[0] == 0xEF and raw[1] == 0xBB and raw[2] == 0xBF:
		return "\uFEFF" + raw.slice(3).get_string_from_utf8()
	return raw.get_string_from_utf8()


## Whether bytes are UTF-8. The engine's own decoder would write an error for each byte that is not.
static func is_utf8(raw: PackedByteArray) -> bool:
	var size := raw.size()
	var at := 0
	while at < size:
		var head := raw[at]
		at += 1
		if head < 0x80:
			continue
		var more := 1 if head >= 0xC2 and head <= 0xDF else 2 if head & 0xF0 == 0xE0 else 3 if head & 0xF8 == 0xF0 else 0
		if more == 0 or at + more > size:
			return false
		var code := head & (0x3F >> more)
		for i in more:
			if raw[at + i] & 0xC0 != 0x80:
				return false
			code = code << 6 | (raw[at + i] & 0x3F)
		at += more
		if more == 2 and (code < 0x800 or code >= 0xD800 and code <= 0xDFFF):
			return false
		if more == 3 and (code < 0x10000 or code > 0x10FFFF):
			return false
	return true
