extends RefCounted
## HMAC-SHA256 and what is made of it: tags, HKDF, the keys of a device. Source: SPEC, "Keys".
##
## One object a thread: it holds the engine's context.

const TAG_BYTES := 16
const KEY_BYTES := 32
const LINK_KEY_BYTES := 68
const NONCE_BYTES := 16
const CODE_CHARACTERS := 26

var _crypto := Crypto.new()


## HMAC-SHA256, 32 bytes.
func hmac(key: PackedByteArray, data: PackedByteArray) -> PackedByteArray:
	return _crypto.hmac_digest(HashingContext.HASH_SHA256, key, data)


## HKDF-SHA256 (RFC 5869): [param size] bytes, at most 255 times 32. An empty salt is 32 zero bytes.
func hkdf(
	ikm: PackedByteArray, salt: PackedByteArray, info: PackedByteArray, size: int
) -> PackedByteArray:
	var zero := PackedByteArray()
	zero.resize(KEY_BYTES)
	var prk := hmac(zero if salt.is_empty() else salt, ikm)
	var made := PackedByteArray()
	var block := PackedByteArray()
	var number := 0
	while made.size() < size:
		number += 1
		var text := block.duplicate()
		text.append_array(info)
		text.append(number)
		block = hmac(prk, text)
		made.append_array(block)
	return made.slice(0, size)


## The first 16 bytes of the HMAC: a packet's tag.
func tag(key: PackedByteArray, data: PackedByteArray) -> PackedByteArray:
	return hmac(key, data).slice(0, TAG_BYTES)


## Whether the last 16 bytes of a packet are the tag of all before them, compared in constant time.
func tag_matches(key: PackedByteArray, packet: PackedByteArray) -> bool:
	var end := packet.size() - TAG_BYTES
	if end <= 0:
		return false
	return _crypto.constant_time_compare(tag(key, packet.slice(0, end)), packet.slice(end))


## Fresh bytes of the engine's cryptographic generator.
func random(size: int) -> PackedByteArray:
	return _crypto.generate_random_bytes(size)


## K_hs: tags HELLO, WELCOME and RESET of the device with this K_dev (32 bytes).
func handshake_key(k_dev: PackedByteArray) -> PackedByteArray:
	return hkdf(k_dev, PackedByteArray(), "VT1 handshake".to_ascii_buffer(), KEY_BYTES)


## The key that tags PAIR and PAIRED, of the 26 characters of a code.
func pairing_key(code: PackedByteArray) -> PackedByteArray:
	return hkdf(code, PackedByteArray(), "VT1 pair".to_ascii_buffer(), KEY_BYTES)


## K_dev: what a pairing gives a device.
func device_key(
	code: PackedByteArray, nonce_d: PackedByteArray, nonce_g: PackedByteArray
) -> PackedByteArray:
	return hkdf(code, nonce_d + nonce_g, "VT1 device".to_ascii_buffer(), KEY_BYTES)


## The 68 bytes of keys of one direction of a link: K_enc, K_mac, iv4. [param direction] is 0 up, 1 down.
func link_keys(
	k_dev: PackedByteArray,
	nonce_d: PackedByteArray,
	nonce_g: PackedByteArray,
	device: int,
	link: int,
	direction: int
) -> PackedByteArray:
	var info := "VT1 link".to_ascii_buffer()
	info.resize(17)
	info.encode_u32(8, device)
	info.encode_u32(12, link)
	info.encode_u8(16, direction)
	return hkdf(k_dev, nonce_d + nonce_g, info, LINK_KEY_BYTES)
