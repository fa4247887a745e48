namespace Vestibule.Unity
{
    /// <summary>What the client is to be told after something happened to the app.</summary>
    public enum LifeOrder
    {
        /// <summary>Nothing.</summary>
        None,
        /// <summary>Begin to record.</summary>
        Start,
        /// <summary>Flush and say BYE, with <see cref="LifeSwitch.Reason"/>.</summary>
        Pause,
        /// <summary>New socket, new link.</summary>
        Resume,
        /// <summary>Flush and say BYE with <c>end</c>.</summary>
        Stop,
    }

    /// <summary>
    /// Pause, focus, headset on or off, quit: many signals, in an order that differs between headsets and between
    /// versions of Unity. This machine makes of them one Pause and one Resume, whatever the order and the repeats.
    /// </summary>
    /// <remarks>No clock of its own: every call takes the device's time in nanoseconds.</remarks>
    public sealed class LifeSwitch
    {
        private enum Phase
        {
            Idle,
            Running,
            Paused,
            Over,
        }

        private readonly bool _focusMatters;
        private readonly long _unwornNs;
        private Phase _phase = Phase.Idle;
        private bool _wanted;
        private bool _appPaused;
        private bool _focused = true;
        private bool _worn = true;
        private long _unwornSince;

        /// <summary>Makes the switch.</summary>
        /// <param name="focusMatters">Whether losing focus pauses: true where a system menu takes over the headset.</param>
        /// <param name="unwornNs">How long the headset must be off before that counts. Sensors flicker when a
        /// headset is put right, and each pause costs a link.</param>
        public LifeSwitch(bool focusMatters, long unwornNs)
        {
            _focusMatters = focusMatters;
            _unwornNs = unwornNs;
        }

        /// <summary>Reason for the newest Pause, a word of BYE: <c>pause</c> or <c>sleep</c>.</summary>
        public string Reason { get; private set; } = "pause";

        /// <summary>Whether the client was told to record and not told to pause or stop since.</summary>
        public bool Running => _phase == Phase.Running;

        /// <summary>The app wants to record.</summary>
        public LifeOrder Begin(long nowNs)
        {
            _wanted = true;
            return Decide(nowNs);
        }

        /// <summary>The app wants no more; <see cref="Begin"/> may follow.</summary>
        public LifeOrder End() => Cease(Phase.Idle);

        /// <summary>The app quits: nothing follows.</summary>
        public LifeOrder Quit() => Cease(Phase.Over);

        /// <summary>OnApplicationPause.</summary>
        public LifeOrder AppPaused(bool paused, long nowNs)
        {
            _appPaused = paused;
            return Decide(nowNs);
        }

        /// <summary>OnApplicationFocus.</summary>
        public LifeOrder Focused(bool focused, long nowNs)
        {
            _focused = focused;
            return Decide(nowNs);
        }

        /// <summary>
        /// Whether a person wears the headset; called each frame, so that the time off the head is noticed. A
        /// headset that cannot tell is not reported at all.
        /// </summary>
        public LifeOrder Worn(bool worn, long nowNs)
        {
            if (_worn && !worn)
            {
                _unwornSince = nowNs;
            }
            _worn = worn;
            return Decide(nowNs);
        }

        private LifeOrder Cease(Phase next)
        {
            bool was = _phase == Phase.Running || _phase == Phase.Paused;
            _wanted = false;
            if (_phase != Phase.Over)
            {
                _phase = next;
            }
            return was ? LifeOrder.Stop : LifeOrder.None;
        }

        private LifeOrder Decide(long nowNs)
        {
            bool asleep = !_worn && nowNs - _unwornSince >= _unwornNs;
            bool allowed = _wanted && !_appPaused && !asleep && (_focused || !_focusMatters);
            switch (_phase)
            {
                case Phase.Idle when allowed:
                    _phase = Phase.Running;
                    return LifeOrder.Start;
                case Phase.Running when !allowed:
                    _phase = Phase.Paused;
                    Reason = asleep ? "sleep" : "pause";
                    return LifeOrder.Pause;
                case Phase.Paused when allowed:
                    _phase = Phase.Running;
                    return LifeOrder.Resume;
                default:
                    return LifeOrder.None;
            }
        }
    }
}
