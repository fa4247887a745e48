namespace Vestibule
{
    /// <summary>Types of a packet, and sizes (SPEC, "Packet", "Limits").</summary>
    internal static class PacketType
    {
        public const byte Pair = 1;
        public const byte Paired = 2;
        public const byte Hello = 3;
        public const byte Welcome = 4;
        public const byte Data = 5;
        public const byte Receipt = 6;
        public const byte Sync = 7;
        public const byte Command = 8;
        public const byte Bye = 9;
        public const byte Reset = 10;

        /// <summary>Whether a device that is paired takes this type.</summary>
        public static bool IsForDevice(byte type) =>
            type == Welcome || type == Receipt || type == Sync || type == Command || type == Reset;
    }

    /// <summary>Sizes in bytes.</summary>
    internal static class Sizes
    {
        public const int Header = 24;
        public const int Tag = 16;
        public const int MinPacket = Header + Tag;
        public const int MaxDatagram = 1200;
        public const int Hello = 512;
        public const int Pair = 256;
        public const int Nonce = 16;
        public const int Key = 32;
        public const int MaxName = 64;
        public const int MaxTopicName = 32;
        public const int MaxLinks = 24;
        public const int MaxVersions = 8;
        public const int MaxFrames = 64;
        public const int MaxTotals = 64;
    }

    /// <summary>Why a packet that came was not acted on; counted under these names.</summary>
    internal static class Wrong
    {
        public const string Oversize = "oversize";
        public const string Truncated = "truncated";
        public const string Magic = "magic";
        public const string Type = "type";
        public const string Unexpected = "unexpected";
        public const string UnknownLink = "unknown_link";
        public const string BadTag = "bad_tag";
        public const string Copy = "copy";
        public const string NotMine = "not_mine";
        public const string Downgrade = "downgrade";
        public const string Unanswerable = "unanswerable";
        public const string Malformed = "malformed";
        public const string NotCanonical = "not_canonical";
        public const string Numbers = "numbers";
    }
}
