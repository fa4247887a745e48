using System;

namespace Vestibule
{
    /// <summary>
    /// Judges commands for the app, of all links together. A gateway that was taken over must not be able to do more to
    /// a person than SPEC, "Commands" allows.
    /// </summary>
    internal sealed class Commands
    {
        public const string Done = "done";
        public const string Refused = "refused";
        public const string Unsupported = "unsupported";

        private const long Second = 1_000_000_000;
        private const int PerS = 20; // also how many may come at once
        private const int MaxDurationMs = 10_000;
        private const int MaxTextBytes = 512;

        private readonly DeviceConfig _config;
        private double _tokens = PerS;
        private bool _isFilled;
        private long _filledNs;

        public Commands(DeviceConfig config)
        {
            _config = config;
        }

        /// <summary>What to answer; only what is <c>done</c> is told to the app.</summary>
        /// <param name="command"><c>haptic</c>, <c>text</c> or <c>marker</c>.</param>
        /// <param name="told">Takes its arguments when it is done.</param>
        /// <param name="nowNs">Device time.</param>
        public string Judge(Command command, ClientCommand told, long nowNs)
        {
            if (!_config.Commands.Contains(command.Verb))
            {
                return Unsupported;
            }

            return IsWithinLimits(command, told) && Take(nowNs) ? Done : Refused;
        }

        private bool IsWithinLimits(Command command, ClientCommand told)
        {
            var args = command.Args;
            switch (command.Verb)
            {
                case Command.Haptic when command.Has("ifif"):
                    var frequencyHz = args[3].Number;
                    if (!args[0].IsInt(255) || !_config.Targets.Contains((int)args[0].Bits) ||
                        !(args[1].Number >= 0.0 && args[1].Number <= 1.0) || !args[2].IsInt(MaxDurationMs) ||
                        !(frequencyHz == 0.0 || (frequencyHz >= 1.0 && frequencyHz <= 1_000.0)))
                    {
                        return false;
                    }

                    told.Target = (byte)args[0].Bits;
                    told.Amplitude = args[1].Number;
                    told.DurationMs = (int)args[2].Bits;
                    told.FrequencyHz = frequencyHz;
                    return true;
                case Command.Text when command.Has("s"):
                    told.Text = args[0].Text;
                    return told.Text.Length > 0 && Names.Bytes(told.Text) <= MaxTextBytes;
                case Command.Marker when command.Has("is"):
                    if (!args[0].IsInt(ushort.MaxValue))
                    {
                        return false;
                    }

                    told.Code = (ushort)args[0].Bits;
                    told.Text = args[1].Text;
                    return Names.Bytes(told.Text) <= Kinds.MaxMarkerBytes;
                default:
                    return false;
            }
        }

        private bool Take(long nowNs)
        {
            var passedNs = _isFilled ? nowNs - _filledNs : 0;
            _tokens = Math.Min(PerS, _tokens + ((double)passedNs * PerS / Second));
            _isFilled = true;
            _filledNs = nowNs;
            if (_tokens < 1.0)
            {
                return false;
            }

            _tokens -= 1.0;
            return true;
        }
    }
}
