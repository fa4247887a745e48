using System;
using System.Collections.Generic;
using System.Globalization;
using System.Security.Cryptography;

namespace Vestibule.Tests
{
    /// <summary>One machine of a trace, which is given what the reference was given, and compared with what that did.</summary>
    internal sealed class TracePlayer : IEffects
    {
        private const int HeadBytes = 24;

        private readonly DeviceConfig _config;
        private readonly Machine _machine;
        private readonly List<string> _out = new List<string>();
        private readonly SHA256 _hash = SHA256.Create();
        private readonly int _fullSteps;
        private byte[] _random = Array.Empty<byte>();
        private int _handed;
        private int _steps;

        public TracePlayer(Json told)
        {
            var options = new ClientOptions
            {
                RingBytes = told["ring_bytes"].Int,
                RingPackets = told["ring_packets"].Int,
                Spool = told["spool_bytes"].I64 > 0,
                SpoolBytes = told["spool_bytes"].I64,
                LingerMs = told["linger_ms"].Int,
                ResendFirstMs = told["resend_first_ms"].Int,
                ResendMostMs = told["resend_most_ms"].Int,
                SilenceMs = told["silence_ms"].Int,
                WaitRetryMs = told["wait_retry_ms"].Int,
                Versions = told["versions"].Items.ConvertAll(version => version.Int),
                Commands = told["commands"].Items.ConvertAll(verb => verb.Text),
                Targets = told["targets"].Items.ConvertAll(target => target.Int),
            };
            var next = (ulong)(told["hello_seq"].I64 + 1);
            _config = DeviceConfig.Of(options, (uint)told["device"].U64, told["key"].Hex, next, told["run"].U64);
            _machine = new Machine(_config, Hand, this);
            _fullSteps = told["full_steps"].Int;
        }

        /// <summary>Does one step and compares.</summary>
        /// <exception cref="DifferException">It did something else.</exception>
        public void Step(Json line)
        {
            _out.Clear();
            _random = line.Has("random") ? line["random"].Hex : Array.Empty<byte>();
            _handed = 0;
            var faults = Faults();
            Do(line, line["t"].I64);
            foreach (var fault in Faults())
            {
                faults.TryGetValue(fault.Key, out var before);
                if (fault.Value != before)
                {
                    _out.Add("fault " + fault.Key);
                }
            }

            var expected = line["out"].Items;
            for (var at = 0; at < Math.Max(expected.Count, _out.Count); at++)
            {
                Same(line, "effect " + at, at < expected.Count ? expected[at].Text : "nothing", at < _out.Count ? _out[at] : "nothing");
            }

            Same(line, "state", line["now"].Text, State());
            Same(line, "random bytes used", Text(_random.Length), Text(_handed));
            if (line.Has("counts"))
            {
                Same(line, "counters", line["counts"].Text, TraceCounters.Of(_machine));
            }

            _steps++;
        }

        public void Send(byte[] packet, int bytes, bool hello) =>
            _out.Add((hello ? "hello " : "send ") + Packet(packet, bytes));

        public void PersistSeq(ulong helloSeq) => _out.Add("seq " + Text(helloSeq));

        public void PersistKey(byte[] key) => _out.Add("key " + Hex.Of(key));

        public void Changed(string state, string reason, int behindS) => _out.Add("show " + state + "|" + reason + "|" + Text(behindS));

        public void Commanded(ClientCommand command)
        {
            var text = " s:" + Hex.Of(System.Text.Encoding.UTF8.GetBytes(command.Text));
            var args = command.Verb == "text" ? text : " i:" + Text(command.Code) + text;
            if (command.Verb == "haptic")
            {
                args = " i:" + Text(command.Target) + Bits(command.Amplitude) + " i:" + Text(command.DurationMs) + Bits(command.FrequencyHz);
            }

            _out.Add("do " + command.Verb + args);
        }

        public void Recording(List<ulong> kinds)
        {
            // For the app's threads; the reference has no word for it.
        }

        public void Keep(Link link, ulong seq, int samples, byte[] packet, int bytes)
        {
            var head = Hex.Of(_hash.ComputeHash(SpoolFormat.Header(_config.Device, link))).Substring(0, 16);
            _out.Add("keep " + Text(link.Number) + " " + Text(seq) + " " + Text(samples) + " " + head + " " + Packet(packet, bytes));
        }

        public void SendKept(uint link, ulong seq) => _out.Add("kept " + Text(link) + " " + Text(seq));

        public void Settled(uint link, ulong first, ulong last) =>
            _out.Add("settled " + Text(link) + " " + Text(first) + " " + Text(last));

        public void Dropped(uint link) => _out.Add("dropped " + Text(link));

        private static string Text(IFormattable number) => number.ToString(null, CultureInfo.InvariantCulture);

        private static string Bits(double value) =>
            " f:" + BitConverter.DoubleToInt64Bits(value).ToString("x16", CultureInfo.InvariantCulture);

        private static RestoredLink Restored(Json line)
        {
            var made = new RestoredLink
            {
                Number = (uint)line["link"].U64,
                Run = line["run"].U64,
                Session = line["session"].Hex,
                Gateway = line["gateway"].Text,
                DownKeys = line["down"].Hex,
            };
            foreach (var row in line["packets"].Items)
            {
                made.Packets.Add(new RestoredPacket(row[0].U64, row[1].Int, row[2].Int, row[3].Hex, row[4].Text == "true"));
            }

            return made;
        }

        private static void Same(Json line, string what, string expected, string got)
        {
            if (expected != got)
            {
                throw new DifferException(
                    line["do"].Text + " at " + line["t"].Text + ": " + what + "\n  expected " + expected + "\n  got      " + got);
            }
        }

        private void Do(Json line, long nowNs)
        {
            switch (line["do"].Text)
            {
                case "start":
                    _machine.Start(nowNs);
                    return;
                case "tick":
                    _machine.Tick(nowNs);
                    return;
                case "cease":
                    _machine.Cease(line["reason"].Text, nowNs);
                    return;
                case "received":
                    var packet = line["packet"].Hex;
                    _machine.Received(packet, packet.Length, nowNs);
                    return;
                case "spool_lost":
                    _machine.SpoolLost((uint)line["link"].U64, line["seq"].U64, nowNs);
                    return;
                case "restore":
                    _machine.Restore(new[] { Restored(line) }, nowNs);
                    return;
                case "capture":
                    Capture(line, nowNs);
                    return;
                default:
                    throw new FormatException("no such event: " + line["do"].Text);
            }
        }

        private void Capture(Json line, long nowNs)
        {
            var samples = new byte[line["size"].Int];
            Array.Fill(samples, (byte)line["fill"].Int);
            _machine.Capture((ushort)line["stream"].Int, (byte)line["kind"].Int, samples, line["count"].Int, nowNs);
        }

        private void Hand(byte[] into)
        {
            if (_handed + into.Length > _random.Length)
            {
                throw new DifferException("more random bytes are wanted than the reference took");
            }

            Buffer.BlockCopy(_random, _handed, into, 0, into.Length);
            _handed += into.Length;
        }

        private string Packet(byte[] packet, int bytes)
        {
            if (_steps < _fullSteps)
            {
                return Hex.Of(packet.AsSpan(0, bytes).ToArray());
            }

            var digest = Hex.Of(_hash.ComputeHash(packet, 0, bytes)).Substring(0, 32);
            return Hex.Of(packet.AsSpan(0, Math.Min(HeadBytes, bytes)).ToArray()) + ":" + Text(bytes) + ":" + digest;
        }

        private Dictionary<string, long> Faults() => _machine.Account.Faults.Copy();

        private string State() =>
            "wake " + (_machine.WakeAt == Machine.Never ? "never" : Text(_machine.WakeAt)) + (_machine.IsIdle ? " idle" : " busy") +
            " link " + Text(_machine.CurrentLink) + " of " + Text(_machine.Links.Count) + " holds " + Text(_machine.Links.HeldPackets) +
            "+" + Text(_machine.Unsealed);
    }
}
