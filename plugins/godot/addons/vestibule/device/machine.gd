extends "recording.gd"
## The device: handshakes, what comes from the gateway, and time, around what is being recorded. Source: SPEC.
##
## Each call takes what happened and appends what is to be done (`effects.gd`) to an Array; [member wake_ns] says when
## [method tick] is wanted. All times are the device's monotonic clock in nanoseconds, never less than before. At most
## one link is current; all others have said BYE and drain beside it.

const Commands := preload("commands.gd")
const Greeter := preload("greeter.gd")
const Hash := preload("../keys/hash.gd")
const Packet := preload("../wire/packet.gd")

const SECOND := 1_000 * Config.MS
## Five seal intervals: receipts are late, not merely on their way.
const BEHIND_AFTER_S := 5
## How finely it is told, so that a display is not told every second.
const BEHIND_STEP_S := 5

const RECORDING := "recording"
const WAITING := "waiting"
const BEHIND := "behind"
const NOT_RECORDING := "not_recording"

## What became of the samples of earlier runs, which the spool gave back.
var earlier := Account.new()
## The newest clock measurement, or null.
var clock: Probes.Reading
## What a person should see.
var shown := Effects.Changed.new(NOT_RECORDING, "not_started")

var _hash: Hash
var _greeter: Greeter
var _commands: Commands
var _wanted := false
var _why := "not_started"


## [param of] must have no `fault`.
func _init(of: Config, hash: Hash) -> void:
	super(of)
	_hash = hash
	_greeter = Greeter.new(config, hash)
	_commands = Commands.new(config)

# What people and drivers ask.


## Drained: nothing is unsealed or without a receipt, and the gateway knows the end of each link.
func idle() -> bool:
	var is_telling := links.unsaid or _greeter.pending != null and _greeter.pending.cause in ["finished", "leave"]
	return _recording == null and links.held_packets() == 0 and _gather.due_ns == Config.NEVER and not is_telling


## Whether the app wants to record.
func is_wanted() -> bool:
	return _wanted


## The HELLO counter that was used last.
func hello_seq() -> int:
	return _greeter.seq


## What a person may want to see, as of the last call; nothing personal.
func status() -> Dictionary:
	var made := account.as_dict()
	var spooled := links.spooled()
	made.merge(
		{
			"link": current.number if current != null else 0,
			"links": links.size(),
			"held_packets": links.held_packets(),
			"held_bytes": links.held_bytes(),
			"unsealed": _gather.waiting_samples(),
			"totals": _gather.totals(),
			"spool_packets": spooled.x,
			"spool_bytes": spooled.y,
			"hello_seq": _greeter.seq,
			"device": config.device,
			"earlier": earlier.as_dict(),
			"clock_offset_ns": clock.offset_ns if clock != null else 0,
			"clock_uncertainty_ns": clock.uncertainty_ns if clock != null else -1,
		}
	)
	return made

# What happens.


## The app wants to record, or goes on after a pause: a HELLO leaves.
func begin(now_ns: int, out: Array) -> void:
	if not _wanted:
		_wanted = true
		_why = "connecting"
		_greet("start", now_ns, out)
	_after(now_ns, out)


## Stops capturing; what is held drains. [param reason] is a word of BYE.
func cease(reason: String, now_ns: int, out: Array) -> void:
	_wanted = false
	_why = reason
	_greeter.retry_ns = Config.NEVER
	_greeter.leave(now_ns)
	_end(reason, now_ns, out)
	links.keep_all(out)
	_after(now_ns, out)


## The time of [member wake_ns] has come.
func tick(now_ns: int, out: Array) -> void:
	_after(now_ns, out)


## Takes in a link of an earlier run of the app, before [method begin]; it holds what the spool has.
func restore(link: Link, now_ns: int, out: Array) -> void:
	if link.ring.count and not links.has(link.number):
		link.account = earlier
		earlier.captured += link.restored_samples
		links.add(link, out)
		links.bound(out)
	_after(now_ns, out)


## Another copy of this device's identity has counted further: the counter goes on from there.
func count_from(hello_counter: int) -> void:
	_greeter.seq = maxi(_greeter.seq, hello_counter)


## A packet of a `SendKept` cannot be read.
func spool_lost(link: int, seq: int, now_ns: int, out: Array) -> void:
	links.spool_lost(link, seq, out)
	_after(now_ns, out)


## The device has another key of its own number: what a key file or `rotate` brings.
func rotate(key: PackedByteArray, now_ns: int, out: Array) -> void:
	if key == config.key:
		return
	config.key = key
	_greeter.k_hs = _hash.handshake_key(key)
	out.append(Effects.PersistKey.new(key))
	if _wanted or links.size():
		_greet("rotate", now_ns, out)


## A packet came from the network: acts on it, or counts why not.
func received(packet: PackedByteArray, now_ns: int, out: Array) -> void:
	var fault := _received(packet, now_ns, out)
	if fault:
		Account.add(account.ignored, fault, 1)
	_after(now_ns, out)


func _received(packet: PackedByteArray, now_ns: int, out: Array) -> String:
	var head := Packet.parse(packet)
	if head.fault:
		return head.fault
	if head.type == Packet.WELCOME:
		return _welcomed(packet, head, now_ns, out)
	if head.type not in [Packet.RECEIPT, Packet.SYNC, Packet.COMMAND, Packet.RESET]:
		return "unexpected"
	var link := links.get_link(head.link)
	if link == null:
		return "unknown_link"
	if head.type == Packet.RESET:
		return _reset(link, packet, now_ns, out)
	if not link.is_authentic(packet):
		return "bad_tag"
	if not link.is_fresh(head.seq):
		var again := link.answer_again(head.seq, now_ns) if head.type == Packet.COMMAND else PackedByteArray()
		if again.is_empty():
			return "copy"
		links.send(again, out)
		return ""
	link.heard(now_ns)
	if head.type == Packet.COMMAND and link.restored:
		return "unanswerable"  # nothing is sealed on it
	var body := link.decrypt(head, packet)
	if head.type == Packet.RECEIPT:
		var receipt := Bodies.read_receipt(body)
		if receipt.fault == "":
			link.settle(receipt, now_ns, out)
			links.forget_drained(link, out)
		return receipt.fault
	if head.type == Packet.SYNC:
		var reply := Bodies.read_probe_reply(body)
		if reply.fault == "" and link == current and _probes != null:
			_probes.reply(reply, now_ns)
		return reply.fault
	var command := Bodies.read_command(body)
	if command.fault:
		return command.fault
	_commanded(link, head.seq, command, now_ns, out)
	return ""


func _commanded(link: Link, seq: int, command: Bodies.Command, now_ns: int, out: Array) -> void:
	match command.verb:
		"stop":
			_stopped(link, seq, command.args, now_ns, out)
		"rotate":
			_rotated(link, seq, command.args, now_ns, out)
		"open":
			if _wanted and _greeter.pending == null:
				_greet("open", now_ns, out)
			_answer(link, seq, Commands.DONE if _wanted else Commands.REFUSED, now_ns, out)
		"hold":
			# Its type first: to look for another one in an array of texts is an error in the engine's log.
			var holds := command.args.size() == 1 and command.args[0] is String
			var known: bool = holds and command.args[0] in Commands.HOLD_REASONS
			if known and link.recording:
				link.on_hold = command.args[0]
			_answer(link, seq, Commands.DONE if known else Commands.REFUSED, now_ns, out)
		_:
			var result := _commands.judge(command, now_ns)
			if result == Commands.DONE:
				out.append(Effects.Commanded.new(command.verb, command.args))
			_answer(link, seq, result, now_ns, out)


func _stopped(link: Link, seq: int, args: Array, now_ns: int, out: Array) -> void:
	if link != current:
		_answer(link, seq, Commands.DONE, now_ns, out)
		return
	# Before BYE, which is the link's last packet; what was captured goes before both.
	_seal(_gather.flush(), now_ns, out)
	_answer(link, seq, Commands.DONE, now_ns, out)
	_end("stop", now_ns, out)
	var reason: String = args[0] if args.size() and args[0] is String else ""
	_why = reason if reason.to_utf8_buffer().size() in range(1, Bodies.MAX_NAME_BYTES + 1) else "stop"
	# The clinic ended this session; the device comes back for the next one.
	_greeter.retry_in(config.wait_retry_ms * Config.MS, now_ns)


func _rotated(link: Link, seq: int, args: Array, now_ns: int, out: Array) -> void:
	var key := Commands.new_key(args)
	if key.is_empty() or key == config.key:
		_answer(link, seq, Commands.REFUSED if key.is_empty() else Commands.DONE, now_ns, out)
		return
	var after: Array = []
	rotate(key, now_ns, after)
	out.append(after.pop_front())  # the key is durable before it is answered for
	_answer(link, seq, Commands.DONE, now_ns, out)
	out.append_array(after)


## A waiting link carries SYNC and BYE only: there the HELLO is the answer.
func _answer(link: Link, seq: int, result: String, now_ns: int, out: Array) -> void:
	if link.recording:
		links.send(link.answer(seq, result, now_ns), out)

# Links.


func _greet(cause: String, now_ns: int, out: Array) -> void:
	_greeter.begin(cause, links.numbers(), now_ns, out)


func _welcomed(packet: PackedByteArray, head: Packet.Header, now_ns: int, out: Array) -> String:
	var pending := _greeter.pending
	if pending == null:
		return "unexpected"
	var welcome := pending.open_welcome(_hash, _greeter.k_hs, head, packet)
	if welcome.fault:
		return welcome.fault
	# A gateway that lost its store may give a number again; then it does not keep the old link of that number.
	var is_gone := pending.links.has(welcome.link) and not welcome.kept.has(welcome.link)
	if links.has(welcome.link) and not is_gone:
		return "malformed"
	_greeter.pending = null
	_greeter.retry_ns = Config.NEVER
	if welcome.state == Bodies.REFUSED:
		# It says nothing about old links: they go on draining.
		_end("error", now_ns, out)
		_why = welcome.reason if welcome.reason else Bodies.REFUSED
	else:
		for number in pending.links:
			var link := links.get_link(number)
			if link != null and not welcome.kept.has(number):
				_drop(link, out)
		_end("error" if pending.cause == "recover" else "end", now_ns, out)
		var made: Link = Link.welcomed(
			config, account, _hash, _greeter.k_hs, pending.nonce_d, welcome, now_ns
		)
		_adopt(made, welcome, now_ns, out)
	if not _wanted:
		_end("end", now_ns, out)  # it only asked which links are kept
	elif welcome.state != Bodies.RECORDING:
		_greeter.retry_in(config.wait_retry_ms * Config.MS, now_ns)
	return ""


func _reset(link: Link, packet: PackedByteArray, now_ns: int, out: Array) -> String:
	var reset := link.open_reset(packet)
	if reset.fault:
		return reset.fault
	if link == current:
		_why = reset.reason
		_greeter.retry_soon(now_ns)
	_drop(link, out)
	return ""


# Time.


func _after(now_ns: int, out: Array) -> void:
	_due(now_ns, out)
	var visible := _visible(now_ns)
	if not visible.same(shown):
		shown = visible
		out.append(visible)
	wake_ns = _plan(now_ns)


func _due(now_ns: int, out: Array) -> void:
	if now_ns >= _gather.due_ns:
		_seal(_gather.flush(), now_ns, out)
	if current != null and _probes != null:
		if _probes.poll(now_ns):
			links.send(current.probe(now_ns), out, true)
		if _probes.result != null:
			clock = _probes.result
			capture(config.clock_stream, Kinds.CLOCK, clock.sample(), 1, now_ns, out)
	if _greeter.pending != null:
		_greeter.again(links.numbers(), now_ns, out)
	elif now_ns >= _greeter.retry_ns:
		_greet("retry", now_ns, out)
	elif current != null and current.silent(now_ns):
		_greet("recover", now_ns, out)
	elif links.finished():
		links.unsaid = false  # told once for all of them
		_greet("finished", now_ns, out)
	elif links.ask(now_ns):
		_greet("ask", now_ns, out)
	links.keep(now_ns, out)
	links.resend(now_ns, out)


## Everything that [method _due] looks at, at its earliest.
func _plan(now_ns: int) -> int:
	var best := _gather.due_ns
	if _probes != null:
		best = mini(best, _probes.next_ns)
	if _greeter.pending != null:
		best = mini(best, _greeter.pending.wake_ns())
	else:
		best = mini(best, _greeter.retry_ns)
		if current != null:
			best = mini(best, current.heard_ns + config.silence_ms * Config.MS)
		best = mini(best, now_ns if links.finished() else links.ask_ns())
	return mini(best, mini(links.keep_ns(), links.resend_ns(now_ns)))


func _visible(now_ns: int) -> Effects.Changed:
	var link := current
	if link == null:
		var unanswered := _wanted and _greeter.is_unanswered()
		return Effects.Changed.new(NOT_RECORDING, "no_answer" if unanswered else _why)
	if not link.recording:
		return Effects.Changed.new(WAITING, link.reason)
	@warning_ignore("integer_division")
	var behind_s := links.behind_ns(now_ns) / SECOND
	if behind_s < BEHIND_AFTER_S and link.on_hold == "":
		return Effects.Changed.new(RECORDING, "")
	var reason := link.on_hold
	if reason == "":
		reason = "no_answer" if link.silent(now_ns) else "backlog"
	return Effects.Changed.new(BEHIND, reason, behind_s - behind_s % BEHIND_STEP_S)
