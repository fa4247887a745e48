using System;
using System.Collections.Generic;

namespace Vestibule
{
    /// <summary>One argument of a COMMAND, with its type.</summary>
    internal readonly struct Arg
    {
        private Arg(char type, ulong bits, bool negative, double number, string text)
        {
            Type = type;
            Bits = bits;
            Negative = negative;
            Number = number;
            Text = text;
        }

        /// <summary><c>i</c>, <c>f</c> or <c>s</c>.</summary>
        public char Type { get; }

        /// <summary>Of an int: its 64 bits.</summary>
        public ulong Bits { get; }

        public bool Negative { get; }

        public double Number { get; }

        public string Text { get; }

        public static Arg Read(ref MsgReader from)
        {
            switch (from.Next())
            {
                case 'f': return new Arg('f', 0, false, from.Float64(), "");
                case 's': return new Arg('s', 0, false, 0, from.Str());
                default:
                    // Also where there is no int: reading it says what is wrong.
                    var bits = from.Integer(out var negative);
                    return new Arg('i', bits, negative, 0, "");
            }
        }

        /// <summary>Whether it is an int of 0..most.</summary>
        public bool IsInt(ulong most) => Type == 'i' && !Negative && Bits <= most;
    }

    /// <summary>COMMAND: a verb and its arguments (SPEC, "Commands").</summary>
    internal sealed class Command
    {
        public const string Open = "open";
        public const string Stop = "stop";
        public const string Hold = "hold";
        public const string Rotate = "rotate";
        public const string Haptic = "haptic";
        public const string Text = "text";
        public const string Marker = "marker";

        public string Verb { get; private set; }

        public List<Arg> Args { get; } = new List<Arg>();

        public static string Read(byte[] packet, int bytes, out Command command)
        {
            var from = MsgReader.OfBody(packet, bytes);
            from.Array(2);
            command = new Command { Verb = from.Str() };
            from.Require(IsVerb(command.Verb));
            var count = from.Array();
            for (var at = 0; at < count && from.Parses; at++)
            {
                command.Args.Add(Arg.Read(ref from));
            }

            return from.End();
        }

        /// <summary>Whether the arguments are exactly these types, such as <c>ifif</c>.</summary>
        public bool Has(string types)
        {
            if (Args.Count != types.Length)
            {
                return false;
            }

            for (var at = 0; at < types.Length; at++)
            {
                if (Args[at].Type != types[at])
                {
                    return false;
                }
            }

            return true;
        }

        private static bool IsVerb(string verb)
        {
            switch (verb)
            {
                case Open:
                case Stop:
                case Hold:
                case Rotate:
                case Haptic:
                case Text:
                case Marker: return true;
                default: return false;
            }
        }
    }
}
