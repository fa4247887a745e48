using System;
using System.Buffers.Binary;
using System.Security.Cryptography;

namespace Vestibule
{
    /// <summary>
    /// Tags and encrypts the packets of one direction of one link. AES-256 in counter mode is built from ECB: all
    /// counter blocks in one call. One thread owns it.
    /// </summary>
    internal sealed class LinkCipher : IDisposable
    {
        private const int Block = 16;

        private readonly Aes _aes;
        private readonly ICryptoTransform _ecb;
        private readonly Tagger _tagger;
        private readonly byte[] _iv4;
        private byte[] _counters = new byte[Block * 80];
        private byte[] _stream = new byte[Block * 80];

        /// <param name="okm">68 bytes: K_enc, K_mac, iv4.</param>
        public LinkCipher(byte[] okm)
        {
            _aes = Aes.Create();
            _aes.Mode = CipherMode.ECB;
            _aes.Padding = PaddingMode.None;
            _aes.KeySize = 256;
            _aes.Key = okm.AsSpan(0, 32).ToArray();
            _ecb = _aes.CreateEncryptor();
            _tagger = new Tagger(okm.AsSpan(32, 32).ToArray());
            _iv4 = okm.AsSpan(64, 4).ToArray();
        }

        public void Tag(byte[] packet, int bytes) => _tagger.Write(packet, bytes);

        public bool Matches(byte[] packet, int bytes) => _tagger.Matches(packet, bytes);

        /// <summary>Encrypts or decrypts in place. Never two bodies under one seq: their XOR would show.</summary>
        public void Crypt(ulong seq, byte[] buffer, int at, int bytes)
        {
            var blocks = (bytes + Block - 1) / Block;
            if (blocks == 0)
            {
                return;
            }

            if (_counters.Length < blocks * Block)
            {
                _counters = new byte[blocks * Block];
                _stream = new byte[blocks * Block];
            }

            for (var block = 0; block < blocks; block++)
            {
                CounterBlock(_counters.AsSpan(block * Block, Block), seq, (uint)block);
            }

            _ecb.TransformBlock(_counters, 0, blocks * Block, _stream, 0);
            for (var i = 0; i < bytes; i++)
            {
                buffer[at + i] ^= _stream[i];
            }
        }

        /// <summary>iv4 || seq little-endian || index of the block BIG-endian.</summary>
        public void CounterBlock(Span<byte> into, ulong seq, uint index)
        {
            _iv4.CopyTo(into);
            BinaryPrimitives.WriteUInt64LittleEndian(into.Slice(4), seq);
            BinaryPrimitives.WriteUInt32BigEndian(into.Slice(12), index);
        }

        public void Dispose()
        {
            _tagger.Dispose();
            _ecb.Dispose();
            _aes.Dispose();
        }
    }
}
