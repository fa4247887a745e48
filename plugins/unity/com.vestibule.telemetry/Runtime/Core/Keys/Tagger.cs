using System;
using System.Security.Cryptography;

namespace Vestibule
{
    /// <summary>Tags of packets: HMAC-SHA256(key, all before the tag), its first 16 bytes. One thread owns it.</summary>
    internal sealed class Tagger : IDisposable
    {
        private readonly HMACSHA256 _hmac;
        private readonly byte[] _hash = new byte[32];

        public Tagger(byte[] key)
        {
            _hmac = new HMACSHA256(key);
        }

        /// <summary>Writes the tag behind the first <paramref name="bytes"/> bytes.</summary>
        public void Write(byte[] packet, int bytes)
        {
            Compute(new ReadOnlySpan<byte>(packet, 0, bytes));
            Array.Copy(_hash, 0, packet, bytes, Sizes.Tag);
        }

        /// <summary>Tells, in constant time, whether the last 16 of the bytes are the tag of all before them.</summary>
        public bool Matches(byte[] packet, int bytes)
        {
            if (bytes <= Sizes.Tag)
            {
                return false;
            }

            Compute(new ReadOnlySpan<byte>(packet, 0, bytes - Sizes.Tag));
            return CryptographicOperations.FixedTimeEquals(
                new ReadOnlySpan<byte>(_hash, 0, Sizes.Tag), new ReadOnlySpan<byte>(packet, bytes - Sizes.Tag, Sizes.Tag));
        }

        public void Dispose() => _hmac.Dispose();

        private void Compute(ReadOnlySpan<byte> data)
        {
            if (!_hmac.TryComputeHash(data, _hash, out var written) || written != _hash.Length)
            {
                throw new CryptographicException("HMAC-SHA256 gave no 32 bytes.");
            }
        }
    }
}
