using System;
using System.Collections.Generic;
using System.Globalization;
using System.Text;

/// <summary>JSON as the rig's orders and tapes need it: objects, arrays, texts, doubles, true, false, null.</summary>
internal sealed class Json
{
    private readonly string _text;
    private int _at;

    private Json(string text)
    {
        _text = text;
    }

    /// <summary>Reads one value.</summary>
    /// <exception cref="FormatException">It is none.</exception>
    public static Dictionary<string, object> Read(string text) => (Dictionary<string, object>)new Json(text).Value();

    /// <summary>Writes one value. 64-bit integers become texts: some engines read numbers as doubles.</summary>
    public static string Write(object value)
    {
        var to = new StringBuilder();
        Write(to, value);
        return to.ToString();
    }

    private static void Write(StringBuilder to, object value)
    {
        switch (value)
        {
            case null: to.Append("null"); break;
            case bool b: to.Append(b ? "true" : "false"); break;
            case string s: Quote(to, s); break;
            case double d: to.Append(d.ToString("R", CultureInfo.InvariantCulture)); break;
            case long l: Quote(to, l.ToString(CultureInfo.InvariantCulture)); break;
            case ulong u: Quote(to, u.ToString(CultureInfo.InvariantCulture)); break;
            case IEnumerable<KeyValuePair<string, object>> members:
                Join(to, '{', '}', members, member =>
                {
                    Quote(to, member.Key);
                    to.Append(':');
                    Write(to, member.Value);
                });
                break;
            case IEnumerable<object> items: Join(to, '[', ']', items, item => Write(to, item)); break;
            default: to.Append(Convert.ToString(value, CultureInfo.InvariantCulture)); break;
        }
    }

    private static void Join<T>(StringBuilder to, char open, char close, IEnumerable<T> items, Action<T> write)
    {
        to.Append(open);
        bool first = true;
        foreach (T item in items)
        {
            if (!first)
            {
                to.Append(',');
            }
            first = false;
            write(item);
        }
        to.Append(close);
    }

    private static void Quote(StringBuilder to, string text)
    {
        to.Append('"');
        foreach (char c in text)
        {
            if (c == '"' || c == '\\')
            {
                to.Append('\\').Append(c);
            }
            else if (c < ' ')
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

    private object Value()
    {
        switch (Next())
        {
            case '{':
            {
                var members = new Dictionary<string, object>();
                for (bool more = Open('}'); more; more = More('}'))
                {
                    string name = Text();
                    Take(':');
                    members[name] = Value();
                }
                return members;
            }
            case '[':
            {
                var items = new List<object>();
                for (bool more = Open(']'); more; more = More(']'))
                {
                    items.Add(Value());
                }
                return items;
            }
            case '"': return Text();
            default: return Word();
        }
    }

    private object Word()
    {
        int from = _at;
        while (_at < _text.Length && ",]} \t\r\n".IndexOf(_text[_at]) < 0)
        {
            _at++;
        }
        string word = _text.Substring(from, _at - from);
        switch (word)
        {
            case "true": return true;
            case "false": return false;
            case "null": return null;
            default: return double.Parse(word, NumberStyles.Float, CultureInfo.InvariantCulture);
        }
    }

    private string Text()
    {
        Take('"');
        var text = new StringBuilder();
        while (_text[_at] != '"')
        {
            char c = _text[_at++];
            if (c != '\\')
            {
                text.Append(c);
                continue;
            }
            c = _text[_at++];
            if (c == 'u')
            {
                text.Append((char)int.Parse(_text.Substring(_at, 4), NumberStyles.HexNumber, CultureInfo.InvariantCulture));
                _at += 4;
            }
            else
            {
                int known = "bfnrt".IndexOf(c);
                text.Append(known < 0 ? c : "\b\f\n\r\t"[known]);
            }
        }
        _at++;
        return text.ToString();
    }

    private bool Open(char close)
    {
        _at++;
        if (Next() != close)
        {
            return true;
        }
        _at++;
        return false;
    }

    private bool More(char close)
    {
        char c = Next();
        _at++;
        if (c != ',' && c != close)
        {
            throw new FormatException("at " + _at + " stands " + c);
        }
        return c == ',';
    }

    private void Take(char wanted)
    {
        if (Next() != wanted)
        {
            throw new FormatException("at " + _at + " stands " + _text[_at] + " and not " + wanted);
        }
        _at++;
    }

    private char Next()
    {
        while (char.IsWhiteSpace(_text[_at]))
        {
            _at++;
        }
        return _text[_at];
    }
}
