using System;

namespace Vestibule
{
    /// <summary>Sends HELLOs: the counter, the one that waits for its WELCOME, and when the next is due.</summary>
    internal sealed class Greeter
    {
        public const long Never = long.MaxValue;

        private const long SpacingNs = 1_000 * DeviceConfig.Ms; // a RESET brings no HELLO sooner: a loop of both stays slow
        private const int NoAnswerSends = 6; // after so many sends (8 s) people are told that nobody answers

        // A HELLO that the gateway knows is answered only while its link is half-open. When the WELCOME was lost and the
        // link replaced, the same bytes would be dropped for ever, so after a minute of them a new HELLO is made.
        private const int RenewSends = 16;

        // An app that stops while a HELLO waits goes on asking for this long: the gateway may have made a link by it, and
        // without a BYE on that link its session could not be closed in order.
        private const long LeaveNs = 5_000 * DeviceConfig.Ms;

        private readonly DeviceConfig _config;
        private readonly Action<byte[]> _random;
        private readonly IEffects _effects;
        private ulong _next;
        private bool _hasSent;
        private long _lastNs;

        public Greeter(DeviceConfig config, Action<byte[]> random, IEffects effects)
        {
            _config = config;
            _random = random;
            _effects = effects;
            _next = config.NextHello;
            Tagger = new Tagger(Derive.HandshakeKey(config.Key));
        }

        /// <summary>Of K_hs: tags HELLO, WELCOME and RESET.</summary>
        public Tagger Tagger { get; private set; }

        /// <summary>The HELLO that waits; null while nothing is asked for.</summary>
        public Handshake Pending { get; set; }

        /// <summary>When a device that waits, was refused or reset tries again.</summary>
        public long RetryNs { get; set; } = Never;

        /// <summary>Whether people should be told that nobody answers.</summary>
        public bool IsUnanswered => Pending != null && Pending.Sends >= NoAnswerSends;

        /// <summary>The device has another key from now on.</summary>
        public void Rekey()
        {
            Tagger = new Tagger(Derive.HandshakeKey(_config.Key)); // links keep the one they were made with
            Pending = null;
        }

        /// <summary>Counters below this are used.</summary>
        public void RaiseTo(ulong next) => _next = Math.Max(_next, next);

        /// <summary>Sends a new HELLO; it takes the place of one that waits.</summary>
        public Handshake Begin(string cause, uint[] links, long nowNs)
        {
            var seq = _next++;
            _hasSent = true;
            _lastNs = nowNs;
            RetryNs = Never;
            var nonceD = new byte[Sizes.Nonce];
            _random(nonceD);
            Pending = Handshake.Hello(_config, Tagger, seq, nonceD, links, cause, nowNs);
            _effects.PersistSeq(seq);
            _effects.Send(Pending.Packet, Pending.Packet.Length, true);
            return Pending;
        }

        /// <summary>Sends the HELLO that waits again if it is due: the same bytes, or a new one after long enough.</summary>
        public void Again(Links links, long nowNs)
        {
            var pending = Pending;
            if (pending == null)
            {
                return;
            }

            if (pending.Cause == Handshake.Leave && nowNs >= pending.UntilNs)
            {
                Pending = null;
                return;
            }

            if (nowNs < pending.NextNs)
            {
                return;
            }

            if (pending.Sends >= RenewSends)
            {
                var renewed = Begin(pending.Cause, links.Numbers(), nowNs);
                renewed.Sends = NoAnswerSends; // nobody has answered so far: the waits stay long
                renewed.NextNs = nowNs + Handshake.MostNs;
                return;
            }

            pending.Again(nowNs);
            _effects.Send(pending.Packet, pending.Packet.Length, true);
        }

        /// <summary>The app has stopped: what waits only makes sure that no link stays without its BYE.</summary>
        public void Leave(long nowNs)
        {
            var pending = Pending;
            if (pending == null || pending.Cause == "ask" || pending.Cause == "finished" || pending.Cause == Handshake.Leave)
            {
                return;
            }

            if (IsUnanswered)
            {
                Pending = null; // nobody is there: nothing to take leave of
                return;
            }

            pending.Cause = Handshake.Leave;
            pending.UntilNs = nowNs + LeaveNs;
        }

        /// <summary>Plans a new HELLO at once, unless the last was a moment ago.</summary>
        public void RetrySoon(long nowNs) => RetryNs = _hasSent ? Math.Max(nowNs, _lastNs + SpacingNs) : nowNs;
    }
}
