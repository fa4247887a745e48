using System;
using System.IO;

namespace Vestibule.Tests
{
    /// <summary>Files of the spool: written byte for byte from their fields, and read, with and without a torn tail.</summary>
    internal static class SpoolChecks
    {
        public static void Files(Checks checks, Json spool, Json handshake)
        {
            var bench = new Bench(handshake, set => set.Spool = true).Started(handshake, "welcome_recording");
            var link = bench.Machine.Links.Get((uint)spool["link"].U64);
            checks.Bytes("header", SpoolFormat.Header((uint)spool["device"].U64, link), spool["header"].Hex);
            foreach (var entry in spool["segments"].Items)
            {
                if (entry["name"].Text == "whole")
                {
                    InFolder(folder => Written(checks, folder, spool, entry, link));
                }

                InFolder(folder => Read(checks, folder, spool, entry));
            }

            foreach (var entry in spool["unusable"].Items)
            {
                InFolder(folder => Unusable(checks, folder, spool, entry));
            }
        }

        private static void Written(Checks checks, string folder, Json spool, Json entry, Link link)
        {
            using (var store = new SpoolStore(folder, (uint)spool["device"].U64))
            {
                foreach (var record in entry["records"].Items)
                {
                    var packet = record["packet"].Hex;
                    store.Keep(link, record["seq"].U64, record["samples"].Int, packet, packet.Length);
                }

            }

            checks.Bytes("a segment from its fields", File.ReadAllBytes(PathOf(folder, spool)), entry["file"].Hex);
        }

        private static void Read(Checks checks, string folder, Json spool, Json entry)
        {
            var name = entry["name"].Text;
            var file = entry["file"].Hex;
            Directory.CreateDirectory(Path.GetDirectoryName(PathOf(folder, spool)));
            File.WriteAllBytes(PathOf(folder, spool), file);
            using (var store = new SpoolStore(folder, (uint)spool["device"].U64))
            {
                var links = store.Load();
                var told = "";
                foreach (var link in links)
                {
                    checks.Equal("link of " + name, link.Number, (uint)spool["link"].U64);
                    checks.Equal("run of " + name, link.Run, spool["run"].U64);
                    checks.Bytes("session of " + name, link.Session, spool["session"].Hex);
                    checks.Equal("gateway of " + name, link.Gateway, spool["gateway"].Text);
                    checks.Bytes("keys of " + name, link.DownKeys, spool["down"].Hex);
                    foreach (var packet in link.Packets)
                    {
                        told += Row(packet.Seq, packet.Samples, packet.Bytes, packet.Tag, packet.IsBye);
                    }
                }

                checks.Equal("records of " + name, told, Expected(entry["records"]));
                checks.Equal("cut of " + name, store.Cut, file.Length == entry["sound_bytes"].Int ? 0 : 1);
                foreach (var record in entry["records"].Items)
                {
                    var into = new byte[Sizes.MaxDatagram];
                    var bytes = store.Read((uint)spool["link"].U64, record["seq"].U64, into);
                    checks.Bytes("a packet of " + name + " read back", into.AsSpan(0, bytes), record["packet"].Hex);
                }

                if (links.Count > 0)
                {
                    checks.Equal("where " + name + " is cut", new FileInfo(PathOf(folder, spool)).Length, entry["sound_bytes"].I64);
                }
            }
        }

        private static void Unusable(Checks checks, string folder, Json spool, Json entry)
        {
            Directory.CreateDirectory(Path.GetDirectoryName(PathOf(folder, spool)));
            File.WriteAllBytes(PathOf(folder, spool), entry["file"].Hex);
            using (var store = new SpoolStore(folder, (uint)spool["device"].U64))
            {
                checks.Equal("links of " + entry["name"].Text, store.Load().Count, 0);
                checks.Equal("deleted " + entry["name"].Text, store.Deleted, 1);
                checks.That(entry["name"].Text + " is gone", !File.Exists(PathOf(folder, spool)));
            }
        }

        /// <summary>What is expected of a file: each seq once, the first that stands there.</summary>
        private static string Expected(Json records)
        {
            var told = "";
            foreach (var record in records.Items)
            {
                var packet = record["packet"].Hex;
                var row = Row(
                    record["seq"].U64, record["samples"].Int, packet.Length, packet.AsSpan(packet.Length - Sizes.Tag).ToArray(), record["bye"].Text == "true");
                told += told.Contains(row) ? "" : row;
            }

            return told;
        }

        private static string Row(ulong seq, int samples, int bytes, byte[] tag, bool isBye) =>
            seq + " " + samples + " " + bytes + " " + Hex.Of(tag) + (isBye ? " bye; " : "; ");

        private static string PathOf(string folder, Json spool) => Path.Combine(folder, "spool", spool["file_name"].Text);

        private static void InFolder(Action<string> work)
        {
            var folder = Path.Combine(Path.GetTempPath(), "vestibule-" + Guid.NewGuid().ToString("N"));
            Directory.CreateDirectory(folder);
            try
            {
                work(folder);
            }
            finally
            {
                Directory.Delete(folder, true);
            }
        }
    }
}
