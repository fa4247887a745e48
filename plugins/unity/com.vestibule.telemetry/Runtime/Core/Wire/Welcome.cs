using System;
using System.Collections.Generic;

namespace Vestibule
{
    /// <summary>WELCOME: what a device gets for its HELLO.</summary>
    internal sealed class Welcome
    {
        public const string Recording = "recording";
        public const string Waiting = "waiting";
        public const string Refused = "refused";

        public byte[] NonceD { get; private set; }

        public byte[] NonceG { get; private set; }

        public uint Link { get; private set; }

        public string Gateway { get; private set; }

        /// <summary>16 bytes while recording, else empty.</summary>
        public byte[] Session { get; private set; }

        public ulong Version { get; private set; }

        public List<ulong> Offered { get; private set; }

        public string State { get; private set; }

        public string Reason { get; private set; }

        public List<ulong> Kept { get; private set; }

        public List<ulong> Kinds { get; private set; }

        public ulong AtMs { get; private set; }

        public static string Read(byte[] packet, int bytes, out Welcome welcome)
        {
            var from = MsgReader.OfBody(packet, bytes);
            from.Array(12);
            welcome = new Welcome
            {
                NonceD = from.Bin().ToArray(),
                NonceG = from.Bin().ToArray(),
                Link = (uint)from.UInt(uint.MaxValue),
                Gateway = from.Str(),
                Session = from.Bin().ToArray(),
                Version = from.UInt(),
                Offered = Ints(ref from),
                State = from.Str(),
                Reason = from.Str(),
                Kept = Ints(ref from),
                Kinds = Ints(ref from),
                AtMs = from.UInt(),
            };
            from.Require(welcome.State == Recording || welcome.State == Waiting || welcome.State == Refused);
            from.Require(welcome.NonceD.Length == Sizes.Nonce);
            from.Require(welcome.NonceG.Length == 0 || welcome.NonceG.Length == Sizes.Nonce);
            from.Require(welcome.Session.Length == 0 || welcome.Session.Length == 16);
            from.Require(welcome.Kept.Count <= Sizes.MaxLinks);
            from.Require(Names.IsTopic(welcome.Gateway));
            return from.End();
        }

        private static List<ulong> Ints(ref MsgReader from)
        {
            var count = from.Array();
            var ints = new List<ulong>(count);
            for (var at = 0; at < count && from.Parses; at++)
            {
                ints.Add(from.UInt());
            }

            return ints;
        }
    }
}
