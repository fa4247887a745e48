using System;
using System.Text;

namespace Vestibule
{
    /// <summary>PAIR and PAIRED: how a device gets its number and its key (SPEC, "Pairing").</summary>
    internal sealed class Pairing : IDisposable
    {
        private const int CodeCharacters = 26;

        private readonly string _code;
        private readonly byte[] _nonceD;
        private readonly Tagger _tagger;

        /// <param name="code">As <see cref="PlainCode"/> gives it.</param>
        /// <param name="nonceD">16 fresh random bytes.</param>
        /// <param name="name">At most 64 bytes, no control characters.</param>
        /// <param name="nowNs">Device time.</param>
        public Pairing(string code, byte[] nonceD, string name, long nowNs)
        {
            _code = code;
            _nonceD = nonceD;
            _tagger = new Tagger(Derive.PairingKey(code));
            Packet = new byte[Sizes.Pair];
            Header.Write(Packet, PacketType.Pair, 0, 0, nowNs);
            var to = new MsgWriter(Packet, Sizes.Header);
            Uplink.Pair(ref to, nonceD, name);
            _tagger.Write(Packet, to.At);
        }

        /// <summary>The code, as keys take it.</summary>
        public string Code => _code;

        /// <summary>To be sent again, the same bytes, until PAIRED comes.</summary>
        public byte[] Packet { get; }

        /// <summary>The code as keys take it: without spaces and hyphens, in capitals; null when it is none.</summary>
        public static string PlainCode(string text)
        {
            var plain = new StringBuilder(CodeCharacters);
            foreach (var c in text)
            {
                if (c == ' ' || c == '-')
                {
                    continue;
                }

                var upper = char.ToUpperInvariant(c);
                if (!((upper >= 'A' && upper <= 'Z') || (upper >= '2' && upper <= '7')))
                {
                    return null;
                }

                plain.Append(upper);
            }

            return plain.Length == CodeCharacters ? plain.ToString() : null;
        }

        /// <summary>Checks PAIRED and derives the device's key.</summary>
        /// <returns>Null, or a word of <see cref="Wrong"/>.</returns>
        public string Open(byte[] packet, int bytes, out uint device, out byte[] key, out string home)
        {
            device = 0;
            key = null;
            home = "";
            var wrong = Header.Read(packet, bytes, out var header);
            if (wrong != null)
            {
                return wrong;
            }

            if (header.Type != PacketType.Paired)
            {
                return Wrong.Unexpected;
            }

            if (!_tagger.Matches(packet, bytes))
            {
                return Wrong.BadTag;
            }

            wrong = PairedBody.Read(packet, bytes, out var paired);
            if (wrong != null)
            {
                return wrong;
            }

            if (!_nonceD.AsSpan().SequenceEqual(paired.NonceD))
            {
                return Wrong.NotMine;
            }

            device = paired.Device;
            home = paired.Home;
            key = Derive.DeviceKey(_code, _nonceD, paired.NonceG);
            return null;
        }

        public void Dispose() => _tagger.Dispose();
    }
}
