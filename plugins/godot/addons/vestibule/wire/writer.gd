extends RefCounted
## Writes MessagePack in the shortest form of every value: what VT1 has of it. Source: SPEC, "MessagePack".

## What was written so far.
var bytes := PackedByteArray()


## An integer of 0 to 2^64-1; at and above 2^63 it is negative here, with the same 64 bits.
func uint(value: int) -> void:
	if value >= 0 and value < 0x80:
		bytes.append(value)
	elif value >= 0 and value <= 0xFF:
		bytes.append(0xCC)
		bytes.append(value)
	elif value >= 0 and value <= 0xFFFF:
		bytes.append(0xCD)
		_big(value, 2)
	elif value >= 0 and value <= 0xFFFFFFFF:
		bytes.append(0xCE)
		_big(value, 4)
	else:
		bytes.append(0xCF)
		_big(value, 8)


## A signed integer of 64 bits.
func sint(value: int) -> void:
	if value >= 0:
		uint(value)
	elif value >= -32:
		bytes.append(value & 0xFF)
	elif value >= -0x80:
		bytes.append(0xD0)
		_big(value, 1)
	elif value >= -0x8000:
		bytes.append(0xD1)
		_big(value, 2)
	elif value >= -0x80000000:
		bytes.append(0xD2)
		_big(value, 4)
	else:
		bytes.append(0xD3)
		_big(value, 8)


## A float64.
func float64(value: float) -> void:
	bytes.append(0xCB)
	var raw := PackedByteArray()
	raw.resize(8)
	raw.encode_double(0, value)
	raw.reverse()
	bytes.append_array(raw)


## A string of at most 65,535 bytes of UTF-8.
func text(value: String) -> void:
	var raw := value.to_utf8_buffer()
	var size := raw.size()
	if size < 32:
		bytes.append(0xA0 | size)
	elif size <= 0xFF:
		bytes.append(0xD9)
		bytes.append(size)
	else:
		bytes.append(0xDA)
		_big(size, 2)
	bytes.append_array(raw)


## Bytes.
func bin(value: PackedByteArray) -> void:
	var size := value.size()
	if size <= 0xFF:
		bytes.append(0xC4)
		bytes.append(size)
	elif size <= 0xFFFF:
		bytes.append(0xC5)
		_big(size, 2)
	else:
		bytes.append(0xC6)
		_big(size, 4)
	bytes.append_array(value)


## The head of an array of at most 65,535 items; the items follow.
func array(size: int) -> void:
	if size < 16:
		bytes.append(0x90 | size)
	else:
		bytes.append(0xDC)
		_big(size, 2)


func _big(value: int, size: int) -> void:
	for i in range(size - 1, -1, -1):
		bytes.append((value >> (8 * i)) & 0xFF)
