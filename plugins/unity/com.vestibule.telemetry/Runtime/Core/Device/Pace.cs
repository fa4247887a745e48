using System;

namespace Vestibule
{
    /// <summary>
    /// How fast a backlog may drain: a token bucket for resends, filled by the rate of live packets. Live packets take
    /// none and go first (SPEC, "Delivery").
    /// </summary>
    internal sealed class Pace
    {
        private const long Second = 1_000_000_000;
        private const double ResendsPerLive = 2.0;
        private const double LeastPerS = 2.0; // while recording: a stream of rare events must not stop its own resends
        private const double DrainPerS = 100.0; // with no live data to starve
        private const double BurstS = 0.02; // tokens kept for this long: a driver that wakes late loses no rate
        private const long PauseNs = 5 * Second; // a gap this long between live packets says nothing about their rate

        private double _livePerS;
        private bool _hasWindow;
        private long _windowNs;
        private long _count;
        private double _tokens = 1.0;
        private bool _isFilled;
        private long _filledNs;

        /// <summary>Whether live packets are being made; set by the machine.</summary>
        public bool Recording { get; set; }

        private double PerS => Math.Max(ResendsPerLive * _livePerS, Recording ? LeastPerS : DrainPerS);

        /// <summary>A live packet is being sent.</summary>
        public void Live(long nowNs)
        {
            if (!_hasWindow || nowNs - _windowNs >= Second)
            {
                if (_hasWindow && nowNs - _windowNs < PauseNs)
                {
                    Fill(nowNs); // what was earned so far was earned at the old rate
                    _livePerS = (double)_count * Second / (nowNs - _windowNs);
                }

                _hasWindow = true;
                _windowNs = nowNs;
                _count = 0;
            }

            _count++;
        }

        /// <summary>Takes a token for one resend; false when there is none yet.</summary>
        public bool Take(long nowNs)
        {
            Fill(nowNs);
            if (_tokens < 1.0)
            {
                return false;
            }

            _tokens -= 1.0;
            return true;
        }

        /// <summary>When the next token is there.</summary>
        public long ReadyAt(long nowNs)
        {
            Fill(nowNs);
            return _tokens >= 1.0 ? nowNs : nowNs + (long)((1.0 - _tokens) * Second / PerS) + 1;
        }

        private void Fill(long nowNs)
        {
            // A device's clock starts anywhere: only from its first word on is there a time that passed.
            var passedNs = _isFilled ? nowNs - _filledNs : 0;
            var perS = PerS;
            _tokens = Math.Min(Math.Max(1.0, perS * BurstS), _tokens + (passedNs * perS / Second));
            _isFilled = true;
            _filledNs = nowNs;
        }
    }
}
