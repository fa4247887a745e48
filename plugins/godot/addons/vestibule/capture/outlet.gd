extends RefCounted
## The one door by which records leave the app: asks the permit, describes each stream when it begins, gives on.
##
## Sources write into buffers of their own and call [method put] from the main thread.

const Kinds := preload("../wire/kinds.gd")
const Records := preload("../wire/records.gd")

## Stream numbers, the same in all plugins of Vestibule; 12 to 63 are the app's own.
const HEAD := 0
const LEFT := 1
const RIGHT := 2
const GAZE := 3
const LEFT_HAND := 4
const RIGHT_HAND := 5
const FACE := 6
const HAPTIC := 7
const BUTTONS := 8
const MARKERS := 9
const INFO := 10
const BODY := 11
const FIRST_OWN := 12
const LAST_OWN := 63

const NAN3 := Vector3(NAN, NAN, NAN)
const NAN4 := Quaternion(NAN, NAN, NAN, NAN)

## Space of poses: 1 local, 2 local_floor, 3 stage, 4 unbounded.
var space := 2
## [constant Kinds.PREDICTED] where the runtime gives poses for the moment when the frame is shown, else 0.
var predicted := 0
## Members that all descriptions have in common.
var common: Dictionary = {}

## Gives the time of capture in nanoseconds; the client's clock, unless recorded movements are played.
var clock: Callable

var _client: RefCounted
var _begun: Dictionary = {}  # stream -> true


func _init(client: RefCounted) -> void:
	_client = client
	clock = client.now_ns


## The time of capture, nanoseconds of the device's clock.
func now_ns() -> int:
	return clock.call()


## Whether samples of a kind are taken now. Sources ask before they look at a person.
func takes(kind: int) -> bool:
	return _client.permits(kind)


## Gives records on; the stream's description goes first when it begins. [param about] tells what is special to the
## stream; the buffer may be written again at once.
func put(stream: int, kind: int, record: PackedByteArray, about: Dictionary, count: int = 1) -> void:
	if not _begun.has(stream):
		_begun[stream] = true
		describe(stream, kind, about)
	_client.capture(stream, kind, record, count)


## Sends the description of a stream now; again when something in it changed.
func describe(stream: int, kind: int, about: Dictionary) -> void:
	var members := {"stream": stream, "kind": Kinds.NAMES[kind]}
	members.merge(common)
	members.merge(about, true)
	if kind != Kinds.POSE:
		members.erase("space")
	var record := Records.info(now_ns(), _plain(JSON.stringify(members)))
	if record.is_empty():
		push_warning("Vestibule: the description of stream %d has more than 1,024 bytes; shorten its texts." % stream)
	else:
		_client.capture(INFO, Kinds.INFO, record)


## The engine writes control characters of texts as they are, which no JSON may have.
static func _plain(json: String) -> String:
	for i in json.length():
		if json.unicode_at(i) < 0x20:
			json[i] = " "
	return json


## Streams begin anew: another session, or a link after a pause.
func forget() -> void:
	_begun.clear()


## One stream begins anew, with another description.
func forget_one(stream: int) -> void:
	_begun.erase(stream)
