using System;
using System.IO;
using System.Text;

namespace Vestibule
{
    /// <summary>
    /// Who this device is: a file in the app's private folder, with the members of a key file (SPEC, "Pairing"). It is
    /// written whole or not at all.
    /// </summary>
    internal sealed class Identity
    {
        public const int MaxFileBytes = 4096;

        private const string FileName = "identity.json";

        public uint Device { get; set; }

        /// <summary>K_dev.</summary>
        public byte[] Key { get; set; }

        public string Home { get; set; } = "";

        public string Name { get; set; } = "";

        /// <summary>HELLO counter used last; null for none.</summary>
        public ulong? HelloSeq { get; set; }

        public string Host { get; set; } = "";

        public int Port { get; set; }

        public ulong NextHello => HelloSeq.HasValue ? HelloSeq.Value + 1 : 0;

        /// <summary>Of a key file's or an identity file's members; null when they are not sound.</summary>
        public static Identity Of(FlatJson json)
        {
            var device = json.Number("device", uint.MaxValue);
            var key = Hex.Parse(json.Text("key"), Sizes.Key);
            if (!device.HasValue || device.Value == 0 || key == null || !Names.IsTopic(json.Text("home")))
            {
                return null;
            }

            return new Identity
            {
                Device = (uint)device.Value,
                Key = key,
                Home = json.Text("home"),
                Name = json.Text("name"),
                HelloSeq = json.Number("hello_seq", ulong.MaxValue - 1), // -1 for none is no number of this kind
                Host = json.Text("host"),
                Port = (int)(json.Number("port", ushort.MaxValue) ?? 0),
            };
        }

        /// <summary>Reads the identity of a folder; null when there is none.</summary>
        /// <exception cref="IOException">It is there and cannot be read, or is no identity.</exception>
        /// <exception cref="UnauthorizedAccessException">It is there and cannot be read.</exception>
        public static Identity Load(string folder)
        {
            var path = Path.Combine(folder, FileName);
            if (!File.Exists(path))
            {
                // A kill between the two steps of replacing, where the system cannot do it in one.
                path += ".new";
                if (!File.Exists(path))
                {
                    return null;
                }
            }

            if (new FileInfo(path).Length > MaxFileBytes)
            {
                throw new IOException(path + " is too long for an identity of a device");
            }

            var json = FlatJson.Parse(File.ReadAllText(path, Encoding.UTF8));
            return (json == null ? null : Of(json)) ?? throw new IOException(path + " is no identity of a device");
        }

        /// <summary>Makes it durable.</summary>
        /// <exception cref="IOException">It could not be written: what depends on it must not be sent.</exception>
        /// <exception cref="UnauthorizedAccessException">As above.</exception>
        public void Save(string folder)
        {
            Directory.CreateDirectory(folder);
            var path = Path.Combine(folder, FileName);
            var bytes = Encoding.UTF8.GetBytes(Json());
            using (var file = new FileStream(path + ".new", FileMode.Create, FileAccess.Write, FileShare.None))
            {
                file.Write(bytes, 0, bytes.Length);
                file.Flush(true);
            }

            if (!File.Exists(path))
            {
                File.Move(path + ".new", path);
                return;
            }

            try
            {
                File.Replace(path + ".new", path, null);
            }
            catch (PlatformNotSupportedException)
            {
                File.Delete(path);
                File.Move(path + ".new", path);
            }
        }

        private string Json()
        {
            var json = new StringBuilder();
            json.Append("{\"device\":").Append(Device).Append(",\"key\":\"").Append(Hex.Of(Key)).Append("\",\"home\":");
            json.Append(FlatJson.Quoted(Home)).Append(",\"name\":").Append(FlatJson.Quoted(Name)).Append(",\"hello_seq\":");
            json.Append(HelloSeq.HasValue ? HelloSeq.Value.ToString(System.Globalization.CultureInfo.InvariantCulture) : "-1");
            json.Append(",\"host\":").Append(FlatJson.Quoted(Host)).Append(",\"port\":").Append(Port).Append("}\n");
            return json.ToString();
        }
    }
}
