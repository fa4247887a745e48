using System;
using System.Buffers.Binary;
using System.Globalization;

namespace Vestibule
{
    /// <summary>
    /// Bytes of a spool file (SPEC, "Spool"): <c>VTS1</c>, u16 length of the header, the header as MessagePack
    /// <c>[device, run, link, session, gateway, up K_mac, down keys]</c>; then records: u16 length, u32 samples, packet.
    /// The key that encrypts the uplink is not kept: a restart cannot use a seq twice by mistake.
    /// </summary>
    internal static class SpoolFormat
    {
        public const int RecordHead = 6;

        private const int FileHead = 6;
        private const int MaxHeader = 512; // some 200 are used

        public static string FileName(uint link, int segment) =>
            link.ToString(CultureInfo.InvariantCulture) + "-" + segment.ToString(CultureInfo.InvariantCulture) + ".vts";

        /// <summary>Reads a file's name; false when it is none of these.</summary>
        public static bool ParseName(string name, out uint link, out int segment)
        {
            link = 0;
            segment = 0;
            var dash = name.IndexOf('-');
            return dash > 0 && name.EndsWith(".vts", StringComparison.Ordinal) &&
                   uint.TryParse(name.Substring(0, dash), NumberStyles.None, CultureInfo.InvariantCulture, out link) &&
                   int.TryParse(
                       name.Substring(dash + 1, name.Length - dash - 5), NumberStyles.None, CultureInfo.InvariantCulture, out segment) &&
                   FileName(link, segment) == name;
        }

        public static byte[] Header(uint device, Link link)
        {
            var buffer = new byte[512];
            var to = new MsgWriter(buffer, FileHead);
            to.Array(7);
            to.Int((ulong)device);
            to.Int(link.Run);
            to.Int((ulong)link.Number);
            to.Bin(link.Session);
            to.Str(link.Gateway);
            to.Bin(link.UpKeys.AsSpan(32, 32));
            to.Bin(link.DownKeys);
            buffer[0] = (byte)'V';
            buffer[1] = (byte)'T';
            buffer[2] = (byte)'S';
            buffer[3] = (byte)'1';
            BinaryPrimitives.WriteUInt16LittleEndian(buffer.AsSpan(4), (ushort)(to.At - FileHead));
            return buffer.AsSpan(0, to.At).ToArray();
        }

        /// <summary>Reads a header; returns where the records begin, or 0 when it is none.</summary>
        public static int ReadHeader(byte[] file, out uint device, out byte[] upMac, out RestoredLink link)
        {
            device = 0;
            upMac = null;
            link = null;
            if (file.Length < FileHead || file[0] != 'V' || file[1] != 'T' || file[2] != 'S' || file[3] != '1')
            {
                return 0;
            }

            var end = FileHead + BinaryPrimitives.ReadUInt16LittleEndian(file.AsSpan(4));
            if (end > file.Length || end > FileHead + MaxHeader)
            {
                return 0;
            }

            var from = new MsgReader(file, FileHead, end);
            from.Array(7);
            device = (uint)from.UInt(uint.MaxValue);
            link = new RestoredLink { Run = from.UInt(), Number = (uint)from.UInt(uint.MaxValue) };
            link.Session = from.Bin().ToArray();
            link.Gateway = from.Str();
            upMac = from.Bin().ToArray();
            link.DownKeys = from.Bin().ToArray();
            from.Require(device > 0 && link.Number > 0 && link.Session.Length == 16 && Names.IsTopic(link.Gateway));
            from.Require(upMac.Length == 32 && link.DownKeys.Length == Derive.LinkKeyBytes);
            return from.End() == null ? end : 0;
        }

        public static void WriteHead(byte[] into, int bytes, int samples)
        {
            BinaryPrimitives.WriteUInt16LittleEndian(into, (ushort)bytes);
            BinaryPrimitives.WriteUInt32LittleEndian(into.AsSpan(2), (uint)samples);
        }

        /// <summary>Reads the record at a place; false when it is not complete, or no packet of that link.</summary>
        public static bool ReadRecord(byte[] file, int at, uint link, Tagger upTagger, byte[] scratch, out RestoredPacket packet)
        {
            packet = default;
            if (at + RecordHead > file.Length)
            {
                return false;
            }

            var bytes = BinaryPrimitives.ReadUInt16LittleEndian(file.AsSpan(at));
            var samples = BinaryPrimitives.ReadUInt32LittleEndian(file.AsSpan(at + 2));
            if (bytes > Sizes.MaxDatagram || at + RecordHead + bytes > file.Length || samples > int.MaxValue)
            {
                return false;
            }

            Buffer.BlockCopy(file, at + RecordHead, scratch, 0, bytes);
            if (Vestibule.Header.Read(scratch, bytes, out var header) != null || header.Link != link ||
                (header.Type != PacketType.Data && header.Type != PacketType.Bye) || !upTagger.Matches(scratch, bytes))
            {
                return false;
            }

            packet = new RestoredPacket(
                header.Seq, (int)samples, bytes, scratch.AsSpan(bytes - Sizes.Tag, Sizes.Tag).ToArray(), header.Type == PacketType.Bye);
            return true;
        }
    }
}
