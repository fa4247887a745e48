using System;
using System.Collections.Generic;

namespace Vestibule
{
    /// <summary>
    /// Samples to frames, frames to packets: numbering, filling, and how long a sample waits for company. Numbers run
    /// from 0 in each stream of a session and go on over its links. Sizes are computed, not tried.
    /// </summary>
    internal sealed partial class Gather
    {
        public const int BinBytes = 3;
        public const long Never = long.MaxValue;

        private const int OtherSamples = 32;
        private const int FloorBytes = 5; // a floor below 2^32: 49 days of one link at 1,000 packets a second
        private const int TotalBytes = 5; // counted in full, since a total may grow until its packet is sealed
        private const int ShortArray = 15;
        private const int LongArrayBytes = 2;
        private const int MaxSessions = 16; // whose numbers are remembered
        private const int WorthWaiting = 4; // a packet with less than a quarter of its room left goes at once
        private const int Room = Sizes.MaxDatagram - Sizes.MinPacket - (FloorBytes + 3); // and three short arrays

        private readonly long _lingerNs;
        private readonly Action<List<List<FrameBuffer>>> _full;
        private readonly List<FrameBuffer> _open = new List<FrameBuffer>();
        private readonly List<List<FrameBuffer>> _packets = new List<List<FrameBuffer>>(); // full, and not given out yet
        private readonly Stack<List<FrameBuffer>> _lists = new Stack<List<FrameBuffer>>();
        private readonly Stack<FrameBuffer> _idle = new Stack<FrameBuffer>();
        private readonly List<Streams> _sessions = new List<Streams>(); // the newest last
        private readonly List<StreamState> _rows = new List<StreamState>(); // totals of the packet being made
        private List<FrameBuffer> _ready = new List<FrameBuffer>();
        private int _readyBytes;
        private long _readyNs;
        private int _told;

        /// <param name="lingerNs">How long a sample may wait.</param>
        /// <param name="full">Takes the frames of packets that are full, a list for each; lent for the call.</param>
        public Gather(long lingerNs, Action<List<List<FrameBuffer>>> full)
        {
            _lingerNs = lingerNs;
            _full = full;
        }

        /// <summary>Of the session that is recorded, or was last.</summary>
        public Streams Streams { get; private set; } = new Streams("");

        /// <summary>When the oldest sample has waited long enough.</summary>
        public long DueNs { get; private set; } = Never;

        /// <summary>Samples captured and not sealed yet.</summary>
        public long WaitingSamples
        {
            get
            {
                var samples = 0L;
                foreach (var frame in _ready)
                {
                    samples += frame.Count;
                }

                foreach (var frame in _open)
                {
                    samples += frame.Count;
                }

                return samples;
            }
        }

        /// <summary>Records a session from now on; nothing is open. One recorded before goes on with its numbers.</summary>
        public void Enter(byte[] session)
        {
            var name = Hex.Of(session);
            var at = _sessions.FindIndex(known => known.Session == name);
            var streams = at >= 0 ? _sessions[at] : new Streams(name);
            if (at >= 0)
            {
                _sessions.RemoveAt(at);
            }
            else if (_sessions.Count == MaxSessions)
            {
                _sessions.RemoveAt(0);
            }

            _sessions.Add(streams);
            Streams = streams;
        }

        /// <summary>Takes samples in.</summary>
        /// <returns>Null, or what is wrong with them: a word of the account's faults.</returns>
        public string Add(ushort stream, byte kind, ReadOnlySpan<byte> samples, int count, long nowNs)
        {
            var state = Streams.Get(stream);
            var size = Kinds.IsVariable(kind) ? samples.Length : Kinds.RecordBytes(kind);
            var frame = state?.Open;
            if (frame == null || state.Kind != kind || samples.Length != count * frame.Size || count < 1)
            {
                var fault = Check(state, stream, kind, samples.Length, size, count);
                if (fault != null)
                {
                    return fault;
                }

                state = state ?? Streams.Add(stream, kind);
                frame = Start(state, size, nowNs);
            }

            while (true)
            {
                var taken = Math.Min(count, frame.Capacity - frame.Count);
                samples.Slice(0, taken * size).CopyTo(frame.Samples.AsSpan(frame.Bytes));
                samples = samples.Slice(taken * size);
                frame.Bytes += taken * size;
                frame.Count += taken;
                state.Total += taken;
                count -= taken;
                if (frame.Count < frame.Capacity)
                {
                    break;
                }

                Close(frame);
                if (count == 0)
                {
                    break;
                }

                frame = Start(state, size, nowNs);
            }

            GiveOut();
            return null;
        }

        /// <summary>Samples that were lost on their way here: they get their numbers all the same, so that it shows.</summary>
        /// <returns>Null, or what is wrong with them.</returns>
        public string Miss(ushort stream, byte kind, long count)
        {
            var state = Streams.Get(stream);
            var fault = CheckStream(state, kind);
            if (fault != null)
            {
                return fault;
            }

            state = state ?? Streams.Add(stream, kind);
            if (state.Open != null)
            {
                Close(state.Open); // what follows does not follow it by number
            }

            CountIn(state);
            state.Total += count;
            GiveOut();
            return null;
        }

        /// <summary>Closes everything that is open: the linger time is over, or the link ends.</summary>
        public void Flush()
        {
            while (_open.Count > 0)
            {
                Close(_open[0]);
            }

            Pack();
            GiveOut();
        }

        /// <summary>Throws away what is not sealed: its link is gone. Returns how many samples that were.</summary>
        public long Clear()
        {
            var lost = WaitingSamples;
            foreach (var frame in _open)
            {
                frame.Stream.Open = null;
                _idle.Push(frame);
            }

            _open.Clear();
            GiveBack(_ready);
            _readyBytes = 0;
            DueNs = Never;
            return lost;
        }

        /// <summary>Writes the body of DATA: the frames, the totals of their streams, and that of one other stream in turn.</summary>
        public void Body(ref MsgWriter to, List<FrameBuffer> frames, ulong floor)
        {
            var size = frames.Count > ShortArray ? LongArrayBytes : 0;
            size += frames.Count >= ShortArray ? LongArrayBytes : 0;
            _rows.Clear();
            foreach (var frame in frames)
            {
                _rows.Add(frame.Stream);
                size += frame.BodyBytes + RowBytes(frame.Stream);
            }

            var other = Other(Streams.Counted.Count - frames.Count);
            if (other != null && size + RowBytes(other) <= Room)
            {
                _rows.Add(other);
                _told++;
            }

            Bodies.Data(ref to, floor, _rows, frames);
        }

        /// <summary>Bytes of one row of totals, with room to grow.</summary>
        private static int RowBytes(StreamState stream) => RowBytes(stream.Number, stream.Total);

        private static int RowBytes(ushort stream, long total) =>
            1 + MsgWriter.IntBytes(stream) + Math.Max(TotalBytes, MsgWriter.IntBytes((ulong)total));

        /// <summary>The stream whose turn it is, of those that are not told anyway. All totals in every packet would cost
        /// more than the frames of small packets; in turn, each is told again within as many packets as there are streams.</summary>
        private StreamState Other(int others)
        {
            if (others <= 0)
            {
                return null;
            }

            var turn = _told % others;
            foreach (var stream in Streams.Counted)
            {
                if (!_rows.Contains(stream) && turn-- == 0)
                {
                    return stream;
                }
            }

            return null;
        }

        private void CountIn(StreamState state)
        {
            if (state.Total == 0 && !Streams.Counted.Contains(state))
            {
                Streams.Counted.Add(state);
            }
        }

        private FrameBuffer Start(StreamState state, int size, long nowNs)
        {
            CountIn(state);
            var frame = _idle.Count > 0 ? _idle.Pop() : new FrameBuffer();
            frame.Stream = state;
            frame.Size = size;
            frame.First = state.Total;
            frame.Capacity = Capacity(state.Number, state.Kind, size, state.Total);
            frame.OpenedNs = nowNs;
            frame.Count = frame.Bytes = 0;
            state.Open = frame;
            _open.Add(frame);
            DueNs = DueNs == Never ? nowNs + _lingerNs : DueNs;
            return frame;
        }

        /// <summary>Puts a frame into the packet, which is given out when it is full. A packet has one frame of a stream:
        /// a receipt names refused frames by packet and stream.</summary>
        private void Close(FrameBuffer frame)
        {
            _open.Remove(frame);
            frame.Stream.Open = null;
            foreach (var ready in _ready)
            {
                if (ready.Stream != frame.Stream)
                {
                    continue;
                }

                if (Lengthen(ready, frame))
                {
                    _idle.Push(frame);
                    GiveIfFull();
                    return;
                }

                Pack();
                break;
            }

            var size = frame.BodyBytes + RowBytes(frame.Stream);

            // Room for long arrays is kept from the 15th frame on; totals of other streams yield to frames.
            var longer = _ready.Count >= ShortArray ? 2 * LongArrayBytes : 0;
            if (_ready.Count > 0 && (_readyBytes + size + longer > Room || _ready.Count == Sizes.MaxFrames))
            {
                Pack();
            }

            _readyNs = _ready.Count == 0 ? frame.OpenedNs : _readyNs;
            _ready.Add(frame);
            _readyBytes += size;
            GiveIfFull();
        }

        /// <summary>Puts a frame's samples behind those of the frame of its stream that waits; false where they do not fit.</summary>
        private bool Lengthen(FrameBuffer ready, FrameBuffer more)
        {
            var longer = _ready.Count > ShortArray ? 2 * LongArrayBytes : 0;
            if (Kinds.IsVariable(more.Stream.Kind) || ready.First + ready.Count != more.First ||
                _readyBytes + more.Bytes + longer > Room)
            {
                return false;
            }

            Buffer.BlockCopy(more.Samples, 0, ready.Samples, ready.Bytes, more.Bytes);
            ready.Bytes += more.Bytes;
            ready.Count += more.Count;
            _readyBytes += more.Bytes;
            return true;
        }

        private void GiveIfFull()
        {
            if (Room - _readyBytes < Room / WorthWaiting)
            {
                Pack();
            }
            else
            {
                SetDue();
            }
        }

        private void Pack()
        {
            if (_ready.Count > 0)
            {
                _packets.Add(_ready);
                _ready = _lists.Count > 0 ? _lists.Pop() : new List<FrameBuffer>();
                _readyBytes = 0;
            }

            SetDue();
        }

        /// <summary>Only when all that was captured at once is counted: each of its packets tells the same totals.</summary>
        private void GiveOut()
        {
            if (_packets.Count == 0)
            {
                return;
            }

            _full(_packets);
            foreach (var frames in _packets)
            {
                GiveBack(frames);
                _lists.Push(frames);
            }

            _packets.Clear();
        }

        private void GiveBack(List<FrameBuffer> frames)
        {
            foreach (var frame in frames)
            {
                _idle.Push(frame);
            }

            frames.Clear();
        }

        private void SetDue()
        {
            var opened = _ready.Count > 0 ? _readyNs : Never;
            foreach (var frame in _open)
            {
                opened = Math.Min(opened, frame.OpenedNs);
            }

            DueNs = opened == Never ? Never : opened + _lingerNs;
        }
    }
}
