using System;
using System.Buffers.Binary;
using System.Threading;

namespace Vestibule
{
    /// <summary>One entry of the queue: samples, or how many found it full.</summary>
    internal readonly struct Captured
    {
        public Captured(ushort stream, byte kind, bool isMissed, int count, int at, int bytes)
        {
            Stream = stream;
            Kind = kind;
            IsMissed = isMissed;
            Count = count;
            At = at;
            Bytes = bytes;
        }

        public ushort Stream { get; }

        public byte Kind { get; }

        /// <summary>The queue was full: these have numbers and no bytes.</summary>
        public bool IsMissed { get; }

        public int Count { get; }

        /// <summary>Where the records begin in the queue's buffer.</summary>
        public int At { get; }

        public int Bytes { get; }
    }

    /// <summary>
    /// Samples from the app's threads to the worker: preallocated, many writers under a short lock, one reader without.
    /// When it is full the newest are dropped, and how many is told in their place: the order of numbers stays true.
    /// </summary>
    internal sealed class CaptureQueue
    {
        private const int Head = 12;
        private const uint Wrap = uint.MaxValue;
        private const int MaxMissed = 64; // streams; a link has no more

        private readonly object _gate = new object();
        private readonly byte[] _buffer;
        private readonly int _worthWaking;
        private readonly (ushort Stream, byte Kind, int Count)[] _missed = new (ushort, byte, int)[MaxMissed];
        private int _missedRows;
        private long _written;
        private long _read;
        private int _told;
        private long _dropped;

        /// <param name="bytes">Size of the buffer.</param>
        /// <param name="worthWaking">With so many bytes waiting, the worker is to be woken.</param>
        public CaptureQueue(int bytes, int worthWaking)
        {
            _buffer = new byte[bytes & ~3];
            _worthWaking = worthWaking;
        }

        /// <summary>Longest entry that is taken.</summary>
        public int MostBytes => _buffer.Length / 4;

        public byte[] Buffer => _buffer;

        /// <summary>Samples that found it full.</summary>
        public long Dropped => Interlocked.Read(ref _dropped);

        /// <summary>Takes samples; returns whether the worker is to be woken.</summary>
        public bool Write(ushort stream, byte kind, ReadOnlySpan<byte> records, int count)
        {
            lock (_gate)
            {
                if ((_missedRows > 0 && !PutMissed()) || !Put(stream, kind, false, count, records))
                {
                    Miss(stream, kind, count);
                }

                var worth = _written - Volatile.Read(ref _read) >= _worthWaking;
                return worth && Interlocked.Exchange(ref _told, 1) == 0;
            }
        }

        // The reader's side.

        /// <summary>The worker is awake: it is woken again for what comes after this.</summary>
        public void Awake() => Volatile.Write(ref _told, 0);

        /// <summary>The oldest entry; it stays until <see cref="Advance"/>.</summary>
        public bool TryPeek(out Captured captured)
        {
            captured = default;
            if (_read == Volatile.Read(ref _written))
            {
                lock (_gate)
                {
                    if (_missedRows > 0)
                    {
                        PutMissed();
                    }
                }

                if (_read == Volatile.Read(ref _written))
                {
                    return false;
                }
            }

            var at = (int)(_read % _buffer.Length);
            if (_buffer.Length - at < Head || BinaryPrimitives.ReadUInt32LittleEndian(_buffer.AsSpan(at)) == Wrap)
            {
                Volatile.Write(ref _read, _read + _buffer.Length - at);
                at = 0;
            }

            captured = new Captured(
                BinaryPrimitives.ReadUInt16LittleEndian(_buffer.AsSpan(at + 4)),
                _buffer[at + 6],
                _buffer[at + 7] != 0,
                BinaryPrimitives.ReadInt32LittleEndian(_buffer.AsSpan(at + 8)),
                at + Head,
                BinaryPrimitives.ReadInt32LittleEndian(_buffer.AsSpan(at)));
            return true;
        }

        public void Advance(in Captured captured) => Volatile.Write(ref _read, _read + Head + Padded(captured.Bytes));

        private static int Padded(int bytes) => (bytes + 3) & ~3;

        private bool Put(ushort stream, byte kind, bool isMissed, int count, ReadOnlySpan<byte> records)
        {
            var bytes = Head + Padded(records.Length);
            var at = (int)(_written % _buffer.Length);
            var rest = _buffer.Length - at;
            var skip = rest < bytes ? rest : 0;
            if (_written + skip + bytes - Volatile.Read(ref _read) > _buffer.Length)
            {
                return false;
            }

            if (skip > 0)
            {
                if (rest >= Head)
                {
                    BinaryPrimitives.WriteUInt32LittleEndian(_buffer.AsSpan(at), Wrap);
                }

                at = 0;
            }

            BinaryPrimitives.WriteInt32LittleEndian(_buffer.AsSpan(at), records.Length);
            BinaryPrimitives.WriteUInt16LittleEndian(_buffer.AsSpan(at + 4), stream);
            _buffer[at + 6] = kind;
            _buffer[at + 7] = (byte)(isMissed ? 1 : 0);
            BinaryPrimitives.WriteInt32LittleEndian(_buffer.AsSpan(at + 8), count);
            records.CopyTo(_buffer.AsSpan(at + Head));
            Volatile.Write(ref _written, _written + skip + bytes);
            return true;
        }

        private bool PutMissed()
        {
            while (_missedRows > 0)
            {
                var row = _missed[_missedRows - 1];
                if (!Put(row.Stream, row.Kind, true, row.Count, default))
                {
                    return false;
                }

                _missedRows--;
            }

            return true;
        }

        private void Miss(ushort stream, byte kind, int count)
        {
            Interlocked.Add(ref _dropped, count);
            for (var at = 0; at < _missedRows; at++)
            {
                if (_missed[at].Stream == stream && _missed[at].Kind == kind)
                {
                    _missed[at].Count += count;
                    return;
                }
            }

            if (_missedRows < MaxMissed)
            {
                _missed[_missedRows++] = (stream, kind, count);
            }
        }
    }
}
