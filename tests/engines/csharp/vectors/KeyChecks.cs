using System;
using System.Security.Cryptography;
using System.Text;

namespace Vestibule.Tests
{
    /// <summary>Primitives, derivations and the counter mode: keys.json, and what handshake.json derives.</summary>
    internal static class KeyChecks
    {
        public static void Primitives(Checks checks, Json keys)
        {
            var hmac = keys["primitives"]["hmac_sha256_rfc4231_2"];
            var data = hmac["data"].Hex;
            var packet = new byte[data.Length + Sizes.Tag];
            data.CopyTo(packet, 0);
            var tagger = new Tagger(hmac["key"].Hex);
            tagger.Write(packet, data.Length);
            checks.Bytes("hmac", packet.AsSpan(data.Length), hmac["mac"].Hex.AsSpan(0, 16));
            checks.That("a tag matches", tagger.Matches(packet, packet.Length));
            packet[3] ^= 1;
            checks.That("a changed packet does not", !tagger.Matches(packet, packet.Length));
            var hkdf = keys["primitives"]["hkdf_sha256_rfc5869_1"];
            checks.Bytes("hkdf", Derive.Hkdf(hkdf["ikm"].Hex, hkdf["salt"].Hex, hkdf["info"].Hex, 42), hkdf["okm"].Hex);
            var aes = keys["primitives"]["aes256_ecb_sp800_38a"];
            using (var made = Aes.Create())
            {
                made.Mode = CipherMode.ECB;
                made.Padding = PaddingMode.None;
                made.Key = aes["key"].Hex;
                var block = new byte[16];
                made.CreateEncryptor().TransformBlock(aes["block"].Hex, 0, 16, block, 0);
                checks.Bytes("aes", block, aes["out"].Hex);
            }
        }

        public static void Derived(Checks checks, Json keys, Json handshake, Json pairing)
        {
            var kDev = keys["k_dev"].Hex;
            var code = keys["code"].Text;
            checks.Bytes("K_hs", Derive.HandshakeKey(kDev), keys["handshake_key"]["key"].Hex);
            checks.Bytes("pairing key", Derive.PairingKey(code), keys["pairing_key"]["key"].Hex);
            checks.Bytes("K_dev", Derive.DeviceKey(code, keys["nonce_d"].Hex, keys["nonce_g"].Hex), keys["device_key"]["key"].Hex);
            checks.Bytes("the code's bytes", Encoding.ASCII.GetBytes(code), keys["pairing_key"]["ikm"].Hex);
            checks.Bytes("K_dev of the pairing", keys["device_key"]["key"].Hex, pairing["k_dev"].Hex);
            foreach (var row in keys["link_keys"].Items)
            {
                var okm = Derive.LinkKeys(
                    kDev, keys["nonce_d"].Hex, keys["nonce_g"].Hex, (uint)row["device"].U64, (uint)row["link"].U64, (byte)row["direction"].Int);
                checks.Bytes("link keys " + row["name"].Text, okm, row["okm"].Hex);
                checks.Bytes("K_enc " + row["name"].Text, okm.AsSpan(0, 32), row["k_enc"].Hex);
                checks.Bytes("K_mac " + row["name"].Text, okm.AsSpan(32, 32), row["k_mac"].Hex);
                checks.Bytes("iv4 " + row["name"].Text, okm.AsSpan(64), row["iv4"].Hex);
            }

            foreach (var row in handshake["derived"].Items)
            {
                var salt = row["salt"].Hex;
                var okm = Derive.LinkKeys(
                    kDev, salt.AsSpan(0, 16).ToArray(), salt.AsSpan(16).ToArray(), 7, (uint)row["link"].U64, (byte)row["direction"].Int);
                checks.Bytes("keys of " + row["name"].Text, okm, row["okm"].Hex);
            }
        }

        public static void CounterMode(Checks checks, Json keys)
        {
            var cipher = new LinkCipher(keys["link_keys"][0]["okm"].Hex);
            foreach (var row in keys["counter_mode"].Items)
            {
                var seq = row["seq"].U64;
                var block = new byte[16];
                for (var at = 0; at < row["counter_blocks"].Count; at++)
                {
                    cipher.CounterBlock(block, seq, (uint)at);
                    checks.Bytes("counter block " + at + " of " + seq, block, row["counter_blocks"][at].Hex);
                }

                var plain = row["plain"].Hex;
                var buffer = new byte[plain.Length + 3];
                plain.CopyTo(buffer, 3);
                cipher.Crypt(seq, buffer, 3, plain.Length);
                checks.Bytes("sealed " + seq, buffer.AsSpan(3), row["sealed"].Hex);
                cipher.Crypt(seq, buffer, 3, plain.Length);
                checks.Bytes("opened " + seq, buffer.AsSpan(3), plain);
            }
        }
    }
}
