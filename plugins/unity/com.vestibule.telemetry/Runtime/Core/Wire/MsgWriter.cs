using System;
using System.Buffers.Binary;
using System.Text;

namespace Vestibule
{
    /// <summary>
    /// Writes MessagePack in the shortest forms (SPEC, "MessagePack") into a buffer that the caller owns. A mutable
    /// struct: pass it by reference.
    /// </summary>
    internal struct MsgWriter
    {
        private static readonly UTF8Encoding Utf8 = new UTF8Encoding(false, true);

        private readonly byte[] _buffer;

        public MsgWriter(byte[] buffer, int at)
        {
            _buffer = buffer;
            At = at;
        }

        /// <summary>Where the next byte goes.</summary>
        public int At { get; private set; }

        /// <summary>Bytes that a non-negative integer takes.</summary>
        public static int IntBytes(ulong value)
        {
            if (value < 0x80)
            {
                return 1;
            }

            if (value <= 0xFF)
            {
                return 2;
            }

            if (value <= 0xFFFF)
            {
                return 3;
            }

            return value <= 0xFFFF_FFFF ? 5 : 9;
        }

        public void Int(ulong value)
        {
            if (value < 0x80)
            {
                _buffer[At++] = (byte)value;
            }
            else if (value <= 0xFF)
            {
                _buffer[At++] = 0xCC;
                _buffer[At++] = (byte)value;
            }
            else if (value <= 0xFFFF)
            {
                _buffer[At++] = 0xCD;
                Two((ushort)value);
            }
            else if (value <= 0xFFFF_FFFF)
            {
                _buffer[At++] = 0xCE;
                Four((uint)value);
            }
            else
            {
                _buffer[At++] = 0xCF;
                Eight(value);
            }
        }

        public void Int(long value)
        {
            if (value >= 0)
            {
                Int((ulong)value);
            }
            else if (value >= -32)
            {
                _buffer[At++] = (byte)value;
            }
            else if (value >= sbyte.MinValue)
            {
                _buffer[At++] = 0xD0;
                _buffer[At++] = (byte)value;
            }
            else if (value >= short.MinValue)
            {
                _buffer[At++] = 0xD1;
                Two((ushort)value);
            }
            else if (value >= int.MinValue)
            {
                _buffer[At++] = 0xD2;
                Four((uint)value);
            }
            else
            {
                _buffer[At++] = 0xD3;
                Eight((ulong)value);
            }
        }

        public void Float64(double value)
        {
            _buffer[At++] = 0xCB;
            Eight((ulong)BitConverter.DoubleToInt64Bits(value));
        }

        public void Str(string value)
        {
            var bytes = Utf8.GetByteCount(value);
            if (bytes < 32)
            {
                _buffer[At++] = (byte)(0xA0 | bytes);
            }
            else if (bytes <= 0xFF)
            {
                _buffer[At++] = 0xD9;
                _buffer[At++] = (byte)bytes;
            }
            else
            {
                _buffer[At++] = 0xDA;
                Two((ushort)bytes);
            }

            At += Utf8.GetBytes(value, 0, value.Length, _buffer, At);
        }

        public void BinHead(int length)
        {
            if (length <= 0xFF)
            {
                _buffer[At++] = 0xC4;
                _buffer[At++] = (byte)length;
            }
            else
            {
                _buffer[At++] = 0xC5;
                Two((ushort)length);
            }
        }

        public void Bin(ReadOnlySpan<byte> value)
        {
            BinHead(value.Length);
            value.CopyTo(_buffer.AsSpan(At));
            At += value.Length;
        }

        /// <summary>A bin of zero bytes.</summary>
        public void Pad(int length)
        {
            BinHead(length);
            _buffer.AsSpan(At, length).Clear();
            At += length;
        }

        public void Array(int length)
        {
            if (length < 16)
            {
                _buffer[At++] = (byte)(0x90 | length);
            }
            else
            {
                _buffer[At++] = 0xDC;
                Two((ushort)length);
            }
        }

        private void Two(ushort value)
        {
            BinaryPrimitives.WriteUInt16BigEndian(_buffer.AsSpan(At), value);
            At += 2;
        }

        private void Four(uint value)
        {
            BinaryPrimitives.WriteUInt32BigEndian(_buffer.AsSpan(At), value);
            At += 4;
        }

        private void Eight(ulong value)
        {
            BinaryPrimitives.WriteUInt64BigEndian(_buffer.AsSpan(At), value);
            At += 8;
        }
    }
}
