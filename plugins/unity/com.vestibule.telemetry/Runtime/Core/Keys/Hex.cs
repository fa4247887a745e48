namespace Vestibule
{
    /// <summary>Bytes as lower-case hex digits.</summary>
    internal static class Hex
    {
        private const string Digits = "0123456789abcdef";

        public static string Of(byte[] bytes)
        {
            var text = new char[bytes.Length * 2];
            for (var at = 0; at < bytes.Length; at++)
            {
                text[at * 2] = Digits[bytes[at] >> 4];
                text[(at * 2) + 1] = Digits[bytes[at] & 15];
            }

            return new string(text);
        }

        /// <summary>The bytes, or null when the text is anything but <paramref name="bytes"/> times two lower-case digits.</summary>
        public static byte[] Parse(string text, int bytes)
        {
            if (text.Length != bytes * 2)
            {
                return null;
            }

            var made = new byte[bytes];
            for (var at = 0; at < text.Length; at++)
            {
                var digit = Digits.IndexOf(text[at]);
                if (digit < 0)
                {
                    return null;
                }

                made[at / 2] = (byte)((made[at / 2] << 4) | digit);
            }

            return made;
        }
    }
}
