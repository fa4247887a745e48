extends RefCounted
## The recorder's thread: takes orders and samples, runs the driver and the pairing, and says what is to be seen.

const Bodies := preload("../wire/bodies.gd")
const Config := preload("../device/config.gd")
const Driver := preload("driver.gd")
const Enrolment := preload("enrolment.gd")
const Hash := preload("../keys/hash.gd")
const Machine := preload("../device/machine.gd")
const Orders := preload("orders.gd")
const Words := preload("words.gd")

## How often figures are published.
const PUBLISH_NS := 100 * Config.MS

var _options: Dictionary
var _folder := ""
var _clock_ns: Callable
var _orders: Orders
var _driver: Driver
var _enrolment: Enrolment
var _now_ns := -Config.NEVER
var _wanted := false
var _shown: Dictionary = {}
var _publish_ns := -Config.NEVER
var _closing := false
var _close_ns := 0
var _says_bye := false


func _init(options: Dictionary, folder: String, clock_ns: Callable, orders: Orders) -> void:
	_options = options
	_folder = folder
	_clock_ns = clock_ns
	_orders = orders


## Runs until `close`; the body of the thread.
func run() -> void:
	var hash := Hash.new()
	_driver = Driver.new(_options, _folder, _orders, hash)
	_enrolment = Enrolment.new(_options, _driver, _orders, hash)
	_driver.recall(_time())
	_show()
	while not _is_over():
		_turn()
		OS.delay_usec(_rest_usec())
	_enrolment.close()
	_driver.close()
	_orders.allow(false, {})
	_publish()


## The device's clock; one that runs backwards stands still for the machine.
func _time() -> int:
	_now_ns = maxi(_now_ns, _clock_ns.call())
	return _now_ns


func _turn() -> void:
	# Samples first: what was captured before an order belongs before it.
	_driver.take_samples(_time())
	for order: Array in _orders.take_orders():
		_obey(order)
	_driver.turn(_time())
	_enrolment.turn(_time())
	_follow()
	_show()
	if _now_ns >= _publish_ns:
		_publish()


func _obey(order: Array) -> void:
	match order[0]:
		&"pair":
			_tell_fault(_enrolment.pair(order[1], order[2], _time()))
		&"take_file":
			_tell_fault(_enrolment.take_file(order[1], _time()))
		&"start", &"resume":
			_wanted = true
			if _driver.machine != null and not _driver.machine.is_wanted():
				_driver.begin(_time())
		&"pause", &"stop":
			_cease(order[1])
		&"close":
			_closing = true
			_says_bye = order[2]
			_close_ns = _time() + int(order[1]) * Config.MS
			if _says_bye:
				_cease("end")


func _cease(reason: String) -> void:
	if reason not in Bodies.BYE_REASONS:
		_driver.trouble("'%s' is no reason to stop; `error` is told instead." % reason)
		reason = "error"
	if _wanted or _driver.machine != null and _driver.machine.is_wanted():
		_driver.cease(reason, _time())
	_wanted = false


## A pairing that ended while the app wants to record: it begins.
func _follow() -> void:
	if _wanted and _driver.machine != null and not _driver.machine.is_wanted():
		_driver.begin(_time())


func _is_over() -> bool:
	if not _closing:
		return false
	var is_idle := _driver.machine == null or _driver.machine.idle()
	return not _says_bye or is_idle or _time() >= _close_ns


func _rest_usec() -> int:
	return mini(_driver.rest_usec(_time()), 5_000) if _enrolment.is_pairing() else _driver.rest_usec(_time())


func _tell_fault(words: String) -> void:
	if words:
		_orders.tell({"event": "trouble", "words": words})


func _show() -> void:
	var machine := _driver.machine
	var state := Machine.NOT_RECORDING
	var reason := "not_paired"
	var behind_s := 0
	if machine != null:
		state = machine.shown.state
		reason = machine.shown.reason
		behind_s = machine.shown.behind_s
	# What is recorded is never hidden behind a pairing that goes on.
	if state == Machine.NOT_RECORDING and _enrolment.reason and (machine == null or _enrolment.is_pairing()):
		reason = _enrolment.reason
	if _shown and _shown["state"] == state and _shown["reason"] == reason and _shown["behind_s"] == behind_s:
		return
	var words := Words.of(state, reason, behind_s)
	_shown = {"state": state, "reason": reason, "behind_s": behind_s, "words": words}
	_orders.show(_shown)


func _publish() -> void:
	_publish_ns = _now_ns + PUBLISH_NS
	_orders.publish(_driver.figures())
