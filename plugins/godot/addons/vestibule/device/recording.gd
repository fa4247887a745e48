extends RefCounted
## The half of the device machine that records: samples to packets on the link that is current, and the end of a link.
##
## `machine.gd` stands on it and adds all that decides which link that is.

const Account := preload("account.gd")
const Bodies := preload("../wire/bodies.gd")
const Config := preload("config.gd")
const Effects := preload("effects.gd")
const Frame := preload("../wire/frame.gd")
const Gather := preload("gather.gd")
const Kinds := preload("../wire/kinds.gd")
const Link := preload("link.gd")
const Links := preload("links.gd")
const Probes := preload("probes.gd")

var config: Config
var account := Account.new()
## Every link that is current or drains.
var links: Links
## The link that is recording or waiting, or null.
var current: Link
## When [method tick] is wanted; NEVER for not at all.
var wake_ns := Config.NEVER

var _recording: Link  # the current link, unless it is a waiting one
var _permitted: Dictionary = {}
var _gather: Gather
var _probes: Probes


## [param of] must have no `fault`.
func _init(of: Config) -> void:
	config = of
	links = Links.new(config, account)
	_gather = Gather.new(config)


## Whether samples are taken now.
func is_recording() -> bool:
	return _recording != null


## The kinds that the session permits, as keys; empty while nothing is recorded.
func permitted() -> Dictionary:
	return _permitted if _recording != null else {}


## Takes samples in: the hot path, without the look at the timers. While nothing is recorded the samples are not kept
## and get no numbers. Returns "" or why they cannot be sent (`gather.gd`, `fault`).
func capture(
	stream: int, kind: int, samples: PackedByteArray, count: int, now_ns: int, out: Array
) -> String:
	if not _admits(kind, count):
		return ""
	var packets: Array[Array] = []
	if not _gather.add(stream, kind, samples, count, now_ns, packets):
		Account.add(account.faults, _gather.fault, maxi(count, 1))
		return _gather.fault
	account.captured += count
	if config.linger_ms == 0:
		packets.append_array(_gather.flush())
	_took(packets, now_ns, out)
	return ""


## Samples were captured for which the queue to this machine had no room: numbered, and lost.
func skip(stream: int, kind: int, count: int, now_ns: int, out: Array) -> void:
	var packets: Array[Array] = []
	if count < 1 or not _admits(kind, count) or not _gather.skip(stream, kind, count, packets):
		return
	account.captured += count
	Account.add(account.lost, Account.OVERFLOW, count)
	_took(packets, now_ns, out)


func _admits(kind: int, count: int) -> bool:
	if _recording == null:
		account.unrecorded += count
		return false
	if not _permitted.has(kind) and Kinds.NAMES.has(kind):
		Account.add(account.withheld, kind, count)
		return false
	return true


func _took(packets: Array[Array], now_ns: int, out: Array) -> void:
	wake_ns = mini(wake_ns, _gather.due_ns)
	if packets.size():
		_seal(packets, now_ns, out)
		wake_ns = mini(wake_ns, now_ns + config.resend_first_ms * Config.MS)


func _adopt(link: Link, welcome: Bodies.Welcome, now_ns: int, out: Array) -> void:
	links.add(link, out)
	current = link
	_probes = Probes.new(now_ns, link.recording and config.probes)
	links.pace.recording = link.recording
	if not link.recording:
		return
	_recording = link
	# Nothing leaves the headset that the session does not permit: it would be refused, and should not travel.
	_permitted = {}
	for kind in welcome.kinds:
		_permitted[kind] = true
	_gather.enter(link.session)


## Says BYE on the current link, if there is one; it drains from now on.
func _end(reason: String, now_ns: int, out: Array) -> void:
	var link := current
	if link == null:
		return
	_seal(_gather.flush(), now_ns, out)
	links.send(link.bye(_gather.totals() if link.recording else {}, reason, now_ns), out)
	links.bound(out)
	_leave()


func _leave() -> void:
	current = null
	_recording = null
	_probes = null
	links.pace.recording = false


## The gateway no longer keeps a link: what it holds is lost, sealed or not.
func _drop(link: Link, out: Array) -> void:
	links.drop(link, Account.LINK_GONE, out)
	if link == current:
		Account.add(account.lost, Account.LINK_GONE, _gather.clear())
		_leave()


func _seal(packets: Array[Array], now_ns: int, out: Array) -> void:
	var link := _recording
	if link == null or packets.is_empty():
		return
	for frames: Array[Frame] in packets:
		var body := _gather.body(frames, link.ring.floor_seq(link.next_seq))
		links.send(link.data(body, frames, now_ns), out)
		links.pace.live(now_ns)
	links.bound(out)
