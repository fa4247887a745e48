using System;
using System.Collections.Generic;

namespace Vestibule
{
    /// <summary>
    /// The device: capture, links, handshakes, clock and resends, as one machine without sockets, files or clocks. Each
    /// call takes what happened and the time, and says through <see cref="IEffects"/> what to do;
    /// <see cref="WakeAt"/> says when a <see cref="Tick"/> is wanted. At most one link is current; all others drain.
    /// One thread owns it. Times are the device's clock in nanoseconds and never less than before.
    /// </summary>
    internal sealed partial class Machine
    {
        public const long Never = long.MaxValue;

        private readonly DeviceConfig _config;
        private readonly IEffects _effects;
        private readonly Greeter _greeter;
        private readonly Gather _gather;
        private readonly Commands _commands;
        private readonly Receipt _receipt = new Receipt();
        private readonly byte[] _scratch = new byte[2 * Sizes.MaxDatagram];
        private readonly byte[] _clockSample = new byte[ClockReading.SampleBytes];
        private readonly bool[] _permitted = new bool[256];
        private Link _current;
        private Link _recording; // the current link, unless it is a waiting one
        private Link _told; // the one that the app was told of
        private List<ulong> _kinds; // that the recording link permits
        private Probes _probes;
        private bool _wanted;
        private string _why = "not_started";
        private string _shownState = VisibleState.NotRecording;
        private string _shownReason = "not_started";
        private int _shownBehindS;
        private long _nowNs;

        /// <param name="config">Who it is and how it works.</param>
        /// <param name="random">Fills with random bytes, for nonces.</param>
        /// <param name="effects">Performs what the machine asks for.</param>
        public Machine(DeviceConfig config, Action<byte[]> random, IEffects effects)
        {
            _config = config;
            _effects = effects;
            _commands = new Commands(config);
            _gather = new Gather(config.LingerNs, SealData);
            Links = new Links(config, Account, effects);
            _greeter = new Greeter(config, random, effects);
        }

        public Account Account { get; } = new Account();

        /// <summary>Of links of earlier runs, which the spool gave back.</summary>
        public Account Earlier { get; } = new Account();

        public Links Links { get; }

        /// <summary>When a <see cref="Tick"/> is wanted.</summary>
        public long WakeAt { get; private set; } = Never;

        public uint CurrentLink => _current == null ? 0 : _current.Number;

        public long Unsealed => _gather.WaitingSamples;

        /// <summary>Streams of the session recorded last.</summary>
        public Streams Streams => _gather.Streams;

        public bool HasClock { get; private set; }

        /// <summary>The newest clock measurement.</summary>
        public ClockReading Clock { get; private set; }

        /// <summary>Whether the app wants to record.</summary>
        public bool IsWanted => _wanted;

        /// <summary>Drained: nothing is unsealed or without a receipt, and the gateway knows the end of each link.</summary>
        public bool IsIdle => _recording == null && Links.HeldPackets == 0 && _gather.DueNs == Never &&
                              !Links.IsUnsaid && _greeter.Pending?.Cause != "finished" &&
                              _greeter.Pending?.Cause != Handshake.Leave;

        // What happens.

        /// <summary>Takes links of earlier runs over; before the first <see cref="Start"/>.</summary>
        public void Restore(IEnumerable<RestoredLink> links, long nowNs)
        {
            foreach (var restored in links)
            {
                if (Links.Get(restored.Number) != null || restored.Packets.Count == 0)
                {
                    continue;
                }

                var link = new Link(_config, restored, Earlier, _greeter.Tagger, Links.Pool, nowNs);
                Links.Add(link);
                Links.Bound();
                After(nowNs);
            }
        }

        /// <summary>The app wants to record (again): a link is asked for; old ones drain beside it.</summary>
        public void Start(long nowNs)
        {
            if (!_wanted)
            {
                _wanted = true;
                _why = "connecting";
                _greeter.Begin("start", Links.Numbers(), nowNs);
            }

            After(nowNs);
        }

        /// <summary>The app wants to record no more, for a while or for good; what is held drains.</summary>
        /// <param name="reason">A word of BYE.</param>
        /// <param name="nowNs">Device time.</param>
        public void Cease(string reason, long nowNs)
        {
            _wanted = false;
            _why = reason;
            _greeter.RetryNs = Never;
            _greeter.Leave(nowNs);
            End(reason, nowNs);
            Links.Keep(nowNs, true);
            Links.Bound();
            After(nowNs);
        }

        /// <summary>The time of <see cref="WakeAt"/> has come.</summary>
        public void Tick(long nowNs) => After(nowNs);

        /// <summary>A packet came from the network. Its buffer is lent and is written into; no packet can make this throw.</summary>
        public void Received(byte[] packet, int bytes, long nowNs)
        {
            var wrong = Take(packet, bytes, nowNs);
            if (wrong != null)
            {
                Account.Ignored.Add(wrong, 1);
            }

            After(nowNs);
        }

        /// <summary>The spool could not give a packet back.</summary>
        public void SpoolLost(uint link, ulong seq, long nowNs)
        {
            Links.SpoolLost(link, seq);
            After(nowNs);
        }

        /// <summary>The device has another key, from a file; as after COMMAND rotate.</summary>
        public void Rekey(byte[] key, ulong nextHello, long nowNs)
        {
            _greeter.RaiseTo(nextHello);
            TakeKey(key);
            if (_wanted || Links.Count > 0)
            {
                _greeter.Begin("rotate", Links.Numbers(), nowNs);
            }

            After(nowNs);
        }

        /// <summary>
        /// Takes samples in: the hot path, without the look at the timers. While nothing is recorded they are not kept
        /// and get no numbers.
        /// </summary>
        public void Capture(ushort stream, byte kind, ReadOnlySpan<byte> samples, int count, long nowNs)
        {
            if (!IsTaken(kind, count))
            {
                return;
            }

            _nowNs = nowNs;
            var fault = _gather.Add(stream, kind, samples, count, nowNs);
            if (fault != null)
            {
                Account.Faults.Add(fault, Math.Max(1, count));
                return;
            }

            Account.Captured += count;
            if (_config.LingerNs == 0)
            {
                _gather.Flush();
            }

            WakeAt = Math.Min(WakeAt, _gather.DueNs);
        }

        /// <summary>Samples that found the queue full: they have numbers, and are lost.</summary>
        public void Missed(ushort stream, byte kind, long count, long nowNs)
        {
            if (!IsTaken(kind, count))
            {
                return;
            }

            _nowNs = nowNs;
            var fault = _gather.Miss(stream, kind, count);
            if (fault != null)
            {
                Account.Faults.Add(fault, count);
                return;
            }

            Account.Captured += count;
            Account.Lost.Add(Account.Overflow, count);
            WakeAt = Math.Min(WakeAt, _gather.DueNs);
        }

        private bool IsTaken(byte kind, long count)
        {
            if (_recording == null)
            {
                Account.Unrecorded += count;
                return false;
            }

            if (!_permitted[kind] && Kinds.RecordBytes(kind) > 0)
            {
                Account.Withheld[kind] += count;
                return false;
            }

            return true;
        }

        private void SealData(List<List<FrameBuffer>> packets)
        {
            var link = _recording;
            if (link == null)
            {
                return;
            }

            foreach (var frames in packets)
            {
                var to = new MsgWriter(_scratch, Sizes.Header);
                _gather.Body(ref to, frames, link.Ring.Floor(link.NextSeq));
                Send(link.Seal(PacketType.Data, _scratch, to.At, _nowNs, frames));
                Links.Pace.Live(_nowNs);
            }

            Links.Bound();
            WakeAt = Math.Min(WakeAt, _nowNs + _config.DelaysNs[0]);
        }

        private void Flush(long nowNs)
        {
            _nowNs = nowNs;
            _gather.Flush();
        }

        /// <summary>Sends what stands in the scratch buffer, for the first time.</summary>
        private void Send(int bytes)
        {
            Account.Sent++;
            _effects.Send(_scratch, bytes, false);
        }
    }
}
