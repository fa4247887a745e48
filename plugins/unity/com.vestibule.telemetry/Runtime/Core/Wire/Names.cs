using System.Text;

namespace Vestibule
{
    /// <summary>Names that may stand in packets.</summary>
    internal static class Names
    {
        /// <summary>A name in an MQTT topic: 1 to 32 of a-z, 0-9 and hyphen.</summary>
        public static bool IsTopic(string name)
        {
            if (name.Length == 0 || name.Length > Sizes.MaxTopicName)
            {
                return false;
            }

            foreach (var c in name)
            {
                if (!((c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '-'))
                {
                    return false;
                }
            }

            return true;
        }

        /// <summary>A device's own name: at most 64 bytes, and no control character that would move a cursor.</summary>
        public static bool IsDevice(string name)
        {
            foreach (var c in name)
            {
                if (c < ' ' || (c >= '\u007F' && c <= '\u009F'))
                {
                    return false;
                }
            }

            return Bytes(name) <= Sizes.MaxName;
        }

        /// <summary>Bytes of UTF-8; above every limit for text that is not valid UTF-16.</summary>
        public static int Bytes(string text)
        {
            try
            {
                return new UTF8Encoding(false, true).GetByteCount(text);
            }
            catch (EncoderFallbackException)
            {
                return int.MaxValue;
            }
        }
    }
}
