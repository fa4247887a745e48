using System;

namespace Vestibule.Tests
{
    /// <summary>Writes a body.</summary>
    internal delegate void Writes(ref MsgWriter to);

    /// <summary>The other end of the link that the vector <c>welcome_recording</c> makes.</summary>
    internal sealed class GatewaySide
    {
        private readonly LinkCipher _down;
        private readonly LinkCipher _up;
        private ulong _seq = 1;

        public GatewaySide(Json handshake)
        {
            var fields = handshake["packets"][1]["fields"];
            byte[] Keys(byte direction) => Derive.LinkKeys(
                handshake["k_dev"].Hex, fields["nonce_d"].Hex, fields["nonce_g"].Hex, 7, (uint)fields["link"].U64, direction);
            _down = new LinkCipher(Keys(Derive.Down));
            _up = new LinkCipher(Keys(Derive.Up));
        }

        public byte[] Seal(byte type, Writes body)
        {
            var packet = new byte[1024];
            Header.Write(packet, type, 4242, _seq, 1);
            var to = new MsgWriter(packet, Sizes.Header);
            body(ref to);
            _down.Crypt(_seq++, packet, Sizes.Header, to.At - Sizes.Header);
            _down.Tag(packet, to.At);
            return packet.AsSpan(0, to.At + Sizes.Tag).ToArray();
        }

        public byte[] Command(string verb, string arg) => Seal(PacketType.Command, (ref MsgWriter to) =>
        {
            to.Array(2);
            to.Str(verb);
            to.Array(1);
            to.Str(arg);
        });

        /// <summary>A receipt that tells first..last as stored.</summary>
        public byte[] Stored(ulong first, ulong last) => Seal(PacketType.Receipt, (ref MsgWriter to) =>
        {
            to.Array(4);
            to.Array(1);
            to.Array(3);
            to.Int(1UL);
            to.Bin(new byte[32]);
            to.Array(2);
            to.Int(first);
            to.Int(last);
            to.Array(0);
            to.Array(0);
            to.Array(0);
        });

        /// <summary>The body of a packet of the device, opened.</summary>
        public byte[] Open(byte[] packet)
        {
            Header.Read(packet, packet.Length, out var header);
            var copy = (byte[])packet.Clone();
            if (!_up.Matches(copy, copy.Length))
            {
                throw new FormatException("a packet of the device with a wrong tag");
            }

            _up.Crypt(header.Seq, copy, Sizes.Header, copy.Length - Sizes.MinPacket);
            return copy.AsSpan(Sizes.Header, copy.Length - Sizes.MinPacket).ToArray();
        }
    }
}
