using System.Collections.Generic;
using System.Globalization;
using System.Text;

namespace Vestibule
{
    /// <summary>
    /// The one shape of JSON that identity, key and pair files have: an object of texts and integers. Members of other
    /// kinds are passed over. It never throws.
    /// </summary>
    internal sealed class FlatJson
    {
        private readonly Dictionary<string, string> _texts = new Dictionary<string, string>();
        private readonly Dictionary<string, string> _numbers = new Dictionary<string, string>();
        private readonly string _json;
        private int _at;

        private FlatJson(string json)
        {
            _json = json;
        }

        /// <summary>The object, or null when it is none.</summary>
        public static FlatJson Parse(string json)
        {
            var made = new FlatJson(json);
            return made.Object() ? made : null;
        }

        /// <summary>A text as JSON.</summary>
        public static string Quoted(string text)
        {
            var made = new StringBuilder("\"");
            foreach (var c in text)
            {
                if (c == '"' || c == '\\')
                {
                    made.Append('\\').Append(c);
                }
                else if (c < ' ')
                {
                    made.Append("\\u").Append(((int)c).ToString("x4", CultureInfo.InvariantCulture));
                }
                else
                {
                    made.Append(c);
                }
            }

            return made.Append('"').ToString();
        }

        /// <summary>A text member; empty when there is none.</summary>
        public string Text(string name) => _texts.TryGetValue(name, out var found) ? found : "";

        /// <summary>An integer member of 0..most; null when there is none.</summary>
        public ulong? Number(string name, ulong most) =>
            _numbers.TryGetValue(name, out var found) &&
            ulong.TryParse(found, NumberStyles.None, CultureInfo.InvariantCulture, out var number) && number <= most
                ? number
                : (ulong?)null;

        private bool Object()
        {
            if (!Take('{'))
            {
                return false;
            }

            if (Take('}'))
            {
                return IsEnd();
            }

            do
            {
                var name = String();
                if (name == null || !Take(':') || !Member(name))
                {
                    return false;
                }
            }
            while (Take(','));
            return Take('}') && IsEnd();
        }

        private bool Member(string name)
        {
            Space();
            if (_at >= _json.Length)
            {
                return false;
            }

            if (_json[_at] == '"')
            {
                var text = String();
                _texts[name] = text;
                return text != null;
            }

            var from = _at;
            var depth = 0;
            while (_at < _json.Length)
            {
                var c = _json[_at];
                if (c == '"')
                {
                    if (String() == null)
                    {
                        return false;
                    }

                    continue;
                }

                if (depth == 0 && (c == ',' || c == '}'))
                {
                    break;
                }

                depth += c == '{' || c == '[' ? 1 : c == '}' || c == ']' ? -1 : 0;
                _at++;
            }

            var value = _json.Substring(from, _at - from).Trim();
            _numbers[name] = value;
            return value.Length > 0;
        }

        private string String()
        {
            if (!Take('"'))
            {
                return null;
            }

            var made = new StringBuilder();
            while (_at < _json.Length)
            {
                var c = _json[_at++];
                if (c == '"')
                {
                    return made.ToString();
                }

                if (c != '\\')
                {
                    made.Append(c);
                    continue;
                }

                if (!Escape(made))
                {
                    return null;
                }
            }

            return null;
        }

        private bool Escape(StringBuilder made)
        {
            if (_at >= _json.Length)
            {
                return false;
            }

            var c = _json[_at++];
            if (c == 'u')
            {
                if (_at + 4 > _json.Length || !ushort.TryParse(
                        _json.Substring(_at, 4), NumberStyles.AllowHexSpecifier, CultureInfo.InvariantCulture, out var code))
                {
                    return false;
                }

                made.Append((char)code);
                _at += 4;
                return true;
            }

            var at = "\"\\/bfnrt".IndexOf(c);
            made.Append(at < 0 ? c : "\"\\/\b\f\n\r\t"[at]);
            return at >= 0;
        }

        private bool Take(char c)
        {
            Space();
            if (_at >= _json.Length || _json[_at] != c)
            {
                return false;
            }

            _at++;
            return true;
        }

        private bool IsEnd()
        {
            Space();
            return _at == _json.Length;
        }

        private void Space()
        {
            while (_at < _json.Length && (_json[_at] == ' ' || _json[_at] == '\n' || _json[_at] == '\r' || _json[_at] == '\t'))
            {
                _at++;
            }
        }
    }
}
