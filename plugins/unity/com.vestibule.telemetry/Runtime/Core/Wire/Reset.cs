using System;

namespace Vestibule
{
    /// <summary>RESET: the link named in the header is gone.</summary>
    internal sealed class Reset
    {
        public ulong Seq { get; private set; }

        /// <summary>Tag of the packet that it answers, so that no other RESET can be made from this one.</summary>
        public byte[] Tag { get; private set; }

        public string Reason { get; private set; }

        public static string Read(byte[] packet, int bytes, out Reset reset)
        {
            var from = MsgReader.OfBody(packet, bytes);
            from.Array(3);
            reset = new Reset { Seq = from.UInt(), Tag = from.Bin().ToArray(), Reason = from.Str() };
            from.Require(reset.Tag.Length == Sizes.Tag);
            from.Require(reset.Reason == "ended" || reset.Reason == "revoked" || reset.Reason == "moved");
            return from.End();
        }
    }
}
