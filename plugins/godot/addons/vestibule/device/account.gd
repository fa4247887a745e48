extends RefCounted
## What became of the samples that were captured, as far as the device knows; the gateway's totals are the truth.
##
## In samples, unless said otherwise. Always: captured = stored + refused + lost + held in rings + not sealed yet.

const Kinds := preload("../wire/kinds.gd")

## A ring, the spool or the queue to the machine was full.
const OVERFLOW := "overflow"
## The gateway no longer keeps the link.
const LINK_GONE := "link_gone"

var captured := 0
var stored := 0
## By the gateway's reason.
var refused: Dictionary = {}
## By cause: `overflow`, `link_gone`.
var lost: Dictionary = {}
## By kind: offered, and not captured because the session does not permit the kind.
var withheld: Dictionary = {}
## Offered while nothing was recorded; they have no numbers.
var unrecorded := 0
## Offered by the app in a form that cannot be sent, by reason; they have no numbers.
var faults: Dictionary = {}
## Packets that came and were not acted on, by reason.
var ignored: Dictionary = {}
## Packets sent on links, without resends.
var sent := 0
## Packets sent again.
var resent := 0


## Adds to one of the counters by word.
static func add(counters: Dictionary, word: Variant, count: int) -> void:
	if count:
		counters[word] = int(counters.get(word, 0)) + count


## The counters by name, for people.
func as_dict() -> Dictionary:
	var by_name: Dictionary = {}
	for kind: int in withheld:
		by_name[Kinds.NAMES[kind]] = withheld[kind]
	return {
		"captured": captured,
		"stored": stored,
		"refused": refused.duplicate(),
		"lost": lost.duplicate(),
		"withheld": by_name,
		"unrecorded": unrecorded,
		"faults": faults.duplicate(),
		"ignored": ignored.duplicate(),
		"sent": sent,
		"resent": resent,
	}
