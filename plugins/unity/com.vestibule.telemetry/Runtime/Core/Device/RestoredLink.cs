using System.Collections.Generic;

namespace Vestibule
{
    /// <summary>A link of an earlier run, as the spool kept it.</summary>
    internal sealed class RestoredLink
    {
        public uint Number { get; set; }

        public byte[] Session { get; set; }

        public string Gateway { get; set; }

        public ulong Run { get; set; }

        /// <summary>68 bytes: K_enc, K_mac, iv4 of the downlink.</summary>
        public byte[] DownKeys { get; set; }

        /// <summary>Ascending by seq.</summary>
        public List<RestoredPacket> Packets { get; } = new List<RestoredPacket>();
    }

    /// <summary>One packet of it.</summary>
    internal readonly struct RestoredPacket
    {
        public RestoredPacket(ulong seq, int samples, int bytes, byte[] tag, bool isBye)
        {
            Seq = seq;
            Samples = samples;
            Bytes = bytes;
            Tag = tag;
            IsBye = isBye;
        }

        public ulong Seq { get; }

        public int Samples { get; }

        public int Bytes { get; }

        public byte[] Tag { get; }

        public bool IsBye { get; }
    }
}
