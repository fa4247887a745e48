using System;
using System.Collections.Generic;

namespace Vestibule
{
    /// <summary>What left a ring.</summary>
    internal struct Gone
    {
        public int Packets;
        public long Samples;
        public int Kept;

        /// <summary>The first and the last of those that the spool had.</summary>
        public ulong First;
        public ulong Last;
    }

    /// <summary>
    /// Sealed packets of one link that wait for their receipts, oldest first, and when each is to be sent again. Adding,
    /// removing and finding the next resend cost the same however many wait.
    /// </summary>
    internal sealed class Ring
    {
        public const long Never = long.MaxValue;

        private readonly Dictionary<ulong, Held> _held = new Dictionary<ulong, Held>();
        private readonly HeldPool _pool;
        private readonly long[] _delaysNs;
        private readonly DueQueue[] _queues; // one for each wait, and the first for packets in a hurry
        private Held _newest;
        private Held _oldestInMemory; // those without bytes are the oldest: all newer ones have theirs
        private Held _keepNext; // older ones were looked at by `NextToKeep`
        private ulong _hurriedTo;

        public Ring(long[] delaysNs, HeldPool pool)
        {
            _delaysNs = delaysNs;
            _pool = pool;
            _queues = new DueQueue[delaysNs.Length + 1];
            for (var at = 0; at < _queues.Length; at++)
            {
                _queues[at] = new DueQueue();
            }
        }

        public int Count => _held.Count;

        public Held Oldest { get; private set; }

        /// <summary>Bytes of the packets that are here; the others are in the spool alone.</summary>
        public long MemoryBytes { get; private set; }

        public int MemoryPackets { get; private set; }

        public long KeptBytes { get; private set; }

        public int KeptPackets { get; private set; }

        public Held OldestInMemory => _oldestInMemory;

        public Held Get(ulong seq) => _held.TryGetValue(seq, out var held) ? held : null;

        /// <summary>The lowest seq that is still held; the seq of the packet being made when there is none.</summary>
        public ulong Floor(ulong nextSeq) => Oldest == null ? nextSeq : Oldest.Seq;

        /// <summary>Keeps a packet that is being sent now; its seq is above all that were added before.</summary>
        public void Add(Held held, long nowNs)
        {
            Append(held, nowNs);
            Sent(held, nowNs);
        }

        /// <summary>Takes in a packet of an earlier run, which only the spool has; it is due at once. Its seq is above all before.</summary>
        public void Restore(Held held, long nowNs)
        {
            held.IsKept = true;
            Append(held, nowNs);
            held.Sends = 1;
            held.DueNs = nowNs;
            _queues[0].Add(held);
        }

        /// <summary>Takes out first..last; numbers that are not here are no fault, so receipts may come twice.</summary>
        public Gone Remove(ulong first, ulong last)
        {
            var gone = default(Gone);
            if (Oldest == null)
            {
                return gone;
            }

            first = Math.Max(first, Oldest.Seq);
            last = Math.Min(last, _newest.Seq);
            if (first > last)
            {
                return gone;
            }

            // A receipt may name a range as wide as it likes: never walk more numbers than there are packets.
            if (last - first >= (ulong)_held.Count)
            {
                for (var held = Oldest; held != null && held.Seq <= last;)
                {
                    var newer = held.Newer;
                    if (held.Seq >= first)
                    {
                        TakeOut(held, ref gone);
                    }

                    held = newer;
                }

                return gone;
            }

            for (var seq = first; ; seq++)
            {
                if (_held.TryGetValue(seq, out var held))
                {
                    TakeOut(held, ref gone);
                }

                if (seq == last)
                {
                    return gone;
                }
            }
        }

        /// <summary>Takes out the oldest packet to make room; nothing when only BYE is left.</summary>
        /// <param name="kept">Only one that stands in the spool.</param>
        public Gone DropOldest(bool kept = false)
        {
            var gone = default(Gone);
            for (var held = Oldest; held != null && !held.IsFinal; held = held.Newer)
            {
                if (held.IsKept || !kept)
                {
                    TakeOut(held, ref gone);
                    break;
                }
            }

            return gone;
        }

        public Gone Clear()
        {
            var gone = default(Gone);
            while (Oldest != null)
            {
                TakeOut(Oldest, ref gone);
            }

            return gone;
        }

        /// <summary>The spool has a packet now.</summary>
        public void MarkKept(Held held)
        {
            held.IsKept = true;
            KeptBytes += held.Bytes;
            KeptPackets++;
        }

        /// <summary>The oldest packet that has bytes loses them; the spool has it.</summary>
        public void StripOldest()
        {
            var held = _oldestInMemory;
            MemoryBytes -= held.Bytes;
            MemoryPackets--;
            _oldestInMemory = held.Newer;
            _pool.Strip(held);
        }

        /// <summary>The oldest packet that was first sent at or before a time and not given out here yet; else null.</summary>
        public Held NextToKeep(long sentNs)
        {
            while (_keepNext != null && _keepNext.FirstNs <= sentNs)
            {
                var held = _keepNext;
                _keepNext = held.Newer;
                if (!held.IsKept)
                {
                    return held;
                }
            }

            return null;
        }

        /// <summary>When the packet that <see cref="NextToKeep"/> looks at next was first sent; <see cref="Never"/> for none.</summary>
        public long NextKeepSentNs
        {
            get
            {
                while (_keepNext != null && _keepNext.IsKept)
                {
                    _keepNext = _keepNext.Newer;
                }

                return _keepNext == null ? Never : _keepNext.FirstNs;
            }
        }

        /// <summary>
        /// A receipt named <paramref name="covered"/>: what is 64 older and was sent once only is due now. It was
        /// overtaken by so many packets that it is lost, not late. Each packet is hurried once.
        /// </summary>
        public void Hurry(ulong covered, long nowNs)
        {
            if (covered + 1 <= DeviceConfig.HurryAfter)
            {
                return;
            }

            var end = covered - DeviceConfig.HurryAfter + 1;
            for (var seq = Math.Max(_hurriedTo, Floor(end)); seq < end; seq++)
            {
                if (_held.TryGetValue(seq, out var held) && held.Sends == 1 && held.DueNs > nowNs)
                {
                    held.DueNs = nowNs;
                    held.Queue.Remove(held);
                    _queues[0].Add(held);
                }
            }

            _hurriedTo = Math.Max(_hurriedTo, end);
        }

        /// <summary>When the next resend is due; <see cref="Never"/> when nothing is held.</summary>
        public long NextDueNs()
        {
            var next = Never;
            foreach (var queue in _queues)
            {
                next = queue.Head == null ? next : Math.Min(next, queue.Head.DueNs);
            }

            return next;
        }

        /// <summary>The oldest packet that is due, marked as sent now; null when none is due.</summary>
        public Held TakeDue(long nowNs)
        {
            Held best = null;
            foreach (var queue in _queues)
            {
                var head = queue.Head;
                if (head != null && head.DueNs <= nowNs && (best == null || head.Seq < best.Seq))
                {
                    best = head;
                }
            }

            if (best != null)
            {
                best.Queue.Remove(best);
                Sent(best, nowNs);
            }

            return best;
        }

        private void Append(Held held, long nowNs)
        {
            held.FirstNs = nowNs;
            held.Older = _newest;
            held.Newer = null;
            if (_newest == null)
            {
                Oldest = held;
            }
            else
            {
                _newest.Newer = held;
            }

            _newest = held;
            _held.Add(held.Seq, held);
            KeptBytes += held.IsKept ? held.Bytes : 0;
            KeptPackets += held.IsKept ? 1 : 0;
            _keepNext = _keepNext ?? held;
            if (held.Packet != null)
            {
                MemoryBytes += held.Bytes;
                MemoryPackets++;
                _oldestInMemory = _oldestInMemory ?? held;
            }
        }

        private void Sent(Held held, long nowNs)
        {
            var step = Math.Min(held.Sends, _delaysNs.Length - 1);
            held.Sends++;
            held.DueNs = nowNs + _delaysNs[step];
            _queues[step + 1].Add(held);
        }

        private void TakeOut(Held held, ref Gone gone)
        {
            gone.First = held.IsKept && gone.Kept == 0 ? held.Seq : gone.First;
            gone.Last = held.IsKept ? held.Seq : gone.Last;
            gone.Packets++;
            gone.Samples += held.Samples;
            gone.Kept += held.IsKept ? 1 : 0;
            KeptBytes -= held.IsKept ? held.Bytes : 0;
            KeptPackets -= held.IsKept ? 1 : 0;
            if (held.Packet != null)
            {
                MemoryBytes -= held.Bytes;
                MemoryPackets--;
            }

            _oldestInMemory = _oldestInMemory == held ? held.Newer : _oldestInMemory;
            _keepNext = _keepNext == held ? held.Newer : _keepNext;
            if (held.Older == null)
            {
                Oldest = held.Newer;
            }
            else
            {
                held.Older.Newer = held.Newer;
            }

            if (held.Newer == null)
            {
                _newest = held.Older;
            }
            else
            {
                held.Newer.Older = held.Older;
            }

            held.Queue.Remove(held);
            _held.Remove(held.Seq);
            _pool.Return(held);
        }
    }
}
