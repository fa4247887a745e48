extends RefCounted
## Samples of one stream, as they stand in DATA. Source: SPEC, "Bodies".

const Writer := preload("writer.gd")

var stream := 0
var kind := 0
## Number of the first sample in its stream.
var first := 0
## How many samples.
var count := 0
## The records, one after another.
var samples: PackedByteArray


func _init(of_stream: int, of_kind: int, from: int, how_many: int, records: PackedByteArray) -> void:
	stream = of_stream
	kind = of_kind
	first = from
	count = how_many
	samples = records


## Writes the frame: exactly the bytes that are hashed and stored.
func write(to: Writer) -> void:
	to.array(4)
	to.uint(stream)
	to.uint(kind)
	to.uint(first)
	to.bin(samples)


## Bytes of the frame in a body, at most one more than the writer takes.
func byte_count() -> int:
	return 4 + int_bytes(stream) + int_bytes(kind) + int_bytes(first) + samples.size()


## Bytes of a non-negative integer in MessagePack.
static func int_bytes(number: int) -> int:
	if number < 0x80:
		return 1
	if number <= 0xFF:
		return 2
	if number <= 0xFFFF:
		return 3
	return 5 if number <= 0xFFFFFFFF else 9
