extends RefCounted
## The spool: files of sealed packets in the app's private storage, so that a long outage or a killed app loses nothing.
##
## What the operating system has not written yet may be lost when the power goes; what is torn by that is cut off when
## the files are read again. Every fault of a file is a sentence in [member trouble], never an error.

const Config := preload("../device/config.gd")
const Effects := preload("../device/effects.gd")
const Hash := preload("../keys/hash.gd")
const Identity := preload("../client/identity.gd")
const Link := preload("../device/link.gd")
const Ring := preload("../device/ring.gd")
const Segment := preload("segment.gd")

const SUFFIX := ".vts"
## Most files that are looked at.
const MAX_FILES := 4096
## A disk that did not take a packet is asked again after this.
const RETRY_MS := 2_000
const _CANNOT_KEEP := "Data cannot be kept in %s: the disk may be full. Free some storage on this device."

## What went wrong with a file, in words; "" when nothing did since it was cleared.
var trouble := ""
## Files that were cut, since their last record was not whole.
var torn := 0
## Files that belonged to another device, or could not be read, and were deleted.
var foreign := 0

var _folder := ""
var _config: Config
var _hash: Hash
var _segments: Dictionary = {}  # link -> Array[Segment], oldest first
var _next: Dictionary = {}  # link -> number of its next file
var _open: Dictionary = {}  # link -> FileAccess of its last segment
var _dirty: Dictionary = {}  # the same, as far as they have to be flushed
var _reader: FileAccess
var _reader_path := ""
var _retry_ms := 0


func _init(folder: String, config: Config, hash: Hash) -> void:
	_folder = folder
	_config = config
	_hash = hash


## The links of earlier runs and what is held for them, oldest link first.
func load(now_ns: int) -> Array[Link]:
	var made: Dictionary = {}
	var files := _files()
	for name in files:
		var path := _folder.path_join(name)
		var file := FileAccess.open(path, FileAccess.READ)
		if file == null or file.get_length() > Segment.MAX_BYTES:
			foreign += 1
			DirAccess.remove_absolute(path)
			continue
		var bytes := file.get_buffer(file.get_length())
		file.close()
		var head := Segment.read_head(bytes)
		if head.fault or head.device != _config.device or int(name.get_slice("-", 0)) != head.link:
			foreign += 1
			DirAccess.remove_absolute(path)
			continue
		_take(path, head, bytes, made, now_ns)
	var links: Array[Link] = []
	for number: int in made:
		var link: Link = made[number]
		if link.ring.count:
			links.append(link)
		else:
			dropped(number)
	if foreign or torn:
		trouble = "Kept data was read again: %d files were cut at their end, %d did not belong here." % [torn, foreign]
	return links


## Writes a packet.
func keep(effect: Effects.Keep) -> void:
	var link: Link = effect.link
	var file := _writable(link)
	if file == null:
		return
	var segment: Segment = (_segments[link.number] as Array)[-1]
	var record := Segment.record(effect.samples, effect.packet)
	file.store_buffer(record)
	segment.note(effect.seq, segment.size)
	segment.size += record.size()
	_dirty[link.number] = file
	if segment.size >= Segment.FULL_BYTES:
		flush()
		_close(link.number)


## The bytes of a packet, or none when they cannot be read.
func read(link: int, seq: int) -> PackedByteArray:
	flush()
	for segment: Segment in _segments.get(link, []):
		var at := segment.find(seq)
		if at < 0:
			continue
		if _reader_path != segment.path:
			_reader = FileAccess.open(segment.path, FileAccess.READ)
			_reader_path = segment.path if _reader != null else ""
		if _reader == null:
			break
		_reader.seek(at)
		var head := _reader.get_buffer(Segment.RECORD_HEAD)
		if head.size() < Segment.RECORD_HEAD:
			break
		var packet := _reader.get_buffer(head.decode_u16(0))
		if packet.size() == head.decode_u16(0) and packet.size() >= 40 and packet.decode_s64(8) == seq:
			return packet
		break
	_fail("Kept data could not be read again (connection %d)." % link)
	return PackedByteArray()


## Packets are not held any more; a file of which none is held is deleted.
func settled(link: int, first: int, last: int) -> void:
	var left: Array = []
	for segment: Segment in _segments.get(link, []):
		segment.settle(first, last)
		if segment.live_count:
			left.append(segment)
		else:
			_delete(link, segment)
	if _segments.has(link):
		_segments[link] = left


## A link is forgotten: its files go.
func dropped(link: int) -> void:
	for segment: Segment in _segments.get(link, []):
		_delete(link, segment)
	_segments.erase(link)
	_next.erase(link)


## Hands what was written to the operating system; after each batch.
func flush() -> void:
	var dirty := _dirty
	if dirty.is_empty():
		return
	_dirty = {}
	for link: int in dirty:
		(dirty[link] as FileAccess).flush()
		# The engine does not tell of a disk that is full when it flushes: how long the file is now does.
		var segment: Segment = (_segments[link] as Array)[-1]
		var written := FileAccess.open(segment.path, FileAccess.READ)
		if written == null or written.get_length() < segment.size:
			_give_up(link, segment)


## Closes all files.
func close() -> void:
	flush()
	for link: int in _open.keys():
		_close(link)
	_reader = null
	_reader_path = ""


## Files of the folder, oldest first; those of one link by their number.
func _files() -> Array[String]:
	var rows: Array = []
	var names := DirAccess.get_files_at(_folder) if DirAccess.dir_exists_absolute(_folder) else PackedStringArray()
	for name in names.slice(0, MAX_FILES):
		var parts := name.trim_suffix(SUFFIX).split("-")
		var is_short := parts.size() == 2 and parts[0].length() <= 10 and parts[1].length() <= 9
		if is_short and name == "%d-%d%s" % [int(parts[0]), int(parts[1]), SUFFIX]:
			rows.append([FileAccess.get_modified_time(_folder.path_join(name)), int(parts[0]), int(parts[1]), name])
	rows.sort()
	var first: Dictionary = {}
	for row: Array in rows:
		first[row[1]] = first.get(row[1], first.size())
	rows.sort_custom(func(a: Array, b: Array) -> bool: return [first[a[1]], a[2]] < [first[b[1]], b[2]])
	var made: Array[String] = []
	for row: Array in rows:
		made.append(row[3])
	return made


func _take(path: String, head: Segment.Head, bytes: PackedByteArray, made: Dictionary, now_ns: int) -> void:
	var segment := Segment.new()
	segment.path = path
	var before: Array = _segments.get(head.link, [])
	var taken := segment.take(_hash, head, bytes)
	if segment.size < bytes.size():
		torn += 1
		_cut(path, segment.size)
	var link: Link = made.get(head.link)
	if link == null:
		link = Link.of_spool(_config, _hash, _hash.handshake_key(_config.key), head, now_ns)
		made[head.link] = link
	for row in taken:
		var seq: int = row[0]
		# Two files have it, or what a device leaves in order is not, or leaves out too much: the first counts.
		if seq < link.next_seq or link.next_seq > 0 and seq - link.next_seq > Ring.MAX_SPAN:
			segment.settle(seq, seq)
			continue
		link.restore(seq, row[2], row[3], row[4], row[5], row[6], now_ns)
	before.append(segment)
	_segments[head.link] = before
	_next[head.link] = int(path.get_file().trim_suffix(SUFFIX).get_slice("-", 1)) + 1


## The open file of a link, with its segment at the end of the list; null when none can be made.
func _writable(link: Link) -> FileAccess:
	if _open.has(link.number):
		return _open[link.number]
	if Time.get_ticks_msec() < _retry_ms:
		return null  # a disk that is full just now is not asked for each packet
	Identity.make_private(_folder)
	var segment := Segment.new()
	segment.path = _folder.path_join("%d-%d%s" % [link.number, _next.get(link.number, 0), SUFFIX])
	var file := FileAccess.open(segment.path, FileAccess.WRITE)
	if file == null:
		_fail(_CANNOT_KEEP % _folder)
		_retry_ms = Time.get_ticks_msec() + RETRY_MS
		return null
	var head := Segment.head_bytes(_config.device, link)
	file.store_buffer(head)
	segment.size = head.size()
	_next[link.number] = int(_next.get(link.number, 0)) + 1
	_open[link.number] = file
	var segments: Array = _segments.get(link.number, [])
	segments.append(segment)
	_segments[link.number] = segments
	return file


## A file that does not take what it is given: the link goes on in another one, later. What it took can be read.
func _give_up(link: int, segment: Segment) -> void:
	_fail(_CANNOT_KEEP % _folder)
	_retry_ms = Time.get_ticks_msec() + RETRY_MS
	_close(link)
	if segment.live_count == 0:
		(_segments[link] as Array).pop_back()
		DirAccess.remove_absolute(segment.path)


func _close(link: int) -> void:
	if _open.has(link):
		(_open[link] as FileAccess).close()
		_open.erase(link)
		_dirty.erase(link)


func _delete(link: int, segment: Segment) -> void:
	if _open.has(link) and segment == (_segments[link] as Array)[-1]:
		_close(link)
	if _reader_path == segment.path:
		_reader = null
		_reader_path = ""
	if DirAccess.remove_absolute(segment.path) != OK and FileAccess.file_exists(segment.path):
		_fail("%s cannot be deleted; what it holds has been delivered." % segment.path)


func _cut(path: String, size: int) -> void:
	var file := FileAccess.open(path, FileAccess.READ_WRITE)
	if file == null or file.resize(size) != OK:
		_fail("%s cannot be cut at its end." % path)


func _fail(words: String) -> void:
	if trouble == "":
		trouble = words
