extends RefCounted
## A queue of (time, seq) pairs, first in first out, in one packed array: both ends cost the same however long it is.

const _SLACK := 2048

var _pairs := PackedInt64Array()
var _head := 0


## How many entries.
func size() -> int:
	@warning_ignore("integer_division")
	return (_pairs.size() - _head) / 2


## Puts an entry at the end.
func push(due_ns: int, seq: int) -> void:
	_pairs.append(due_ns)
	_pairs.append(seq)


## Time of the first entry; the queue must not be empty.
func due_ns() -> int:
	return _pairs[_head]


## Seq of the first entry; the queue must not be empty.
func seq() -> int:
	return _pairs[_head + 1]


## Takes the first entry out.
func pop() -> void:
	_head += 2
	if _head > _SLACK and 2 * _head > _pairs.size():
		_pairs = _pairs.slice(_head)
		_head = 0


## Takes everything out.
func clear() -> void:
	_pairs.clear()
	_head = 0


## Keeps the entries for which [param holds] (time, seq) is true.
func keep(holds: Callable) -> void:
	var kept := PackedInt64Array()
	for at in range(_head, _pairs.size(), 2):
		if holds.call(_pairs[at], _pairs[at + 1]):
			kept.append(_pairs[at])
			kept.append(_pairs[at + 1])
	_pairs = kept
	_head = 0
