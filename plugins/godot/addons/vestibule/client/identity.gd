extends RefCounted
## Who this device is: what a pairing or a key file gave, and the HELLO counter, in one file of the private folder.

const Bodies := preload("../wire/bodies.gd")
const Reader := preload("../wire/reader.gd")

const KEY_BYTES := 32
## An identity has some 300 bytes; anything much larger is another file by mistake.
const MAX_BYTES := 4096
## JSON's numbers are exact to here.
const MAX_EXACT := 1 << 53

var device := 0
## K_dev, 32 bytes.
var key := PackedByteArray()
## The name its HELLO goes to.
var home := ""
## What people call it.
var name := ""
## HELLO counter last used; -1 for none.
var hello_seq := -1
## Where the gateway is; "" and 0 when not known.
var host := ""
var port := 0


## What a file holds as a JSON object; a String says in words why it does not.
static func read_object(path: String) -> Variant:
	var file := FileAccess.open(path, FileAccess.READ)
	if file == null:
		return "%s cannot be read: %s." % [path, error_string(FileAccess.get_open_error())]
	if file.get_length() > MAX_BYTES:
		return "%s is larger than any file of this device." % path
	var bytes := file.get_buffer(file.get_length())
	var json := JSON.new()
	if not Reader.is_utf8(bytes) or json.parse(bytes.get_string_from_utf8()) != OK or not json.data is Dictionary:
		return "%s is no JSON object." % path
	return json.data


## An identity from the members of a key file or an identity file; null when they are none. Others are passed over.
static func of(members: Dictionary) -> RefCounted:
	var made: RefCounted = new()
	var hex: Variant = members.get("key")
	if not hex is String or hex.length() != 2 * KEY_BYTES or not hex.is_valid_hex_number() or hex[0] in "+-":
		return null
	if not _is_whole(members.get("device"), 1, 0xFFFFFFFF) or not members.get("home") is String:
		return null
	if not Bodies.is_topic_name(members["home"]) or not _is_whole(members.get("hello_seq", -1), -1, MAX_EXACT):
		return null
	made.key = hex.hex_decode()
	made.device = int(members["device"])
	made.home = members["home"]
	made.hello_seq = int(members.get("hello_seq", -1))
	if members.get("name") is String:
		made.name = members["name"]
	if members.get("host") is String and _is_whole(members.get("port"), 1, 0xFFFF):
		made.host = members["host"]
		made.port = int(members["port"])
	return made


## Writes it, whole or not at all. Returns "" or what went wrong, in words.
func write(path: String) -> String:
	var members := {
		"device": device,
		"key": key.hex_encode(),
		"home": home,
		"name": name,
		"hello_seq": hello_seq,
		"host": host,
		"port": port
	}
	var text := JSON.stringify(members) + "\n"
	make_private(path.get_base_dir())
	var fresh := path + ".new"
	var file := FileAccess.open(fresh, FileAccess.WRITE)
	var fault := FileAccess.get_open_error() if file == null else OK
	if file != null:
		FileAccess.set_unix_permissions(fresh, FileAccess.UNIX_READ_OWNER | FileAccess.UNIX_WRITE_OWNER)
		file.store_string(text)
		file.flush()
		fault = file.get_error()
		file.close()
		# The engine does not tell of a disk that is full when it flushes: what stands there is looked at, before it takes
		# the place of an identity that is whole.
		if fault == OK and FileAccess.get_file_as_bytes(fresh) != text.to_utf8_buffer():
			fault = ERR_FILE_CANT_WRITE
	if fault == OK:
		fault = DirAccess.rename_absolute(fresh, path)
	if fault != OK:
		return "%s cannot be written (%s), so no new connection is made." % [path, error_string(fault)]
	return ""


## Makes a folder that nobody else can read, if it is not there. One that is there is its owner's business.
static func make_private(folder: String) -> void:
	if not DirAccess.dir_exists_absolute(folder):
		DirAccess.make_dir_recursive_absolute(folder)
		FileAccess.set_unix_permissions(
			folder, FileAccess.UNIX_READ_OWNER | FileAccess.UNIX_WRITE_OWNER | FileAccess.UNIX_EXECUTE_OWNER
		)


static func _is_whole(value: Variant, least: int, most: int) -> bool:
	if not (value is float or value is int):
		return false
	return value == floorf(value) and value >= least and value <= most
