using System;
using System.Buffers.Binary;
using System.Security.Cryptography;
using System.Text;

namespace Vestibule
{
    /// <summary>HKDF-SHA256 and the keys made with it (SPEC, "Keys"). The platform's own HKDF is not in every runtime.</summary>
    internal static class Derive
    {
        public const int LinkKeyBytes = 68;
        public const byte Up = 0;
        public const byte Down = 1;

        /// <summary>RFC 5869; an empty salt is 32 zero bytes.</summary>
        public static byte[] Hkdf(byte[] ikm, byte[] salt, byte[] info, int bytes)
        {
            byte[] prk;
            using (var extract = new HMACSHA256(salt.Length == 0 ? new byte[32] : salt))
            {
                prk = extract.ComputeHash(ikm);
            }

            var okm = new byte[bytes];
            using (var expand = new HMACSHA256(prk))
            {
                var before = Array.Empty<byte>();
                for (var done = 0; done < bytes; done += 32)
                {
                    var block = new byte[before.Length + info.Length + 1];
                    before.CopyTo(block, 0);
                    info.CopyTo(block, before.Length);
                    block[block.Length - 1] = (byte)((done / 32) + 1);
                    before = expand.ComputeHash(block);
                    Array.Copy(before, 0, okm, done, Math.Min(32, bytes - done));
                }
            }

            return okm;
        }

        /// <summary>K_hs: tags HELLO, WELCOME and RESET.</summary>
        public static byte[] HandshakeKey(byte[] kDev) =>
            Hkdf(kDev, Array.Empty<byte>(), Encoding.ASCII.GetBytes("VT1 handshake"), 32);

        /// <summary>Key that tags PAIR and PAIRED, from the code's 26 characters.</summary>
        public static byte[] PairingKey(string code) =>
            Hkdf(Encoding.ASCII.GetBytes(code), Array.Empty<byte>(), Encoding.ASCII.GetBytes("VT1 pair"), 32);

        /// <summary>K_dev, from the code and both nonces of the pairing.</summary>
        public static byte[] DeviceKey(string code, byte[] nonceD, byte[] nonceG) =>
            Hkdf(Encoding.ASCII.GetBytes(code), Joined(nonceD, nonceG), Encoding.ASCII.GetBytes("VT1 device"), 32);

        /// <summary>The 68 bytes of one direction of a link: K_enc, K_mac, iv4.</summary>
        public static byte[] LinkKeys(byte[] kDev, byte[] nonceD, byte[] nonceG, uint device, uint link, byte direction)
        {
            var info = new byte[17];
            Encoding.ASCII.GetBytes("VT1 link", 0, 8, info, 0);
            BinaryPrimitives.WriteUInt32LittleEndian(info.AsSpan(8), device);
            BinaryPrimitives.WriteUInt32LittleEndian(info.AsSpan(12), link);
            info[16] = direction;
            return Hkdf(kDev, Joined(nonceD, nonceG), info, LinkKeyBytes);
        }

        private static byte[] Joined(byte[] nonceD, byte[] nonceG)
        {
            var salt = new byte[nonceD.Length + nonceG.Length];
            nonceD.CopyTo(salt, 0);
            nonceG.CopyTo(salt, nonceD.Length);
            return salt;
        }
    }
}
