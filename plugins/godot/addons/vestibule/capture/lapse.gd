extends RefCounted
## How often a large record without anything valid in it is worth sending: when tracking is lost, then once a second.
##
## A hand is 952 bytes; a hand that is out of sight for a minute would cost 5 MB of nothing otherwise.

const EVERY_NS := 1_000_000_000

var _tracked := false
var _last_ns := 0
var _seen := false


## Whether this frame's record is to be sent.
func wants(tracked: bool, t_ns: int) -> bool:
	if tracked:
		_seen = true
		_tracked = true
		return true
	if not _seen:
		return false
	if _tracked or t_ns - _last_ns >= EVERY_NS:
		_tracked = false
		_last_ns = t_ns
		return true
	return false
