using System;
using System.Collections.Generic;
using System.IO;

namespace Vestibule
{
    /// <summary>The segment files of one link, and where each of its packets stands.</summary>
    internal sealed class SpoolLink : IDisposable
    {
        public const int SegmentBytes = 4 * 1024 * 1024;

        private readonly string _folder;
        private readonly uint _link;
        private readonly byte[] _header; // null on a link of an earlier run: nothing is added to it
        private readonly byte[] _record = new byte[SpoolFormat.RecordHead + Sizes.MaxDatagram];
        private readonly Dictionary<ulong, Place> _places = new Dictionary<ulong, Place>();
        private readonly List<Segment> _segments = new List<Segment>();
        private FileStream _writer;
        private int _next; // number of the next segment

        public SpoolLink(string folder, uint link, byte[] header)
        {
            _folder = folder;
            _link = link;
            _header = header;
        }

        public int Packets => _places.Count;

        public long Bytes { get; private set; }

        /// <summary>A file that is there already.</summary>
        public void Found(int segment) => _segments.Add(new Segment { Number = segment });

        /// <summary>A packet of it.</summary>
        public void Found(int segment, ulong seq, long at, int bytes) =>
            Put(_segments.Find(known => known.Number == segment), seq, at, bytes);

        public void Write(ulong seq, int samples, byte[] packet, int bytes)
        {
            if (_writer == null || _writer.Length >= SegmentBytes)
            {
                Next();
            }

            var at = _writer.Position;
            SpoolFormat.WriteHead(_record, bytes, samples);
            Buffer.BlockCopy(packet, 0, _record, SpoolFormat.RecordHead, bytes);
            try
            {
                _writer.Write(_record, 0, SpoolFormat.RecordHead + bytes);
                _writer.Flush();
            }
            catch (Exception)
            {
                Cut(at); // half a record would hide all that follow it
                throw;
            }

            Put(_segments[_segments.Count - 1], seq, at + SpoolFormat.RecordHead, bytes);
        }

        /// <summary>Reads a packet; returns its bytes, or 0 when it is not here.</summary>
        public int Read(ulong seq, byte[] into)
        {
            if (!_places.TryGetValue(seq, out var place))
            {
                return 0;
            }

            using (var file = new FileStream(PathOf(place.Segment), FileMode.Open, FileAccess.Read, FileShare.ReadWrite))
            {
                file.Position = place.At;
                var done = 0;
                while (done < place.Bytes)
                {
                    var read = file.Read(into, done, place.Bytes - done);
                    if (read == 0)
                    {
                        return 0;
                    }

                    done += read;
                }

                return done;
            }
        }

        /// <summary>Packets first..last are no longer held; files without any are deleted.</summary>
        public void Settled(ulong first, ulong last)
        {
            if (last - first >= (ulong)_places.Count)
            {
                var gone = new List<ulong>();
                foreach (var seq in _places.Keys)
                {
                    if (seq >= first && seq <= last)
                    {
                        gone.Add(seq);
                    }
                }

                gone.ForEach(Remove);
            }
            else
            {
                for (var seq = first; ; seq++)
                {
                    Remove(seq);
                    if (seq == last)
                    {
                        break;
                    }
                }
            }

            for (var at = _segments.Count - 1; at >= 0; at--)
            {
                if (_segments[at].Packets == 0)
                {
                    Delete(at);
                }
            }
        }

        public void DeleteAll()
        {
            for (var at = _segments.Count - 1; at >= 0; at--)
            {
                Delete(at);
            }

            _places.Clear();
            Bytes = 0;
        }

        public void Dispose()
        {
            var writer = _writer;
            _writer = null;
            try
            {
                writer?.Dispose();
            }
            catch (IOException)
            {
                // What was not written is not in the list of packets either.
            }
        }

        private void Next()
        {
            Dispose();
            if (_segments.Count > 0 && _segments[_segments.Count - 1].Packets == 0)
            {
                Delete(_segments.Count - 1); // one whose first record did not fit
            }

            var number = _segments.Count == 0 ? _next : Math.Max(_next, _segments[_segments.Count - 1].Number + 1);
            _next = number + 1;
            Directory.CreateDirectory(_folder);
            var segment = new Segment { Number = number };
            // Without a buffer: what the disk does not take is known at once, and belongs to one record.
            _segments.Add(segment);
            _writer = new FileStream(PathOf(segment), FileMode.Create, FileAccess.Write, FileShare.ReadWrite, 1);
            try
            {
                _writer.Write(_header, 0, _header.Length);
                _writer.Flush();
            }
            catch (Exception)
            {
                Dispose();
                throw;
            }
        }

        private void Cut(long at)
        {
            try
            {
                _writer.SetLength(at);
                _writer.Position = at;
            }
            catch (Exception)
            {
                Dispose(); // the next packet begins a file of its own
            }
        }

        private void Put(Segment segment, ulong seq, long at, int bytes)
        {
            Remove(seq);
            _places[seq] = new Place { Segment = segment, At = at, Bytes = bytes };
            segment.Packets++;
            Bytes += bytes;
        }

        private void Remove(ulong seq)
        {
            if (_places.TryGetValue(seq, out var place))
            {
                _places.Remove(seq);
                place.Segment.Packets--;
                Bytes -= place.Bytes;
            }
        }

        private void Delete(int at)
        {
            if (at == _segments.Count - 1)
            {
                Dispose(); // the file that is being written
            }

            File.Delete(PathOf(_segments[at]));
            _segments.RemoveAt(at);
        }

        private string PathOf(Segment segment) => Path.Combine(_folder, SpoolFormat.FileName(_link, segment.Number));

        private sealed class Segment
        {
            public int Number { get; set; }

            public int Packets { get; set; }
        }

        private struct Place
        {
            public Segment Segment;
            public long At;
            public int Bytes;
        }
    }
}
