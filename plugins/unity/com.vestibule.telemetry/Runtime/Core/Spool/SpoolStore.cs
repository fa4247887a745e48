using System;
using System.Collections.Generic;
using System.IO;

namespace Vestibule
{
    /// <summary>
    /// Sealed packets in the app's private folder, so that a long outage, a kill of the app or a flat battery lose
    /// nothing that was sealed. The worker's thread owns it. Members throw what files throw.
    /// </summary>
    internal sealed class SpoolStore : IDisposable
    {
        private const int MoreBytes = 64 * 1024;

        private readonly string _folder;
        private readonly uint _device;
        private readonly Dictionary<uint, SpoolLink> _links = new Dictionary<uint, SpoolLink>();

        /// <param name="privateFolder">The spool stands in its folder <c>spool</c>.</param>
        /// <param name="device">Number of the device; what another one left is deleted.</param>
        public SpoolStore(string privateFolder, uint device)
        {
            _folder = Path.Combine(privateFolder, "spool");
            _device = device;
        }

        public int Packets { get; private set; }

        public long Bytes { get; private set; }

        /// <summary>Files that were cut at a torn or foreign end.</summary>
        public int Cut { get; private set; }

        /// <summary>Files that were deleted as another device's, or as no spool file.</summary>
        public int Deleted { get; private set; }

        /// <summary>Files that could not be read or deleted, and stand where they stood.</summary>
        public int Unread { get; private set; }

        /// <summary>Reads what earlier runs left: links, oldest first.</summary>
        public List<RestoredLink> Load()
        {
            var found = new SortedDictionary<uint, RestoredLink>();
            var files = Directory.Exists(_folder) ? Directory.GetFiles(_folder, "*.vts") : Array.Empty<string>();
            foreach (var path in files)
            {
                try
                {
                    if (!SpoolFormat.ParseName(Path.GetFileName(path), out var number, out var segment) ||
                        !LoadFile(path, number, segment, found))
                    {
                        Deleted++;
                        File.Delete(path);
                    }
                }
                catch (Exception error) when (error is IOException || error is UnauthorizedAccessException)
                {
                    Unread++; // one file that cannot be read must not hide the others
                }
            }

            var links = new List<RestoredLink>();
            foreach (var link in found.Values)
            {
                link.Packets.Sort((a, b) => a.Seq.CompareTo(b.Seq));
                for (var at = link.Packets.Count - 1; at > 0; at--)
                {
                    if (link.Packets[at].Seq == link.Packets[at - 1].Seq)
                    {
                        link.Packets.RemoveAt(at);
                    }
                }

                if (link.Packets.Count > 0)
                {
                    links.Add(link);
                }
                else
                {
                    Dropped(link.Number);
                }
            }

            Count();
            return links;
        }

        public void Keep(Link link, ulong seq, int samples, byte[] packet, int bytes)
        {
            if (!_links.TryGetValue(link.Number, out var files))
            {
                files = new SpoolLink(_folder, link.Number, SpoolFormat.Header(_device, link));
                _links.Add(link.Number, files);
            }

            files.Write(seq, samples, packet, bytes);
            Packets++;
            Bytes += bytes;
        }

        /// <summary>Reads a packet; returns its bytes, or 0 when it is not there.</summary>
        public int Read(uint link, ulong seq, byte[] into) =>
            _links.TryGetValue(link, out var files) ? files.Read(seq, into) : 0;

        public void Settled(uint link, ulong first, ulong last)
        {
            if (_links.TryGetValue(link, out var files))
            {
                files.Settled(first, last);
                Count();
            }
        }

        public void Dropped(uint link)
        {
            if (_links.TryGetValue(link, out var files))
            {
                files.DeleteAll();
                _links.Remove(link);
                Count();
            }
        }

        public void Dispose()
        {
            foreach (var files in _links.Values)
            {
                files.Dispose();
            }
        }

        private bool LoadFile(string path, uint number, int segment, SortedDictionary<uint, RestoredLink> found)
        {
            var file = ReadFile(path);
            if (file == null)
            {
                return false;
            }

            var at = SpoolFormat.ReadHeader(file, out var device, out var upMac, out var link);
            if (at == 0 || device != _device || link.Number != number)
            {
                return false;
            }

            if (!found.TryGetValue(number, out var known))
            {
                known = link;
                found.Add(number, link);
                _links.Add(number, new SpoolLink(_folder, number, null));
            }

            _links[number].Found(segment);

            var scratch = new byte[Sizes.MaxDatagram + 1];
            using (var tagger = new Tagger(upMac))
            {
                while (SpoolFormat.ReadRecord(file, at, number, tagger, scratch, out var packet))
                {
                    known.Packets.Add(packet);
                    _links[number].Found(segment, packet.Seq, at + SpoolFormat.RecordHead, packet.Bytes);
                    at += SpoolFormat.RecordHead + packet.Bytes;
                }
            }

            if (at < file.Length)
            {
                Cut++;
                using (var torn = new FileStream(path, FileMode.Open, FileAccess.Write))
                {
                    torn.SetLength(at);
                }
            }

            return true;
        }

        /// <summary>A whole file; null for one that no spool has: a full segment and a packet is the longest.</summary>
        private static byte[] ReadFile(string path)
        {
            using (var file = new FileStream(path, FileMode.Open, FileAccess.Read, FileShare.Read))
            {
                if (!file.CanSeek || file.Length > SpoolLink.SegmentBytes + MoreBytes)
                {
                    return null;
                }

                var bytes = new byte[file.Length];
                var done = 0;
                for (int read; done < bytes.Length && (read = file.Read(bytes, done, bytes.Length - done)) > 0;)
                {
                    done += read;
                }

                return done == bytes.Length ? bytes : null;
            }
        }

        private void Count()
        {
            Packets = 0;
            Bytes = 0;
            foreach (var files in _links.Values)
            {
                Packets += files.Packets;
                Bytes += files.Bytes;
            }
        }
    }
}
