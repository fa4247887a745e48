using System;
using System.Collections.Generic;

namespace Vestibule
{
    /// <summary>
    /// All links of a device: what they hold together, what is dropped, and what is sent again. Order is age: the oldest
    /// drains first and overflows first. Live packets never wait for any of it.
    /// </summary>
    internal sealed class Links
    {
        private const long Never = long.MaxValue;
        private const long ProbeNs = 1_000 * DeviceConfig.Ms; // one resend a second into the silence finds who came back
        private const int MaxSpoolPackets = 262_144; // each is known here by its number, so they are bounded too
        private const long AskNs = 30_000 * DeviceConfig.Ms; // a draining link unheard for this long: is it still kept?

        private readonly DeviceConfig _config;
        private readonly Account _account;
        private readonly IEffects _effects;
        private readonly List<Link> _links = new List<Link>(); // oldest first

        public Links(DeviceConfig config, Account account, IEffects effects)
        {
            _config = config;
            _account = account;
            _effects = effects;
        }

        public Pace Pace { get; } = new Pace();

        public HeldPool Pool { get; } = new HeldPool();

        public int Count => _links.Count;

        /// <summary>A link was forgotten of whose end the gateway does not know.</summary>
        public bool IsUnsaid { get; private set; }

        /// <summary>Whether a HELLO should tell that links are done with on which no BYE could.</summary>
        public bool AreFinished => IsUnsaid && !_links.Exists(link => link.IsRestored);

        public int HeldPackets
        {
            get
            {
                var packets = 0;
                foreach (var link in _links)
                {
                    packets += link.Ring.Count;
                }

                return packets;
            }
        }

        /// <summary>Bytes of those that are in the ring; the others are in the spool alone.</summary>
        public long HeldBytes
        {
            get
            {
                var bytes = 0L;
                foreach (var link in _links)
                {
                    bytes += link.Ring.MemoryBytes;
                }

                return bytes;
            }
        }

        /// <summary>Packets that the spool has.</summary>
        public int KeptPackets
        {
            get
            {
                var packets = 0;
                foreach (var link in _links)
                {
                    packets += link.Ring.KeptPackets;
                }

                return packets;
            }
        }

        /// <summary>Their bytes.</summary>
        public long KeptBytes
        {
            get
            {
                var bytes = 0L;
                foreach (var link in _links)
                {
                    bytes += link.Ring.KeptBytes;
                }

                return bytes;
            }
        }

        public Link Get(uint number)
        {
            foreach (var link in _links)
            {
                if (link.Number == number)
                {
                    return link;
                }
            }

            return null;
        }

        /// <summary>Their numbers, newest last, as HELLO names them.</summary>
        public uint[] Numbers()
        {
            var numbers = new uint[_links.Count];
            for (var at = 0; at < numbers.Length; at++)
            {
                numbers[at] = _links[at].Number;
            }

            return numbers;
        }

        /// <summary>Age of the oldest packet without a receipt, from its first send; 0 when there is none.</summary>
        public long BehindNs(long nowNs)
        {
            var behind = 0L;
            foreach (var link in _links)
            {
                behind = link.Ring.Oldest == null ? behind : Math.Max(behind, nowNs - link.Ring.Oldest.FirstNs);
            }

            return behind;
        }

        /// <summary>Takes in a new link; when there are more than HELLO can name, the oldest gives way.</summary>
        public void Add(Link link)
        {
            while (_links.Count >= Sizes.MaxLinks)
            {
                Drop(_links[0], Account.Overflow);
            }

            _links.Add(link);
        }

        /// <summary>Forgets a link; what it holds is lost.</summary>
        public void Drop(Link link, string cause = Account.LinkGone)
        {
            link.Account.Lost.Add(cause, link.Ring.Clear().Samples);
            Forget(link);
        }

        /// <summary>Forgets a link if it has ended and everything has its receipt, BYE too.</summary>
        public void ForgetDrained(Link link)
        {
            if (link.IsEnded && link.Ring.Count == 0)
            {
                IsUnsaid |= link.IsUnsaid;
                Forget(link);
            }
        }

        /// <summary>
        /// Makes the ring's limits hold: the oldest packets lose their bytes to the spool, or are lost where there is
        /// none; then those of the spool. The next packet's floor says so.
        /// </summary>
        public void Bound()
        {
            while (IsOverRing() && (_config.Spool ? StripOldest() : DropOldest(false)))
            {
            }

            while (_config.Spool && IsOverSpool() && DropOldest(true))
            {
            }
        }

        /// <summary>Writes to the spool what has waited for a first receipt, or everything.</summary>
        public void Keep(long nowNs, bool everything = false)
        {
            if (!_config.Spool)
            {
                return;
            }

            var sentNs = everything ? long.MaxValue : nowNs - _config.DelaysNs[0];
            foreach (var link in _links)
            {
                // A waiting link has no session, and nothing to lose but its BYE: the next HELLO tells its end as well.
                for (var held = link.IsRecording ? link.Ring.NextToKeep(sentNs) : null; held != null; held = link.Ring.NextToKeep(sentNs))
                {
                    Keep(link, held);
                }
            }

            Bound();
        }

        /// <summary>The spool cannot give a packet back: it is lost.</summary>
        public void SpoolLost(uint number, ulong seq)
        {
            var link = Get(number);
            var held = link?.Ring.Get(seq);
            if (held != null && held.Packet == null)
            {
                link.IsUnsaid |= link.IsEnded;
                link.Account.Lost.Add(Account.Overflow, link.Ring.Remove(seq, seq).Samples);
                _effects.Settled(number, seq, seq);
                ForgetDrained(link);
            }
        }

        /// <summary>Sends again what is due, as fast as the pace allows; into a silence only probes.</summary>
        public void Resend(long nowNs)
        {
            foreach (var link in _links)
            {
                if (link.IsSilent(nowNs))
                {
                    if (nowNs >= link.ProbeNs && SendDue(link, nowNs))
                    {
                        link.ProbeNs = nowNs + ProbeNs;
                    }

                    continue;
                }

                while (link.Ring.NextDueNs() <= nowNs && Pace.Take(nowNs))
                {
                    SendDue(link, nowNs);
                }
            }
        }

        /// <summary>A HELLO tells so, once for all of them.</summary>
        public void Told() => IsUnsaid = false;

        /// <summary>Whether HELLO should ask about draining links that hear nothing; each is asked about once.</summary>
        public bool Ask(long nowNs)
        {
            var asks = false;
            foreach (var link in _links)
            {
                if (IsUnsure(link) && nowNs >= link.HeardNs + AskNs)
                {
                    link.IsAsked = asks = true;
                }
            }

            return asks;
        }

        /// <summary>When <see cref="Resend"/> or <see cref="Keep(long, bool)"/> has something to do.</summary>
        public long NextResendNs(long nowNs)
        {
            var next = Never;
            foreach (var link in _links)
            {
                var dueNs = link.Ring.NextDueNs();
                if (dueNs != Never)
                {
                    next = Math.Min(next, Math.Max(dueNs, link.IsSilent(nowNs) ? link.ProbeNs : Pace.ReadyAt(nowNs)));
                }

                if (_config.Spool && link.IsRecording && link.Ring.NextKeepSentNs != Never)
                {
                    next = Math.Min(next, link.Ring.NextKeepSentNs + _config.DelaysNs[0]);
                }
            }

            return next;
        }

        /// <summary>When <see cref="Ask"/> has something to ask.</summary>
        public long NextAskNs()
        {
            var next = Never;
            foreach (var link in _links)
            {
                next = IsUnsure(link) ? Math.Min(next, link.HeardNs + AskNs) : next;
            }

            return next;
        }

        private static bool IsUnsure(Link link) => link.IsEnded && !link.IsAsked && link.Ring.Count > 0;

        private void Forget(Link link)
        {
            _links.Remove(link);
            if (_config.Spool)
            {
                _effects.Dropped(link.Number);
            }

            link.Dispose();
        }

        private bool SendDue(Link link, long nowNs)
        {
            var held = link.Ring.TakeDue(nowNs);
            if (held == null)
            {
                return false;
            }

            _account.Resent++;
            if (held.Packet == null)
            {
                _effects.SendKept(link.Number, held.Seq);
            }
            else
            {
                _effects.Send(held.Packet, held.Bytes, false);
            }

            return true;
        }

        private void Keep(Link link, Held held)
        {
            link.Ring.MarkKept(held);
            _effects.Keep(link, held.Seq, held.Samples, held.Packet, held.Bytes);
        }

        private bool IsOverRing()
        {
            var bytes = 0L;
            var packets = 0;
            foreach (var link in _links)
            {
                bytes += link.Ring.MemoryBytes;
                packets += link.Ring.MemoryPackets;
            }

            return bytes > _config.RingBytes || packets > _config.RingPackets;
        }

        private bool IsOverSpool() => KeptBytes > _config.SpoolBytes || KeptPackets > MaxSpoolPackets;

        private bool StripOldest()
        {
            foreach (var link in _links)
            {
                var held = link.IsRecording ? link.Ring.OldestInMemory : null;
                if (held != null)
                {
                    if (!held.IsKept)
                    {
                        Keep(link, held);
                    }

                    link.Ring.StripOldest();
                    return true;
                }
            }

            return false;
        }

        private bool DropOldest(bool kept)
        {
            foreach (var link in _links)
            {
                var gone = link.Ring.DropOldest(kept);
                if (gone.Packets > 0)
                {
                    link.Account.Lost.Add(Account.Overflow, gone.Samples);

                    // Above the floor that BYE told: only a HELLO that no longer names the link tells that nothing comes.
                    link.IsUnsaid |= link.IsEnded;
                    if (gone.Kept > 0)
                    {
                        _effects.Settled(link.Number, gone.First, gone.Last);
                    }

                    ForgetDrained(link);

                    return true;
                }
            }

            return false;
        }
    }
}
