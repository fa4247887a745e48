using System;

namespace Vestibule
{
    /// <summary>PAIRED: the device's number and its home.</summary>
    internal sealed class PairedBody
    {
        public byte[] NonceD { get; private set; }

        public byte[] NonceG { get; private set; }

        public uint Device { get; private set; }

        public string Home { get; private set; }

        public static string Read(byte[] packet, int bytes, out PairedBody paired)
        {
            var from = MsgReader.OfBody(packet, bytes);
            from.Array(4);
            paired = new PairedBody
            {
                NonceD = from.Bin().ToArray(),
                NonceG = from.Bin().ToArray(),
                Device = (uint)from.UInt(uint.MaxValue),
                Home = from.Str(),
            };
            from.Require(paired.NonceD.Length == Sizes.Nonce && paired.NonceG.Length == Sizes.Nonce);
            from.Require(paired.Device > 0);
            from.Require(Names.IsTopic(paired.Home));
            return from.End();
        }
    }
}
