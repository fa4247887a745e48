using System;
using System.Buffers.Binary;

namespace Vestibule
{
    /// <summary>The fixed fields of a packet; nothing about them is authenticated by reading them.</summary>
    internal readonly struct Header
    {
        public Header(byte type, uint link, ulong seq, long sendNs)
        {
            Type = type;
            Link = link;
            Seq = seq;
            SendNs = sendNs;
        }

        public byte Type { get; }

        public uint Link { get; }

        public ulong Seq { get; }

        public long SendNs { get; }

        /// <summary>Checks length, magic and type, and reads.</summary>
        /// <returns>Null, or a word of <see cref="Wrong"/>.</returns>
        public static string Read(byte[] packet, int bytes, out Header header)
        {
            header = default;
            if (bytes > Sizes.MaxDatagram)
            {
                return Wrong.Oversize;
            }

            if (bytes < Sizes.MinPacket)
            {
                return Wrong.Truncated;
            }

            if (packet[0] != 'V' || packet[1] != 'T' || packet[2] != '1')
            {
                return Wrong.Magic;
            }

            if (packet[3] < PacketType.Pair || packet[3] > PacketType.Reset)
            {
                return Wrong.Type;
            }

            header = new Header(
                packet[3],
                BinaryPrimitives.ReadUInt32LittleEndian(packet.AsSpan(4)),
                BinaryPrimitives.ReadUInt64LittleEndian(packet.AsSpan(8)),
                BinaryPrimitives.ReadInt64LittleEndian(packet.AsSpan(16)));
            return null;
        }

        /// <summary>Writes the 24 bytes.</summary>
        public static void Write(Span<byte> into, byte type, uint link, ulong seq, long sendNs)
        {
            into[0] = (byte)'V';
            into[1] = (byte)'T';
            into[2] = (byte)'1';
            into[3] = type;
            BinaryPrimitives.WriteUInt32LittleEndian(into.Slice(4), link);
            BinaryPrimitives.WriteUInt64LittleEndian(into.Slice(8), seq);
            BinaryPrimitives.WriteInt64LittleEndian(into.Slice(16), sendNs);
        }
    }
}
