extends RefCounted
## The ring of one link: sealed packets that wait for their receipts, and when each is to be sent again.
##
## A packet stays the bytes it was; only a receipt, an overflow or the end of its link takes it out. Adding, removing
## and finding the next resend cost the same however many packets wait: the waits grow in few fixed steps, so a queue
## for each step is in order by itself, and an entry that no longer says what its packet says is skipped at the head.
##
## What is known of each packet stands in packed columns, by its number: an object for each would take some 1,600 bytes,
## and a spool holds a quarter of a million.

const Config := preload("config.gd")
const DueQueue := preload("due_queue.gd")

## Below this many stale entries, clearing them out costs more than it frees.
const STALE_MIN := 1024
## Numbers from the oldest packet to the newest: a gateway that never settles the oldest makes it give way.
const MAX_SPAN := 1 << 19

const _HELD := 1
const _KEPT := 2
const _FINAL := 4
const _MEMORY := 8
const _SLACK := 4096


## What left the ring.
class Gone:
	extends RefCounted
	## Packets, and the samples that they carried.
	var count := 0
	var samples := 0
	## The first and the last of them that the spool had; -1 for none.
	var first_kept := -1
	var last_kept := -1


## Packets, in memory or not.
var count := 0
## Bytes and packets in memory.
var byte_count := 0
var packet_count := 0
## Bytes and packets that the spool has; they may be in memory too.
var kept_bytes := 0
var kept_count := 0

var _delays_ns: PackedInt64Array
var _hurry_after := 0
var _hurried_to := 0
var _base := 0  # seq of the first row of the columns
var _head := 0  # no row before this one is held
var _memory_from := 0  # no packet below this seq has its bytes in memory
var _flags := PackedByteArray()
var _sends := PackedByteArray()
var _due := PackedInt64Array()
var _first := PackedInt64Array()
var _size := PackedInt32Array()
var _samples := PackedInt32Array()
var _tags := PackedInt64Array()  # two words a packet; only of those that are not in memory
var _packets: Dictionary = {}
var _spans := PackedInt32Array()  # stream and count, of all rows one after another
var _spans_end := PackedInt64Array()  # for each row, where its spans end, counted from the first that ever was
var _spans_base := 0  # where the spans begin that are still there
var _queues: Array[DueQueue] = []  # one for each wait, and the first for packets in a hurry
var _first_due := DueQueue.new()  # when each packet's first resend is due: then the spool gets it


## [param delays_ns]: waits after the first, second ... send; [param hurry_after]: see [method hurry].
func _init(delays_ns: PackedInt64Array, hurry_after: int) -> void:
	_delays_ns = delays_ns
	_hurry_after = hurry_after
	for i in delays_ns.size() + 1:
		_queues.append(DueQueue.new())


## Whether a packet is here.
func has(seq: int) -> bool:
	var row := seq - _base
	return row >= 0 and row < _flags.size() and _flags[row] & _HELD != 0


## The lowest seq that is still held; [param next_seq], that of the packet being made, when there is none.
func floor_seq(next_seq: int) -> int:
	return _base + _head if count else next_seq


## Device time of the first send of the oldest packet; there must be one.
func oldest_ns() -> int:
	return _first[_head]


## The bytes of a packet that is here; empty when they are in the spool only.
func packet(seq: int) -> PackedByteArray:
	return _packets.get(seq, PackedByteArray())


## Samples that a packet that is here carries.
func samples(seq: int) -> int:
	return _samples[seq - _base]


## Whether a packet that is here is BYE.
func is_final(seq: int) -> bool:
	return _flags[seq - _base] & _FINAL != 0


## Samples that a packet carries of one stream; 0 where that is not known, of a packet of an earlier run.
func samples_of(seq: int, stream: int) -> int:
	var row := seq - _base
	var sum := 0
	for at in range(_spans_from(row), _spans_end[row] - _spans_base, 2):
		if _spans[at] == stream:
			sum += _spans[at + 1]
	return sum


## Whether 16 bytes are the tag of a packet that is here. No secret is compared: the RESET that names it is authentic.
func has_tag(seq: int, tag: PackedByteArray) -> bool:
	if _packets.has(seq):
		return packet(seq).slice(-16) == tag
	var row := 2 * (seq - _base)
	return tag.decode_s64(0) == _tags[row] and tag.decode_s64(8) == _tags[row + 1]


## Keeps a packet that is being sent now; [param seq] is above all that were added before.
func add(
	seq: int, bytes: PackedByteArray, spans: PackedInt32Array, how_many: int, now_ns: int, final: bool = false
) -> void:
	_packets[seq] = bytes
	_row(seq, _HELD | _MEMORY | (_FINAL if final else 0), bytes.size(), how_many, now_ns, 0, 0)
	_spans.append_array(spans)
	_spans_end[seq - _base] += spans.size()
	byte_count += bytes.size()
	packet_count += 1
	_sent(seq, now_ns)
	_first_due.push(_due[seq - _base], seq)
	_bound_queues()


## Takes in a packet of an earlier run that is in the spool; ascending, and due at once.
func restore(
	seq: int, size: int, how_many: int, final: bool, tag_a: int, tag_b: int, now_ns: int
) -> void:
	_row(seq, _HELD | _KEPT | (_FINAL if final else 0), size, how_many, now_ns, tag_a, tag_b)
	_sends[seq - _base] = 1
	_due[seq - _base] = now_ns
	_memory_from = seq + 1
	kept_bytes += size
	kept_count += 1
	_queues[0].push(now_ns, seq)


## Takes out `first..last`, unsigned and inclusive; numbers that are not here are no fault, so receipts may come twice.
func remove(first: int, last: int) -> Gone:
	var gone := Gone.new()
	if count and first >= 0:  # from 2^63 on there is nothing
		var newest := _base + _flags.size() - 1
		for seq in range(maxi(first, _base + _head), (newest if last < 0 else mini(last, newest)) + 1):
			if _flags[seq - _base] & _HELD:
				_take_out(seq, gone)
		_tidy()
	return gone


## Takes out the oldest packet to make room; nothing when only BYE is left.
func drop_oldest() -> Gone:
	var gone := Gone.new()
	if count and _flags[_head] & _FINAL == 0:
		_take_out(_base + _head, gone)
		_tidy()
	return gone


## Takes out everything: the link is gone.
func clear() -> Gone:
	var gone := remove(0, Config.NEVER)
	for queue in _queues:
		queue.clear()
	_first_due.clear()
	return gone


## Whether the oldest packet stands in the way of the newest: see [constant MAX_SPAN].
func is_too_long() -> bool:
	return _flags.size() - _head > MAX_SPAN

# The spool.


## The oldest packet whose bytes are in memory, or -1.
func oldest_in_memory() -> int:
	var end := _base + _flags.size()
	_memory_from = maxi(_memory_from, _base + _head)
	while packet_count and _memory_from < end:
		if _flags[_memory_from - _base] & _MEMORY:
			return _memory_from
		_memory_from += 1
	return -1


## Whether the spool has a packet that is here.
func is_kept(seq: int) -> bool:
	return _flags[seq - _base] & _KEPT != 0


## The spool has a packet now.
func mark_kept(seq: int) -> void:
	_flags[seq - _base] |= _KEPT
	kept_bytes += _size[seq - _base]
	kept_count += 1


## Forgets the bytes of a packet that the spool has; it stays held.
func evict(seq: int) -> void:
	var row := seq - _base
	var bytes := packet(seq)
	_tags[2 * row] = bytes.decode_s64(_size[row] - 16)
	_tags[2 * row + 1] = bytes.decode_s64(_size[row] - 8)
	_forget_bytes(seq)


## The next packet whose first resend fell due and that the spool has not got, or -1.
func take_unkept(now_ns: int) -> int:
	while _first_due.size() and _first_due.due_ns() <= now_ns:
		var seq := _first_due.seq()
		_first_due.pop()
		if has(seq) and not is_kept(seq):
			return seq
	return -1


## When [method take_unkept] has something to give, or NEVER.
func next_unkept_ns() -> int:
	while _first_due.size():
		var seq := _first_due.seq()
		if has(seq) and not is_kept(seq):
			return _first_due.due_ns()
		_first_due.pop()
	return Config.NEVER


## Packets that the spool has not got, oldest first.
func unkept() -> PackedInt64Array:
	var made := PackedInt64Array()
	for row in range(_head, _flags.size()):
		if _flags[row] & (_HELD | _KEPT) == _HELD:
			made.append(_base + row)
	return made

# Resends.


## A receipt named [param covered]: what is `hurry_after` older and was sent once only is due now, since it was
## overtaken by so many packets that it is lost, not late. Each packet is hurried once.
func hurry(covered: int, now_ns: int) -> void:
	var end := covered - _hurry_after + 1
	for seq in range(maxi(_hurried_to, floor_seq(end)), end):
		if has(seq) and _sends[seq - _base] == 1 and _due[seq - _base] > now_ns:
			_due[seq - _base] = now_ns
			_queues[0].push(now_ns, seq)
	_hurried_to = maxi(_hurried_to, end)


## When the next resend is due, or NEVER when nothing is held.
func next_due_ns() -> int:
	var best := Config.NEVER
	for queue in _queues:
		if _fresh_head(queue):
			best = mini(best, queue.due_ns())
	return best


## The oldest packet that is due, marked as sent now; -1 when none is due.
func take_due(now_ns: int) -> int:
	var best: DueQueue = null
	for queue in _queues:
		if _fresh_head(queue) and queue.due_ns() <= now_ns and (best == null or queue.seq() < best.seq()):
			best = queue
	if best == null:
		return -1
	var seq := best.seq()
	best.pop()
	_sent(seq, now_ns)
	return seq


func _row(
	seq: int, flags: int, size: int, how_many: int, now_ns: int, tag_a: int, tag_b: int
) -> void:
	if _flags.is_empty():
		_base = seq
		_head = 0
	# Numbers in between are of packets that are not held (SYNC, answers).
	for between in range(_base + _flags.size(), seq + 1):
		var is_it := between == seq
		_flags.append(flags if is_it else 0)
		_sends.append(0)
		_due.append(0)
		_first.append(now_ns)
		_size.append(size if is_it else 0)
		_samples.append(how_many if is_it else 0)
		_tags.append(tag_a)
		_tags.append(tag_b)
		_spans_end.append(_spans_base + _spans.size())
	count += 1


func _take_out(seq: int, gone: Gone) -> void:
	var row := seq - _base
	var flags := _flags[row]
	gone.count += 1
	gone.samples += _samples[row]
	count -= 1
	if flags & _MEMORY:
		_forget_bytes(seq)
	if flags & _KEPT:
		kept_bytes -= _size[row]
		kept_count -= 1
		gone.first_kept = seq if gone.first_kept < 0 else gone.first_kept
		gone.last_kept = seq
	_flags[row] = 0


func _forget_bytes(seq: int) -> void:
	_packets.erase(seq)
	_flags[seq - _base] &= ~_MEMORY
	byte_count -= _size[seq - _base]
	packet_count -= 1


## Moves the head to the oldest packet, and gives back the rows before it once they are many.
func _tidy() -> void:
	if count == 0:
		_base += _flags.size()
		_head = _flags.size()
	else:
		while _flags[_head] & _HELD == 0:
			_head += 1
	if count and (_head < _SLACK or 2 * _head < _flags.size()):
		return
	var from := _head
	_base += from if count else 0
	var spans_from := _spans_from(from)
	_spans = _spans.slice(spans_from)
	_spans_base += spans_from
	_spans_end = _spans_end.slice(from)
	_flags = _flags.slice(from)
	_sends = _sends.slice(from)
	_due = _due.slice(from)
	_first = _first.slice(from)
	_size = _size.slice(from)
	_samples = _samples.slice(from)
	_tags = _tags.slice(2 * from)
	_head = 0


## Where the spans of a row begin.
func _spans_from(row: int) -> int:
	return _spans_end[row - 1] - _spans_base if row > 0 else 0


func _sent(seq: int, now_ns: int) -> void:
	var row := seq - _base
	var step := mini(_sends[row], _delays_ns.size() - 1)
	_sends[row] = mini(_sends[row] + 1, 0xFF)
	_due[row] = now_ns + _delays_ns[step]
	_queues[step + 1].push(_due[row], seq)


func _is_fresh(due_ns: int, seq: int) -> bool:
	return has(seq) and _due[seq - _base] == due_ns


func _fresh_head(queue: DueQueue) -> bool:
	while queue.size() and not _is_fresh(queue.due_ns(), queue.seq()):
		queue.pop()
	return queue.size() > 0


func _bound_queues() -> void:
	var entries := 0
	for queue in _queues:
		entries += queue.size()
	if entries > 2 * count + STALE_MIN:
		for queue in _queues:
			queue.keep(_is_fresh)
	if _first_due.size() > count + STALE_MIN:
		_first_due.keep(func(_due_ns: int, seq: int) -> bool: return has(seq))
