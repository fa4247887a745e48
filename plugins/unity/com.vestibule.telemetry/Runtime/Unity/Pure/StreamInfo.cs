using System.Globalization;
using System.Text;

namespace Vestibule.Unity
{
    /// <summary>
    /// The description of a stream: one JSON object of at most 1,024 bytes. SPEC, "info". Written once when a stream
    /// begins, so it may allocate.
    /// </summary>
    public sealed class StreamInfo
    {
        /// <summary>Most bytes of UTF-8.</summary>
        public const int MaxBytes = 1024;

        private const int MaxText = 96;

        private readonly StringBuilder _text = new StringBuilder("{");
        private int _bytes = 2;

        /// <summary>Begins a description.</summary>
        /// <param name="stream">Number of the stream.</param>
        /// <param name="kind">Name of its kind: <c>pose</c>.</param>
        public StreamInfo(int stream, string kind)
        {
            With("stream", stream).With("kind", kind);
        }

        /// <summary>Members that did not fit and were left out: the most important ones go first.</summary>
        public int LeftOut { get; private set; }

        /// <summary>Adds a text, cut to 96 characters; an empty one is left away. Never a serial number or a name of a person.</summary>
        public StreamInfo With(string name, string value)
        {
            if (string.IsNullOrEmpty(value))
            {
                return this;
            }
            var text = new StringBuilder();
            Quote(text, value);
            return Add(name, text.ToString());
        }

        /// <summary>Adds a number; one that is not finite is left away.</summary>
        public StreamInfo With(string name, double value)
        {
            return double.IsNaN(value) || double.IsInfinity(value)
                ? this
                : Add(name, value.ToString("R", CultureInfo.InvariantCulture));
        }

        /// <summary>The JSON.</summary>
        public string ToJson() => _text.ToString() + "}";

        private StreamInfo Add(string name, string value)
        {
            var member = new StringBuilder();
            if (_text.Length > 1)
            {
                member.Append(',');
            }
            Quote(member, name);
            member.Append(':').Append(value);
            string text = member.ToString();
            int bytes = Encoding.UTF8.GetByteCount(text);
            if (_bytes + bytes > MaxBytes)
            {
                LeftOut++;
                return this;
            }
            _bytes += bytes;
            _text.Append(text);
            return this;
        }

        private static void Quote(StringBuilder to, string value)
        {
            to.Append('"');
            int end = value.Length < MaxText ? value.Length : MaxText;
            for (int i = 0; i < end; i++)
            {
                char c = value[i];
                if (char.IsHighSurrogate(c) && i + 1 < end && char.IsLowSurrogate(value[i + 1]))
                {
                    to.Append(c).Append(value[++i]);
                }
                else if (c == '"' || c == '\\')
                {
                    to.Append('\\').Append(c);
                }
                else if (c < ' ' || char.IsSurrogate(c))  // half of a pair would not be UTF-8
                {
                    to.Append("\\u").Append(((int)c).ToString("x4", CultureInfo.InvariantCulture));
                }
                else
                {
                    to.Append(c);
                }
            }
            to.Append('"');
        }
    }
}
