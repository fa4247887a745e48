using System;
using System.Buffers.Binary;
using System.Collections.Generic;

namespace Vestibule
{
    /// <summary>One measured exchange, in nanoseconds: t1, t4 of the device's clock, t2, t3 of the gateway's.</summary>
    internal readonly struct ClockReading
    {
        public const int SampleBytes = 48;

        private readonly long _t1Ns;
        private readonly long _t2Ns;
        private readonly long _t3Ns;
        private readonly long _t4Ns;

        public ClockReading(long t1Ns, long t2Ns, long t3Ns, long t4Ns)
        {
            _t1Ns = t1Ns;
            _t2Ns = t2Ns;
            _t3Ns = t3Ns;
            _t4Ns = t4Ns;
        }

        /// <summary>Round trip without the gateway's own time.</summary>
        public long RttNs => _t4Ns - _t1Ns - (_t3Ns - _t2Ns);

        /// <summary>Gateway clock minus device clock, rounded down.</summary>
        public long OffsetNs => (_t2Ns - _t1Ns + _t3Ns - _t4Ns) >> 1;

        /// <summary>Half the round trip: the offset cannot be wrong by more.</summary>
        public long UncertaintyNs => (RttNs + 1) / 2;

        /// <summary>Whether the numbers can be true, and their differences fit 64 bits.</summary>
        public bool IsSane()
        {
            // No clock is 73 years from its start; every sum and difference then fits.
            const long Most = long.MaxValue / 4;
            return _t2Ns >= 0 && _t2Ns <= _t3Ns && _t3Ns <= Most && _t1Ns >= -Most && _t1Ns <= Most &&
                   RttNs >= 0 && RttNs <= Probes.RttMaxNs;
        }

        /// <summary>Writes the record of the clock kind.</summary>
        public void Write(Span<byte> into)
        {
            BinaryPrimitives.WriteInt64LittleEndian(into, _t1Ns);
            BinaryPrimitives.WriteInt64LittleEndian(into.Slice(8), _t2Ns);
            BinaryPrimitives.WriteInt64LittleEndian(into.Slice(16), _t3Ns);
            BinaryPrimitives.WriteInt64LittleEndian(into.Slice(24), _t4Ns);
            BinaryPrimitives.WriteInt64LittleEndian(into.Slice(32), OffsetNs);
            BinaryPrimitives.WriteUInt32LittleEndian(into.Slice(40), (uint)UncertaintyNs);
            into[44] = 1; // a burst of SYNC probes
            into.Slice(45, 3).Clear();
        }
    }

    /// <summary>
    /// When to send a probe, and what its replies say: every 2 s a burst of 8, 64 ms apart; the fastest round trip wins,
    /// because what delays a packet can only add to it (SPEC, "Clock probes").
    /// </summary>
    internal sealed class Probes
    {
        public const long RttMaxNs = 128 * DeviceConfig.Ms;

        private const int BurstProbes = 8;
        private const int BurstMinReplies = 6;
        private const long BurstEveryNs = 2_000 * DeviceConfig.Ms;
        private const long ProbeEveryNs = 64 * DeviceConfig.Ms;
        private const long KeepaliveEveryNs = 2_000 * DeviceConfig.Ms;

        private readonly bool _measure;
        private readonly List<long> _open = new List<long>(BurstProbes);
        private ClockReading _best;
        private int _replies;
        private long _burstNs;
        private int _left = BurstProbes;

        /// <param name="nowNs">Device time; the first probe is due at once.</param>
        /// <param name="measure">False: single probes that only keep the link alive.</param>
        public Probes(long nowNs, bool measure)
        {
            _measure = measure;
            _burstNs = nowNs;
            NextNs = nowNs;
        }

        /// <summary>When <see cref="Poll"/> has something to do.</summary>
        public long NextNs { get; private set; }

        /// <summary>Does what is due.</summary>
        /// <param name="nowNs">Device time.</param>
        /// <param name="over">Whether a burst is over that counts.</param>
        /// <param name="best">Its result.</param>
        /// <returns>Whether a probe with t1 = <paramref name="nowNs"/> is to be sent.</returns>
        public bool Poll(long nowNs, out bool over, out ClockReading best)
        {
            over = false;
            best = default;
            if (nowNs < NextNs)
            {
                return false;
            }

            if (!_measure)
            {
                NextNs = nowNs + KeepaliveEveryNs;
                return true;
            }

            if (_left > 0)
            {
                _left--;
                _open.Add(nowNs);

                // From now, not from when it should have been: a late driver must not send the rest at once.
                NextNs = nowNs + (_left > 0 ? ProbeEveryNs : RttMaxNs);
                return true;
            }

            over = _replies >= BurstMinReplies;
            best = _best;
            _open.Clear();
            _replies = 0;
            _left = BurstProbes;
            _burstNs = Math.Max(_burstNs + BurstEveryNs, nowNs);
            NextNs = _burstNs;
            return false;
        }

        /// <summary>A reply came; one that answers no open probe, or cannot be true, is passed over.</summary>
        public void Reply(in ProbeReply reply, long nowNs)
        {
            if (!_open.Remove(reply.T1Ns))
            {
                return;
            }

            var reading = new ClockReading(reply.T1Ns, reply.T2Ns, reply.T3Ns, nowNs);
            if (!reading.IsSane())
            {
                return;
            }

            if (_replies == 0 || reading.RttNs < _best.RttNs)
            {
                _best = reading;
            }

            _replies++;
        }
    }
}
