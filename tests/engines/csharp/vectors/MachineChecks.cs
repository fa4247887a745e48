using System;
using System.Collections.Generic;
using System.IO;

namespace Vestibule.Tests
{
    /// <summary>What the machine does over time: hold, rotate, samples that were missed, the spool.</summary>
    internal static class MachineChecks
    {
        private const long Ms = DeviceConfig.Ms;

        public static void Hold(Checks checks, Json handshake)
        {
            var bench = new Bench(handshake).Started(handshake, "welcome_recording");
            var gateway = new GatewaySide(handshake);
            bench.Take(gateway.Command("hold", "disk_full"), Bench.StartNs + Ms);
            checks.Equal("shown at once", bench.Notes[bench.Notes.Count - 1], "behind disk_full 0");
            checks.Equal("answered", Answer(gateway, bench), "done");
            Pose(bench, 0, Bench.StartNs + (2 * Ms));
            bench.Machine.Tick(Bench.StartNs + (300 * Ms));
            checks.That("it goes on", bench.Sent.Exists(packet => packet[3] == PacketType.Data));
            bench.Take(gateway.Stored(0, 9), Bench.StartNs + (301 * Ms));
            checks.Equal("over with the first receipt", bench.Notes[bench.Notes.Count - 1], "recording  0");
            bench.Take(gateway.Command("hold", "weather"), Bench.StartNs + (302 * Ms));
            checks.Equal("no such reason", Answer(gateway, bench), "refused");
        }

        public static void Rotate(Checks checks, Json handshake)
        {
            var bench = new Bench(handshake).Started(handshake, "welcome_recording");
            var gateway = new GatewaySide(handshake);
            var key = new byte[32];
            key[0] = 0xA5;
            bench.Take(gateway.Command("rotate", Hex.Of(key).ToUpperInvariant()), Bench.StartNs + Ms);
            checks.Equal("capitals", Answer(gateway, bench), "refused");
            var from = bench.Notes.Count;
            bench.Take(gateway.Command("rotate", Hex.Of(key)), Bench.StartNs + (2 * Ms));
            checks.Equal("persisted, answered, HELLO", string.Join(" ", bench.Notes.GetRange(from, 4)), "key send 6 seq 2 send 3");
            checks.Bytes("the key", bench.Key, key);
            checks.That("HELLO under the new key", new Tagger(Derive.HandshakeKey(key)).Matches(bench.Last, bench.Last.Length));
            from = bench.Notes.Count;
            bench.Take(gateway.Command("rotate", Hex.Of(key)), Bench.StartNs + (3 * Ms));
            checks.Equal("the key it has", string.Join(" ", bench.Notes.GetRange(from, bench.Notes.Count - from)), "send 6");
            checks.Equal("is done", Answer(gateway, bench), "done");
        }

        public static void Missed(Checks checks, Json handshake)
        {
            var bench = new Bench(handshake).Started(handshake, "welcome_recording");
            var gateway = new GatewaySide(handshake);
            Pose(bench, 3, Bench.StartNs + Ms);
            bench.Machine.Missed(3, Kinds.Pose, 5, Bench.StartNs + Ms);
            Pose(bench, 3, Bench.StartNs + Ms);
            bench.Machine.Tick(Bench.StartNs + (300 * Ms));
            var data = new List<string>();
            foreach (var packet in bench.Sent)
            {
                if (packet[3] == PacketType.Data)
                {
                    data.Add(Rows(gateway.Open(packet)));
                }
            }

            checks.Equal("frames stop where samples are missing", string.Join("; ", data), "3:7 at 0; 3:7 at 6");
            checks.Equal("captured", bench.Machine.Account.Captured, 7L);
            checks.Equal("lost", bench.Machine.Account.Lost.Copy()["overflow"], 5L);
            var queue = new CaptureQueue(64, 1);
            for (var at = 0; at < 9; at++)
            {
                queue.Write(3, Kinds.Button, new byte[24], 1);
            }

            var taken = 0;
            var missed = 0;
            while (queue.TryPeek(out var captured))
            {
                taken += captured.IsMissed ? 0 : captured.Count;
                missed += captured.IsMissed ? captured.Count : 0;
                queue.Advance(captured);
            }

            checks.Equal("a full queue takes", taken, 1);
            checks.Equal("and counts what it does not", missed, 8);
            checks.Equal("dropped", queue.Dropped, 8L);
        }

        public static void Spooled(Checks checks, Json handshake)
        {
            var bench = new Bench(handshake, set => { set.Spool = true; set.RingPackets = 2; set.LingerMs = 0; set.RingBytes = 4096; });
            bench.Started(handshake, "welcome_recording");
            for (var at = 0; at < 4; at++)
            {
                Pose(bench, 0, Bench.StartNs + Ms);
            }

            var notes = string.Join(" ", bench.Notes);
            checks.That("kept as the ring is full: " + notes, notes.Contains("keep 1 1") && notes.Contains("keep 2 1") && !notes.Contains("keep 3"));
            checks.Equal("all are held", bench.Machine.Links.HeldPackets, 4);
            bench.Machine.Tick(Bench.StartNs + (2_502 * Ms));
            notes = string.Join(" ", bench.Notes);
            checks.That("kept as the resend falls due: " + notes, notes.Contains("keep 4 1"));
            checks.That("sent again from the spool: " + notes, notes.Contains("send kept 1"));
            bench.Machine.SpoolLost(4242, 1, Bench.StartNs + (2_503 * Ms));
            checks.Equal("what the spool cannot give", bench.Machine.Account.Lost.Copy()["overflow"], 1L);
            bench.Take(new GatewaySide(handshake).Stored(0, 9), Bench.StartNs + (2_504 * Ms));
            checks.That("settled", bench.Notes.Contains("settled 2-4") && bench.Machine.Links.HeldPackets == 0);
        }

        public static void Restarted(Checks checks, Json handshake)
        {
            var folder = Path.Combine(Path.GetTempPath(), "vestibule-" + Guid.NewGuid().ToString("N"));
            try
            {
                var run = new SpoolStore(folder, 7);
                var first = new Bench(handshake, set => { set.Spool = true; set.LingerMs = 0; }) { Spool = run };
                first.Started(handshake, "welcome_recording");
                Pose(first, 0, Bench.StartNs + Ms);
                Pose(first, 0, Bench.StartNs + Ms);
                first.Machine.Tick(Bench.StartNs + (2_502 * Ms));
                run.Dispose();
                using (var torn = new FileStream(Path.Combine(folder, "spool", "4242-0.vts"), FileMode.Append))
                {
                    torn.Write(new byte[] { 90, 0, 1, 0 }, 0, 4); // a kill in the midst of a record
                }

                var store = new SpoolStore(folder, 7);
                var found = store.Load();
                checks.Equal("links", found.Count, 1);
                checks.Equal("packets", found[0].Packets.Count, 2);
                checks.Equal("cut", store.Cut, 1);
                var second = new Bench(handshake, set => set.Spool = true) { Spool = store };
                second.Machine.Restore(found, 5);
                second.Machine.Start(6);
                second.Machine.Tick(20 * Ms);
                var sent = second.Sent.FindAll(packet => packet[3] == PacketType.Data);
                checks.Bytes("the same bytes", sent[0], first.Sent.Find(packet => packet[3] == PacketType.Data));
                second.Take(new GatewaySide(handshake).Stored(0, 9), 30 * Ms);
                checks.Equal("stored", second.Machine.Earlier.Stored, 2L);
                checks.Equal("forgotten", second.Machine.Links.Count, 0);
                checks.Equal("files", Directory.GetFiles(Path.Combine(folder, "spool")).Length, 0);
                store.Dispose();
                var other = new SpoolStore(folder, 8);
                checks.Equal("another device's", other.Load().Count, 0);
            }
            finally
            {
                Directory.Delete(folder, true);
            }
        }

        private static void Pose(Bench bench, ushort stream, long nowNs)
        {
            var record = new byte[64];
            Records.Pose(record, nowNs, 0, 2, 63, new Vec3(1, 2, 3), new Quat(0, 0, 0, 1), new Vec3(0, 0, 0), new Vec3(0, 0, 0));
            bench.Machine.Capture(stream, Kinds.Pose, record, 1, nowNs);
        }

        private static string Answer(GatewaySide gateway, Bench bench)
        {
            var packet = bench.Sent.FindLast(sent => sent[3] == PacketType.Receipt);
            var body = gateway.Open(packet);
            var from = new MsgReader(body, 0, body.Length);
            from.Array(1);
            from.Array(1);
            from.Array(2);
            from.UInt();
            return from.Str();
        }

        private static string Rows(byte[] data)
        {
            var from = new MsgReader(data, 0, data.Length);
            from.Array(3);
            from.UInt();
            var rows = from.Array();
            var told = "";
            for (var at = 0; at < rows; at++)
            {
                from.Array(2);
                told += from.UInt() + ":" + from.UInt();
            }

            from.Array(1);
            from.Array(4);
            from.UInt();
            from.UInt();
            return told + " at " + from.UInt();
        }
    }
}
