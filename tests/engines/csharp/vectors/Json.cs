using System;
using System.Collections.Generic;
using System.Globalization;
using System.Text;

namespace Vestibule.Tests
{
    /// <summary>A JSON value: numbers stay text, so that 64-bit integers are exact. Throws FormatException.</summary>
    internal sealed class Json
    {
        private readonly object _value;

        private Json(object value)
        {
            _value = value;
        }

        public static Json Parse(string text)
        {
            var at = 0;
            var made = Value(text, ref at);
            Space(text, ref at);
            return at == text.Length ? made : throw new FormatException("JSON: something follows at " + at);
        }

        public Json this[string name] => Map.TryGetValue(name, out var found) ? found : throw new FormatException("no member " + name);

        public Json this[int at] => Items[at];

        public bool Has(string name) => _value is Dictionary<string, Json> map && map.ContainsKey(name);

        public Dictionary<string, Json> Map => (Dictionary<string, Json>)_value;

        public List<Json> Items => (List<Json>)_value;

        public int Count => Items.Count;

        public string Text => (string)_value;

        public ulong U64 => ulong.Parse(Text, CultureInfo.InvariantCulture);

        public long I64 => long.Parse(Text, CultureInfo.InvariantCulture);

        public int Int => int.Parse(Text, CultureInfo.InvariantCulture);

        public double Double => double.Parse(Text, NumberStyles.Float, CultureInfo.InvariantCulture);

        public float F32 => Text == "nan" ? float.NaN : (float)Double;

        public byte[] Hex
        {
            get
            {
                var bytes = new byte[Text.Length / 2];
                for (var at = 0; at < bytes.Length; at++)
                {
                    bytes[at] = byte.Parse(Text.Substring(at * 2, 2), NumberStyles.HexNumber, CultureInfo.InvariantCulture);
                }

                return bytes;
            }
        }

        private static Json Value(string text, ref int at)
        {
            Space(text, ref at);
            switch (text[at])
            {
                case '{': return Object(text, ref at);
                case '[': return Array(text, ref at);
                case '"': return new Json(String(text, ref at));
                default:
                    var from = at;
                    while (at < text.Length && ",]} \n\r\t".IndexOf(text[at]) < 0)
                    {
                        at++;
                    }

                    return new Json(text.Substring(from, at - from));
            }
        }

        private static Json Object(string text, ref int at)
        {
            var map = new Dictionary<string, Json>();
            at++;
            for (Space(text, ref at); text[at] != '}'; Space(text, ref at))
            {
                var name = String(text, ref at);
                Space(text, ref at);
                Take(text, ref at, ':');
                map.Add(name, Value(text, ref at));
                Space(text, ref at);
                if (text[at] != '}')
                {
                    Take(text, ref at, ',');
                }
            }

            at++;
            return new Json(map);
        }

        private static Json Array(string text, ref int at)
        {
            var items = new List<Json>();
            at++;
            for (Space(text, ref at); text[at] != ']'; Space(text, ref at))
            {
                items.Add(Value(text, ref at));
                Space(text, ref at);
                if (text[at] != ']')
                {
                    Take(text, ref at, ',');
                }
            }

            at++;
            return new Json(items);
        }

        private static string String(string text, ref int at)
        {
            Take(text, ref at, '"');
            var made = new StringBuilder();
            while (text[at] != '"')
            {
                var c = text[at++];
                if (c != '\\')
                {
                    made.Append(c);
                    continue;
                }

                c = text[at++];
                if (c == 'u')
                {
                    made.Append((char)ushort.Parse(text.Substring(at, 4), NumberStyles.HexNumber, CultureInfo.InvariantCulture));
                    at += 4;
                }
                else
                {
                    made.Append(c == 'n' ? '\n' : c == 't' ? '\t' : c == 'r' ? '\r' : c == 'b' ? '\b' : c == 'f' ? '\f' : c);
                }
            }

            at++;
            return made.ToString();
        }

        private static void Take(string text, ref int at, char c)
        {
            if (text[at++] != c)
            {
                throw new FormatException("JSON: no " + c + " at " + (at - 1));
            }
        }

        private static void Space(string text, ref int at)
        {
            while (at < text.Length && char.IsWhiteSpace(text[at]))
            {
                at++;
            }
        }
    }
}
