using System;
using System.Buffers.Binary;
using System.Text;

namespace Vestibule
{
    /// <summary>
    /// Reads canonical MessagePack from a part of an array. A mutable struct. It never throws: the first fault stays, and what is read after it is empty.
    /// <see cref="End"/> tells which word of <see cref="Wrong"/> the whole earns.
    /// </summary>
    internal struct MsgReader
    {
        private static readonly UTF8Encoding Utf8 = new UTF8Encoding(false, true);

        private readonly byte[] _data; // an array: Mono 6 lacks the indexer of ReadOnlySpan that .NET Standard 2.1 names
        private readonly int _end;
        private int _at;
        private bool _malformed;
        private bool _notCanonical;
        private bool _outOfRange;

        public MsgReader(byte[] data, int at, int end)
        {
            _data = data;
            _at = at;
            _end = end;
            _malformed = false;
            _notCanonical = false;
            _outOfRange = false;
        }

        /// <summary>Of what stands between a packet's header and its tag.</summary>
        public static MsgReader OfBody(byte[] packet, int bytes) =>
            new MsgReader(packet, Sizes.Header, bytes - Sizes.Tag);

        /// <summary>Whether nothing read so far fails to parse; loops over counted items stop when it does not.</summary>
        public bool Parses => !_malformed;

        /// <summary>After the last value. As a receiver that decodes, encodes again and then looks at ranges.</summary>
        public string End()
        {
            if (_malformed || _at != _end)
            {
                return Wrong.Malformed;
            }

            if (_notCanonical)
            {
                return Wrong.NotCanonical;
            }

            return _outOfRange ? Wrong.Numbers : null;
        }

        /// <summary>A field is out of its range unless this holds.</summary>
        public void Require(bool holds) => _outOfRange |= !holds;

        /// <summary>What comes next: int, float, str, bin, array, or 0 for anything else.</summary>
        public char Next()
        {
            if (_at >= _end)
            {
                return '\0';
            }

            var first = _data[_at];
            if (first < 0x80 || first >= 0xE0 || (first >= 0xCC && first <= 0xD3))
            {
                return 'i';
            }

            if (first >= 0xA0 && first <= 0xBF)
            {
                return 's';
            }

            switch (first)
            {
                case 0xCA:
                case 0xCB: return 'f';
                case 0xD9:
                case 0xDA:
                case 0xDB: return 's';
                default: return '\0';
            }
        }

        /// <summary>An array of exactly that many items.</summary>
        public void Array(int length)
        {
            if (Array() != length)
            {
                _malformed = true;
            }
        }

        /// <summary>An array; its length, which the rest of the data can hold.</summary>
        public int Array()
        {
            var first = Byte();
            ulong length;
            if (first >= 0x90 && first <= 0x9F)
            {
                length = (ulong)(first & 0x0F);
            }
            else if (first == 0xDC)
            {
                length = Wide(2);
                Shortest(length > 15);
            }
            else if (first == 0xDD)
            {
                length = Wide(4);
                Shortest(length > 0xFFFF);
            }
            else
            {
                return (int)Fail();
            }

            // Each item has a byte at least: a length that lies must not make anybody allocate.
            return length <= (ulong)(_end - _at) ? (int)length : (int)Fail();
        }

        /// <summary>An integer of 0..2^64-1; a negative one is out of range.</summary>
        public ulong UInt()
        {
            var value = Integer(out var negative);
            Require(!negative);
            return negative ? 0 : value;
        }

        /// <summary>An integer of 0..most.</summary>
        public ulong UInt(ulong most)
        {
            var value = UInt();
            Require(value <= most);
            return value <= most ? value : 0;
        }

        /// <summary>An integer of -2^63..2^63-1.</summary>
        public long Int()
        {
            var value = Integer(out var negative);
            Require(negative || value <= long.MaxValue);
            return (long)value;
        }

        /// <summary>A finite float64; a float32 is not canonical.</summary>
        public double Float64()
        {
            var first = Byte();
            if (first == 0xCA)
            {
                Shortest(false);
                Wide(4);
                return 0;
            }

            if (first != 0xCB)
            {
                return Fail();
            }

            var value = BitConverter.Int64BitsToDouble((long)Wide(8));
            Require(!double.IsNaN(value) && !double.IsInfinity(value));
            return value;
        }

        public string Str()
        {
            var first = Byte();
            ulong length;
            if (first >= 0xA0 && first <= 0xBF)
            {
                length = (ulong)(first & 0x1F);
            }
            else if (first == 0xD9)
            {
                length = Wide(1);
                Shortest(length > 31);
            }
            else if (first == 0xDA)
            {
                length = Wide(2);
                Shortest(length > 0xFF);
            }
            else if (first == 0xDB)
            {
                length = Wide(4);
                Shortest(length > 0xFFFF);
            }
            else
            {
                Fail();
                return "";
            }

            try
            {
                Take(length);
                return _malformed ? "" : Utf8.GetString(_data, _at - (int)length, (int)length);
            }
            catch (ArgumentException)
            {
                Fail();
                return "";
            }
        }

        public ReadOnlySpan<byte> Bin()
        {
            ulong length;
            switch (Byte())
            {
                case 0xC4:
                    length = Wide(1);
                    break;
                case 0xC5:
                    length = Wide(2);
                    Shortest(length > 0xFF);
                    break;
                case 0xC6:
                    length = Wide(4);
                    Shortest(length > 0xFFFF);
                    break;
                default:
                    Fail();
                    return default;
            }

            Take(length);
            return _malformed ? default : new ReadOnlySpan<byte>(_data, _at - (int)length, (int)length);
        }

        /// <summary>Any integer of VT1, as its 64 bits and its sign.</summary>
        public ulong Integer(out bool negative)
        {
            negative = false;
            var first = Byte();
            if (first < 0x80)
            {
                return (ulong)first;
            }

            ulong value;
            switch (first)
            {
                case 0xCC:
                    value = Wide(1);
                    Shortest(value > 0x7F);
                    return value;
                case 0xCD:
                    value = Wide(2);
                    Shortest(value > 0xFF);
                    return value;
                case 0xCE:
                    value = Wide(4);
                    Shortest(value > 0xFFFF);
                    return value;
                case 0xCF:
                    value = Wide(8);
                    Shortest(value > 0xFFFF_FFFF);
                    return value;
                case 0xD0: return Signed((sbyte)Wide(1), -32, out negative);
                case 0xD1: return Signed((short)Wide(2), sbyte.MinValue, out negative);
                case 0xD2: return Signed((int)Wide(4), short.MinValue, out negative);
                case 0xD3: return Signed((long)Wide(8), int.MinValue, out negative);
                default:
                    if (first >= 0xE0)
                    {
                        negative = true;
                        return (ulong)(sbyte)first;
                    }

                    return Fail();
            }
        }

        private ulong Signed(long value, long shorter, out bool negative)
        {
            // A non-negative integer always takes an unsigned form.
            Shortest(value < shorter);
            negative = value < 0;
            return (ulong)value;
        }

        private void Shortest(bool holds) => _notCanonical |= !holds;

        private ulong Fail()
        {
            _malformed = true;
            return 0;
        }

        private int Byte()
        {
            if (_malformed || _at >= _end)
            {
                _malformed = true;
                return 0xC1; // the byte that MessagePack never uses: fits no value
            }

            return _data[_at++];
        }

        private void Take(ulong length)
        {
            if (_malformed || length > (ulong)(_end - _at))
            {
                _malformed = true;
                return;
            }

            _at += (int)length;
        }

        private ulong Wide(int bytes)
        {
            Take((ulong)bytes);
            if (_malformed)
            {
                return 0;
            }

            var taken = new ReadOnlySpan<byte>(_data, _at - bytes, bytes);
            switch (bytes)
            {
                case 1: return _data[_at - 1];
                case 2: return BinaryPrimitives.ReadUInt16BigEndian(taken);
                case 4: return BinaryPrimitives.ReadUInt32BigEndian(taken);
                default: return BinaryPrimitives.ReadUInt64BigEndian(taken);
            }
        }
    }
}
