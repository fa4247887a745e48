extends RefCounted
## All links of a device: what they hold together, what is dropped or kept in the spool, and what is sent again.
##
## Order is age: the oldest link drains first and overflows first. Live packets never wait for any of it.

const Account := preload("account.gd")
const Config := preload("config.gd")
const Effects := preload("effects.gd")
const Link := preload("link.gd")
const Pace := preload("pace.gd")
const Ring := preload("ring.gd")

## Links that HELLO may name.
const MAX_LINKS := 24
## One resend a second into the silence finds a gateway that came back.
const PROBE_NS := 1_000 * Config.MS
## A draining link that hears nothing for this long: HELLO asks whether it is still kept.
const ASK_NS := 30_000 * Config.MS

var pace := Pace.new()
## A link was forgotten of whose end the gateway does not know: one HELLO that does not name it says that it is finished.
var unsaid := false

var _config: Config
var _account: Account
var _links: Dictionary = {}


func _init(config: Config, account: Account) -> void:
	_config = config
	_account = account


## How many links.
func size() -> int:
	return _links.size()


## Whether the link of that number is here.
func has(number: int) -> bool:
	return _links.has(number)


## The link of that number, or null.
func get_link(number: int) -> Link:
	return _links.get(number)


## Every link, oldest first.
func all() -> Array[Link]:
	var made: Array[Link] = []
	made.assign(_links.values())
	return made


## Their numbers, newest last, as HELLO lists them.
func numbers() -> PackedInt64Array:
	return PackedInt64Array(_links.keys())


## Packets without a receipt.
func held_packets() -> int:
	var sum := 0
	for number: int in _links:
		sum += _links[number].ring.count
	return sum


## Bytes of those packets that are in memory; the others are in the spool alone.
func held_bytes() -> int:
	var sum := 0
	for number: int in _links:
		sum += _links[number].ring.byte_count
	return sum


## Age of the oldest packet without a receipt, from its first send; 0 when there is none.
func behind_ns(now_ns: int) -> int:
	var behind := 0
	for number: int in _links:
		var ring: Ring = _links[number].ring
		if ring.count:
			behind = maxi(behind, now_ns - ring.oldest_ns())
	return behind


## Takes in a new link; when there are more than HELLO can name, the oldest gives way.
func add(link: Link, out: Array) -> void:
	while _links.size() >= MAX_LINKS:
		drop(all()[0], Account.OVERFLOW, out)
	_links[link.number] = link


## Forgets a link; what it holds is lost.
func drop(link: Link, cause: String, out: Array) -> void:
	Account.add(link.account.lost, cause, link.ring.clear().samples)
	_forget(link, out)


## Forgets a link if it has ended and everything has its receipt, BYE too.
func forget_drained(link: Link, out: Array) -> void:
	if link.ended and link.ring.count == 0 and _links.has(link.number):
		unsaid = unsaid or link.unsaid
		_forget(link, out)


## Makes the limits of ring and spool hold: with a spool the oldest packets leave memory, else they are dropped.
func bound(out: Array) -> void:
	for over_spool: bool in [false, true]:
		while _over(over_spool):
			if not _make_room(over_spool, out):
				break
	for link in all():
		while link.ring.is_too_long() and _drop_oldest(link, out):
			pass


## Gives everything to the spool that it has not got: the app pauses or ends.
func keep_all(out: Array) -> void:
	if not _config.spool:
		return
	for link in all():
		for seq in link.ring.unkept() if link.recording else PackedInt64Array():
			_keep(link, seq, out)
	bound(out)


## Gives to the spool what waits for its receipt as long as a resend does.
func keep(now_ns: int, out: Array) -> void:
	if not _config.spool:
		return
	for link in all():
		while link.recording:
			var seq := link.ring.take_unkept(now_ns)
			if seq < 0:
				break
			_keep(link, seq, out)
	bound(out)


## When [method keep] has something to do.
func keep_ns() -> int:
	var best := Config.NEVER
	for number: int in _links:
		if _config.spool and _links[number].recording:
			best = mini(best, _links[number].ring.next_unkept_ns())
	return best


## A packet that the spool was asked for cannot be read: lost.
func spool_lost(number: int, seq: int, out: Array) -> void:
	var link := get_link(number)
	if link != null and link.ring.has(seq) and link.ring.packet(seq).is_empty():
		link.unsaid = link.unsaid or link.ended
		Account.add(link.account.lost, Account.OVERFLOW, link.ring.remove(seq, seq).samples)
		out.append(Effects.Settled.new(number, seq, seq))
		forget_drained(link, out)


## Sends a packet for the first time.
func send(packet: PackedByteArray, out: Array, is_probe: bool = false) -> void:
	_account.sent += 1
	out.append(Effects.Send.new(packet, false, is_probe))


## Sends again what is due, as fast as the pace allows; into a silence only probes.
func resend(now_ns: int, out: Array) -> void:
	for number: int in _links:
		var link: Link = _links[number]
		if link.silent(now_ns):
			if now_ns >= link.probe_ns and _send_due(link, now_ns, out):
				link.probe_ns = now_ns + PROBE_NS
			continue
		while link.ring.next_due_ns() <= now_ns:
			if not pace.take(now_ns):
				break
			_send_due(link, now_ns, out)


## Whether HELLO should ask about draining links that hear nothing; each is asked about once.
func ask(now_ns: int) -> bool:
	var any := false
	for number: int in _links:
		var link: Link = _links[number]
		if _unsure(link) and now_ns >= link.heard_ns + ASK_NS:
			link.asked = true
			any = true
	return any


## When [method resend] has something to do.
func resend_ns(now_ns: int) -> int:
	var best := Config.NEVER
	for number: int in _links:
		var link: Link = _links[number]
		var due_ns := link.ring.next_due_ns()
		if due_ns != Config.NEVER:
			best = mini(best, maxi(due_ns, link.probe_ns if link.silent(now_ns) else pace.ready_at(now_ns)))
	return best


## Whether a HELLO should tell that links are done with on which no BYE could.
func finished() -> bool:
	return unsaid and not all().any(func(link: Link) -> bool: return link.restored)


## When [method ask] has something to ask.
func ask_ns() -> int:
	var best := Config.NEVER
	for number: int in _links:
		if _unsure(_links[number]):
			best = mini(best, _links[number].heard_ns + ASK_NS)
	return best


## Packets and bytes that the spool has, of all links.
func spooled() -> Vector2i:
	var sum := Vector2i.ZERO
	for number: int in _links:
		sum += Vector2i(_links[number].ring.kept_count, _links[number].ring.kept_bytes)
	return sum


func _over(of_spool: bool) -> bool:
	var bytes := 0
	var packets := 0
	for number: int in _links:
		var ring: Ring = _links[number].ring
		bytes += ring.kept_bytes if of_spool else ring.byte_count
		packets += ring.kept_count if of_spool else ring.packet_count
	if of_spool:
		return bytes > _config.spool_bytes or packets > Config.SPOOL_PACKETS
	return bytes > _config.ring_bytes or packets > _config.ring_packets


func _make_room(of_spool: bool, out: Array) -> bool:
	for number: int in _links:
		var link: Link = _links[number]
		if not of_spool and _config.spool:
			if not link.recording:
				continue  # it has no session, and nothing to lose but its BYE
			var seq := link.ring.oldest_in_memory()
			if seq >= 0:
				_keep(link, seq, out)
				link.ring.evict(seq)
				return true
			continue
		if of_spool and link.ring.kept_count == 0:
			continue
		if _drop_oldest(link, out):
			return true
	return false


func _drop_oldest(link: Link, out: Array) -> bool:
	var gone := link.ring.drop_oldest()
	Account.add(link.account.lost, Account.OVERFLOW, gone.samples)
	# Above the floor that BYE told: only a HELLO that no longer names the link tells that nothing comes.
	link.unsaid = link.unsaid or (link.ended and gone.count > 0)
	if gone.first_kept >= 0:
		out.append(Effects.Settled.new(link.number, gone.first_kept, gone.last_kept))
	forget_drained(link, out)
	return gone.count > 0


func _forget(link: Link, out: Array) -> void:
	_links.erase(link.number)
	if _config.spool:
		out.append(Effects.Dropped.new(link.number))


func _keep(link: Link, seq: int, out: Array) -> void:
	var ring := link.ring
	if not ring.is_kept(seq):
		ring.mark_kept(seq)
		out.append(Effects.Keep.new(link, seq, ring.samples(seq), ring.packet(seq)))


func _send_due(link: Link, now_ns: int, out: Array) -> bool:
	var seq := link.ring.take_due(now_ns)
	if seq < 0:
		return false
	_account.resent += 1
	var packet := link.ring.packet(seq)
	if packet.is_empty():
		out.append(Effects.SendKept.new(link.number, seq))
	else:
		out.append(Effects.Send.new(packet))
	return true


static func _unsure(link: Link) -> bool:
	return link.ended and not link.asked and link.ring.count > 0
