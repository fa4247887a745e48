extends RefCounted
## The device's UDP socket: connected, so that the system drops what another address sends, and never waiting.
##
## A name is found by the engine's own thread, so that a name server that takes its time holds up neither capture nor the
## end of the app. Until it is found, what is open goes on being used.

## What the engine may hold for us. The default of 64 KiB overflows in a flood, with a warning for each packet.
const BUFFER_BYTES := 1 << 20
## Most datagrams that are thrown away at one look.
const MAX_SHED := 8192

## Where it leads.
var host := ""
var port := 0
## Whether anything came since it was opened.
var has_heard := false
## Packets that the system did not take: lost, as on any network.
var unsent := 0
## Packets that came faster than they can be looked at, and were not.
var shed := 0
## Why the last look for the name, or the last opening, failed, in words; "" when it did not. For who clears it.
var fault := ""

var _peer: PacketPeerUDP
var _address := ""  # that it is connected to
var _finding := IP.RESOLVER_INVALID_ID


## Opens it anew: after sleep, and when the network may be another one. Returns "" or what is wrong with the address, in
## words; what turns out later is told by [member fault].
func open(to_host: String, to_port: int) -> String:
	if to_host != host or to_port != port:
		close()
	host = to_host
	port = to_port
	has_heard = false
	if host == "" or port < 1 or port > 0xFFFF:
		close()
		return "No address of the gateway is known. Pair again, or enter host and port."
	if host.is_valid_ip_address():
		return _connect(host)
	if _finding == IP.RESOLVER_INVALID_ID:
		_finding = IP.resolve_hostname_queue_item(host)
	return ""


## Whether it is open, or about to be.
func is_open() -> bool:
	return _peer != null or _finding != IP.RESOLVER_INVALID_ID


## Goes on with what is under way. Returns whether it was opened by that.
func turn() -> bool:
	if _finding == IP.RESOLVER_INVALID_ID:
		return false
	var how := IP.get_resolve_item_status(_finding)
	if how == IP.RESOLVER_STATUS_WAITING:
		return false
	var address := IP.get_resolve_item_address(_finding) if how == IP.RESOLVER_STATUS_DONE else ""
	_forget()
	if address == "" and _peer == null:
		fault = "The gateway's name %s cannot be found. Check the Wi-Fi and the name." % host.left(64)
		return false
	fault = _connect(address if address else _address)
	return fault == ""


## Sends a datagram; into the void while the name is being found.
func send(packet: PackedByteArray) -> void:
	# A full buffer, or nobody listens there now: the device sends again what needs a receipt.
	if _peer == null or _peer.put_packet(packet) != OK:
		unsent += 1


## The next datagram that has come; empty when there is none. (One without content is none either.)
func receive() -> PackedByteArray:
	while _peer != null and _peer.get_available_packet_count() > 0:
		var packet := _peer.get_packet()
		has_heard = true
		if packet.size():
			return packet
	return PackedByteArray()


## Throws away what has come and was not taken.
func throw_away() -> void:
	var count := 0
	while _peer != null and count < MAX_SHED and _peer.get_available_packet_count() > 0:
		_peer.get_packet()
		count += 1
	shed += count


## Closes it.
func close() -> void:
	_forget()
	if _peer != null:
		_peer.close()
		_peer = null


func _connect(address: String) -> String:
	if _peer != null:
		_peer.close()
	_address = address
	_peer = PacketPeerUDP.new()
	# Bound first, since only that sets the size of the buffer.
	var own := "::" if address.contains(":") else "0.0.0.0"
	if _peer.bind(0, own, BUFFER_BYTES) == OK and _peer.connect_to_host(address, port) == OK:
		return ""
	_peer = null
	return "The gateway at %s, port %d, cannot be addressed. Check the Wi-Fi and the address." % [host.left(64), port]


func _forget() -> void:
	if _finding != IP.RESOLVER_INVALID_ID:
		IP.erase_resolve_item(_finding)
		_finding = IP.RESOLVER_INVALID_ID
