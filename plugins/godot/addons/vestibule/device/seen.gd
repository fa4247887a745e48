extends RefCounted
## Downlink seqs that were seen: a copy of an authentic packet must not act twice.
##
## The newest [constant REMEMBERED] numbers; what is below the lowest that ever left counts as seen. Numbers are u64
## (boot number in the high bits), so they are ordered unsigned.

const Reader := preload("../wire/reader.gd")

const REMEMBERED := 256

var _numbers := PackedInt64Array()  # with the sign bit turned: ascending here is ascending unsigned
var _floor := 0
var _has_floor := false


## Remembers a number; true when it was fresh.
func add(seq: int) -> bool:
	var key := seq ^ Reader.FLIP
	if _has_floor and key <= _floor:
		return false
	var at := _numbers.bsearch(key)
	if at < _numbers.size() and _numbers[at] == key:
		return false
	_numbers.insert(at, key)
	if _numbers.size() > REMEMBERED:
		_floor = _numbers[0]
		_has_floor = true
		_numbers.remove_at(0)
	return true
