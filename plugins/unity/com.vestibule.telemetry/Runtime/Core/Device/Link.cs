using System;
using System.Collections.Generic;

namespace Vestibule
{
    /// <summary>
    /// The device's side of one link: keys, numbers, what it sealed and what the gateway said about it. A link never
    /// changes its keys, its session or its run; nothing that was sealed is ever encrypted again.
    /// </summary>
    internal sealed class Link : IDisposable
    {
        private const int RememberedRefusals = 1024;

        private readonly LinkCipher _up; // null on a link of an earlier run: nothing is sealed on it any more
        private readonly LinkCipher _down;
        private readonly Seen _seen = new Seen();
        private readonly SentTags _tags = new SentTags();
        private readonly HashSet<(ulong, ulong)> _told = new HashSet<(ulong, ulong)>();
        private readonly Queue<(ulong, ulong)> _toldOrder = new Queue<(ulong, ulong)>();
        private readonly DeviceConfig _config;
        private readonly HeldPool _pool;
        private readonly Tagger _tagger; // of the K_dev that the link was made with: RESET is tagged with it

        /// <summary>A link that a WELCOME made.</summary>
        public Link(
            DeviceConfig config, byte[] nonceD, Welcome welcome, Account account, Tagger tagger, HeldPool pool, long nowNs)
            : this(config, account, tagger, pool, nowNs)
        {
            Number = welcome.Link;
            Session = welcome.Session;
            Gateway = welcome.Gateway;
            Run = config.Run;
            IsRecording = welcome.State == Welcome.Recording;
            Reason = welcome.Reason;
            UpKeys = Derive.LinkKeys(config.Key, nonceD, welcome.NonceG, config.Device, Number, Derive.Up);
            DownKeys = Derive.LinkKeys(config.Key, nonceD, welcome.NonceG, config.Device, Number, Derive.Down);
            _up = new LinkCipher(UpKeys);
            _down = new LinkCipher(DownKeys);
        }

        /// <summary>A link of an earlier run, out of the spool: it only drains.</summary>
        public Link(
            DeviceConfig config, RestoredLink restored, Account account, Tagger tagger, HeldPool pool, long nowNs)
            : this(config, account, tagger, pool, nowNs)
        {
            Number = restored.Number;
            Session = restored.Session;
            Gateway = restored.Gateway;
            Run = restored.Run;
            IsRecording = true;
            Reason = "";
            IsRestored = IsUnsaid = true;
            IsEnded = true;
            DownKeys = restored.DownKeys;
            _down = new LinkCipher(DownKeys);
            foreach (var packet in restored.Packets)
            {
                var held = pool.Take();
                held.Seq = packet.Seq;
                held.Bytes = packet.Bytes;
                held.Samples = packet.Samples;
                held.IsFinal = packet.IsBye;
                held.SetTag(packet.Tag);
                Ring.Restore(held, nowNs);
                NextSeq = packet.Seq + 1;
                IsUnsaid &= !packet.IsBye;
                account.Captured += packet.Samples;
            }
        }

        private Link(DeviceConfig config, Account account, Tagger tagger, HeldPool pool, long nowNs)
        {
            Account = account;
            _tagger = tagger;
            _config = config;
            _pool = pool;
            Ring = new Ring(config.DelaysNs, pool);
            HeardNs = ProbeNs = nowNs;
        }

        public uint Number { get; }

        public byte[] Session { get; }

        public string Gateway { get; }

        public ulong Run { get; }

        /// <summary>False for a link welcomed as waiting: it carries SYNC and BYE only.</summary>
        public bool IsRecording { get; }

        public string Reason { get; }

        /// <summary>Of the uplink, for the spool: K_mac is kept there, K_enc is not. Null on a restored link.</summary>
        public byte[] UpKeys { get; }

        public byte[] DownKeys { get; }

        /// <summary>Of an earlier run of the app.</summary>
        public bool IsRestored { get; }

        /// <summary>No BYE will reach the gateway: its end has to be told by a HELLO that does not name it.</summary>
        public bool IsUnsaid { get; set; }

        /// <summary>Where its samples are counted.</summary>
        public Account Account { get; }

        public Ring Ring { get; }

        public ulong NextSeq { get; private set; }

        /// <summary>BYE was sealed; what is held drains.</summary>
        public bool IsEnded { get; private set; }

        /// <summary>A HELLO asked for this link, since nothing was heard on it.</summary>
        public bool IsAsked { get; set; }

        /// <summary>Why the gateway cannot store at present (COMMAND hold); null when it can.</summary>
        public string Hold { get; set; }

        /// <summary>When something authentic and fresh last came, or the link began.</summary>
        public long HeardNs { get; private set; }

        /// <summary>While nothing is heard: when one packet may be sent again to see whether anybody is there.</summary>
        public long ProbeNs { get; set; }

        public Answers Answers { get; } = new Answers();

        /// <summary>Whether nothing was heard for so long that resends shrink to probes.</summary>
        public bool IsSilent(long nowNs) => nowNs - HeardNs >= _config.SilenceNs;

        public void Heard(long nowNs)
        {
            HeardNs = nowNs;
            IsAsked = false;
        }

        /// <summary>Seals the body that stands in the buffer after the header's place.</summary>
        /// <param name="type">Of the packet.</param>
        /// <param name="buffer">Header and tag are written into it.</param>
        /// <param name="end">Where the body ends.</param>
        /// <param name="nowNs">Device time.</param>
        /// <param name="frames">What DATA carries; null for all other types.</param>
        /// <returns>Bytes of the packet.</returns>
        public int Seal(byte type, byte[] buffer, int end, long nowNs, List<FrameBuffer> frames = null)
        {
            var seq = NextSeq++;
            Header.Write(buffer, type, Number, seq, nowNs);
            _up.Crypt(seq, buffer, Sizes.Header, end - Sizes.Header);
            _up.Tag(buffer, end);
            var bytes = end + Sizes.Tag;
            if (type != PacketType.Data && type != PacketType.Bye)
            {
                _tags.Add(seq, buffer.AsSpan(end, Sizes.Tag));
                return bytes;
            }

            var held = _pool.Take(buffer, bytes);
            held.Seq = seq;
            held.SetTag(buffer.AsSpan(end, Sizes.Tag));
            held.IsFinal = type == PacketType.Bye;
            IsEnded |= held.IsFinal;
            for (var at = 0; frames != null && at < frames.Count; at++)
            {
                held.Carry(frames[at].Stream.Number, frames[at].Count);
            }

            Ring.Add(held, nowNs);
            return bytes;
        }

        /// <summary>Whether the tag is the gateway's, by this link's downlink key.</summary>
        public bool IsAuthentic(byte[] packet, int bytes) => _down.Matches(packet, bytes);

        /// <summary>Remembers the seq of an authentic packet; false for a copy.</summary>
        public bool IsFresh(ulong seq) => _seen.Add(seq);

        /// <summary>Decrypts the body of an authentic packet where it stands.</summary>
        public void Decrypt(ulong seq, byte[] packet, int bytes) =>
            _down.Crypt(seq, packet, Sizes.Header, bytes - Sizes.MinPacket);

        /// <summary>Checks a RESET of this link: it must name a packet that was sent, so that one RESET cannot be made from another.</summary>
        public string OpenReset(byte[] packet, int bytes, out Reset reset)
        {
            reset = null;
            if (!_tagger.Matches(packet, bytes))
            {
                return Wrong.BadTag;
            }

            var wrong = Reset.Read(packet, bytes, out reset);
            if (wrong != null)
            {
                return wrong;
            }

            var held = Ring.Get(reset.Seq);
            var isMine = held != null ? held.HasTag(reset.Tag) : _tags.Has(reset.Seq, reset.Tag);
            return isMine ? null : Wrong.NotMine;
        }

        /// <summary>Takes out of the ring what a receipt names; idempotent.</summary>
        public void Settle(Receipt receipt, IEffects effects, long nowNs)
        {
            // Frames first: their packets leave the ring below, and with them how many samples they held.
            foreach (var row in receipt.Frames)
            {
                RefuseFrame(row);
            }

            var covered = 0UL;
            foreach (var row in receipt.Stored)
            {
                covered = Math.Max(covered, row.Range.Last);
                Account.Stored += Take(row.Range, effects);
            }

            foreach (var row in receipt.Refused)
            {
                covered = Math.Max(covered, row.Range.Last);
                Account.Refused.Add(row.Reason, Take(row.Range, effects));
            }

            Hold = receipt.Stored.Count > 0 ? null : Hold;
            if ((receipt.Stored.Count > 0 || receipt.Refused.Count > 0) && NextSeq > 0)
            {
                Ring.Hurry(Math.Min(covered, NextSeq - 1), nowNs);
            }
        }

        public void Dispose()
        {
            _up?.Dispose();
            _down.Dispose();
        }

        private long Take(in SeqRange range, IEffects effects)
        {
            var gone = Ring.Remove(range.First, range.Last);
            if (gone.Kept > 0)
            {
                effects.Settled(Number, gone.First, gone.Last);
            }

            return gone.Samples;
        }

        private void RefuseFrame(in Receipt.FrameRow row)
        {
            if (row.Seq >= NextSeq || !_told.Add((row.Seq, row.Stream)))
            {
                return;
            }

            _toldOrder.Enqueue((row.Seq, row.Stream));
            if (_toldOrder.Count > RememberedRefusals)
            {
                _told.Remove(_toldOrder.Dequeue());
            }

            var held = Ring.Get(row.Seq);
            if (held != null)
            {
                var count = held.SamplesOf(row.Stream);
                Account.Refused.Add(row.Reason, count);
                Account.Stored -= count; // the packet is counted as stored whole when it leaves the ring
            }
        }
    }
}
